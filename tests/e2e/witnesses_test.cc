// The quorum of witnesses is lost and comes back.
#include <signal.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "countersign/sign/v1/sign.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/random.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "tests/e2e/suite_process.h"

namespace countersign::e2e {
namespace {

namespace signing = ::countersign::sign::v1;
namespace log = ::countersign::ledger::v1;
using absl::StatusCode;
using Catch::Contains;
using nlohmann::json;
using testing::Eventually;
using testing::RequireOk;
using testing::StatusIs;
using testing::TempDir;

TEST_CASE("Without a quorum a signature is logged but not answered, and a repeated call ends it") {
  TempDir dir;
  const std::string file = dir.path() + "/file";
  RequireOk(base::WriteFileAtomically(file, "contents"));
  SuiteProcess suite(dir.path() + "/data");
  const auto sign_stub = signing::SignService::NewStub(suite.Channel("sign"));
  const auto ledger_stub = log::LedgerService::NewStub(suite.Channel("ledger"));
  REQUIRE(suite.Run({"keys", "create", "k"}).exit_code == 0);
  REQUIRE(suite.Run({"sign", file}).exit_code == 0);
  REQUIRE(suite.Run({"trust", "export"}).exit_code == 0);
  const auto get_log = [&] {
    log::GetLogRequest request;
    request.set_name("tenants/default/logs/main");
    return RequireOk(Call(ledger_stub.get(), &log::LedgerService::Stub::GetLog, request)).log();
  };
  REQUIRE(get_log().tree_size() == 1);

  // Stopped, the supervisor does not start them again.
  const pid_t second = suite.Pid("witness-2");
  const pid_t third = suite.Pid("witness-3");
  suite.process().Signal(SIGSTOP);
  REQUIRE(kill(second, SIGKILL) == 0);
  REQUIRE(kill(third, SIGKILL) == 0);

  signing::SignRequest request;
  request.set_name("tenants/default/keys/k");
  request.set_digest(crypto::Digest(crypto::DigestAlgorithm::kSha256, "unwitnessed"));
  request.set_ledger(signing::LEDGER_WAIT_COSIGNED);
  request.set_request_id(crypto::RandomUuid());
  const auto sign = [&] {
    return Call(sign_stub.get(), &signing::SignService::Stub::Sign, request);
  };
  const auto refused = sign();
  CHECK_THAT(refused, StatusIs(StatusCode::kDeadlineExceeded, "witness-2"));
  CHECK_THAT(refused, StatusIs(StatusCode::kDeadlineExceeded, "witness-3"));
  CHECK_THAT(refused, StatusIs(StatusCode::kDeadlineExceeded, "in the log"));
  CHECK_THAT(std::string(refused.status().message()), !Contains("witness-1"));
  // Logged, but what is published is what the quorum has cosigned.
  CHECK(get_log().integrated_tree_size() == 2);
  CHECK(get_log().tree_size() == 1);
  // Who does not wait for witnesses is served.
  signing::SignRequest integrated = request;
  integrated.set_ledger(signing::LEDGER_WAIT_INTEGRATED);
  integrated.set_request_id(crypto::RandomUuid());
  CHECK(RequireOk(Call(sign_stub.get(), &signing::SignService::Stub::Sign, integrated))
            .signature()
            .ledger_proof()
            .index() == 2);

  suite.process().Signal(SIGCONT);
  REQUIRE(Eventually([&] {
    const pid_t new_second = suite.Pid("witness-2");
    const pid_t new_third = suite.Pid("witness-3");
    return new_second != 0 && new_second != second && new_third != 0 && new_third != third &&
           suite.Ready("witness-2") && suite.Ready("witness-3");
  }));
  absl::StatusOr<signing::SignResponse> repeated;
  CHECK(Eventually([&] {
    repeated = sign();
    return repeated.ok();
  }));
  CHECK(RequireOk(repeated).signature().ledger_proof().index() == 1);
  CHECK(get_log().integrated_tree_size() == 3);
  CHECK(get_log().tree_size() == 3);
  // What was signed before and what is signed now verify.
  const CommandResult before = suite.Run({"verify", file});
  INFO(before.output);
  CHECK(before.exit_code == 0);
  const CommandResult again = suite.Run({"sign", file});
  INFO(again.output);
  CHECK(again.exit_code == 0);
  CHECK(suite.Run({"verify", file}).exit_code == 0);
  CHECK(suite.process().Stop() == 0);
}

}  // namespace
}  // namespace countersign::e2e
