// The commands that read whole logs, beside a real ledger that is being written to, and killed.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "catch2/catch.hpp"
#include "cli/cli.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/runtime/channel.h"
#include "libs/testing/child_process.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::ledger::v1;
using nlohmann::json;
using testing::ChildProcess;
using testing::Eventually;
using testing::RequireOk;
using testing::Runfile;

constexpr int kBatch = 100;
constexpr int kMaxEntries = 30000;
constexpr int kKills = 8;

// Appends "entry 0", "entry 1", … until it is destroyed.
class Writer {
 public:
  explicit Writer(const std::string& address)
      : stub_(pb::LedgerService::NewStub(RequireOk(runtime::MakeChannel(address)))),
        thread_([this] { Write(); }) {}
  ~Writer() { Stop(); }

  // Returns how many entries the log has.
  int Stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return written_;
  }
  bool failed() const { return failed_; }

 private:
  void Write() {
    while (!stopping_ && written_ < kMaxEntries) {
      pb::BatchAppendEntriesRequest request;
      request.set_log("tenants/default/logs/main");
      request.set_wait(pb::WAIT_LEVEL_INTEGRATED);
      for (int i = 0; i < kBatch; ++i) request.add_entries(absl::StrCat("entry ", written_ + i));
      pb::BatchAppendEntriesResponse response;
      const auto context = runtime::MakeContext(absl::Seconds(60));
      if (!stub_->BatchAppendEntries(context.get(), request, &response).ok()) {
        failed_ = true;
        return;
      }
      written_ += kBatch;
    }
  }

  const std::unique_ptr<pb::LedgerService::Stub> stub_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::atomic<int> written_{0};
  std::thread thread_;  // the last, so that it starts when all is there
};

// Puts the lines of `tail --json` behind the entries known so far. They may repeat some of them,
// and the last line may be cut short.
void AddTailed(const std::string& output, std::vector<std::string>* entries) {
  std::vector<std::string> lines = absl::StrSplit(output, '\n');
  lines.pop_back();
  for (const std::string& line : lines) {
    const json entry = json::parse(line, nullptr, /*allow_exceptions=*/false);
    CAPTURE(line);
    REQUIRE(entry.is_object());
    const size_t index = entry["index"].get<size_t>();
    REQUIRE(index <= entries->size());
    const std::string data = RequireOk(base::Base64Decode(entry["data"].get<std::string>()));
    REQUIRE(data == absl::StrCat("entry ", index));
    if (index == entries->size()) entries->push_back(data);
  }
}

TEST_CASE("Beside a ledger that is written to, logs are clean, and what is killed goes on") {
  testing::TempDir dir;
  const std::string data = dir.path() + "/ledger";
  const auto ledger = ChildProcess::StartService(
      Runfile("services/ledger/countersign-ledger"),
      {"--data=" + data, "--origin=log.example/live", "--listen=127.0.0.1:0",
       "--http-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--publish-interval=1ms",
       "--settle-bytes=100000"});
  const std::string key = data + "/log.vkey";
  const std::string mirror = dir.path() + "/mirror";
  const auto arguments = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "ledger");
    words.insert(words.end(), {"--data", dir.path() + "/none", "--endpoint",
                               "ledger=" + ledger->grpc_address(), "--json"});
    return words;
  };
  const auto run = [&](const std::vector<std::string>& words) {
    std::ostringstream out;
    std::ostringstream err;
    const int exit_code = RunCli(arguments(words), Output(out, err, false));
    CAPTURE(words, out.str(), err.str());
    REQUIRE(exit_code == 0);
    return out.str();
  };
  const std::vector<std::string> tail = {"tail", "--cursor", dir.path() + "/cursor"};
  const auto with_follow = [&](std::vector<std::string> words) {
    words.insert(words.end(), {"--follow", "--interval", "0.005"});
    return arguments(words);
  };

  Writer writer(ledger->grpc_address());
  std::vector<std::string> tailed;
  for (int round = 0; round < kKills; ++round) {
    CHECK(json::parse(run({"fsck", data}))["clean"] == true);
    CHECK(json::parse(run({"fsck"}))["clean"] == true);

    ChildProcess follower(Runfile("cli/countersign"), with_follow(tail));
    ChildProcess copier(Runfile("cli/countersign"),
                        with_follow({"mirror", absl::StrCat("http://", ledger->http_address()),
                                     mirror, "--key", key}));
    // Each is in the middle of something when it has done something.
    CHECK(Eventually([&] { return absl::StrContains(follower.output(), "index"); }));
    follower.Kill();
    AddTailed(follower.output(), &tailed);
    if (round % 2 == 1) {
      CHECK(Eventually([&] { return absl::StrContains(copier.output(), "entries"); }));
    }
    copier.Kill();
    if (base::FileExists(mirror + "/checkpoint")) {
      CHECK(json::parse(run({"fsck", mirror, "--key", key}))["clean"] == true);
    }
  }
  const size_t written = static_cast<size_t>(writer.Stop());
  CHECK_FALSE(writer.failed());

  // What was written last is published a moment later.
  CHECK(Eventually([&] { return json::parse(run({"fsck"}))["entries"] == written; }));
  AddTailed(run(tail), &tailed);
  CHECK(tailed.size() == written);
  CHECK(json::parse(run({"mirror", data, mirror}))["entries"] == written);
  const json copy = json::parse(run({"fsck", mirror, "--key", key}));
  CHECK(copy["root"] == json::parse(run({"fsck", data}))["root"]);
  CHECK(copy["notes"].empty());
  CHECK(ledger->Stop() == 0);
}

}  // namespace
}  // namespace countersign::cli
