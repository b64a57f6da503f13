#include "services/yubikey-agent/sub_keys.h"

#include <atomic>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/crypto/hpke.h"
#include "libs/pki/certificate.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/metrics.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "services/yubikey-agent/sub_keys_testing.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::Eventually;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;

constexpr auto kMessage = SubKeys::Use::kSignMessage;

std::string ReasonOf(const absl::Status& status) {
  INFO(status.ToString());
  return runtime::ReasonOf(status).value_or("");
}

// Why a use is refused; empty when it is not.
std::string Refusal(SubKeys* sub_keys, const std::string& id, int64_t count = 1) {
  return ReasonOf(sub_keys->Take(id, kMessage, count).status());
}

absl::StatusOr<SubKeyInfo> Revoke(SubKeys* sub_keys, const std::string& id) {
  std::optional<absl::StatusOr<SubKeyInfo>> result;
  sub_keys->Revoke(id, absl::InfiniteFuture(),
                   [&](absl::StatusOr<SubKeyInfo> info) { result = std::move(info); });
  REQUIRE(result.has_value());
  return *std::move(result);
}

SubKeySpec AuthoritySpec(const std::string& id) {
  SubKeySpec spec = SubKeyWorld::Spec(id);
  spec.card_key.clear();
  spec.authority = kTestAuthority;
  return spec;
}

TEST_CASE("a sub-key signs what its certificate verifies") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  const SubKeyInfo made = RequireOk(world.Create(sub_keys.get(), SubKeyWorld::Spec("ci")));
  CHECK(made.generation == 1);
  const auto generation = RequireOk(sub_keys->Take("ci", kMessage, 1));
  const std::string signature = RequireOk(generation->key().SignMessage("message"));
  const auto certificate = RequireOk(pki::ParseCertificate(made.certificates.chain.at(0)));
  CHECK(RequireOk(RequireOk(certificate.Key())
                      .VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, "message", signature)));
  CHECK(RequireOk(sub_keys->Get("ci")).uses == 1);
  CHECK(world.card.signatures() == 1);
  CHECK_THAT(sub_keys->Take("other", kMessage, 1), StatusIs(absl::StatusCode::kNotFound, "other"));
}

TEST_CASE("sub-keys are listed in order, one of an id, and no more than fit") {
  SubKeyWorld world;
  SubKeys sub_keys({.issuer = &world.issuer,
                    .capacity = 2,
                    .upkeep_interval = absl::InfiniteDuration(),
                    .clock = &world.clock});
  RequireOk(world.Create(&sub_keys, SubKeyWorld::Spec("b")));
  CHECK_THAT(world.Create(&sub_keys, SubKeyWorld::Spec("b")),
             StatusIs(absl::StatusCode::kAlreadyExists));
  RequireOk(world.Create(&sub_keys, SubKeyWorld::Spec("a")));
  CHECK_THAT(world.Create(&sub_keys, SubKeyWorld::Spec("c")),
             StatusIs(absl::StatusCode::kResourceExhausted));
  const std::vector<SubKeyInfo> list = sub_keys.List();
  REQUIRE(list.size() == 2);
  CHECK(list[0].spec.id == "a");
  CHECK(list[1].spec.id == "b");
  // What is of no use any more makes room.
  RequireOk(Revoke(&sub_keys, "a"));
  CHECK_THAT(world.Create(&sub_keys, SubKeyWorld::Spec("c")), IsOk());
  world.clock.Advance(absl::Hours(2));
  CHECK_THAT(world.Create(&sub_keys, SubKeyWorld::Spec("d")), IsOk());
  CHECK_THAT(world.Create(&sub_keys, SubKeyWorld::Spec("e")), IsOk());
}

TEST_CASE("of two of one id made at once, one is; a failure leaves the id free") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  world.card.Hold();
  std::optional<absl::StatusOr<SubKeyInfo>> first;
  sub_keys->Create(SubKeyWorld::Spec("ci"), absl::InfiniteFuture(),
                   [&](absl::StatusOr<SubKeyInfo> info) { first = std::move(info); });
  CHECK_FALSE(first.has_value());
  CHECK_THAT(world.Create(sub_keys.get(), SubKeyWorld::Spec("ci")),
             StatusIs(absl::StatusCode::kAlreadyExists));
  CHECK_THAT(sub_keys->Get("ci"), StatusIs(absl::StatusCode::kNotFound));
  CHECK_THAT(sub_keys->Take("ci", kMessage, 1), StatusIs(absl::StatusCode::kNotFound));
  world.card.Fail(absl::UnavailableError("the card was pulled"));
  world.card.Release();
  CHECK_THAT(*first, StatusIs(absl::StatusCode::kUnavailable, "pulled"));
  world.card.Fail(absl::OkStatus());
  CHECK_THAT(world.Create(sub_keys.get(), SubKeyWorld::Spec("ci")), IsOk());
}

TEST_CASE("what a sub-key may be has limits") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  const auto refused = [&](const std::function<void(SubKeySpec*)>& change,
                           const std::string& field) {
    SubKeySpec spec = SubKeyWorld::Spec("ci");
    change(&spec);
    CHECK_THAT(world.Create(sub_keys.get(), spec),
               StatusIs(absl::StatusCode::kInvalidArgument, field));
  };
  refused([](auto* s) { s->id = "CI"; }, "sub_key_id");
  refused([](auto* s) { s->id = "1a"; }, "sub_key_id");
  refused([](auto* s) { s->id = std::string(64, 'a'); }, "sub_key_id");
  refused([](auto* s) { s->card_key.clear(); }, "authority");
  refused([](auto* s) { s->authority = kTestAuthority; }, "authority");
  refused([](auto* s) { s->algorithm = crypto::Algorithm::kEcdsaP384Sha384; }, "algorithm");
  refused([](auto* s) { s->common_name = std::string(65, 'a'); }, "common_name");
  refused([](auto* s) { s->lifetime = absl::Seconds(59); }, "lifetime_seconds");
  refused([](auto* s) { s->lifetime = absl::Hours(24) + absl::Seconds(1); }, "lifetime_seconds");
  refused([](auto* s) { s->max_uses = -1; }, "max_uses");
  refused([](auto* s) { s->log_certificates = true; }, "log_certificates");
  refused(
      [](auto* s) {
        *s = AuthoritySpec("ci");
        s->algorithm = crypto::Algorithm::kHpkeX25519;
      },
      "algorithm");
  CHECK(world.card.signatures() == 0);
}

TEST_CASE("a sub-key is used as its algorithm allows") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  SubKeySpec spec = SubKeyWorld::Spec("p256");
  RequireOk(world.Create(sub_keys.get(), spec));
  spec.id = "ed25519";
  spec.algorithm = crypto::Algorithm::kEd25519;
  RequireOk(world.Create(sub_keys.get(), spec));
  spec.id = "hpke";
  spec.algorithm = crypto::Algorithm::kHpkeX25519;
  RequireOk(world.Create(sub_keys.get(), spec));
  const auto reason = [&](const std::string& id, SubKeys::Use use) {
    return ReasonOf(sub_keys->Take(id, use, 1).status());
  };
  CHECK(reason("p256", SubKeys::Use::kSignMessage).empty());
  CHECK(reason("p256", SubKeys::Use::kSignDigest).empty());
  CHECK(reason("p256", SubKeys::Use::kDecrypt) == "WRONG_ALGORITHM");
  CHECK(reason("ed25519", SubKeys::Use::kSignMessage).empty());
  CHECK(reason("ed25519", SubKeys::Use::kSignDigest) == "WRONG_ALGORITHM");
  CHECK(reason("hpke", SubKeys::Use::kSignMessage) == "WRONG_ALGORITHM");
  CHECK(ReasonOf(sub_keys->Decrypt("p256", "", "", "", "").status()) == "WRONG_ALGORITHM");
}

TEST_CASE("a limit of uses is exact among eight threads") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.max_uses = 10'007;
  RequireOk(world.Create(sub_keys.get(), spec));
  std::atomic<int64_t> granted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      const int64_t count = t % 3 + 1;
      while (sub_keys->Take("ci", kMessage, count).ok()) granted += count;
      while (sub_keys->Take("ci", kMessage, 1).ok()) ++granted;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(granted == 10'007);
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_USED_UP");
  CHECK(RequireOk(sub_keys->Get("ci")).uses == 10'007);
}

TEST_CASE("what has too few uses left for all of a batch does none of it") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.max_uses = 10;
  RequireOk(world.Create(sub_keys.get(), spec));
  CHECK(Refusal(sub_keys.get(), "ci", 11) == "SUB_KEY_USED_UP");
  CHECK(Refusal(sub_keys.get(), "ci", 8).empty());
  CHECK(Refusal(sub_keys.get(), "ci", 3) == "SUB_KEY_USED_UP");
  CHECK(Refusal(sub_keys.get(), "ci", 2).empty());
}

TEST_CASE("a sub-key that does not renew itself ends with its certificate") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  RequireOk(world.Create(sub_keys.get(), SubKeyWorld::Spec("ci")));
  world.clock.Advance(absl::Hours(1));
  sub_keys->Upkeep();
  CHECK(Refusal(sub_keys.get(), "ci").empty());
  world.clock.Advance(absl::Seconds(1));
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_EXPIRED");
  sub_keys->Upkeep();
  CHECK(world.card.signatures() == 1);
  CHECK_THAT(sub_keys->Get("ci"), IsOk());
  world.clock.Advance(absl::Hours(1) + absl::Seconds(1));
  sub_keys->Upkeep();
  CHECK_THAT(sub_keys->Get("ci"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_CASE("a renewal comes when a third of the life is left, and the old key serves until then") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.renew = true;
  const SubKeyInfo first = RequireOk(world.Create(sub_keys.get(), spec));
  world.clock.Advance(absl::Minutes(40) - absl::Seconds(1));
  sub_keys->Upkeep();
  CHECK(RequireOk(sub_keys->Get("ci")).generation == 1);
  world.clock.Advance(absl::Seconds(1));
  world.card.Hold();
  sub_keys->Upkeep();
  sub_keys->Upkeep();
  CHECK(world.card.waiting() == 1);
  CHECK(RequireOk(sub_keys->Take("ci", kMessage, 1))->number() == 1);
  world.card.Release();
  const SubKeyInfo second = RequireOk(sub_keys->Get("ci"));
  CHECK(second.generation == 2);
  CHECK(second.uses == 0);
  CHECK(second.create_time == first.create_time);
  CHECK(second.certificates.not_after == world.clock.Now() + absl::Hours(1));
  const auto a = RequireOk(pki::ParseCertificate(first.certificates.chain[0]));
  const auto b = RequireOk(pki::ParseCertificate(second.certificates.chain[0]));
  CHECK(a.spki_der != b.spki_der);
  CHECK(RequireOk(sub_keys->Take("ci", kMessage, 1))->number() == 2);
}

TEST_CASE("a renewal comes when nine tenths of the uses are gone, by itself and at once") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys(absl::Hours(1));
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.renew = true;
  spec.max_uses = 100;
  RequireOk(world.Create(sub_keys.get(), spec));
  for (int i = 0; i < 89; ++i) REQUIRE(Refusal(sub_keys.get(), "ci").empty());
  CHECK(world.card.signatures() == 1);
  REQUIRE(Refusal(sub_keys.get(), "ci").empty());
  CHECK(Eventually([&] { return RequireOk(sub_keys->Get("ci")).generation == 2; }));
  CHECK(RequireOk(sub_keys->Get("ci")).uses == 0);
}

TEST_CASE("a renewal that fails is tried again, later each time, while the old key serves") {
  SubKeyWorld world;
  runtime::Metrics metrics;
  SubKeys sub_keys({.issuer = &world.issuer,
                    .upkeep_interval = absl::InfiniteDuration(),
                    .clock = &world.clock,
                    .metrics = &metrics});
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.renew = true;
  RequireOk(world.Create(&sub_keys, spec));
  world.card.Fail(absl::UnavailableError("no card"));
  world.clock.Advance(absl::Minutes(40));
  const auto failures = [&] {
    const std::string text = metrics.Expose();
    const std::string line = "countersign_yubikey_sub_key_certifications_total{result=\"failed\"} ";
    const size_t at = text.find(line);
    REQUIRE(at != std::string::npos);
    return std::stoi(text.substr(at + line.size()));
  };
  sub_keys.Upkeep();
  CHECK(failures() == 1);
  sub_keys.Upkeep();
  CHECK(failures() == 1);
  world.clock.Advance(absl::Seconds(1));
  sub_keys.Upkeep();
  CHECK(failures() == 2);
  world.clock.Advance(absl::Seconds(1));
  sub_keys.Upkeep();
  CHECK(failures() == 2);
  world.clock.Advance(absl::Seconds(1));
  sub_keys.Upkeep();
  CHECK(failures() == 3);
  CHECK(Refusal(&sub_keys, "ci").empty());
  // Until its end, and again once the card is back.
  world.clock.Advance(absl::Minutes(20));
  CHECK(Refusal(&sub_keys, "ci") == "SUB_KEY_EXPIRED");
  world.card.Fail(absl::OkStatus());
  sub_keys.Upkeep();
  CHECK(Refusal(&sub_keys, "ci").empty());
  CHECK(RequireOk(sub_keys.Get("ci")).generation == 2);
}

TEST_CASE("under an issuer that expires, renewals do not chase its end") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  world.card.SetCertificate(world.card.Certificate([&](pki::CertificateTemplate* what) {
    what->not_after = world.clock.Now() + absl::Minutes(30);
  }));
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.renew = true;
  RequireOk(world.Create(sub_keys.get(), spec));
  for (int second = 0; second < 30 * 60; ++second) {
    world.clock.Advance(absl::Seconds(1));
    sub_keys->Upkeep();
  }
  CHECK(RequireOk(sub_keys->Get("ci")).generation == 1);
  CHECK(Refusal(sub_keys.get(), "ci").empty());
  CHECK(world.card.signatures() < 30);
  // A new certificate in the slot is taken up.
  world.card.SetCertificate(world.card.Certificate([](pki::CertificateTemplate*) {}));
  world.clock.Advance(absl::Minutes(1));
  sub_keys->Upkeep();
  CHECK(RequireOk(sub_keys->Get("ci")).generation == 2);
}

TEST_CASE("a clock that jumps forth and back leaves a sub-key with a certificate that is valid") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.renew = true;
  RequireOk(world.Create(sub_keys.get(), spec));
  const absl::Time start = world.clock.Now();
  world.clock.Advance(absl::Hours(100));
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_EXPIRED");
  sub_keys->Upkeep();
  CHECK(Refusal(sub_keys.get(), "ci").empty());
  world.clock.Set(start);
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_EXPIRED");
  sub_keys->Upkeep();
  const SubKeyInfo now = RequireOk(sub_keys->Get("ci"));
  CHECK(now.generation == 3);
  CHECK(now.certificates.not_after == start + absl::Hours(1));
  CHECK(Refusal(sub_keys.get(), "ci").empty());
}

TEST_CASE("a revoked sub-key is of no use at once, and its certificates are revoked") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  SubKeySpec spec = AuthoritySpec("ci");
  spec.renew = true;
  RequireOk(world.Create(sub_keys.get(), spec));
  world.clock.Advance(absl::Minutes(45));
  sub_keys->Upkeep();
  REQUIRE(RequireOk(sub_keys->Get("ci")).generation == 2);
  const SubKeyInfo revoked = RequireOk(Revoke(sub_keys.get(), "ci"));
  CHECK(revoked.revoked);
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_REVOKED");
  REQUIRE(world.authority.names().size() == 2);
  for (const std::string& name : world.authority.names()) {
    CHECK(world.authority.Get(name) == SubKeyAuthority::State::kRevoked);
  }
  CHECK_THAT(Revoke(sub_keys.get(), "ci"), IsOk());
  world.clock.Advance(absl::Hours(1));
  sub_keys->Upkeep();
  CHECK(world.authority.names().size() == 2);
  CHECK_THAT(Revoke(sub_keys.get(), "other"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_CASE("a revocation that the sign service is not there for is told later") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  RequireOk(world.Create(sub_keys.get(), AuthoritySpec("ci")));
  const std::string name = world.authority.names().at(0);
  world.authority.Fail(absl::UnavailableError("down"));
  CHECK_THAT(Revoke(sub_keys.get(), "ci"), StatusIs(absl::StatusCode::kUnavailable, "down"));
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_REVOKED");
  sub_keys->Upkeep();
  CHECK(world.authority.Get(name) == SubKeyAuthority::State::kGood);
  world.authority.Fail(absl::OkStatus());
  world.clock.Advance(absl::Seconds(1));
  sub_keys->Upkeep();
  CHECK(world.authority.Get(name) == SubKeyAuthority::State::kRevoked);
}

TEST_CASE("a certificate that comes after the revocation is revoked as well") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  SubKeySpec spec = AuthoritySpec("ci");
  spec.renew = true;
  RequireOk(world.Create(sub_keys.get(), spec));
  world.clock.Advance(absl::Minutes(40));
  world.authority.Hold();
  sub_keys->Upkeep();
  RequireOk(Revoke(sub_keys.get(), "ci"));
  world.authority.Release();
  REQUIRE(world.authority.names().size() == 2);
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_REVOKED");
  sub_keys->Upkeep();
  for (const std::string& name : world.authority.names()) {
    CHECK(world.authority.Get(name) == SubKeyAuthority::State::kRevoked);
  }
}

TEST_CASE("what the inventory says of a certificate is looked up every minute") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  RequireOk(world.Create(sub_keys.get(), AuthoritySpec("ci")));
  const std::string name = world.authority.names().at(0);
  world.authority.Set(name, SubKeyAuthority::State::kOnHold);
  world.clock.Advance(absl::Seconds(59));
  sub_keys->Upkeep();
  CHECK(Refusal(sub_keys.get(), "ci").empty());
  world.clock.Advance(absl::Seconds(1));
  sub_keys->Upkeep();
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_REVOKED");
  CHECK_FALSE(RequireOk(sub_keys->Get("ci")).revoked);

  // The last answer holds while there is no new one.
  world.authority.Set(name, SubKeyAuthority::State::kGood);
  world.authority.Fail(absl::UnavailableError("down"));
  world.clock.Advance(absl::Minutes(1));
  sub_keys->Upkeep();
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_REVOKED");
  world.authority.Fail(absl::OkStatus());
  world.clock.Advance(absl::Minutes(1));
  sub_keys->Upkeep();
  CHECK(Refusal(sub_keys.get(), "ci").empty());

  world.authority.Set(name, SubKeyAuthority::State::kRevoked);
  world.clock.Advance(absl::Minutes(1));
  sub_keys->Upkeep();
  CHECK(Refusal(sub_keys.get(), "ci") == "SUB_KEY_REVOKED");
  CHECK(RequireOk(sub_keys->Get("ci")).revoked);
}

TEST_CASE("what was encrypted to a generation opens until that has expired") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys();
  SubKeySpec spec = SubKeyWorld::Spec("hpke");
  spec.algorithm = crypto::Algorithm::kHpkeX25519;
  spec.renew = true;
  const SubKeyInfo first = RequireOk(world.Create(sub_keys.get(), spec));
  const auto seal = [](const SubKeyInfo& to) {
    const auto certificate = RequireOk(pki::ParseCertificate(to.certificates.chain[0]));
    return RequireOk(crypto::HpkeSeal(RequireOk(certificate.Key()), "info", "aad", "secret"));
  };
  const crypto::HpkeCiphertext old = seal(first);
  const auto open = [&](const crypto::HpkeCiphertext& sealed, absl::string_view aad = "aad") {
    return sub_keys->Decrypt("hpke", sealed.enc, "info", aad, sealed.ciphertext);
  };
  CHECK(RequireOk(open(old)) == "secret");
  world.clock.Advance(absl::Minutes(45));
  sub_keys->Upkeep();
  const SubKeyInfo second = RequireOk(sub_keys->Get("hpke"));
  REQUIRE(second.generation == 2);
  CHECK(RequireOk(open(seal(second))) == "secret");
  CHECK(RequireOk(open(old)) == "secret");
  CHECK(ReasonOf(open(old, "another").status()) == "DECRYPTION_FAILED");
  CHECK(RequireOk(sub_keys->Get("hpke")).uses == 1);
  world.clock.Advance(absl::Minutes(15) + absl::Seconds(1));
  CHECK(ReasonOf(open(old).status()) == "DECRYPTION_FAILED");
  sub_keys->Upkeep();
  CHECK(RequireOk(open(seal(second))) == "secret");
  RequireOk(Revoke(sub_keys.get(), "hpke"));
  CHECK(ReasonOf(open(seal(second)).status()) == "SUB_KEY_REVOKED");
}

TEST_CASE("uses go on while sub-keys are renewed, revoked and made") {
  SubKeyWorld world;
  const auto sub_keys = world.MakeSubKeys(absl::Milliseconds(1));
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.renew = true;
  spec.max_uses = 1000;
  RequireOk(world.Create(sub_keys.get(), spec));
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!stop) {
        const auto generation = sub_keys->Take("ci", kMessage, 1);
        if (generation.ok()) {
          if (!(*generation)->key().SignMessage("message").ok()) ++wrong;
        } else if (runtime::ReasonOf(generation.status()) != "SUB_KEY_USED_UP") {
          ++wrong;
        }
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    const std::string id = absl::StrCat("other-", i);
    RequireOk(world.Create(sub_keys.get(), i % 2 == 0 ? AuthoritySpec(id) : SubKeyWorld::Spec(id)));
    RequireOk(Revoke(sub_keys.get(), id));
    world.clock.Advance(absl::Seconds(1));
  }
  CHECK(Eventually([&] { return RequireOk(sub_keys->Get("ci")).generation >= 4; }));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace countersign::yubikey
