// Cards that come, go and are shared, under a pool with work to do.
#include <atomic>
#include <future>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/crypto/digest.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/pool_bench.h"

namespace countersign::yubikey {
namespace {

using absl::StatusCode;
using countersign::testing::Eventually;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;
using crypto::Algorithm;

const std::string kDigest = crypto::Digest(crypto::DigestAlgorithm::kSha256, "a message");
constexpr piv::KeySettings kOpenP256 = {piv::Algorithm::kEccP256, piv::PinPolicy::kNever,
                                        piv::TouchPolicy::kNever};

piv::KeySettings Open(piv::Algorithm algorithm) {
  return {algorithm, piv::PinPolicy::kNever, piv::TouchPolicy::kNever};
}

// The uses of private keys that a card has seen. Making the keys took some of the management key.
uint64_t Uses(const Card& card) { return card.commands(piv::kGeneralAuthenticate); }

// The same key on both, usable without PIN.
std::string ImportOnBoth(Card* a, Card* b) {
  const auto key = RequireOk(crypto::PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  ImportOn(a, piv::kAuthentication, key, kOpenP256);
  ImportOn(b, piv::kRetired1, key, kOpenP256);
  return absl::StrCat("keys/", key.public_key().Fingerprint());
}

TEST_CASE("a key on two cards is used on the one with the shorter queue") {
  const auto a = MakeCard(1), b = MakeCard(2);
  const std::string name = ImportOnBoth(a.get(), b.get());
  PoolBench bench;
  bench.Insert(a.get());
  bench.Insert(b.get());
  CHECK(RequireOk(bench.pool().Find(name)).places.size() == 2);
  CHECK(bench.pool().Keys().size() == 1);
  Gate gate;
  bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  const uint64_t before_a = Uses(*a), before_b = Uses(*b);
  std::vector<std::future<absl::StatusOr<Signed>>> signatures;
  // One card has work of its own.
  for (int i = 0; i < 4; ++i) signatures.push_back(bench.Sign(SlotName(*a, "9a"), kDigest));
  for (int i = 0; i < 8; ++i) signatures.push_back(bench.Sign(name, kDigest));
  CHECK(RequireOk(bench.pool().Card(1)).queued == 6);
  CHECK(RequireOk(bench.pool().Card(2)).queued == 6);
  gate.Open();
  for (auto& signature : signatures) CHECK_THAT(signature.get(), IsOk());
  CHECK(Uses(*a) == before_a + 6);
  CHECK(Uses(*b) == before_b + 6);
}

TEST_CASE("what waits for a card that is pulled moves to another with the key") {
  const auto a = MakeCard(1), b = MakeCard(2);
  const std::string name = ImportOnBoth(a.get(), b.get());
  PoolBench bench;
  bench.Insert(a.get());
  const uint64_t before = Uses(*a);
  Gate gate;
  bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  auto running = bench.Sign(name, kDigest);
  REQUIRE(gate.WaitForHeld(1));
  std::vector<std::future<absl::StatusOr<Signed>>> moves;
  for (int i = 0; i < 5; ++i) moves.push_back(bench.Sign(name, kDigest));
  auto stays = bench.Sign(SlotName(*a, "9a"), kDigest);
  bench.Insert(b.get());
  bench.readers.Remove("reader 1");
  // Before the card has let go of what it was doing.
  const auto lost = stays.get();
  CHECK_THAT(lost, StatusIs(StatusCode::kUnavailable));
  CHECK(ReasonOf(lost.status()) == kCardRemoved);
  gate.Open();
  const auto failed = running.get();
  CHECK_THAT(failed, StatusIs(StatusCode::kUnavailable));
  CHECK(ReasonOf(failed.status()) == kCardRemoved);
  for (auto& moved : moves) CHECK(RequireOk(moved.get()).place.serial == 2);
  CHECK(Uses(*a) == before);
  CHECK(bench.pool().counters().moved == 5);
  CHECK(bench.pool().counters().removals == 1);
}

TEST_CASE("a card that is pulled during a signature fails that one, and serves when it is back") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  for (const Fault::Kind kind : {Fault::Kind::kRemoveBefore, Fault::Kind::kRemoveAfter}) {
    Fault fault;
    fault.kind = kind;
    fault.instruction = piv::kGeneralAuthenticate;
    card->AddFault(fault);
    const auto failed = bench.Sign(SlotName(*card, "9a"), kDigest).get();
    CHECK_THAT(failed, StatusIs(StatusCode::kUnavailable));
    CHECK(ReasonOf(failed.status()) == kCardRemoved);
    REQUIRE(Eventually([&] { return !bench.Has(1); }));
    CHECK(bench.pool().Cards().empty());
    bench.Insert(card.get());
    CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(), IsOk());
  }
}

TEST_CASE("what waits for a card that is pulled by surprise moves too") {
  const auto a = MakeCard(1), b = MakeCard(2);
  const std::string name = ImportOnBoth(a.get(), b.get());
  PoolBench bench;
  bench.Insert(a.get());
  Gate gate;
  bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  auto running = bench.Sign(name, kDigest);
  REQUIRE(gate.WaitForHeld(1));
  std::vector<std::future<absl::StatusOr<Signed>>> moves;
  for (int i = 0; i < 5; ++i) moves.push_back(bench.Sign(name, kDigest));
  bench.Insert(b.get());
  Fault fault;
  fault.kind = Fault::Kind::kRemoveAfter;
  fault.instruction = piv::kGeneralAuthenticate;
  a->AddFault(fault);
  gate.Open();
  CHECK(ReasonOf(running.get().status()) == kCardRemoved);
  for (auto& moved : moves) CHECK(RequireOk(moved.get()).place.serial == 2);
}

TEST_CASE("a signature that the card fails once is made again, and one it fails twice is not") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  Fault fault;
  fault.instruction = piv::kGeneralAuthenticate;
  fault.status_word = piv::kInstructionNotSupported;
  card->AddFault(fault);
  CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(), IsOk());
  fault.times = 2;
  card->AddFault(fault);
  CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(),
             StatusIs(StatusCode::kUnimplemented));
  CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(), IsOk());
}

TEST_CASE("a key that another program replaced is found again") {
  const auto card = MakeCard(1, {5, 7, 1});
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  bench.readers.Meanwhile(card.get(), [&] {
    OnCard(card.get(),
           [](piv::Applet& applet) { RequireOk(applet.DeleteKey(piv::kAuthentication)); });
  });
  CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(),
             StatusIs(StatusCode::kNotFound, "not the one that was there"));
  CHECK(RequireOk(bench.pool().Card(1)).slots.empty());
}

TEST_CASE("a signature by a key that another program put into the slot is not given out") {
  const auto card = MakeCard(1);
  const auto old_key = GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  crypto::PublicKey new_key = old_key;
  bench.readers.Meanwhile(
      card.get(), [&] { new_key = GenerateOn(card.get(), piv::kAuthentication, kOpenP256); });
  CHECK_THAT(bench.Sign(absl::StrCat("keys/", old_key.Fingerprint()), kDigest).get(),
             StatusIs(StatusCode::kNotFound, "not the one that was there"));
  CHECK_THAT(bench.Sign(absl::StrCat("keys/", new_key.Fingerprint()), kDigest).get(), IsOk());
}

TEST_CASE("what waited while its key was replaced is not done by the new one") {
  const auto card = MakeCard(1);
  const auto old_key = GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  const std::string name = absl::StrCat("keys/", old_key.Fingerprint());
  Gate gate;
  bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  auto held = bench.Sign(name, kDigest);
  REQUIRE(gate.WaitForHeld(1));
  std::promise<absl::Status> replaced;
  bench.pool().Execute(
      1, "generate", {.management_key = crypto::SecretBytes()}, /*changes_card=*/true,
      absl::InfiniteFuture(),
      [](piv::Applet& applet) {
        return applet.GenerateKey(piv::kAuthentication, kOpenP256).status();
      },
      [&](absl::Status status) { replaced.set_value(std::move(status)); });
  auto waited = bench.Sign(name, kDigest);
  gate.Open();
  CHECK_THAT(held.get().status(), IsOk());
  CHECK_THAT(replaced.get_future().get(), IsOk());
  CHECK_THAT(waited.get().status(), StatusIs(StatusCode::kNotFound));
}

TEST_CASE("an alias stands for distinct keys on several cards") {
  const auto a = MakeCard(1), b = MakeCard(2);
  const auto key_a = GenerateOn(a.get(), piv::kAuthentication, kOpenP256);
  const auto key_b = GenerateOn(b.get(), piv::kAuthentication, kOpenP256);
  GenerateOn(b.get(), piv::kRetired1, Open(piv::Algorithm::kEccP384));
  PoolBench bench;
  bench.options.aliases["release"] = {"cards/1/slots/9a", "keys/" + key_b.Fingerprint(),
                                      "cards/2/slots/82", "keys/release"};
  bench.Insert(a.get());
  bench.Insert(b.get());
  CHECK(RequireOk(bench.pool().Find("keys/release")).places.size() == 3);
  CHECK(bench.pool().Keys().size() == 4);
  std::set<uint32_t> cards;
  for (int i = 0; i < 4; ++i) {
    const Signed result = RequireOk(bench.Sign("keys/release", kDigest).get());
    const auto& key = result.place.serial == 1 ? key_a : key_b;
    CHECK(result.place.spki_der == key.spki_der());
    CHECK(RequireOk(key.VerifyDigest(Algorithm::kEcdsaP256Sha256, kDigest, result.signature)));
    cards.insert(result.place.serial);
  }
  CHECK(cards.size() == 2);
  bench.Remove(a.get());
  CHECK(RequireOk(bench.Sign("keys/release", kDigest).get()).place.serial == 2);
}

TEST_CASE("a card that moves to another reader is there once") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  Gate gate;
  bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  auto running = bench.Sign(SlotName(*card, "9a"), kDigest);
  REQUIRE(gate.WaitForHeld(1));
  auto waits = bench.Sign(SlotName(*card, "9a"), kDigest);
  bench.readers.Insert("another reader", card.get());
  bench.readers.Remove("reader 1");
  CHECK_THAT(waits.get(), StatusIs(StatusCode::kUnavailable));
  gate.Open();
  CHECK_THAT(running.get(), StatusIs(StatusCode::kUnavailable));
  REQUIRE(Eventually([&] {
    const auto cards = bench.pool().Cards();
    return cards.size() == 1 && cards[0].reader == "another reader";
  }));
  CHECK_THAT(bench.Sign(SlotName(*card, "9a"), kDigest).get(), IsOk());
}

TEST_CASE("another program's reset, or its choice of applet, is repaired without a failure") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kAuthentication, kOpenP256);
  PoolBench bench;
  bench.Insert(card.get());
  const std::string name = SlotName(*card, "9a");
  bench.readers.ResetCard(card.get());
  CHECK_THAT(bench.Sign(name, kDigest).get(), IsOk());
  bench.readers.Meanwhile(card.get(), [&] {
    RequireOk(card->Transmit(
        absl::string_view("\x00\xA4\x04\x00\x08\xA0\x00\x00\x05\x27\x20\x01\x01", 13)));
  });
  CHECK_THAT(bench.Sign(name, kDigest).get(), IsOk());
  bench.readers.Meanwhile(card.get(), [&] { card->Reset(); });
  std::optional<piv::Version> version;
  CHECK_THAT(bench.Execute(1, {}, false,
                           [&](piv::Applet& applet) {
                             auto read = applet.GetVersion();
                             if (read.ok()) version = *read;
                             return read.status();
                           }),
             IsOk());
  CHECK(version->ToString() == "5.4.3");
  CHECK(bench.pool().counters().failures == 0);
}

TEST_CASE("two pools use one card at once") {
  const auto card = MakeCard(1);
  GenerateOn(card.get(), piv::kSignature, {piv::Algorithm::kEccP256});
  PoolBench one, two;
  for (PoolBench* bench : {&one, &two}) {
    bench->Insert(card.get());
    RequireOk(bench->Unlock(1));
  }
  std::vector<std::future<absl::StatusOr<Signed>>> signatures;
  for (int i = 0; i < 20; ++i) {
    for (PoolBench* bench : {&one, &two}) {
      signatures.push_back(bench->Sign(SlotName(*card, "9c"), kDigest));
    }
  }
  for (auto& signature : signatures) CHECK_THAT(signature.get(), IsOk());
}

TEST_CASE("each request is answered once while cards come and go") {
  std::vector<std::unique_ptr<Card>> cards;
  const auto key = RequireOk(crypto::PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  for (uint32_t serial = 1; serial <= 3; ++serial) {
    cards.push_back(MakeCard(serial));
    ImportOn(cards.back().get(), piv::kAuthentication, key, kOpenP256);
  }
  const std::string name = absl::StrCat("keys/", key.public_key().Fingerprint());
  std::atomic<int> answers{0}, good{0}, odd{0};
  constexpr int kThreads = 3, kRequests = 200;
  PoolBench bench;
  bench.Insert(cards[0].get());
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < kRequests; ++j) {
        bench.pool().Sign(name, Algorithm::kEcdsaP256Sha256, kDigest, absl::InfiniteFuture(),
                          [&](absl::StatusOr<Signed> result) {
                            const absl::Status status = result.status();
                            if (status.ok()) ++good;
                            if (!status.ok() && !absl::IsUnavailable(status) &&
                                !absl::IsNotFound(status) && !absl::IsResourceExhausted(status)) {
                              ++odd;
                            }
                            ++answers;
                          });
      }
    });
  }
  for (int i = 0; i < 60; ++i) {
    Card* const card = cards[1 + i % 2].get();
    const std::string reader = absl::StrCat("reader ", card->serial());
    bench.readers.Insert(reader, card);
    if (i % 3 != 0) {
      CHECK(Eventually([&] { return bench.Has(card->serial()); }));
    }
    if (i % 7 == 0) bench.readers.ResetCard(card);
    bench.readers.Remove(reader);
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(Eventually([&] { return answers == kThreads * kRequests; }));
  CHECK(good > 0);
  CHECK(odd == 0);
  bench.StopPool();
  CHECK(answers == kThreads * kRequests);
}

}  // namespace
}  // namespace countersign::yubikey
