#include "services/yubikey-agent/sub_key_service.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/thread_pool.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/hpke.h"
#include "libs/pki/certificate.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "services/yubikey-agent/sub_keys_testing.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::InProcessServer;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;

constexpr char kHere[] = "host:ipv4:127.0.0.1";

// The service over a card in memory; `token` may do everything.
struct Agent {
  Agent() {
    token = Open({.operations = ~0u, .names = {"*"}});
    stub = v1::SubKeyService::NewStub(server.channel());
  }

  std::string Open(Scope scope) {
    return sessions.Open({.caller = "build",
                          .transport = kHere,
                          .scope = std::make_shared<Scope>(std::move(scope)),
                          .create_time = absl::Now(),
                          .expire_time = absl::Now() + absl::Hours(1)});
  }

  // Calls a method of the stub with the token.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::SubKeyService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request, std::string with = "") {
    const auto context = runtime::MakeContext(absl::Seconds(60));
    context->AddMetadata("authorization", "Bearer " + (with.empty() ? token : with));
    Response response;
    const absl::Status status =
        runtime::FromGrpcStatus((stub.get()->*method)(context.get(), request, &response));
    if (!status.ok()) return status;
    return response;
  }

  v1::SubKey Create(const std::string& id, v1::Algorithm algorithm, int64_t max_uses = 0) {
    v1::CreateSubKeyRequest request;
    request.set_sub_key_id(id);
    request.mutable_sub_key()->set_card_key(kTestCardKey);
    request.mutable_sub_key()->set_algorithm(algorithm);
    request.mutable_sub_key()->set_max_uses(max_uses);
    return RequireOk(Call(&v1::SubKeyService::Stub::CreateSubKey, request)).sub_key();
  }

  absl::StatusOr<v1::SubKeyServiceSignResponse> Sign(const v1::SubKeyServiceSignRequest& request,
                                                     std::string with = "") {
    return Call(&v1::SubKeyService::Stub::Sign, request, std::move(with));
  }

  SubKeyWorld world;
  std::unique_ptr<SubKeys> sub_keys = world.MakeSubKeys();
  Sessions sessions{{}};
  base::ThreadPool executor{2};
  SubKeyService service{sub_keys.get(), &sessions, &executor, &world.clock};
  InProcessServer server{&service};
  std::string token;
  std::unique_ptr<v1::SubKeyService::Stub> stub;
};

crypto::PublicKey KeyOf(const v1::SubKey& sub_key) {
  return RequireOk(RequireOk(pki::ParseCertificate(sub_key.chain(0))).Key());
}

std::string Digest(absl::string_view message) {
  return crypto::Digest(crypto::DigestAlgorithm::kSha256, message);
}

TEST_CASE("a sub-key is made with defaults, got and listed") {
  Agent agent;
  v1::CreateSubKeyRequest request;
  request.mutable_sub_key()->set_card_key(kTestCardKey);
  request.mutable_sub_key()->set_algorithm(v1::ALGORITHM_ECDSA_P256_SHA256);
  const v1::SubKey made =
      RequireOk(agent.Call(&v1::SubKeyService::Stub::CreateSubKey, request)).sub_key();
  CHECK_THAT(made.name(), Catch::StartsWith("subKeys/sk-"));
  CHECK(made.common_name() == made.name());
  CHECK(made.lifetime_seconds() == 3600);
  CHECK(made.generation() == 1);
  CHECK(made.chain_size() == 2);
  CHECK(made.attestation_size() == 2);
  CHECK(made.expire_time().seconds() == absl::ToUnixSeconds(agent.world.clock.Now()) + 3600);
  v1::GetSubKeyRequest get;
  get.set_name(made.name());
  // Reading needs no session.
  const auto got = RequireOk(agent.Call(&v1::SubKeyService::Stub::GetSubKey, get, "none"));
  CHECK(got.sub_key().SerializeAsString() == made.SerializeAsString());
  const auto list = RequireOk(
      agent.Call(&v1::SubKeyService::Stub::ListSubKeys, v1::ListSubKeysRequest(), "none"));
  CHECK(list.sub_keys_size() == 1);
  get.set_name("subKeys/other");
  CHECK_THAT(agent.Call(&v1::SubKeyService::Stub::GetSubKey, get),
             StatusIs(absl::StatusCode::kNotFound));
  get.set_name("other");
  CHECK_THAT(agent.Call(&v1::SubKeyService::Stub::GetSubKey, get),
             StatusIs(absl::StatusCode::kInvalidArgument));
  request.mutable_sub_key()->set_algorithm(v1::ALGORITHM_RSA_PKCS1_2048_SHA256);
  CHECK_THAT(agent.Call(&v1::SubKeyService::Stub::CreateSubKey, request),
             StatusIs(absl::StatusCode::kInvalidArgument, "algorithm"));
}

TEST_CASE("messages and digests are signed") {
  Agent agent;
  const v1::SubKey p256 = agent.Create("p256", v1::ALGORITHM_ECDSA_P256_SHA256);
  const v1::SubKey ed25519 = agent.Create("ed25519", v1::ALGORITHM_ED25519);
  v1::SubKeyServiceSignRequest request;
  request.set_name(p256.name());
  for (const size_t size : {0, 1, 100'000, 1 << 20}) {
    const std::string message(size, 'm');
    request.set_message(message);
    const auto by_message = RequireOk(agent.Sign(request));
    CHECK(by_message.generation() == 1);
    CHECK(by_message.certificate_fingerprint() ==
          base::HexEncode(base::AsBytes(crypto::Sha256(p256.chain(0)))));
    CHECK(RequireOk(KeyOf(p256).VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, message,
                                              by_message.signature())));
  }
  request.set_digest(Digest("message"));
  CHECK(RequireOk(KeyOf(p256).VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, "message",
                                            RequireOk(agent.Sign(request)).signature())));
  request.set_digest("short");
  CHECK_THAT(agent.Sign(request), StatusIs(absl::StatusCode::kInvalidArgument, "digest"));
  request.set_message(std::string((1 << 20) + 1, 'm'));
  CHECK_THAT(agent.Sign(request), StatusIs(absl::StatusCode::kInvalidArgument, "message"));
  request.clear_payload();
  CHECK_THAT(agent.Sign(request), StatusIs(absl::StatusCode::kInvalidArgument, "payload"));

  request.set_name(ed25519.name());
  request.set_message("message");
  CHECK(RequireOk(KeyOf(ed25519).VerifyMessage(crypto::Algorithm::kEd25519, "message",
                                               RequireOk(agent.Sign(request)).signature())));
  request.set_digest(Digest("message"));
  const auto wrong = agent.Sign(request).status();
  CHECK_THAT(wrong, StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(wrong) == "WRONG_ALGORITHM");
}

TEST_CASE("batches are signed in order, all or none") {
  Agent agent;
  const v1::SubKey sub_key = agent.Create("ci", v1::ALGORITHM_ECDSA_P256_SHA256, 1100);
  v1::SubKeyServiceBatchSignRequest request;
  request.set_name(sub_key.name());
  const auto sign = [&] { return agent.Call(&v1::SubKeyService::Stub::BatchSign, request); };
  for (const int count : {1, 16, 17, 1000}) {
    request.clear_digests();
    for (int i = 0; i < count; ++i) request.add_digests(Digest(absl::StrCat(i)));
    const auto response = RequireOk(sign());
    REQUIRE(response.signatures_size() == count);
    for (int i = 0; i<count; i += count> 100 ? 99 : 1) {
      CHECK(RequireOk(KeyOf(sub_key).VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256,
                                                   absl::StrCat(i), response.signatures(i))));
    }
  }
  const auto used_up = sign().status();
  CHECK(runtime::ReasonOf(used_up) == "SUB_KEY_USED_UP");
  request.clear_digests();
  request.add_messages("message");
  const auto response = RequireOk(sign());
  CHECK(RequireOk(KeyOf(sub_key).VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, "message",
                                               response.signatures(0))));

  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  request.add_digests(Digest("both"));
  CHECK_THAT(sign(), invalid);
  request.clear_messages();
  request.add_digests("short");
  CHECK_THAT(sign(), invalid);
  request.clear_digests();
  CHECK_THAT(sign(), invalid);
  request.add_messages(std::string((64 << 10) + 1, 'm'));
  CHECK_THAT(sign(), invalid);
  request.clear_messages();
  for (int i = 0; i < 1001; ++i) request.add_messages("m");
  CHECK_THAT(sign(), invalid);
}

TEST_CASE("HPKE is decrypted") {
  Agent agent;
  const v1::SubKey sub_key = agent.Create("hpke", v1::ALGORITHM_HPKE_X25519);
  const auto sealed = RequireOk(crypto::HpkeSeal(KeyOf(sub_key), "info", "aad", "secret"));
  v1::SubKeyServiceDecryptRequest request;
  request.set_name(sub_key.name());
  request.set_enc(sealed.enc);
  request.set_info("info");
  request.set_aad("aad");
  request.set_ciphertext(sealed.ciphertext);
  const auto decrypt = [&] { return agent.Call(&v1::SubKeyService::Stub::Decrypt, request); };
  CHECK(RequireOk(decrypt()).plaintext() == "secret");
  request.set_aad("other");
  const auto failed = decrypt().status();
  CHECK_THAT(failed, StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK(runtime::ReasonOf(failed) == "DECRYPTION_FAILED");
  request.set_enc("short");
  CHECK_THAT(decrypt(), StatusIs(absl::StatusCode::kInvalidArgument, "enc"));
}

TEST_CASE("a session uses the sub-keys that it covers, and makes them of the keys that it covers") {
  Agent agent;
  const v1::SubKey ci = agent.Create("ci", v1::ALGORITHM_ECDSA_P256_SHA256);
  agent.Create("other", v1::ALGORITHM_ECDSA_P256_SHA256);
  const auto bit = [](Operation operation) { return 1u << static_cast<int>(operation); };
  const std::string user =
      agent.Open({.operations = bit(Operation::kUseSubKey), .names = {"subKeys/ci"}});
  const std::string maker =
      agent.Open({.operations = bit(Operation::kCreateSubKey), .names = {"cards/7"}});
  const std::string stranger =
      agent.Open({.operations = bit(Operation::kCreateSubKey), .names = {"cards/8"}});
  const auto denied = StatusIs(absl::StatusCode::kPermissionDenied);

  v1::SubKeyServiceSignRequest sign;
  sign.set_name("subKeys/ci");
  sign.set_message("message");
  CHECK_THAT(agent.Sign(sign, user), IsOk());
  CHECK_THAT(agent.Sign(sign, maker), denied);
  CHECK_THAT(agent.Sign(sign, "none"), StatusIs(absl::StatusCode::kUnauthenticated));
  sign.set_name("subKeys/other");
  CHECK_THAT(agent.Sign(sign, user), denied);

  v1::CreateSubKeyRequest create;
  create.mutable_sub_key()->set_card_key(kTestCardKey);
  create.mutable_sub_key()->set_algorithm(v1::ALGORITHM_ED25519);
  const auto make = &v1::SubKeyService::Stub::CreateSubKey;
  CHECK_THAT(agent.Call(make, create, maker), IsOk());
  CHECK_THAT(agent.Call(make, create, user), denied);
  CHECK_THAT(agent.Call(make, create, stranger), denied);

  v1::RevokeSubKeyRequest revoke;
  revoke.set_name("subKeys/ci");
  const auto end = &v1::SubKeyService::Stub::RevokeSubKey;
  CHECK_THAT(agent.Call(end, revoke, user), denied);
  CHECK_THAT(agent.Call(end, revoke, stranger), denied);
  CHECK(RequireOk(agent.Call(end, revoke, maker)).sub_key().revoked());
  sign.set_name("subKeys/ci");
  const auto revoked = agent.Sign(sign, user).status();
  CHECK_THAT(revoked, StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(revoked) == "SUB_KEY_REVOKED");
}

TEST_CASE("what a card fails with is the failure of the call") {
  Agent agent;
  agent.world.card.Fail(runtime::AttachReason(absl::FailedPreconditionError("no PIN"), kPinNeeded));
  v1::CreateSubKeyRequest create;
  create.mutable_sub_key()->set_card_key(kTestCardKey);
  create.mutable_sub_key()->set_algorithm(v1::ALGORITHM_ED25519);
  const auto status = agent.Call(&v1::SubKeyService::Stub::CreateSubKey, create).status();
  CHECK_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(status) == kPinNeeded);
}

}  // namespace
}  // namespace countersign::yubikey
