// An old copy of a log's folder is put back: signing on would fork the log, so it must not.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
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

// A log of ten published entries in `newest`, with a copy from when it had five in `data`.
class RestoredLog {
 public:
  RestoredLog() {
    const std::string vkey = MakeLogKey(binary_, data());
    key_ = std::make_unique<note::NoteVerifier>(LogKey(data()));
    witness_ =
        std::make_unique<WitnessProcess>(testing::Runfile("services/witness/countersign-witness"),
                                         "w", dir_.path() + "/witness", vkey);
    RequireOk(base::WriteFileAtomically(
        dir_.path() + "/policy",
        absl::StrCat("log ", vkey, "\n", witness_->PolicyLine(), "quorum w\n")));
    AppendFive("a");
    std::filesystem::copy(data(), dir_.path() + "/old", std::filesystem::copy_options::recursive);
    AppendFive("b");
    std::filesystem::rename(data(), newest());
    std::filesystem::rename(dir_.path() + "/old", data());
  }

  std::string data() const { return dir_.path() + "/data"; }
  std::string newest() const { return dir_.path() + "/newest"; }
  const note::NoteVerifier& key() const { return *key_; }
  WitnessProcess& witness() { return *witness_; }

  std::unique_ptr<ChildProcess> Start() const {
    std::vector<std::string> flags = Flags(data());
    flags.push_back("--witness-policy=" + dir_.path() + "/policy");
    flags.push_back("--cosign-timeout=1s");
    return ChildProcess::StartService(binary_, flags);
  }

 private:
  void AppendFive(const std::string& name) {
    const auto ledger = Start();
    {
      const auto stub = Connect(ledger->grpc_address());
      for (int i = 0; i < 5; ++i) {
        RequireOk(Append(stub.get(), {absl::StrCat(name, i)}, pb::WAIT_LEVEL_COSIGNED));
      }
    }
    REQUIRE(ledger->Stop() == 0);
  }

  const std::string binary_ = testing::Runfile("services/ledger/countersign-ledger");
  TempDir dir_;
  std::unique_ptr<note::NoteVerifier> key_;
  std::unique_ptr<WitnessProcess> witness_;
};

// That the ledger has stopped signing for good, and never signed more than the copy holds.
void CheckRefuses(Stub* stub, const note::NoteVerifier& key) {
  for (const pb::WaitLevel wait : {pb::WAIT_LEVEL_INTEGRATED, pb::WAIT_LEVEL_COSIGNED}) {
    INFO("wait " << wait);
    absl::StatusOr<pb::BatchAppendEntriesResponse> refused;
    REQUIRE(Eventually([&] {
      refused = Append(stub, {absl::StrCat("fork ", wait)}, wait);
      REQUIRE_FALSE(refused.ok());
      return absl::IsDataLoss(refused.status());
    }));
    CHECK_THAT(refused, StatusIs(StatusCode::kDataLoss, "old copy"));
    CHECK_THAT(refused, StatusIs(StatusCode::kDataLoss, "size 10"));
  }
  CHECK(GetCheckpoint(stub, key, /*published=*/false).size == 5);
  CHECK(GetCheckpoint(stub, key, /*published=*/true).size == 5);
}

TEST_CASE("An old copy of the data folder signs nothing, and the newest one goes on") {
  RestoredLog log;
  {
    const auto ledger = log.Start();
    INFO(ledger->output());
    CheckRefuses(Connect(ledger->grpc_address()).get(), log.key());
    ledger->Kill();
  }
  {
    const auto again = log.Start();
    INFO(again->output());
    CheckRefuses(Connect(again->grpc_address()).get(), log.key());
    again->Kill();
  }
  std::filesystem::remove_all(log.data());
  std::filesystem::rename(log.newest(), log.data());
  const auto ledger = log.Start();
  {
    const auto stub = Connect(ledger->grpc_address());
    const auto appended = RequireOk(Append(stub.get(), {"a0", "b4", "c"}, pb::WAIT_LEVEL_COSIGNED));
    CHECK(appended.entries(0).index() == 0);
    CHECK(appended.entries(1).index() == 9);
    CHECK(appended.entries(2).index() == 10);
  }
  CHECK(ledger->Stop() == 0);
  CHECK(RequireOk(ReadPublicLog(log.data() + "/public", log.key())).entries.size() == 11);
}

TEST_CASE("An old copy signs nothing while its witnesses are away, nor when they come back") {
  RestoredLog log;
  log.witness().Kill();
  const auto ledger = log.Start();
  INFO(ledger->output());
  const auto stub = Connect(ledger->grpc_address());
  for (const pb::WaitLevel wait : {pb::WAIT_LEVEL_INTEGRATED, pb::WAIT_LEVEL_COSIGNED}) {
    INFO("wait " << wait);
    CHECK_THAT(Append(stub.get(), {absl::StrCat("early ", wait)}, wait),
               StatusIs(StatusCode::kDeadlineExceeded));
  }
  CHECK(GetCheckpoint(stub.get(), log.key(), /*published=*/false).size == 5);
  log.witness().Restart();
  CheckRefuses(stub.get(), log.key());
}

}  // namespace
}  // namespace countersign::fault
