#include "services/sign/card_signer.h"

#include <future>
#include <thread>

#include "catch2/catch.hpp"
#include "libs/base/thread_pool.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/eventually.h"
#include "services/sign/errors.h"
#include "services/sign/fake_cards.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::Eventually;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;
using Result = absl::StatusOr<std::vector<std::string>>;

struct Fixture {
  explicit Fixture(crypto::Algorithm algorithm = crypto::Algorithm::kEcdsaP256Sha256)
      : algorithm(algorithm),
        name(cards.Insert("cards/1/slots/9c", algorithm)),
        public_key(RequireOk(cards.Describe(name)).public_key),
        signer(std::make_unique<CardSigner>(&cards, name, algorithm, public_key, &executor)) {}

  std::future<Result> Start(const std::vector<Payload>& payloads) {
    auto promise = std::make_shared<std::promise<Result>>();
    signer->Sign(payloads, nullptr,
                 [promise](Result result) { promise->set_value(std::move(result)); });
    return promise->get_future();
  }
  Result Sign(const std::vector<Payload>& payloads) { return Start(payloads).get(); }

  const crypto::Algorithm algorithm;
  FakeCards cards;
  const std::string name;
  const crypto::PublicKey public_key;
  base::ThreadPool executor{2};
  std::unique_ptr<CardSigner> signer;
};

std::vector<Payload> Messages(const std::vector<std::string>& messages) {
  std::vector<Payload> payloads;
  for (const std::string& message : messages) {
    payloads.push_back({Payload::Kind::kMessage, message});
  }
  return payloads;
}

TEST_CASE("Messages and digests of every kind of card key are signed as others sign them") {
  for (const crypto::Algorithm algorithm :
       {crypto::Algorithm::kEcdsaP256Sha256, crypto::Algorithm::kEcdsaP384Sha384,
        crypto::Algorithm::kRsaPss2048Sha256, crypto::Algorithm::kRsaPkcs1_2048Sha256}) {
    Fixture f(algorithm);
    const std::string message = "release 1.2.3";
    const std::string digest = crypto::Digest(crypto::DigestFor(algorithm), message);
    const auto signatures =
        RequireOk(f.Sign({{Payload::Kind::kMessage, message}, {Payload::Kind::kDigest, digest}}));
    REQUIRE(signatures.size() == 2);
    for (const std::string& signature : signatures) {
      CHECK(RequireOk(f.public_key.VerifyMessage(algorithm, message, signature)));
    }
    CHECK(RequireOk(
        f.public_key.VerifyMessage(algorithm, message, RequireOk(f.signer->SignNow(message)))));
  }
}

TEST_CASE("An Ed25519 card key signs messages of up to 2,048 bytes, and no digests") {
  Fixture f(crypto::Algorithm::kEd25519);
  const std::string longest(kMaxCardMessage, 'm');
  const auto signatures = RequireOk(f.Sign(Messages({longest})));
  CHECK(RequireOk(f.public_key.VerifyMessage(f.algorithm, longest, signatures[0])));
  CHECK_THAT(f.Sign(Messages({"short", longest + "m"})),
             StatusIs(absl::StatusCode::kInvalidArgument, "at most 2048 bytes"));
  CHECK_THAT(f.signer->SignNow(longest + "m"), StatusIs(absl::StatusCode::kInvalidArgument));
  const std::string digest(64, 'd');
  const auto refused = f.Sign({{Payload::Kind::kDigest, digest}});
  CHECK_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "messages only"));
  CHECK(runtime::ReasonOf(refused.status()) == kWrongAlgorithm);
  CHECK(f.cards.signatures() == 1);
}

TEST_CASE("A large batch comes back in order, a few signatures at a time") {
  Fixture f;
  std::vector<std::string> messages;
  for (int i = 0; i < 1000; ++i) messages.push_back("message " + std::to_string(i));
  f.cards.Hold();
  auto result = f.Start(Messages(messages));
  CHECK(f.cards.held() == CardSigner::kInFlight);
  CHECK(f.cards.signatures() == CardSigner::kInFlight);
  f.cards.Release();
  const auto signatures = RequireOk(result.get());
  REQUIRE(signatures.size() == messages.size());
  for (size_t i = 0; i < messages.size(); i += 97) {
    CHECK(RequireOk(f.public_key.VerifyMessage(f.algorithm, messages[i], signatures[i])));
  }
  CHECK(f.cards.signatures() == 1000);
}

TEST_CASE("Calls share what may be under way, and too many are refused with a time to return") {
  Fixture f;
  f.cards.Hold();
  std::vector<std::future<Result>> first;
  for (size_t i = 0; i < CardSigner::kInFlight; ++i) first.push_back(f.Start(Messages({"m"})));
  std::vector<std::future<Result>> waiting;
  const std::vector<Payload> many(1000, {Payload::Kind::kMessage, "m"});
  waiting.push_back(f.Start(many));
  waiting.push_back(f.Start(many));
  CHECK(f.cards.held() == CardSigner::kInFlight);
  const auto refused = f.Sign(Messages({"m"}));
  CHECK_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  CHECK(runtime::ReasonOf(refused.status()) == "QUEUE_FULL");
  CHECK(runtime::RetryAfterOf(refused.status()).has_value());
  // What an authority needs at once does not wait behind them.
  auto now = std::async(std::launch::async, [&] { return f.signer->SignNow("crl"); });
  CHECK(Eventually([&] { return f.cards.held() == CardSigner::kInFlight + 1; }));
  f.cards.Release();
  RequireOk(now.get());
  for (auto& result : first) RequireOk(result.get());
  for (auto& result : waiting) RequireOk(result.get());
  RequireOk(f.Sign(Messages({"m"})));
}

TEST_CASE("The first failure is the batch's, with its reason, and nothing more is sent for it") {
  Fixture f;
  f.cards.FailSignature(10, CardRemoved());
  const auto failed = f.Sign(std::vector<Payload>(1000, {Payload::Kind::kMessage, "m"}));
  CHECK_THAT(failed, StatusIs(absl::StatusCode::kUnavailable, "yubikey-agent: "));
  CHECK(runtime::ReasonOf(failed.status()) == "CARD_REMOVED");
  CHECK(f.cards.signatures() < 10 + static_cast<int>(CardSigner::kInFlight));
  // The next is not the worse for it.
  RequireOk(f.Sign(Messages({"m"})));

  f.cards.FailWith(QueueFull());
  const auto busy = f.Sign(Messages({"m"}));
  CHECK(runtime::RetryAfterOf(busy.status()) == absl::Seconds(2));
  const auto now = f.signer->SignNow("m");
  CHECK(runtime::ReasonOf(now.status()) == "QUEUE_FULL");
}

TEST_CASE("A signature that does not verify is not let out") {
  Fixture f;
  f.cards.Spoil();
  CHECK_THAT(f.Sign(Messages({"m"})), StatusIs(absl::StatusCode::kInternal, f.name));
  CHECK_THAT(f.signer->SignNow("m"), StatusIs(absl::StatusCode::kInternal));
}

TEST_CASE("A signer may end with its last answer, from whatever thread that comes") {
  for (int round = 0; round < 200; ++round) {
    Fixture f;
    f.cards.Hold();
    std::promise<void> ended;
    const std::string message = "m";
    const Payload payload{Payload::Kind::kMessage, message};
    CardSigner* const signer = f.signer.get();
    std::thread releasing([&] { f.cards.Release(); });
    signer->Sign(absl::MakeConstSpan(&payload, 1), nullptr, [&](Result result) {
      f.signer.reset();
      ended.set_value();
    });
    releasing.join();
    ended.get_future().wait();
  }
}

TEST_CASE("A large message is hashed on the executor") {
  Fixture f;
  const std::string large(1 << 20, 'x');
  const auto signatures = RequireOk(f.Sign(Messages({large})));
  CHECK(RequireOk(f.public_key.VerifyMessage(f.algorithm, large, signatures[0])));
}

}  // namespace
}  // namespace countersign::sign
