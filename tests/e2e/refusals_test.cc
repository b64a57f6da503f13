// What the suite refuses, the same by gRPC, by HTTP and on the command line.
#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "countersign/sign/v1/sign.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/random.h"
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
using signing::SignService;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;
using testing::TempDir;

constexpr char kKeys[] = "/tenants/default/keys";
constexpr char kLog[] = "tenants/default/logs/main";

// A suite with a file to sign and all the clients.
struct Fixture {
  Fixture() {
    RequireOk(base::WriteFileAtomically(file, "contents"));
    sign_stub = SignService::NewStub(suite.Channel("sign"));
    ledger_stub = log::LedgerService::NewStub(suite.Channel("ledger"));
  }

  void CreateKey(const std::string& id) {
    suite.Api(200, "POST", kKeys,
              {{"keyId", id}, {"key", {{"algorithm", "ALGORITHM_ECDSA_P256_SHA256"}}}});
  }

  absl::StatusOr<signing::SignResponse> Sign(const std::string& name, const std::string& digest,
                                             signing::LedgerWait wait = signing::LEDGER_WAIT_NONE,
                                             const std::string& request_id = "") {
    signing::SignRequest request;
    request.set_name("tenants/default/keys/" + name);
    request.set_digest(digest);
    request.set_ledger(wait);
    request.set_request_id(request_id);
    return Call(sign_stub.get(), &SignService::Stub::Sign, request);
  }

  absl::StatusOr<log::AppendEntryResponse> Append(const std::string& entry) {
    log::AppendEntryRequest request;
    request.set_log(kLog);
    request.set_entry(entry);
    return Call(ledger_stub.get(), &log::LedgerService::Stub::AppendEntry, request);
  }

  // That a signature by `name` is refused in all three ways, always for the same reason.
  void CheckRefused(const std::string& name, StatusCode code, int http_status,
                    const std::string& http_code, const std::string& words) {
    INFO(name);
    CHECK_THAT(Sign(name, digest), StatusIs(code, words));
    const json problem = suite.Problem(http_status, "POST", absl::StrCat(kKeys, "/", name, ":sign"),
                                       {{"digest", base::Base64Encode(digest)}});
    CHECK(problem.at("code") == http_code);
    CHECK_THAT(problem.at("detail").get<std::string>(), Contains(words));
    const CommandResult result = suite.Run({"sign", file, "--key", name, "--ledger", "none"});
    CHECK(result.exit_code == 2);
    CHECK(PlainLines(result.output).size() == 1);
    CHECK_THAT(result.output, Contains("no key") || Contains(words));
    CHECK(!base::FileExists(file + ".sigstore.json"));
  }

  TempDir dir;
  const std::string file = dir.path() + "/file";
  const std::string digest = crypto::Digest(crypto::DigestAlgorithm::kSha256, "contents");
  SuiteProcess suite{dir.path() + "/data"};
  std::unique_ptr<SignService::Stub> sign_stub;
  std::unique_ptr<log::LedgerService::Stub> ledger_stub;
};

TEST_CASE("Keys that are unknown, disabled or destroyed do not sign") {
  Fixture f;
  f.CheckRefused("nobody", StatusCode::kNotFound, 404, "NOT_FOUND", "nobody");

  f.CreateKey("k");
  REQUIRE_THAT(f.Sign("k", f.digest), IsOk());
  const CommandResult disabled = f.suite.Run({"keys", "disable", "k", "--version", "1"});
  CHECK(disabled.exit_code == 0);
  f.CheckRefused("k", StatusCode::kFailedPrecondition, 400, "FAILED_PRECONDITION", "disabled");
  f.CheckRefused("k/versions/1", StatusCode::kFailedPrecondition, 400, "FAILED_PRECONDITION",
                 "disabled");
  f.suite.Api(200, "POST", absl::StrCat(kKeys, "/k/versions/1:enable"), json::object());
  CHECK_THAT(f.Sign("k", f.digest), IsOk());

  const CommandResult unsure = f.suite.Run({"keys", "destroy", "k", "--version", "1"});
  CHECK(unsure.exit_code == 2);
  CHECK_THAT(unsure.output, Contains("nothing was destroyed") && Contains("--yes"));
  CHECK_THAT(f.Sign("k", f.digest), IsOk());
  CHECK(f.suite.Run({"keys", "destroy", "k", "--version", "1", "--yes"}).exit_code == 0);
  f.CheckRefused("k", StatusCode::kFailedPrecondition, 400, "FAILED_PRECONDITION", "destroyed");
  f.CheckRefused("k/versions/1", StatusCode::kFailedPrecondition, 400, "FAILED_PRECONDITION",
                 "destroyed");
  f.CheckRefused("k/versions/9", StatusCode::kNotFound, 404, "NOT_FOUND", "k/versions/9");
  f.suite.Problem(400, "POST", absl::StrCat(kKeys, "/k/versions/1:enable"), json::object());
  // Its public half stays, so that what it signed can still be verified.
  CHECK_THAT(f.suite.Run({"keys", "public-key", "k", "--version", "1"}).output,
             Contains("BEGIN PUBLIC KEY"));
}

TEST_CASE("Log entries have 1 to 65,535 bytes") {
  Fixture f;
  const auto append_by_http = [&](int status, const std::string& entry) {
    return f.suite.Api(status, "POST", absl::StrCat("/", kLog, "/entries"),
                       {{"entry", base::Base64Encode(entry)}});
  };
  const auto append_by_command = [&](const std::string& entry) {
    RequireOk(base::WriteFileAtomically(f.dir.path() + "/entry", entry));
    return f.suite.Run({"ledger", "append", f.dir.path() + "/entry"});
  };
  const std::string largest(65'535, 'x');
  CHECK(RequireOk(f.Append(largest)).entry().index() == 0);
  CHECK(append_by_http(200, largest).at("entry").at("duplicate") == true);
  CHECK(append_by_command(largest).exit_code == 0);

  for (const std::string& wrong : {largest + "x", std::string()}) {
    INFO(wrong.size() << " bytes");
    CHECK_THAT(f.Append(wrong), StatusIs(StatusCode::kInvalidArgument, "entry"));
    CHECK(append_by_http(400, wrong).at("code") == "INVALID_ARGUMENT");
    const CommandResult result = append_by_command(wrong);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.output, Contains("65535"));
  }
  CHECK_THAT(f.Append(largest + "x"), StatusIs(StatusCode::kInvalidArgument, "65535"));
  CHECK(f.suite.Api(200, "GET", absl::StrCat("/", kLog)).at("log").at("integratedTreeSize") == "1");
}

TEST_CASE("A digest of the wrong length is refused and the right length named") {
  Fixture f;
  f.CreateKey("k");
  for (const size_t size : {0, 1, 31, 33, 64}) {
    INFO(size << " bytes");
    CHECK_THAT(f.Sign("k", std::string(size, 'd')), StatusIs(StatusCode::kInvalidArgument, "32"));
    const json problem = f.suite.Problem(400, "POST", absl::StrCat(kKeys, "/k:sign"),
                                         {{"digest", base::Base64Encode(std::string(size, 'd'))}});
    CHECK(problem.at("code") == "INVALID_ARGUMENT");
    CHECK(problem.at("fieldViolations").at(0).at("field") == "digest");
  }
}

TEST_CASE("A request id makes a repeated request have the first one's answer") {
  Fixture f;
  const std::string create_id = crypto::RandomUuid();
  const json create = {{"keyId", "k"},
                       {"key", {{"algorithm", "ALGORITHM_ECDSA_P256_SHA256"}}},
                       {"requestId", create_id}};
  const json created = f.suite.Api(200, "POST", kKeys, create);
  CHECK(f.suite.Api(200, "POST", kKeys, create) == created);
  json another = create;
  another.erase("requestId");
  CHECK(f.suite.Problem(409, "POST", kKeys, another).at("code") == "ALREADY_EXISTS");
  const CommandResult twice = f.suite.Run({"keys", "create", "k"});
  CHECK(twice.exit_code == 2);
  CHECK_THAT(twice.output, Contains("exist"));

  const std::string id = crypto::RandomUuid();
  const auto first = RequireOk(f.Sign("k", f.digest, signing::LEDGER_WAIT_INTEGRATED, id));
  // Others come in between.
  RequireOk(f.Append("another entry"));
  const auto second = RequireOk(f.Sign("k", f.digest, signing::LEDGER_WAIT_INTEGRATED, id));
  // ECDSA signatures are random: the same one was not made anew.
  CHECK(second.signature().signature() == first.signature().signature());
  CHECK(second.signature().ledger_proof().index() == first.signature().ledger_proof().index());
  const auto unlike =
      RequireOk(f.Sign("k", f.digest, signing::LEDGER_WAIT_INTEGRATED, crypto::RandomUuid()));
  CHECK(unlike.signature().signature() != first.signature().signature());
  // The id belongs to the request it came with.
  CHECK_THAT(f.Sign("k", crypto::Digest(crypto::DigestAlgorithm::kSha256, "other"),
                    signing::LEDGER_WAIT_INTEGRATED, id),
             StatusIs(StatusCode::kAlreadyExists, id));
}

}  // namespace
}  // namespace countersign::e2e
