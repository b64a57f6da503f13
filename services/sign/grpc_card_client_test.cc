#include "services/sign/grpc_card_client.h"

#include <future>
#include <thread>

#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/eventually.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "services/sign/errors.h"
#include "services/sign/fake_agent.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::Eventually;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

std::string Reason(const absl::Status& status) { return runtime::ReasonOf(status).value_or(""); }

crypto::PrivateKey NewKey(crypto::Algorithm algorithm) {
  return RequireOk(crypto::PrivateKey::Generate(algorithm));
}

struct Fixture {
  explicit Fixture(absl::Duration timeout = absl::Seconds(60)) {
    crypto::PrivateKey caller = NewKey(crypto::Algorithm::kEd25519);
    agent = std::make_unique<FakeAgent>(caller.public_key());
    server = std::make_unique<testing::InProcessServer>(agent->services());
    client = std::make_unique<GrpcCardClient>(AgentSession::Options{.channel = server->channel(),
                                                                    .caller = "sign",
                                                                    .key = std::move(caller),
                                                                    .timeout = timeout,
                                                                    .clock = &clock});
  }

  std::future<absl::StatusOr<std::string>> Start(const std::string& digest) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
    client->Sign(kFakeSlot, crypto::Algorithm::kEcdsaP256Sha256, digest, nullptr,
                 [promise](absl::StatusOr<std::string> signature) {
                   promise->set_value(std::move(signature));
                 });
    return promise->get_future();
  }
  absl::StatusOr<std::string> Sign() { return Start(std::string(32, 'd')).get(); }

  base::ManualClock clock{absl::FromUnixSeconds(1700000000)};
  std::unique_ptr<FakeAgent> agent;
  std::unique_ptr<testing::InProcessServer> server;
  std::unique_ptr<GrpcCardClient> client;
};

TEST_CASE("Signatures come from the agent, in one session that many calls share") {
  Fixture f;
  std::vector<std::future<absl::StatusOr<std::string>>> results;
  for (int i = 0; i < 20; ++i) results.push_back(f.Start(std::string(32, static_cast<char>(i))));
  for (int i = 0; i < 20; ++i) {
    const std::string signature = RequireOk(results[i].get());
    CHECK(RequireOk(f.agent->key.public_key().VerifyDigest(
        crypto::Algorithm::kEcdsaP256Sha256, std::string(32, static_cast<char>(i)), signature)));
  }
  CHECK(f.agent->opened() == 1);
}

TEST_CASE("A key is described by what the agent says of it") {
  Fixture f;
  const CardKey key = RequireOk(f.client->Describe(kFakeSlot));
  CHECK(key.name == "keys/" + f.agent->key.public_key().Fingerprint());
  CHECK(key.algorithm == crypto::Algorithm::kEcdsaP256Sha256);
  CHECK(key.public_key == f.agent->key.public_key());
  CHECK(f.agent->opened() == 0);
  CHECK_THAT(f.client->Describe("cards/1/slots/9a"),
             StatusIs(absl::StatusCode::kNotFound, "yubikey-agent: "));
  CHECK_THAT(f.client->Describe("keys/mixed"),
             StatusIs(absl::StatusCode::kFailedPrecondition, "no single key"));
}

TEST_CASE("A key is made in a session, and never in place of another") {
  Fixture f;
  CHECK(RequireOk(f.client->Generate("cards/7/slots/82", crypto::Algorithm::kEcdsaP256Sha256))
            .public_key == f.agent->key.public_key());
  f.agent->ForgetSessions();
  RequireOk(f.client->Generate("cards/7/slots/82", crypto::Algorithm::kEcdsaP256Sha256).status());
  CHECK(f.agent->opened() == 2);
}

TEST_CASE("A session is renewed ahead of its end, while the old one is still in use") {
  Fixture f;
  RequireOk(f.Sign());
  f.clock.Advance(absl::Seconds(599));
  RequireOk(f.Sign());
  CHECK(f.agent->opened() == 1);
  f.clock.Advance(absl::Seconds(2));
  RequireOk(f.Sign());
  CHECK(Eventually([&] { return f.agent->opened() == 2; }));
  f.clock.Advance(absl::Seconds(500));
  RequireOk(f.Sign());
  CHECK(f.agent->opened() == 2);
  // One that nobody used for long is not used any more.
  f.clock.Advance(absl::Hours(1));
  RequireOk(f.Sign());
  CHECK(f.agent->opened() == 3);
}

TEST_CASE("A renewal that fails does not keep the session in use from being used") {
  Fixture f;
  RequireOk(f.Sign());
  f.agent->RefuseCallers(true);
  f.clock.Advance(absl::Seconds(700));
  RequireOk(f.Sign());
  f.clock.Advance(absl::Seconds(100));
  RequireOk(f.Sign());
  f.clock.Advance(absl::Seconds(100));
  CHECK(Reason(f.Sign().status()) == kYubikeySessionRefused);
  f.agent->RefuseCallers(false);
  RequireOk(f.Sign());
}

TEST_CASE("After the agent's restart a call is made once more in a new session") {
  Fixture f;
  RequireOk(f.Sign());
  f.agent->ForgetSessions();
  std::vector<std::future<absl::StatusOr<std::string>>> results;
  for (int i = 0; i < 20; ++i) results.push_back(f.Start(std::string(32, 'd')));
  for (auto& result : results) RequireOk(result.get());
  CHECK(f.agent->opened() == 2);
}

TEST_CASE("An agent that refuses again is not asked a third time") {
  Fixture f;
  f.agent->RefuseTokens();
  const auto refused = f.Sign();
  CHECK_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "caller \"sign\""));
  CHECK(Reason(refused.status()) == kYubikeySessionRefused);
  CHECK(f.agent->signs() == 2);
  CHECK(f.agent->opened() == 2);
}

TEST_CASE(
    "A caller that the agent does not know is told what to do, and is let in once it is known") {
  Fixture f;
  f.agent->RefuseCallers(true);
  const auto refused = f.Sign();
  CHECK_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "register"));
  CHECK(Reason(refused.status()) == kYubikeySessionRefused);
  CHECK(Reason(f.client->Generate(kFakeSlot, crypto::Algorithm::kEd25519).status()) ==
        kYubikeySessionRefused);
  CHECK(f.agent->signs() == 0);
  f.agent->RefuseCallers(false);
  RequireOk(f.Sign());
}

TEST_CASE("What the agent says of a card is passed on with reason and time to return") {
  Fixture f;
  f.agent->FailWith(
      runtime::AttachReason(absl::FailedPreconditionError("unlock cards/7"), "PIN_NEEDED"));
  const auto locked = f.Sign();
  CHECK_THAT(locked,
             StatusIs(absl::StatusCode::kFailedPrecondition, "yubikey-agent: unlock cards/7"));
  CHECK(Reason(locked.status()) == "PIN_NEEDED");
  f.agent->FailWith(runtime::AttachRetryAfter(
      runtime::AttachReason(absl::ResourceExhaustedError("full"), "QUEUE_FULL"), absl::Seconds(3)));
  const auto busy = f.Sign();
  CHECK_THAT(busy, StatusIs(absl::StatusCode::kResourceExhausted));
  CHECK(Reason(busy.status()) == "QUEUE_FULL");
  CHECK(runtime::RetryAfterOf(busy.status()) == absl::Seconds(3));
  CHECK(f.agent->opened() == 1);
}

TEST_CASE("An agent that is down fails each call at once, and a silent one at the deadline") {
  Fixture f;
  f.server->Stop();
  CHECK_THAT(f.Sign(), StatusIs(absl::StatusCode::kUnavailable, "yubikey-agent: "));
  CHECK_THAT(f.client->Describe(kFakeSlot), StatusIs(absl::StatusCode::kUnavailable));

  Fixture silent(absl::Seconds(2));
  RequireOk(silent.Sign());
  silent.agent->HangSign();
  CHECK_THAT(silent.Sign(), StatusIs(absl::StatusCode::kDeadlineExceeded, "yubikey-agent: "));

  Fixture closed(absl::Seconds(2));
  closed.agent->HangOpenSession(true);
  CHECK_THAT(closed.Sign(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  closed.agent->HangOpenSession(false);
  RequireOk(closed.Sign());
}

TEST_CASE("A client may end while it opens a session for later") {
  Fixture f;
  RequireOk(f.Sign());
  f.agent->HangOpenSession(true);
  f.clock.Advance(absl::Seconds(700));
  RequireOk(f.Sign());
  f.client.reset();
  CHECK(f.agent->opened() == 1);
}

}  // namespace
}  // namespace countersign::sign
