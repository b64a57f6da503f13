// The suite as a set of processes: started twice, killed one by one, stopped under load.
#include <signal.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "catch2/catch.hpp"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "countersign/sign/v1/sign.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "tests/e2e/suite_process.h"

namespace countersign::e2e {
namespace {

namespace signing = ::countersign::sign::v1;
namespace log = ::countersign::ledger::v1;
using Catch::Contains;
using nlohmann::json;
using testing::Eventually;
using testing::RequireOk;
using testing::TempDir;

const std::vector<std::string> kServices = {"sign",      "ocsp",      "verify",    "ledger",
                                            "witness-1", "witness-2", "witness-3", "gateway"};

TEST_CASE("A folder or a port that is in use is refused in one line, and its user runs on") {
  TempDir dir;
  SuiteProcess suite(dir.path() + "/data");
  const std::string data = suite.data();
  const CommandResult second = suite.Run({"up", "--any-port", "--bin-dir", testing::Runfile("")});
  CHECK(second.exit_code == 1);
  CHECK(PlainLines(second.output).size() == 1);
  CHECK_THAT(second.output, Contains(data) && Contains("in use by another process") &&
                                Contains(absl::StrCat(suite.process().pid())));

  const std::string name = "--name=localhost/witness-1";
  const std::string origin =
      "--origin=" + suite.Address("log_vkey").substr(0, suite.Address("log_vkey").find('+'));
  const auto refused = [](const std::string& service, const std::vector<std::string>& args,
                          const std::string& what) {
    INFO(service << ": " << what);
    const CommandResult result = RunService(service, args);
    INFO(result.output);
    CHECK(result.exit_code == 1);
    CHECK(PlainLines(result.output).size() == 1);
    CHECK_THAT(result.output, Contains(what) && Contains("in use"));
  };
  refused("sign", {"--data=" + data + "/sign"}, data + "/sign");
  refused("ledger", {"--data=" + data + "/ledger", origin}, data + "/ledger");
  refused("witness", {"--data=" + data + "/witness-1", name}, data + "/witness-1");

  const std::string taken = suite.Address("sign");
  const std::string listen = "--listen=" + taken;
  refused("sign", {"--data=" + dir.path() + "/sign", listen}, taken);
  refused("verify", {listen}, taken);
  refused("ledger", {"--data=" + dir.path() + "/ledger", listen}, taken);
  refused("witness", {"--data=" + dir.path() + "/witness", "--name=example.com/w", listen}, taken);
  const std::string http = suite.Address("gateway");
  refused("gateway", {"--http-listen=" + http}, http);
  refused("ledger", {"--data=" + dir.path() + "/ledger", "--http-listen=" + http}, http);
  refused("verify", {"--admin-listen=" + http}, http);

  CHECK(suite.Api(200, "GET", "/health").at("status") == "SERVING");
  CHECK(suite.process().Stop() == 0);
}

TEST_CASE("Each service that is killed comes back, and nothing is lost") {
  TempDir dir;
  const std::string file = dir.path() + "/file";
  RequireOk(base::WriteFileAtomically(file, "contents"));
  SuiteProcess suite(dir.path() + "/data");
  REQUIRE(suite.Run({"keys", "create", "k"}).exit_code == 0);
  REQUIRE(suite.Run({"trust", "export"}).exit_code == 0);
  const json key = suite.Api(200, "GET", "/tenants/default/keys/k/publicKey");
  int entries = 0;
  const auto sign_and_verify = [&] {
    // What the killed service was connected to may need a moment to notice that it is back.
    CommandResult signed_file;
    const bool done = Eventually([&] {
      signed_file = suite.Run({"--json", "sign", file});
      return signed_file.exit_code == 0;
    });
    INFO(signed_file.output);
    REQUIRE(done);
    const int got = json::parse(signed_file.output).at(0).at("log").at("index").get<int>();
    CHECK(got >= entries);
    entries = got + 1;
    const CommandResult verified = suite.Run({"verify", file});
    INFO(verified.output);
    CHECK(verified.exit_code == 0);
  };
  sign_and_verify();
  for (const std::string& service : kServices) {
    INFO(service);
    const pid_t before = suite.Pid(service);
    REQUIRE(kill(before, SIGKILL) == 0);
    REQUIRE(Eventually([&] {
      const pid_t now = suite.Pid(service);
      return now != 0 && now != before && suite.Ready(service);
    }));
    REQUIRE(Eventually([&] { return suite.Request("GET", "/api/v1/health").status == 200; }));
    sign_and_verify();
    CHECK(suite.Api(200, "GET", "/tenants/default/keys/k/publicKey") == key);
  }
  const json listed = suite.Api(200, "GET", "/tenants/default/logs/main/entries");
  CHECK(listed.at("entries").size() == static_cast<size_t>(entries));
  CHECK(suite.process().Stop() == 0);
}

TEST_CASE("Stopped under load, calls are answered or refused, and what was answered is kept") {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  std::map<int64_t, std::string> answered;  // index of an entry -> its bytes
  {
    SuiteProcess suite(data);
    REQUIRE(suite.Run({"keys", "create", "k"}).exit_code == 0);
    constexpr int kThreads = 4;
    struct Worker {
      std::map<int64_t, std::string> answered;
      absl::Status end;
    };
    std::vector<Worker> workers(kThreads);
    std::atomic<int> count{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&suite, &count, worker = &workers[static_cast<size_t>(t)], t] {
        const auto stub = signing::SignService::NewStub(suite.Channel("sign"));
        for (int i = 0;; ++i) {
          signing::SignRequest request;
          request.set_name("tenants/default/keys/k");
          request.set_message(absl::StrCat(t, "/", i));
          request.set_ledger(signing::LEDGER_WAIT_COSIGNED);
          const auto response = Call(stub.get(), &signing::SignService::Stub::Sign, request);
          if (!response.ok()) {
            worker->end = response.status();
            return;
          }
          const signing::LedgerProof& proof = response->signature().ledger_proof();
          worker->answered[proof.index()] = proof.canonicalized_body();
          ++count;
        }
      });
    }
    const bool loaded = Eventually([&count] { return count >= 50; });
    suite.process().Signal(SIGTERM);
    const int exit_code = suite.process().Wait(absl::Seconds(30));
    for (std::thread& thread : threads) thread.join();
    REQUIRE(loaded);
    INFO(suite.process().output());
    CHECK(exit_code == 0);
    CHECK_THAT(suite.process().output(), !Contains("is killed"));
    for (const Worker& worker : workers) {
      // A call that came too late, on a connection that was going or gone.
      INFO(worker.end);
      CHECK((absl::IsUnavailable(worker.end) || absl::IsCancelled(worker.end)));
      answered.insert(worker.answered.begin(), worker.answered.end());
    }
    CHECK(answered.size() == static_cast<size_t>(count));
  }

  std::vector<std::string> secrets = {"PRIVATE KEY"};
  for (const std::string service : {"sign", "ledger", "witness-1", "witness-2", "witness-3"}) {
    const std::string kek = RequireOk(base::ReadFile(absl::StrCat(data, "/", service, "/kek")));
    secrets.emplace_back(absl::StripAsciiWhitespace(kek));
    REQUIRE(secrets.back().size() == 64);
  }
  for (const std::string& service : kServices) {
    INFO(service);
    const std::string text =
        RequireOk(base::ReadFile(absl::StrCat(data, "/log/", service, ".log")));
    REQUIRE(!text.empty());
    for (const std::string& secret : secrets) CHECK(text.find(secret) == std::string::npos);
    for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
      INFO(std::string(line));
      const json record = json::parse(std::string(line), nullptr, /*allow_exceptions=*/false);
      REQUIRE(record.is_object());
      CHECK(record.contains("ts"));
      CHECK(record.contains("level"));
      CHECK(record.contains("msg"));
      // Calls that fail are logged: none that the service had taken was cut short.
      if (service == "sign") CHECK(!record.contains("grpc.code"));
    }
  }

  SuiteProcess again(data);
  const auto stub = log::LedgerService::NewStub(again.Channel("ledger"));
  for (const auto& [index, entry] : answered) {
    log::GetEntryRequest request;
    request.set_name(absl::StrCat("tenants/default/logs/main/entries/", index));
    REQUIRE(
        RequireOk(Call(stub.get(), &log::LedgerService::Stub::GetEntry, request)).entry().data() ==
        entry);
  }
  CHECK(again.process().Stop() == 0);
}

}  // namespace
}  // namespace countersign::e2e
