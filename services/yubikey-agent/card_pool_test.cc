#include "services/yubikey-agent/card_pool.h"

#include <atomic>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/pki/test_authority.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/command.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/yubikey-agent/pool_bench.h"

namespace countersign::yubikey {
namespace {

using absl::StatusCode;
using countersign::testing::Eventually;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::RunCommand;
using countersign::testing::StatusIs;
using countersign::testing::TempDir;
using crypto::Algorithm;

const std::string kDigest = crypto::Digest(crypto::DigestAlgorithm::kSha256, "a message");
constexpr piv::KeySettings kOpenP256 = {piv::Algorithm::kEccP256, piv::PinPolicy::kNever,
                                        piv::TouchPolicy::kNever};

piv::KeySettings Open(piv::Algorithm algorithm) {
  return {algorithm, piv::PinPolicy::kNever, piv::TouchPolicy::kNever};
}

// The uses of private keys that a card has seen. Making the keys took some of the management key.
uint64_t Uses(const Card& card) { return card.commands(piv::kGeneralAuthenticate); }

TEST_CASE("a card signs by every algorithm that it has") {
  const auto card = MakeCard(5700100, {5, 7, 1});
  const std::map<piv::Slot, std::pair<piv::Algorithm, std::vector<Algorithm>>> keys = {
      {piv::kAuthentication, {piv::Algorithm::kEccP256, {Algorithm::kEcdsaP256Sha256}}},
      {piv::kSignature, {piv::Algorithm::kEccP384, {Algorithm::kEcdsaP384Sha384}}},
      {piv::kKeyManagement,
       {piv::Algorithm::kRsa2048, {Algorithm::kRsaPkcs1_2048Sha256, Algorithm::kRsaPss2048Sha256}}},
      {piv::kRetired1, {piv::Algorithm::kEd25519, {Algorithm::kEd25519}}},
  };
  for (const auto& [slot, key] : keys) GenerateOn(card.get(), slot, Open(key.first));
  PoolBench bench;
  bench.Insert(card.get());
  for (const auto& [slot, key] : keys) {
    const std::string name = SlotName(*card, piv::SlotName(slot));
    const CardKey found = RequireOk(bench.pool().Find(name));
    REQUIRE(found.places.size() == 1);
    const auto public_key = RequireOk(crypto::PublicKey::FromSpkiDer(found.places[0].spki_der));
    for (const Algorithm algorithm : key.second) {
      INFO(std::string(crypto::AlgorithmName(algorithm)));
      const bool whole = algorithm == Algorithm::kEd25519;
      const std::string input =
          whole ? "a message" : crypto::Digest(crypto::DigestFor(algorithm), "a message");
      const Signed result = RequireOk(bench.Sign(name, input, algorithm).get());
      CHECK(RequireOk(public_key.VerifyMessage(algorithm, "a message", result.signature)));
      CHECK(result.place.serial == card->serial());
      CHECK(result.place.slot == slot);
      CHECK(result.place.Name() == name);
    }
  }
}

TEST_CASE("two cards agree on a secret, and openssl encrypts to one of them") {
  const auto a = MakeCard(1), b = MakeCard(2);
  const auto key_a = GenerateOn(a.get(), piv::kKeyManagement, Open(piv::Algorithm::kEccP384));
  const auto key_b = GenerateOn(b.get(), piv::kKeyManagement, Open(piv::Algorithm::kEccP384));
  const auto rsa = GenerateOn(b.get(), piv::kRetired1, Open(piv::Algorithm::kRsa2048));
  PoolBench bench;
  bench.Insert(a.get());
  bench.Insert(b.get());
  const auto agree = [&](const Card& card, const std::string& peer) {
    std::promise<absl::StatusOr<Decrypted>> promise;
    bench.pool().Agree(
        SlotName(card, "9d"), peer, absl::InfiniteFuture(),
        [&](absl::StatusOr<Decrypted> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  };
  const auto grant = crypto::SecretAccess::Grant();
  const Decrypted at_a = RequireOk(agree(*a, key_b.spki_der()));
  const Decrypted at_b = RequireOk(agree(*b, key_a.spki_der()));
  CHECK(at_a.secret.size() == 48);
  CHECK(at_a.secret.Expose(grant) == at_b.secret.Expose(grant));
  CHECK_THAT(agree(*a, rsa.spki_der()), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(agree(*a, "no key"), StatusIs(StatusCode::kInvalidArgument));

  const TempDir dir;
  RequireOk(base::WriteFileAtomically(dir.path() + "/key.pem", rsa.ToPem()));
  RequireOk(base::WriteFileAtomically(dir.path() + "/plain", "a session key"));
  const auto decrypt = [&](crypto::RsaEncryption encryption, const std::string& ciphertext) {
    std::promise<absl::StatusOr<Decrypted>> promise;
    bench.pool().Decrypt(
        "keys/" + rsa.Fingerprint(), encryption, ciphertext, absl::InfiniteFuture(),
        [&](absl::StatusOr<Decrypted> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  };
  const std::pair<crypto::RsaEncryption, std::string> paddings[] = {
      {crypto::RsaEncryption::kPkcs1, "-pkeyopt rsa_padding_mode:pkcs1"},
      {crypto::RsaEncryption::kOaepSha256,
       "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256"}};
  for (const auto& [encryption, padding] : paddings) {
    const auto run = RunCommand(absl::StrCat("cd ", dir.path(),
                                             " && openssl pkeyutl -encrypt -pubin -inkey key.pem "
                                             "-in plain -out cipher ",
                                             padding));
    INFO(run.output);
    REQUIRE(run.exit_code == 0);
    std::string cipher = RequireOk(base::ReadFile(dir.path() + "/cipher"));
    const Decrypted plain = RequireOk(decrypt(encryption, cipher));
    CHECK(plain.secret.Expose(grant) == "a session key");
    CHECK_THAT(decrypt(encryption, cipher.substr(1)), StatusIs(StatusCode::kInvalidArgument));
  }
  CHECK_THAT(decrypt(crypto::RsaEncryption::kOaepSha256, std::string(256, '\1')),
             StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("names of keys that are not there, and inputs that do not fit, are refused") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.options.aliases["gone"] = {"cards/77/slots/9a"};
  bench.Insert(card.get());
  const std::string name = SlotName(*card, "9a");
  const uint64_t before = card->commands();
  for (const char* malformed : {"", "9a", "keys/", "cards/1", "cards/x/slots/9a",
                                "cards/1/slots/9b", "cards/1/slots/zz", "keys/a/b"}) {
    INFO(malformed);
    CHECK_THAT(bench.Sign(malformed, kDigest).get(), StatusIs(StatusCode::kInvalidArgument));
  }
  for (const char* absent : {"cards/2/slots/9a", "cards/1/slots/9c", "keys/unknown", "keys/gone"}) {
    INFO(absent);
    CHECK_THAT(bench.Sign(absent, kDigest).get(), StatusIs(StatusCode::kNotFound));
    CHECK_THAT(bench.pool().Find(absent), StatusIs(StatusCode::kNotFound));
  }
  CHECK_THAT(bench.Sign(name, kDigest + "x").get(),
             StatusIs(StatusCode::kInvalidArgument, "32 bytes, not 33"));
  CHECK_THAT(bench.Sign(name, "").get(), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(bench.Sign(name, std::string(48, 'x'), Algorithm::kEcdsaP384Sha384).get(),
             StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(bench.Sign(name, std::string(64, 'x'), Algorithm::kEd25519ph).get(),
             StatusIs(StatusCode::kInvalidArgument));
  CHECK(card->commands() == before);
}

TEST_CASE("a queue that is full refuses, and says when to come again") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.options.queue_capacity = 2;
  bench.Insert(card.get());
  Gate gate;
  bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  const std::string name = SlotName(*card, "9a");
  auto running = bench.Sign(name, kDigest);
  REQUIRE(gate.WaitForHeld(1));
  auto first = bench.Sign(name, kDigest), second = bench.Sign(name, kDigest);
  const auto refused = bench.Sign(name, kDigest).get();
  CHECK_THAT(refused, StatusIs(StatusCode::kResourceExhausted));
  CHECK(ReasonOf(refused.status()) == kQueueFull);
  CHECK(runtime::RetryAfterOf(refused.status()).has_value());
  CHECK(RequireOk(bench.pool().Card(1)).queued == 3);
  gate.Open();
  CHECK_THAT(running.get(), IsOk());
  CHECK_THAT(first.get(), IsOk());
  CHECK_THAT(second.get(), IsOk());
  CHECK(bench.pool().counters().refused == 1);
  CHECK(bench.pool().counters().operations == 3);
}

TEST_CASE("a deadline is answered when it passes, and the card never sees the request") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  const uint64_t before = Uses(*card);
  Gate gate;
  bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  const std::string name = SlotName(*card, "9a");
  auto running = bench.Sign(name, kDigest);
  REQUIRE(gate.WaitForHeld(1));
  auto waits =
      bench.Sign(name, kDigest, Algorithm::kEcdsaP256Sha256, bench.clock.Now() + absl::Hours(1));
  auto stays = bench.Sign(name, kDigest);
  SECTION("by its clock") { bench.clock.Advance(absl::Hours(2)); }
  SECTION("while the clock is set back") {
    waits = bench.Sign(name, kDigest, Algorithm::kEcdsaP256Sha256,
                       bench.clock.Now() + absl::Milliseconds(50));
    bench.clock.Advance(-absl::Hours(24));
  }
  // The card is still busy with the first one.
  CHECK_THAT(waits.get(), StatusIs(StatusCode::kDeadlineExceeded, "has not seen"));
  CHECK(Uses(*card) == before);
  gate.Open();
  CHECK_THAT(running.get(), IsOk());
  CHECK_THAT(stays.get(), IsOk());
  CHECK(bench.pool().counters().expired >= 1);
  CHECK_THAT(
      bench.Sign(name, kDigest, Algorithm::kEcdsaP256Sha256, bench.clock.Now() - absl::Seconds(1))
          .get(),
      StatusIs(StatusCode::kDeadlineExceeded));
}

TEST_CASE("a request that waits for another program's transaction is not sent after its deadline") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  const uint64_t before = Uses(*card);
  bench.readers.Meanwhile(card.get(), [&] {
    auto waits = bench.Sign(SlotName(*card, "9a"), kDigest, Algorithm::kEcdsaP256Sha256,
                            bench.clock.Now() + absl::Hours(1));
    bench.clock.Advance(absl::Hours(2));
    CHECK_THAT(waits.get(), StatusIs(StatusCode::kDeadlineExceeded));
  });
  CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(), IsOk());
  CHECK(Uses(*card) == before + 1);
}

TEST_CASE("a card of firmware 5.7 takes its AES management key, and new keys are found at once") {
  const auto card = MakeCard(1, {5, 7, 1});
  PoolBench bench;
  bench.Insert(card.get());
  std::atomic<int> changes{0};
  auto watch = bench.pool().Watch([&] { ++changes; });
  CardPool::Needs needs;
  needs.management_key.emplace();
  CHECK_THAT(bench.Execute(1, std::move(needs), true,
                           [](piv::Applet& applet) {
                             return applet.GenerateKey(piv::kAuthentication, kOpenP256).status();
                           }),
             IsOk());
  CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(), IsOk());
  CHECK(changes > 0);
  watch.reset();
  const int seen = changes;
  bench.Remove(card.get());
  CHECK(changes == seen);

  bench.Insert(card.get());
  CardPool::Needs wrong;
  wrong.management_key = Secret(std::string(24, 'x'));
  bool ran = false;
  CHECK_THAT(bench.Execute(1, std::move(wrong), true,
                           [&](piv::Applet&) {
                             ran = true;
                             return absl::OkStatus();
                           }),
             StatusIs(StatusCode::kPermissionDenied));
  CHECK_FALSE(ran);
}

TEST_CASE("keys of old firmware are known by their certificates") {
  const auto card = MakeCard(4300200, {4, 3, 5});
  const pki::TestIdentity identity = pki::MakeTestRoot(Algorithm::kEcdsaP256Sha256);
  const crypto::PrivateKey& key = identity.key;
  const std::string& certificate = identity.certificate.der;
  OnCard(card.get(), [&](piv::Applet& applet) {
    RequireOk(applet.ImportKey(piv::kSignature, RequireOk(key.ToPkcs8()), {}));
    RequireOk(applet.WriteCertificate(piv::kSignature, certificate));
  });
  PoolBench bench;
  bench.Insert(card.get());
  const CardInfo info = RequireOk(bench.pool().Card(card->serial()));
  REQUIRE(info.slots.size() == 1);
  CHECK(info.slots[0].certificate_der == certificate);
  CHECK(info.slots[0].key.pin_policy == piv::PinPolicy::kDefault);
  RequireOk(bench.Unlock(card->serial()));
  for (int i = 0; i < 2; ++i) {
    const Signed result =
        RequireOk(bench.Sign("keys/" + key.public_key().Fingerprint(), kDigest).get());
    CHECK(RequireOk(
        key.public_key().VerifyDigest(Algorithm::kEcdsaP256Sha256, kDigest, result.signature)));
  }
  CHECK(bench.readers.PinsSent(card->serial()) == 3);
}

TEST_CASE("a policy that old firmware does not tell of is found out") {
  const auto card = MakeCard(4300200, {4, 3, 5});
  const pki::TestIdentity identity = pki::MakeTestRoot(Algorithm::kEcdsaP256Sha256);
  OnCard(card.get(), [&](piv::Applet& applet) {
    // The slots' defaults are once and never.
    const std::pair<piv::Slot, piv::PinPolicy> keys[] = {
        {piv::kAuthentication, piv::PinPolicy::kAlways},
        {piv::kCardAuthentication, piv::PinPolicy::kOnce}};
    for (const auto& [slot, policy] : keys) {
      RequireOk(applet.ImportKey(slot, RequireOk(identity.key.ToPkcs8()),
                                 {piv::Algorithm::kEccP256, policy}));
      RequireOk(applet.WriteCertificate(slot, identity.certificate.der));
    }
  });
  PoolBench bench;
  bench.Insert(card.get());
  CHECK(ReasonOf(bench.Sign(SlotName(*card, "9e"), kDigest).get().status()) == kPinNeeded);
  RequireOk(bench.Unlock(card->serial()));
  for (int i = 0; i < 3; ++i) {
    CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(), IsOk());
    CHECK_THAT(bench.Sign(SlotName(*card, "9e"), kDigest).get(), IsOk());
  }
}

TEST_CASE("a card without serial number is shown as failed, and says why") {
  const auto card = MakeCard(0);
  PoolBench bench;
  bench.pool();
  bench.readers.Insert("reader", card.get());
  REQUIRE(Eventually([&] { return bench.pool().Cards().size() == 1; }));
  const CardInfo info = bench.pool().Cards()[0];
  CHECK(info.state == CardState::kFailed);
  CHECK(info.detail.find("serial number") != std::string::npos);
  CHECK_FALSE(bench.Has(0));
}

TEST_CASE("a key that is not touched says so, and the next one works") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication,
             {piv::Algorithm::kEccP256, piv::PinPolicy::kNever, piv::TouchPolicy::kAlways});
  PoolBench bench;
  bench.Insert(card.get());
  Fault fault;
  fault.kind = Fault::Kind::kTouchTimeout;
  card->AddFault(fault);
  const auto untouched = bench.Sign(SlotName(*card, "9a"), kDigest).get();
  CHECK_THAT(untouched, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(ReasonOf(untouched.status()) == piv::kTouchRequired);
  CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(), IsOk());
}

TEST_CASE("a pool that ends answers what still waits") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  Gate gate;
  bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  auto running = bench.Sign(SlotName(*card, "9a"), kDigest);
  REQUIRE(gate.WaitForHeld(1));
  auto waits = bench.Sign(SlotName(*card, "9a"), kDigest);
  auto stopped = std::async(std::launch::async, [&] { bench.StopPool(); });
  CHECK_THAT(waits.get(), StatusIs(StatusCode::kUnavailable));
  gate.Open();
  CHECK_THAT(running.get(), IsOk());
  stopped.get();
}

}  // namespace
}  // namespace countersign::yubikey
