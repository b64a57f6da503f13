// The machine's clock is set back, under the ledger and under a witness.
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/note/policy.h"
#include "libs/testing/eventually.h"
#include "libs/testing/temp_dir.h"
#include "tests/fault/public_log.h"
#include "tests/fault/witness_process.h"

namespace countersign::fault {
namespace {

using absl::StatusCode;
using testing::Eventually;
using testing::StatusIs;
using testing::TempDir;

constexpr int64_t kHour_s = 3600;

// The clock of some processes; see shifted_clock.cc.
class ProcessClock {
 public:
  explicit ProcessClock(std::string path) : path_(std::move(path)) { Set(0); }

  // So many seconds ahead of the machine's clock.
  void Set(int64_t ahead_s) const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    if (!file) file.open(path_, std::ios::out | std::ios::binary);
    file.write(reinterpret_cast<const char*>(&ahead_s), sizeof(ahead_s));
    REQUIRE(file.flush());
  }
  std::vector<std::string> env() const { return {"CLOCK_SHIFT_FILE=" + path_}; }

 private:
  const std::string path_;
};

TEST_CASE("A ledger whose clock was set back publishes nothing until it is right again") {
  TempDir dir;
  const ProcessClock clock(dir.path() + "/clock");
  const std::string binary = testing::Runfile("tests/fault/ledger_with_shifted_clock");
  const std::string data = dir.path() + "/data";
  std::vector<std::string> flags = Flags(data);
  flags.push_back("--cosign-timeout=1s");
  auto ledger = ChildProcess::StartService(binary, flags, clock.env());
  const note::NoteVerifier key = LogKey(data);
  Promises promises;
  uint64_t appended = 0;
  const auto append = [&](Stub* stub, const std::string& entry, pb::WaitLevel wait) {
    const auto answer = Append(stub, {entry}, wait);
    if (answer.ok()) {
      promises.Acknowledged(entry, static_cast<uint64_t>(answer->entries(0).index()));
    }
    ++appended;
    return answer.status();
  };
  // Neither signs nor publishes, but takes entries.
  const auto check_refusal = [&](Stub* stub, const std::string& name) {
    for (const pb::WaitLevel wait : {pb::WAIT_LEVEL_INTEGRATED, pb::WAIT_LEVEL_COSIGNED}) {
      CHECK_THAT(append(stub, absl::StrCat(name, wait), wait),
                 StatusIs(StatusCode::kDeadlineExceeded, "clock"));
    }
    RequireOk(append(stub, name, pb::WAIT_LEVEL_SEQUENCED));
    CHECK(GetCheckpoint(stub, key, /*published=*/true).size == 1);
  };

  {
    const auto stub = Connect(ledger->grpc_address());
    RequireOk(append(stub.get(), "right", pb::WAIT_LEVEL_COSIGNED));
    clock.Set(-kHour_s);
    check_refusal(stub.get(), "back");
  }
  ledger->Kill();
  // Nor does a start make it forget.
  ledger = ChildProcess::StartService(binary, flags, clock.env());
  {
    INFO(ledger->output());
    const auto stub = Connect(ledger->grpc_address());
    check_refusal(stub.get(), "restarted");
    CHECK(absl::StrContains(ledger->output(), "no checkpoint is published: the clock is wrong"));

    clock.Set(0);
    CHECK(Eventually([&] { return GetCheckpoint(stub.get(), key, true).size == appended; }));
    RequireOk(append(stub.get(), "right again", pb::WAIT_LEVEL_COSIGNED));
    CheckPromises(stub.get(), key, promises);
  }
  CHECK(ledger->Stop() == 0);
  CHECK(promises.complaints() == std::vector<std::string>());
  CHECK(RequireOk(ReadPublicLog(data + "/public", key)).entries.size() == appended);
}

TEST_CASE("A witness whose clock was set back cosigns nothing until it is right again") {
  TempDir dir;
  const ProcessClock clock(dir.path() + "/clock");
  const std::string binary = testing::Runfile("services/ledger/countersign-ledger");
  const std::string data = dir.path() + "/data";
  const std::string vkey = MakeLogKey(binary, data);
  const note::NoteVerifier key = LogKey(data);
  WitnessProcess witness(testing::Runfile("tests/fault/witness_with_shifted_clock"), "w",
                         dir.path() + "/witness", vkey, clock.env());
  const std::string policy_text =
      absl::StrCat("log ", vkey, "\n", witness.PolicyLine(), "quorum w\n");
  RequireOk(base::WriteFileAtomically(dir.path() + "/policy", policy_text));
  const note::Policy policy = RequireOk(note::Policy::Parse(policy_text));
  std::vector<std::string> flags = Flags(data);
  flags.push_back("--witness-policy=" + dir.path() + "/policy");
  flags.push_back("--cosign-timeout=2s");
  const auto ledger = ChildProcess::StartService(binary, flags);
  auto stub = Connect(ledger->grpc_address());
  const auto time = [&] {
    std::string note;
    GetCheckpoint(stub.get(), key, /*published=*/true, &note);
    return RequireOk(policy.Verify(note)).cosignatures.at(0).timestamp;
  };

  RequireOk(Append(stub.get(), {"a"}, pb::WAIT_LEVEL_COSIGNED));
  const uint64_t first = time();
  clock.Set(-kHour_s);
  CHECK_THAT(Append(stub.get(), {"b"}, pb::WAIT_LEVEL_COSIGNED),
             StatusIs(StatusCode::kDeadlineExceeded, "clock"));
  witness.Kill();
  witness.Restart();
  absl::Status refused;
  // The ledger has lost the connection once, and asks again.
  CHECK(Eventually([&] {
    refused = Append(stub.get(), {"c"}, pb::WAIT_LEVEL_COSIGNED).status();
    REQUIRE(absl::IsDeadlineExceeded(refused));
    return absl::StrContains(refused.message(), "clock");
  }));
  CHECK(GetCheckpoint(stub.get(), key, /*published=*/true).size == 1);
  clock.Set(0);
  CHECK(Eventually([&] { return Append(stub.get(), {"d"}, pb::WAIT_LEVEL_COSIGNED).ok(); }));
  CHECK(GetCheckpoint(stub.get(), key, /*published=*/true).size == 4);
  CHECK(time() >= first);
  stub.reset();
  CHECK(ledger->Stop() == 0);
}

}  // namespace
}  // namespace countersign::fault
