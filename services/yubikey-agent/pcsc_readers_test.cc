// The pool over libykpiv and a real pcscd, whose readers hold software cards.
#include "services/yubikey-agent/pcsc_readers.h"

#include <PCSC/winscard.h>
#include <stdlib.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/crypto/digest.h"
#include "libs/pki/test_authority.h"
#include "libs/testing/command.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/piv/virtual_reader.h"
#include "services/yubikey-agent/pool_bench.h"

namespace countersign::yubikey {
namespace {

using absl::StatusCode;
using countersign::testing::Eventually;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::RunCommand;
using countersign::testing::StatusIs;
using countersign::testing::piv::PcscDaemon;
using countersign::testing::piv::VirtualReader;
using crypto::Algorithm;

constexpr int kReaders = 4;
const std::string kDigest = crypto::Digest(crypto::DigestAlgorithm::kSha256, "a message");
constexpr piv::KeySettings kOpenP256 = {piv::Algorithm::kEccP256, piv::PinPolicy::kNever,
                                        piv::TouchPolicy::kNever};

// One for the whole process: libpcsclite looks up the socket's name once.
PcscDaemon& Daemon() {
  static const std::unique_ptr<PcscDaemon> daemon = [] {
    auto started = RequireOk(PcscDaemon::Start(kReaders));
    setenv("PCSCLITE_CSOCK_NAME", started->SocketPath().c_str(), /*overwrite=*/1);
    return started;
  }();
  return *daemon;
}

// A card that can be put into reader `i`.
struct Plugged {
  explicit Plugged(int i, uint32_t serial = 0)
      : card(MakeCard(serial == 0 ? 1000 + i : serial)), reader(Daemon().port(i), card.get()) {}

  std::unique_ptr<Card> card;
  VirtualReader reader;
};

// A pool over the daemon.
struct PcscBench : PoolBench {
  PcscBench() : pcsc(PcscReaders::Options{}) {
    Daemon();
    options.readers = &pcsc;
  }
  ~PcscBench() { StopPool(); }

  void Plug(Plugged* plugged) {
    pool();
    RequireOk(plugged->reader.Insert());
    REQUIRE(WaitFor(*plugged->card));
  }
  bool WaitFor(const Card& card) {
    return Eventually([&] { return Has(card.serial()); });
  }

  PcscReaders pcsc;
};

TEST_CASE("cards come and go in the readers of pcscd") {
  Plugged a(0), b(1);
  GenerateOn(a.card.get(), piv::kAuthentication, kOpenP256);
  const auto rsa = GenerateOn(b.card.get(), piv::kAuthentication,
                              {piv::Algorithm::kRsa2048, piv::PinPolicy::kNever});
  PcscBench bench;
  CHECK(bench.pool().Cards().empty());
  bench.Plug(&a);
  bench.Plug(&b);
  CHECK(bench.pool().Cards().size() == 2);
  CHECK_THAT(bench.Sign(SlotName(*a.card, "9a"), kDigest).get(), IsOk());
  // Chained there, and fetched in two pieces back.
  const Signed signature =
      RequireOk(bench.Sign(SlotName(*b.card, "9a"), kDigest, Algorithm::kRsaPss2048Sha256).get());
  CHECK(RequireOk(rsa.VerifyDigest(Algorithm::kRsaPss2048Sha256, kDigest, signature.signature)));
  for (int i = 0; i < 3; ++i) {
    a.reader.Remove();
    REQUIRE(Eventually([&] { return !bench.Has(a.card->serial()); }));
    CHECK(bench.Has(b.card->serial()));
    CHECK_THAT(bench.Sign(SlotName(*a.card, "9a"), kDigest).get(), StatusIs(StatusCode::kNotFound));
    bench.Plug(&a);
    CHECK_THAT(bench.Sign(SlotName(*a.card, "9a"), kDigest).get(), IsOk());
  }
}

TEST_CASE("readers can be chosen by their name") {
  Plugged a(0), b(1);
  PcscBench bench;
  PcscReaders chosen({/*reader_contains=*/"test reader 1"});
  bench.options.readers = &chosen;
  RequireOk(a.reader.Insert());
  bench.Plug(&b);
  REQUIRE(bench.pool().Cards().size() == 1);
  CHECK(bench.pool().Cards()[0].reader.find("test reader 1") != std::string::npos);
  bench.StopPool();
}

TEST_CASE("a card pulled in any phase of a signature fails it, and serves once it is back") {
  Plugged plugged(0);
  GenerateOn(plugged.card.get(), piv::kSignature, {});
  PcscBench bench;
  bench.Plug(&plugged);
  RequireOk(bench.Unlock(plugged.card->serial()));
  const std::string name = SlotName(*plugged.card, "9c");
  struct Phase {
    uint8_t instruction;
    int skip;
  };
  // Asking for the tries, giving the PIN, signing.
  for (const Phase phase :
       {Phase{piv::kVerify, 0}, Phase{piv::kVerify, 1}, Phase{piv::kGeneralAuthenticate, 0}}) {
    for (const Fault::Kind kind : {Fault::Kind::kRemoveBefore, Fault::Kind::kRemoveAfter}) {
      CAPTURE(static_cast<int>(phase.instruction), phase.skip, static_cast<int>(kind));
      CHECK_THAT(bench.Sign(name, kDigest).get(), IsOk());
      Fault fault;
      fault.kind = kind;
      fault.instruction = phase.instruction;
      fault.skip = phase.skip;
      plugged.card->AddFault(fault);
      const auto failed = bench.Sign(name, kDigest).get();
      CHECK_THAT(failed, StatusIs(StatusCode::kUnavailable));
      CHECK(ReasonOf(failed.status()) == kCardRemoved);
      REQUIRE(Eventually([&] { return !bench.Has(plugged.card->serial()); }));
      bench.Plug(&plugged);
      CHECK(ReasonOf(bench.Sign(name, kDigest).get().status()) == kPinNeeded);
      RequireOk(bench.Unlock(plugged.card->serial()));
    }
  }
  CHECK(plugged.card->pin_tries() == 3);
}

TEST_CASE("two agents share a card") {
  Plugged plugged(0);
  GenerateOn(plugged.card.get(), piv::kAuthentication, {});
  GenerateOn(plugged.card.get(), piv::kSignature, {});
  PcscBench one, two;
  one.Plug(&plugged);
  two.pool();
  REQUIRE(two.WaitFor(*plugged.card));
  std::vector<std::future<absl::StatusOr<Signed>>> signatures;
  for (PcscBench* bench : {&one, &two}) RequireOk(bench->Unlock(plugged.card->serial()));
  for (int i = 0; i < 10; ++i) {
    for (PcscBench* bench : {&one, &two}) {
      signatures.push_back(bench->Sign(SlotName(*plugged.card, "9a"), kDigest));
      signatures.push_back(bench->Sign(SlotName(*plugged.card, "9c"), kDigest));
    }
  }
  for (auto& signature : signatures) CHECK_THAT(signature.get(), IsOk());
}

TEST_CASE("a program that resets the card when it ends is not noticed by those who sign") {
  Plugged plugged(0);
  GenerateOn(plugged.card.get(), piv::kAuthentication, {});
  PcscBench bench;
  bench.Plug(&plugged);
  RequireOk(bench.Unlock(plugged.card->serial()));
  CHECK_THAT(bench.Sign(SlotName(*plugged.card, "9a"), kDigest).get(), IsOk());
  const uint64_t pins = plugged.card->commands(piv::kVerify);
  const auto status = RunCommand("yubico-piv-tool -r 'test reader 0' -a status");
  INFO(status.output);
  REQUIRE(status.exit_code == 0);
  CHECK_THAT(bench.Sign(SlotName(*plugged.card, "9a"), kDigest).get(), IsOk());
  CHECK(plugged.card->commands(piv::kVerify) > pins);
  CHECK(bench.pool().counters().failures == 0);
  CHECK(bench.pool().counters().removals == 0);
}

TEST_CASE("a card that another program has for itself is there when it lets go") {
  Plugged plugged(0);
  GenerateOn(plugged.card.get(), piv::kAuthentication, kOpenP256);
  RequireOk(plugged.reader.Insert());
  SCARDCONTEXT context;
  REQUIRE(SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context) == SCARD_S_SUCCESS);
  SCARDHANDLE card;
  DWORD protocol;
  REQUIRE(Eventually([&] {
    return SCardConnect(context, "Countersign test reader 0 00 00", SCARD_SHARE_EXCLUSIVE,
                        SCARD_PROTOCOL_T1, &card, &protocol) == SCARD_S_SUCCESS;
  }));
  PcscBench bench;
  CHECK_THAT(bench.pcsc.Connect("Countersign test reader 0 00 00"),
             StatusIs(StatusCode::kUnavailable));
  CHECK(bench.pool().Cards().empty());
  SCardDisconnect(card, SCARD_LEAVE_CARD);
  SCardReleaseContext(context);
  REQUIRE(bench.WaitFor(*plugged.card));
  CHECK_THAT(bench.Sign(SlotName(*plugged.card, "9a"), kDigest).get(), IsOk());
}

TEST_CASE("four cards sign at once, each its share") {
  std::vector<std::unique_ptr<Plugged>> cards;
  const auto key = RequireOk(crypto::PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  PcscBench bench;
  for (int i = 0; i < kReaders; ++i) {
    cards.push_back(std::make_unique<Plugged>(i));
    ImportOn(cards[i]->card.get(), piv::kAuthentication, key, kOpenP256);
    // So slow that the queues tell them apart.
    cards[i]->card->SetOperationTime(absl::Milliseconds(20));
    bench.Plug(cards[i].get());
  }
  std::vector<std::future<absl::StatusOr<Signed>>> signatures;
  const std::string name = absl::StrCat("keys/", key.public_key().Fingerprint());
  for (int i = 0; i < 40; ++i) signatures.push_back(bench.Sign(name, kDigest));
  std::map<uint32_t, int> shares;
  for (auto& signature : signatures) ++shares[RequireOk(signature.get()).place.serial];
  CHECK(shares.size() == kReaders);
  bench.StopPool();
}

TEST_CASE("objects longer than an APDU go to the card and back") {
  Plugged plugged(0);
  const pki::TestIdentity root = pki::MakeTestRoot(Algorithm::kRsaPkcs1_2048Sha256);
  PcscBench bench;
  bench.Plug(&plugged);
  CardPool::Needs needs;
  needs.management_key.emplace();
  CHECK_THAT(bench.Execute(plugged.card->serial(), std::move(needs), /*changes_card=*/true,
                           [&](piv::Applet& applet) {
                             return applet.WriteCertificate(piv::kAuthentication,
                                                            root.certificate.der);
                           }),
             IsOk());
  const CardInfo info = RequireOk(bench.pool().Card(plugged.card->serial()));
  REQUIRE(info.slots.size() == 1);
  CHECK(info.slots[0].certificate_der == root.certificate.der);
}

TEST_CASE("the pool survives that pcscd is restarted under load") {
  Plugged plugged(0);
  GenerateOn(plugged.card.get(), piv::kAuthentication, {});
  PcscBench bench;
  bench.options.configured_pin = [](uint32_t) { return Secret(kFactoryPin); };
  bench.Plug(&plugged);
  std::atomic<bool> stop{false};
  std::atomic<int> good{0}, odd{0};
  std::vector<std::thread> load;
  for (int i = 0; i < 3; ++i) {
    load.emplace_back([&] {
      while (!stop) {
        const auto result = bench.Sign(SlotName(*plugged.card, "9a"), kDigest).get();
        if (result.ok()) {
          ++good;
        } else if (!absl::IsUnavailable(result.status()) && !absl::IsNotFound(result.status())) {
          ++odd;
        }
      }
    });
  }
  for (int i = 0; i < 2; ++i) {
    const int before = good;
    CHECK(Eventually([&] { return good > before + 10; }));
    RequireOk(Daemon().Restart());
  }
  const int before = good;
  CHECK(Eventually([&] { return good > before + 10; }));
  stop = true;
  for (std::thread& thread : load) thread.join();
  CHECK(odd == 0);
  CHECK(plugged.card->pin_tries() == 3);
  bench.StopPool();
}

}  // namespace
}  // namespace countersign::yubikey
