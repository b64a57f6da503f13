// When the pool gives a card its PIN, and when it does not.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/crypto/digest.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "services/yubikey-agent/pool_bench.h"

namespace countersign::yubikey {
namespace {

using absl::StatusCode;
using countersign::testing::Eventually;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;

const std::string kDigest = crypto::Digest(crypto::DigestAlgorithm::kSha256, "a message");
constexpr piv::KeySettings kOnce = {piv::Algorithm::kEccP256, piv::PinPolicy::kOnce,
                                    piv::TouchPolicy::kNever};

// A card with a key of policy once in 9a, of policy always in 9c and never in 9e.
struct PinBench : PoolBench {
  PinBench() {
    GenerateOn(card.get(), piv::kAuthentication, kOnce);
    GenerateOn(card.get(), piv::kSignature, {});
    GenerateOn(card.get(), piv::kCardAuthentication, {});
  }
  ~PinBench() { StopPool(); }

  absl::StatusOr<Signed> SignIn(const std::string& slot) {
    return Sign(SlotName(*card, slot), kDigest).get();
  }
  int pins() const { return readers.PinsSent(card->serial()); }
  // Somebody else types a wrong PIN.
  void MissPin(int times) {
    readers.Meanwhile(card.get(), [&] {
      OnCard(card.get(), [&](piv::Applet& applet) {
        for (int i = 0; i < times; ++i) (void)applet.VerifyPin(Secret("654321"));
      });
    });
    readers.ResetCard(card.get());
  }

  std::unique_ptr<Card> card = MakeCard(1);
};

TEST_CASE_METHOD(PinBench, "a key that wants the PIN says so until the card is unlocked") {
  Insert(card.get());
  for (const char* slot : {"9a", "9c"}) {
    const auto refused = SignIn(slot);
    CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition));
    CHECK(ReasonOf(refused.status()) == kPinNeeded);
  }
  CHECK_THAT(SignIn("9e"), IsOk());
  CHECK(pins() == 0);
  CHECK_FALSE(RequireOk(pool().Card(1)).unlocked);
  CHECK_THAT(Unlock(1), IsOk());
  CHECK(RequireOk(pool().Card(1)).unlocked);
  CHECK_THAT(SignIn("9a"), IsOk());
  CHECK_THAT(SignIn("9c"), IsOk());
  CHECK_THAT(Lock(1), IsOk());
  CHECK_FALSE(RequireOk(pool().Card(1)).unlocked);
  // The card has forgotten it too.
  CHECK(ReasonOf(SignIn("9a").status()) == kPinNeeded);
  OnCard(card.get(), [](piv::Applet& applet) { CHECK(RequireOk(applet.PinTries()) == 3); });
}

TEST_CASE_METHOD(PinBench, "the PIN goes once to a key of policy once, and before each use of 9c") {
  Insert(card.get());
  RequireOk(Unlock(1));
  for (int i = 0; i < 3; ++i) CHECK_THAT(SignIn("9a"), IsOk());
  CHECK(pins() == 1);
  const size_t before = readers.sent().size();
  for (int i = 0; i < 3; ++i) CHECK_THAT(SignIn("9c"), IsOk());
  CHECK(pins() == 4);
  std::vector<FakeReaders::Sent> sent = readers.sent();
  sent.erase(sent.begin(), sent.begin() + before);
  int uses = 0;
  for (size_t i = 1; i < sent.size(); ++i) {
    if (sent[i].instruction != piv::kGeneralAuthenticate) continue;
    ++uses;
    CHECK(sent[i - 1].instruction == piv::kVerify);
    CHECK(sent[i - 1].data_bytes == piv::kPinBytes);
  }
  CHECK(uses == 3);
}

TEST_CASE_METHOD(PinBench, "after a reset by another program the PIN is verified again, once") {
  Insert(card.get());
  RequireOk(Unlock(1));
  CHECK_THAT(SignIn("9a"), IsOk());
  SECTION("that PC/SC tells of") { readers.ResetCard(card.get()); }
  SECTION("that nobody tells of") {
    readers.Meanwhile(card.get(), [&] { card->Reset(); });
  }
  CHECK_THAT(SignIn("9a"), IsOk());
  CHECK_THAT(SignIn("9a"), IsOk());
  CHECK(pins() == 2);
}

TEST_CASE_METHOD(PinBench, "a wrong PIN is told with the tries left, and is not held") {
  Insert(card.get());
  const absl::Status wrong = Unlock(1, "654321");
  CHECK_THAT(wrong, StatusIs(StatusCode::kPermissionDenied));
  CHECK(ReasonOf(wrong) == piv::kWrongPin);
  CHECK(piv::TriesLeftOf(wrong) == 2);
  CHECK(RequireOk(pool().Card(1)).pin_tries == 2);
  CHECK_FALSE(RequireOk(pool().Card(1)).unlocked);
  CHECK(ReasonOf(SignIn("9a").status()) == kPinNeeded);
  CHECK(pins() == 1);
  CHECK_THAT(Unlock(1, "12345"), StatusIs(StatusCode::kInvalidArgument));
  CHECK(pins() == 1);
}

TEST_CASE_METHOD(PinBench, "a PIN that was changed elsewhere is sent once more, and never again") {
  Insert(card.get());
  RequireOk(Unlock(1));
  readers.Meanwhile(card.get(), [&] {
    OnCard(card.get(), [](piv::Applet& applet) {
      RequireOk(applet.ChangePin(Secret(kFactoryPin), Secret("222222")));
    });
  });
  readers.ResetCard(card.get());
  for (int i = 0; i < 3; ++i) {
    CHECK(ReasonOf(SignIn("9a").status()) == kPinNeeded);
    CHECK(ReasonOf(SignIn("9c").status()) == kPinNeeded);
  }
  CHECK(pins() == 2);
  CHECK(card->pin_tries() == 2);
  CHECK_THAT(Unlock(1, "222222"), IsOk());
  CHECK_THAT(SignIn("9a"), IsOk());
}

TEST_CASE_METHOD(PinBench, "the last try is left to its owner") {
  Insert(card.get());
  MissPin(2);
  const absl::Status refused = Unlock(1);
  CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(ReasonOf(refused) == kPinFloor);
  CHECK(pins() == 0);
  CHECK(card->pin_tries() == 1);
  const CardInfo info = RequireOk(pool().Card(1));
  CHECK(info.state == CardState::kLocked);
  CHECK(info.pin_tries == 1);
  // Keys that need no PIN still work, the others are not asked for.
  CHECK_THAT(SignIn("9e"), IsOk());
  CHECK(ReasonOf(SignIn("9a").status()) == kCardLocked);
  // Once its owner has verified it elsewhere, it is as before.
  readers.Meanwhile(card.get(), [&] {
    OnCard(card.get(),
           [](piv::Applet& applet) { RequireOk(applet.VerifyPin(Secret(kFactoryPin))); });
  });
  CHECK_THAT(Unlock(1), IsOk());
  CHECK_THAT(SignIn("9a"), IsOk());
}

TEST_CASE_METHOD(PinBench, "a held PIN is not risked below the floor either") {
  Insert(card.get());
  RequireOk(Unlock(1));
  MissPin(2);
  CHECK(ReasonOf(SignIn("9a").status()) == kPinFloor);
  CHECK(ReasonOf(SignIn("9a").status()) == kCardLocked);
  CHECK(pins() == 1);
  CHECK(card->pin_tries() == 1);
}

TEST_CASE_METHOD(PinBench, "a blocked PIN opens the breaker, and the PUK closes it") {
  Insert(card.get());
  RequireOk(Unlock(1));
  MissPin(3);
  CHECK(ReasonOf(SignIn("9c").status()) == piv::kPinBlocked);
  const uint64_t seen = card->commands();
  CHECK(ReasonOf(SignIn("9c").status()) == kCardLocked);
  CHECK(card->commands() == seen);
  CHECK(RequireOk(pool().Card(1)).state == CardState::kLocked);
  CHECK_FALSE(RequireOk(pool().Card(1)).unlocked);
  CHECK(ReasonOf(Unlock(1)) == piv::kPinBlocked);
  CHECK(pins() == 1);
  CHECK_THAT(Await([&](CardPool::Done done) {
               pool().UnblockPin(1, Secret(kFactoryPuk), Secret("333333"), absl::InfiniteFuture(),
                                 std::move(done));
             }),
             IsOk());
  CHECK(RequireOk(pool().Card(1)).state == CardState::kReady);
  CHECK(ReasonOf(SignIn("9c").status()) == kPinNeeded);
  CHECK_THAT(Unlock(1, "333333"), IsOk());
  CHECK_THAT(SignIn("9c"), IsOk());
}

TEST_CASE_METHOD(PinBench,
                 "a PIN that is blocked within one unlock after another ends at the floor") {
  options.pin_floor = 1;
  Insert(card.get());
  for (int left = 2; left >= 0; --left) {
    CHECK(piv::TriesLeftOf(Unlock(1, "654321")) == left);
  }
  CHECK(RequireOk(pool().Card(1)).state == CardState::kLocked);
  CHECK(ReasonOf(Unlock(1)) == piv::kPinBlocked);
  CHECK(pins() == 3);
}

TEST_CASE_METHOD(PinBench, "what waits for a card whose PIN gets blocked moves to another") {
  const auto other = MakeCard(2);
  const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  ImportOn(card.get(), piv::kRetired1, key, kOnce);
  ImportOn(other.get(), piv::kRetired1, key, kOnce);
  Insert(card.get());
  RequireOk(Unlock(1));
  // The other card comes when the queue is there.
  Gate gate;
  readers.SetHook(gate.Hook(piv::kSelect));
  MissPin(3);
  const std::string name = absl::StrCat("keys/", key.public_key().Fingerprint());
  auto first = Sign(name, kDigest);
  REQUIRE(gate.WaitForHeld(1));
  std::vector<std::future<absl::StatusOr<Signed>>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(Sign(name, kDigest));
  readers.SetHook(nullptr);
  Insert(other.get());
  RequireOk(Unlock(2));
  gate.Open();
  CHECK(ReasonOf(first.get().status()) == piv::kPinBlocked);
  for (auto& signature : waiting) CHECK(RequireOk(signature.get()).place.serial == 2);
  // And the locked card is not asked while there is another.
  for (int i = 0; i < 3; ++i) CHECK(RequireOk(Sign(name, kDigest).get()).place.serial == 2);
}

TEST_CASE_METHOD(PinBench, "the PIN is forgotten when the card is pulled") {
  Insert(card.get());
  RequireOk(Unlock(1));
  CHECK_THAT(SignIn("9a"), IsOk());
  Remove(card.get());
  Insert(card.get());
  CHECK_FALSE(RequireOk(pool().Card(1)).unlocked);
  CHECK(ReasonOf(SignIn("9a").status()) == kPinNeeded);
  CHECK(pins() == 1);
}

TEST_CASE_METHOD(PinBench, "the PIN is forgotten, here and on the card, when nobody uses it") {
  options.pin_idle = absl::Hours(1);
  Insert(card.get());
  RequireOk(Unlock(1));
  clock.Advance(absl::Minutes(45));
  CHECK_THAT(SignIn("9a"), IsOk());
  clock.Advance(absl::Minutes(45));
  CHECK_THAT(SignIn("9e"), IsOk());  // no use of the PIN
  CHECK(RequireOk(pool().Card(1)).unlocked);
  clock.Advance(absl::Minutes(30));
  CHECK(ReasonOf(SignIn("9a").status()) == kPinNeeded);
  CHECK_FALSE(RequireOk(pool().Card(1)).unlocked);
  CHECK(Eventually([&] {
    for (const FakeReaders::Sent& sent : readers.sent()) {
      if (sent.instruction == piv::kVerify && sent.p1 == 0xFF) return true;
    }
    return false;
  }));
}

TEST_CASE_METHOD(PinBench, "a clock that is set back does not keep the PIN longer") {
  options.pin_idle = absl::Milliseconds(100);
  Insert(card.get());
  RequireOk(Unlock(1));
  clock.Advance(-absl::Hours(1000));
  CHECK(Eventually([&] { return !RequireOk(pool().Card(1)).unlocked; }));
}

TEST_CASE_METHOD(PinBench,
                 "a configured PIN unlocks the card, and is tried once when it is wrong") {
  std::string configured = kFactoryPin;
  options.configured_pin = [&](uint32_t) { return Secret(configured); };
  SECTION("right") {
    for (int i = 0; i < 3; ++i) {
      Insert(card.get());
      CHECK_THAT(SignIn("9a"), IsOk());
      Remove(card.get());
    }
    CHECK(pins() == 3);
  }
  SECTION("wrong") {
    configured = "654321";
    for (int i = 0; i < 3; ++i) {
      Insert(card.get());
      CHECK(ReasonOf(SignIn("9a").status()) == kPinNeeded);
      Remove(card.get());
    }
    CHECK(pins() == 1);
  }
  SECTION("right, but a try is gone already") {
    OnCard(card.get(),
           [](piv::Applet& applet) { CHECK_FALSE(applet.VerifyPin(Secret("000000")).ok()); });
    const int before = pins();
    Insert(card.get());
    CHECK(ReasonOf(SignIn("9a").status()) == kPinNeeded);
    CHECK(pins() == before);
  }
}

TEST_CASE_METHOD(PinBench, "a changed PIN is held where the old one was") {
  Insert(card.get());
  const auto change = [&](const char* pin, const char* new_pin) {
    return Await([&](CardPool::Done done) {
      pool().ChangePin(1, Secret(pin), Secret(new_pin), absl::InfiniteFuture(), std::move(done));
    });
  };
  CHECK_THAT(change(kFactoryPin, "222222"), IsOk());
  CHECK_FALSE(RequireOk(pool().Card(1)).unlocked);
  RequireOk(Unlock(1, "222222"));
  CHECK_THAT(change("222222", "444444"), IsOk());
  CHECK_THAT(SignIn("9c"), IsOk());
  CHECK(piv::TriesLeftOf(change("222222", "555555")) == 2);
  // The one that is held was not the wrong one.
  CHECK_THAT(SignIn("9c"), IsOk());
  CHECK_THAT(Await([&](CardPool::Done done) {
               pool().ChangePuk(1, Secret(kFactoryPuk), Secret("87654321"), absl::InfiniteFuture(),
                                std::move(done));
             }),
             IsOk());
  const absl::Status wrong_puk = Await([&](CardPool::Done done) {
    pool().UnblockPin(1, Secret(kFactoryPuk), Secret("666666"), absl::InfiniteFuture(),
                      std::move(done));
  });
  CHECK_THAT(wrong_puk, StatusIs(StatusCode::kPermissionDenied));
  CHECK(card->pin_tries() == 3);
}

TEST_CASE_METHOD(PinBench, "work that needs the PIN gets it immediately before it begins") {
  Insert(card.get());
  CardPool::Needs needs;
  needs.pin = true;
  CHECK(ReasonOf(Execute(1, std::move(needs), false,
                         [](piv::Applet&) { return absl::OkStatus(); })) == kPinNeeded);
  RequireOk(Unlock(1));
  needs = {};
  needs.pin = true;
  needs.management_key.emplace();
  CHECK_THAT(
      Execute(1, std::move(needs), false,
              [](piv::Applet& applet) {
                return applet.Sign(piv::kSignature, piv::Algorithm::kEccP256, kDigest).status();
              }),
      IsOk());
}

TEST_CASE_METHOD(PinBench, "a reset makes the card as new") {
  Insert(card.get());
  RequireOk(Unlock(1));
  CHECK_THAT(
      Await([&](CardPool::Done done) { pool().Reset(1, absl::InfiniteFuture(), std::move(done)); }),
      IsOk());
  const CardInfo info = RequireOk(pool().Card(1));
  CHECK(info.slots.empty());
  CHECK(info.state == CardState::kReady);
  CHECK(info.pin_tries == 3);
  CHECK_FALSE(info.unlocked);
  CHECK_THAT(SignIn("9a"), StatusIs(StatusCode::kNotFound));
  CHECK_THAT(Unlock(1), IsOk());
}

}  // namespace
}  // namespace countersign::yubikey
