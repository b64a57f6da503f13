#include "services/yubikey-agent/session_service.h"

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/thread_pool.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/pem.h"
#include "libs/pki/test_authority.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::InProcessServer;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;

using Stub = v1::SessionService::Stub;

// The service over a file of callers: "admin" may do everything by the API key "secret", "build"
// may sign with keys/release by its P-256 key.
class Agent {
 public:
  Agent()
      : key(RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256))),
        sessions({}),
        challenges({}) {
    Write();
    callers = RequireOk(Callers::Open(
        {.path = path, .on_lost = [this](const std::string& name) { sessions.Revoke(name); }}));
    service = std::make_unique<SessionService>(SessionService::Options{
        .callers = callers.get(),
        .challenges = &challenges,
        .sessions = &sessions,
        .unlock =
            [this](uint32_t serial, crypto::SecretBytes pin, absl::Time deadline,
                   std::function<void(absl::Status)> done) {
              ++unlocks;
              unlocked_serial = serial;
              const bool right = pin.Expose(crypto::SecretAccess::Grant()) == "123456";
              done(right ? absl::OkStatus()
                         : runtime::AttachReason(absl::PermissionDeniedError("wrong PIN"),
                                                 "WRONG_PIN"));
            },
        .executor = &executor});
  }

  void Write(bool with_build = true) {
    auto every = std::make_shared<Scope>();
    every->operations = AllOperations();
    every->names = {"*"};
    auto release = std::make_shared<Scope>();
    release->operations = 1u << static_cast<int>(Operation::kSign);
    release->names = {"keys/release"};
    std::vector<Caller> list = {
        {.name = "admin",
         .api_key_hash = std::string(base::AsBytes(crypto::Sha256("secret"))),
         .scope = every}};
    if (with_build) {
      list.push_back({.name = "build",
                      .key = key.public_key(),
                      .scope = release,
                      .max_lifetime = absl::Hours(1)});
    }
    REQUIRE_THAT(base::WriteFileDurably(path, FormatCallers(list), 0600), IsOk());
  }

  testing::TempDir dir;
  const std::string path = dir.path() + "/callers.json";
  const crypto::PrivateKey key;
  Sessions sessions;
  Challenges challenges;
  std::unique_ptr<Callers> callers;
  base::ThreadPool executor{2};
  std::unique_ptr<SessionService> service;
  std::atomic<int> unlocks{0};
  std::atomic<uint32_t> unlocked_serial{0};
};

std::unique_ptr<grpc::ClientContext> Context(const std::string& token = "") {
  auto context = runtime::MakeContext(absl::Seconds(60));
  if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
  return context;
}

absl::StatusOr<v1::OpenSessionResponse> Open(Stub* stub, const v1::OpenSessionRequest& request) {
  v1::OpenSessionResponse response;
  const auto context = Context();
  const absl::Status status =
      runtime::FromGrpcStatus(stub->OpenSession(context.get(), request, &response));
  if (!status.ok()) return status;
  return response;
}

v1::OpenSessionRequest AdminRequest() {
  v1::OpenSessionRequest request;
  request.set_caller("admin");
  request.mutable_api_key()->set_api_key("secret");
  return request;
}

v1::CreateChallengeResponse Challenge(Stub* stub, const std::string& caller) {
  v1::CreateChallengeRequest request;
  request.set_caller(caller);
  v1::CreateChallengeResponse response;
  const auto context = Context();
  REQUIRE(stub->CreateChallenge(context.get(), request, &response).ok());
  return response;
}

v1::OpenSessionRequest Answer(const v1::CreateChallengeResponse& challenge,
                              const crypto::PrivateKey& key, const std::string& caller = "build") {
  v1::OpenSessionRequest request;
  request.set_caller(caller);
  request.mutable_signed_challenge()->set_challenge(challenge.challenge());
  request.mutable_signed_challenge()->set_signature(
      RequireOk(key.SignMessage(challenge.message())));
  return request;
}

absl::StatusOr<v1::Session> Get(Stub* stub, const std::string& token) {
  v1::GetSessionResponse response;
  const auto context = Context(token);
  const absl::Status status =
      runtime::FromGrpcStatus(stub->GetSession(context.get(), {}, &response));
  if (!status.ok()) return status;
  return response.session();
}

absl::StatusOr<int64_t> Revoke(Stub* stub, const std::string& token, const std::string& caller) {
  v1::RevokeSessionsRequest request;
  request.set_caller(caller);
  v1::RevokeSessionsResponse response;
  const auto context = Context(token);
  const absl::Status status =
      runtime::FromGrpcStatus(stub->RevokeSessions(context.get(), request, &response));
  if (!status.ok()) return status;
  return response.revoked();
}

TEST_CASE("a caller opens a session by signing a challenge, and has what it is registered for") {
  Agent agent;
  InProcessServer server(agent.service.get());
  const auto stub = v1::SessionService::NewStub(server.channel());
  const v1::CreateChallengeResponse challenge = Challenge(stub.get(), "build");
  CHECK(challenge.message() == Challenges::Message("build", challenge.challenge()));
  const auto opened = RequireOk(Open(stub.get(), Answer(challenge, agent.key)));
  CHECK(opened.token().size() == 43);
  const v1::Session session = RequireOk(Get(stub.get(), opened.token()));
  CHECK(session.caller() == "build");
  REQUIRE(session.scope().operations_size() == 1);
  CHECK(session.scope().operations(0) == v1::OPERATION_SIGN);
  REQUIRE(session.scope().names_size() == 1);
  CHECK(session.scope().names(0) == "keys/release");
  CHECK(session.expire_time().seconds() - session.create_time().seconds() == 3600);

  // The same answer a second time is refused as any wrong one is.
  const auto replayed = Open(stub.get(), Answer(challenge, agent.key)).status();
  CHECK_THAT(replayed, StatusIs(absl::StatusCode::kUnauthenticated));
  const auto stranger =
      RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const auto wrong_key =
      Open(stub.get(), Answer(Challenge(stub.get(), "build"), stranger)).status();
  const auto unknown =
      Open(stub.get(), Answer(Challenge(stub.get(), "nobody"), agent.key, "nobody")).status();
  const auto others =
      Open(stub.get(), Answer(Challenge(stub.get(), "admin"), agent.key, "build")).status();
  CHECK(wrong_key == replayed);
  CHECK(unknown == replayed);
  CHECK(others == replayed);
}

TEST_CASE("an API key opens a session, and a wrong one or nobody's does not") {
  Agent agent;
  InProcessServer server(agent.service.get());
  const auto stub = v1::SessionService::NewStub(server.channel());
  CHECK_THAT(Open(stub.get(), AdminRequest()), IsOk());
  v1::OpenSessionRequest request = AdminRequest();
  request.mutable_api_key()->set_api_key("secreT");
  CHECK_THAT(Open(stub.get(), request), StatusIs(absl::StatusCode::kUnauthenticated));
  request = AdminRequest();
  request.set_caller("nobody");
  CHECK_THAT(Open(stub.get(), request), StatusIs(absl::StatusCode::kUnauthenticated));
  request = AdminRequest();
  request.clear_proof();
  CHECK_THAT(Open(stub.get(), request), StatusIs(absl::StatusCode::kInvalidArgument, "proof"));
}

TEST_CASE("a session has less when less is asked for, and never more than its caller may have") {
  Agent agent;
  InProcessServer server(agent.service.get());
  const auto stub = v1::SessionService::NewStub(server.channel());
  v1::OpenSessionRequest request = AdminRequest();
  request.mutable_scope()->add_operations(v1::OPERATION_USE_SUB_KEY);
  request.mutable_scope()->add_names("subKeys/ci");
  request.mutable_lifetime()->set_seconds(60);
  const auto opened = RequireOk(Open(stub.get(), request));
  CHECK(opened.session().scope().operations_size() == 1);
  CHECK(opened.session().scope().names(0) == "subKeys/ci");
  CHECK(opened.session().expire_time().seconds() - opened.session().create_time().seconds() == 60);

  const auto denied = StatusIs(absl::StatusCode::kPermissionDenied);
  const auto build = [&] { return Answer(Challenge(stub.get(), "build"), agent.key); };
  request = build();
  request.mutable_scope()->add_operations(v1::OPERATION_DECRYPT);
  CHECK_THAT(Open(stub.get(), request), denied);
  request = build();
  request.mutable_scope()->add_names("*");
  CHECK_THAT(Open(stub.get(), request), denied);
  request = build();
  request.mutable_lifetime()->set_seconds(3601);
  CHECK_THAT(Open(stub.get(), request), denied);
  request = build();
  request.mutable_card_pin()->set_card("cards/7");
  request.mutable_card_pin()->set_pin("123456");
  CHECK_THAT(Open(stub.get(), request), denied);
  CHECK(agent.unlocks == 0);

  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  request = build();
  request.mutable_lifetime()->set_seconds(-1);
  CHECK_THAT(Open(stub.get(), request), invalid);
  request = build();
  request.mutable_scope()->add_names("anything");
  CHECK_THAT(Open(stub.get(), request), invalid);
  request = build();
  request.mutable_scope()->add_operations(static_cast<v1::Operation>(99));
  CHECK_THAT(Open(stub.get(), request), invalid);
  request = build();
  request.set_caller("a b");
  CHECK_THAT(Open(stub.get(), request), invalid);
}

TEST_CASE("a PIN unlocks its card once the proof holds, and a wrong one opens nothing") {
  Agent agent;
  InProcessServer server(agent.service.get());
  const auto stub = v1::SessionService::NewStub(server.channel());
  v1::OpenSessionRequest request = AdminRequest();
  request.mutable_card_pin()->set_card("cards/14289367");
  request.mutable_card_pin()->set_pin("123456");
  CHECK_THAT(Open(stub.get(), request), IsOk());
  CHECK(agent.unlocked_serial == 14289367);
  CHECK(agent.unlocks == 1);

  request.mutable_card_pin()->set_pin("654321");
  const auto wrong = Open(stub.get(), request).status();
  CHECK_THAT(wrong, StatusIs(absl::StatusCode::kPermissionDenied));
  CHECK(runtime::ReasonOf(wrong) == "WRONG_PIN");
  CHECK(agent.sessions.stats().open == 1);
  CHECK(agent.unlocks == 2);

  // Without a proof no PIN reaches a card.
  request.mutable_api_key()->set_api_key("wrong");
  CHECK_THAT(Open(stub.get(), request), StatusIs(absl::StatusCode::kUnauthenticated));
  request = AdminRequest();
  request.mutable_card_pin()->set_card("cards/07");
  request.mutable_card_pin()->set_pin("123456");
  CHECK_THAT(Open(stub.get(), request), StatusIs(absl::StatusCode::kInvalidArgument, "card_pin"));
  request.mutable_card_pin()->set_card("cards/7");
  request.mutable_card_pin()->set_pin("12345");
  CHECK_THAT(Open(stub.get(), request), StatusIs(absl::StatusCode::kInvalidArgument, "card_pin"));
  CHECK(agent.unlocks == 2);
}

TEST_CASE("sessions are closed by their owner and revoked by an administrator") {
  Agent agent;
  InProcessServer server(agent.service.get());
  const auto stub = v1::SessionService::NewStub(server.channel());
  const std::string admin = RequireOk(Open(stub.get(), AdminRequest())).token();
  const auto build = [&] {
    return RequireOk(Open(stub.get(), Answer(Challenge(stub.get(), "build"), agent.key))).token();
  };
  const std::string first = build();
  const std::string second = build();
  v1::CloseSessionResponse closed;
  for (const std::string& token : {first, first, std::string()}) {
    const auto context = Context(token);
    CHECK(stub->CloseSession(context.get(), {}, &closed).ok());
  }
  CHECK_THAT(Get(stub.get(), first), StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK_THAT(Get(stub.get(), second), IsOk());

  CHECK_THAT(Revoke(stub.get(), second, "admin"), StatusIs(absl::StatusCode::kPermissionDenied));
  CHECK_THAT(Revoke(stub.get(), "", "build"), StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK_THAT(Revoke(stub.get(), admin, "a b"), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK(RequireOk(Revoke(stub.get(), admin, "build")) == 1);
  CHECK_THAT(Get(stub.get(), second), StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK(RequireOk(Revoke(stub.get(), admin, "*")) == 1);
  CHECK_THAT(Get(stub.get(), admin), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_CASE("a caller that leaves the file loses its sessions and opens no new ones") {
  Agent agent;
  InProcessServer server(agent.service.get());
  const auto stub = v1::SessionService::NewStub(server.channel());
  const std::string token =
      RequireOk(Open(stub.get(), Answer(Challenge(stub.get(), "build"), agent.key))).token();
  const v1::CreateChallengeResponse challenge = Challenge(stub.get(), "build");
  agent.Write(/*with_build=*/false);
  CHECK_THAT(Open(stub.get(), Answer(challenge, agent.key)),
             StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK_THAT(Get(stub.get(), token), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_CASE("two authorization headers are as good as none") {
  Agent agent;
  InProcessServer server(agent.service.get());
  const auto stub = v1::SessionService::NewStub(server.channel());
  const std::string token = RequireOk(Open(stub.get(), AdminRequest())).token();
  const auto get = [&](const std::vector<std::string>& headers) {
    const auto context = Context();
    for (const std::string& header : headers) context->AddMetadata("authorization", header);
    v1::GetSessionResponse response;
    return runtime::FromGrpcStatus(stub->GetSession(context.get(), {}, &response));
  };
  CHECK_THAT(get({"Bearer " + token}), IsOk());
  CHECK_THAT(get({"bearer " + token}), IsOk());
  const auto refused = StatusIs(absl::StatusCode::kUnauthenticated);
  CHECK_THAT(get({"Bearer " + token, "Bearer " + token}), refused);
  CHECK_THAT(get({token}), refused);
  CHECK_THAT(get({"Basic " + token}), refused);
  CHECK_THAT(get({}), refused);
}

std::string Pem(const pki::TestIdentity& identity) {
  return pki::FormatPem("CERTIFICATE", identity.certificate.der);
}
std::string KeyPem(const pki::TestIdentity& identity) {
  const crypto::SecretBytes key = RequireOk(identity.key.ToPkcs8());
  return pki::FormatPem("PRIVATE KEY", key.Expose(crypto::SecretAccess::Grant()));
}

TEST_CASE("a token stolen from one client is of no use with another's certificate") {
  const pki::TestIdentity root = pki::MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256);
  const auto issue = [&](const std::string& name) {
    pki::CertificateTemplate what = pki::TestLeafTemplate(name);
    what.extended_key_usage.clear();
    return pki::IssueTest(root, what);
  };
  const pki::TestIdentity server_identity = issue("agent.example");

  Agent agent;
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = Pem(root);
  options.pem_key_cert_pairs.push_back({KeyPem(server_identity), Pem(server_identity)});
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port);
  builder.RegisterService(agent.service.get());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  REQUIRE(server != nullptr);

  const auto connect = [&](const pki::TestIdentity& client) {
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("agent.example");
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::SessionService::NewStub(grpc::CreateCustomChannel(
        absl::StrCat("127.0.0.1:", port),
        grpc::SslCredentials({Pem(root), KeyPem(client), Pem(client)}), arguments));
  };
  const pki::TestIdentity owner_identity = issue("owner.example");
  const auto owner = connect(owner_identity);
  const auto owner_again = connect(owner_identity);
  const auto thief = connect(issue("thief.example"));

  const std::string token = RequireOk(Open(owner.get(), AdminRequest())).token();
  CHECK_THAT(Get(owner.get(), token), IsOk());
  CHECK_THAT(Get(owner_again.get(), token), IsOk());
  CHECK_THAT(Get(thief.get(), token), StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK_THAT(Revoke(thief.get(), token, "*"), StatusIs(absl::StatusCode::kUnauthenticated));
  // A challenge that was answered is of no use to who did not ask for it, either.
  const v1::OpenSessionRequest answered = Answer(Challenge(owner.get(), "build"), agent.key);
  CHECK_THAT(Open(thief.get(), answered), StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK_THAT(Open(owner.get(), answered), IsOk());
  server->Shutdown();
}

}  // namespace
}  // namespace countersign::yubikey
