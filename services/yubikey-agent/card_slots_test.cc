#include <future>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/crypto/private_key.h"
#include "libs/piv/test_attestation.h"
#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/path.h"
#include "libs/pki/pem.h"
#include "libs/pki/signature.h"
#include "libs/pki/test_authority.h"
#include "libs/testing/command.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/yubikey-agent/service_bench.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::Eventually;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::RunCommand;
using countersign::testing::StatusIs;
using Cards = v1::CardService::Stub;

constexpr uint32_t kSerial = 7;
constexpr char kSlot[] = "cards/7/slots/9a";

const auto kInvalid = StatusIs(absl::StatusCode::kInvalidArgument);
const auto kPrecondition = StatusIs(absl::StatusCode::kFailedPrecondition);
const auto kNotFound = StatusIs(absl::StatusCode::kNotFound);

crypto::PrivateKey NewKey(crypto::Algorithm algorithm) {
  return RequireOk(crypto::PrivateKey::Generate(algorithm));
}

v1::ImportKeyRequest Import(const std::string& slot, const crypto::PrivateKey& key) {
  auto request = Named<v1::ImportKeyRequest>(slot);
  const crypto::SecretBytes pkcs8 = RequireOk(key.ToPkcs8());
  request.set_private_key(std::string(pkcs8.Expose(crypto::SecretAccess::Grant())));
  request.set_pin_policy(v1::PIN_POLICY_NEVER);
  return request;
}

// A certificate of this key by some authority.
std::string CertificateOf(const std::string& spki) {
  static const auto& root =
      *new pki::TestIdentity(pki::MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256));
  pki::CertificateTemplate what = pki::TestLeafTemplate("example.com");
  what.serial = pki::RandomSerial();
  what.issuer_der = root.certificate.subject_der;
  what.spki_der = spki;
  return RequireOk(pki::SignAndAssemble(pki::BuildTbsCertificate(what), root.key));
}

v1::WriteCertificateRequest Write(const std::string& slot, const std::string& certificate) {
  auto request = Named<v1::WriteCertificateRequest>(slot);
  request.set_certificate(certificate);
  return request;
}

TEST_CASE("a key is made in an empty slot, and in one in use when that may be lost") {
  ServiceBench agent;
  agent.Insert(kSerial);
  agent.Insert(57, {5, 7, 1});
  const v1::Slot first = RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  RequireOk(agent.Call(&Cards::WriteCertificate, Write(kSlot, CertificateOf(first.spki()))));
  const auto refused = agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256).status();
  CHECK_THAT(refused, kPrecondition);
  CHECK(ReasonOf(refused) == "SLOT_IN_USE");
  const auto import_refused =
      agent.Call(&Cards::ImportKey, Import(kSlot, NewKey(crypto::Algorithm::kEcdsaP256Sha256)))
          .status();
  CHECK(ReasonOf(import_refused) == "SLOT_IN_USE");

  auto request = Named<v1::GenerateKeyRequest>(kSlot);
  request.set_algorithm(v1::ALGORITHM_RSA_PSS_2048_SHA256);
  request.set_replace(true);
  const v1::Slot second = RequireOk(agent.Call(&Cards::GenerateKey, request)).slot();
  CHECK(second.algorithm() == v1::ALGORITHM_RSA_PKCS1_2048_SHA256);
  CHECK(second.pin_policy() == v1::PIN_POLICY_ONCE);
  CHECK(second.touch_policy() == v1::TOUCH_POLICY_NEVER);
  // The certificate was of the key that is gone.
  CHECK(second.certificate().empty());

  CHECK(FieldOf(agent.Generate(kSlot, v1::ALGORITHM_UNSPECIFIED).status()) == "algorithm");
  CHECK(FieldOf(agent.Generate(kSlot, v1::ALGORITHM_HPKE_X25519).status()) == "algorithm");
  CHECK_THAT(agent.Generate("cards/7/slots/9c", v1::ALGORITHM_ED25519),
             StatusIs(absl::StatusCode::kUnimplemented, "5.7"));
  CHECK(RequireOk(agent.Generate("cards/57/slots/9c", v1::ALGORITHM_ED25519)).algorithm() ==
        v1::ALGORITHM_ED25519);
  request.set_pin_policy(static_cast<v1::PinPolicy>(9));
  CHECK(FieldOf(agent.Call(&Cards::GenerateKey, request).status()) == "pin_policy");
}

TEST_CASE("of two calls that want an empty slot at once, one gets it and no key is lost") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial);
  Gate gate;
  agent.bench.readers.SetHook(gate.Hook(piv::kGenerateAsymmetric));
  const auto generate = [&] { return agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256); };
  auto first = std::async(std::launch::async, generate);
  REQUIRE(gate.WaitForHeld(1));
  auto second = std::async(std::launch::async, generate);
  REQUIRE(Eventually([&] { return RequireOk(agent.bench.pool().Card(kSerial)).queued == 2; }));
  gate.Open();
  const v1::Slot made = RequireOk(first.get());
  const auto refused = second.get().status();
  CHECK(ReasonOf(refused) == "SLOT_IN_USE");
  CHECK(card->commands(piv::kGenerateAsymmetric) == 1);
  CHECK(RequireOk(agent.Call(&Cards::GetSlot, Named<v1::GetSlotRequest>(kSlot))).slot().spki() ==
        made.spki());
}

TEST_CASE("a certificate that waited while its key was replaced is not written") {
  ServiceBench agent;
  agent.Insert(kSerial);
  const v1::Slot old = RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  Gate gate;
  agent.bench.readers.SetHook(gate.Hook(piv::kGenerateAsymmetric));
  auto replaced = std::async(std::launch::async, [&] {
    auto request = Named<v1::GenerateKeyRequest>(kSlot);
    request.set_algorithm(v1::ALGORITHM_ECDSA_P256_SHA256);
    request.set_replace(true);
    return agent.Call(&Cards::GenerateKey, request);
  });
  REQUIRE(gate.WaitForHeld(1));
  auto written = std::async(std::launch::async, [&] {
    return agent.Call(&Cards::WriteCertificate, Write(kSlot, CertificateOf(old.spki())));
  });
  REQUIRE(Eventually([&] { return RequireOk(agent.bench.pool().Card(kSerial)).queued == 2; }));
  gate.Open();
  const v1::Slot slot = RequireOk(replaced.get()).slot();
  CHECK(ReasonOf(written.get().status()) == "WRONG_KEY");
  const auto now = RequireOk(agent.Call(&Cards::GetSlot, Named<v1::GetSlotRequest>(kSlot)));
  CHECK(now.slot().spki() == slot.spki());
  CHECK(now.slot().certificate().empty());
}

TEST_CASE("keys of each kind are imported, and garbage is not") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial, {5, 7, 1});
  struct Kind {
    crypto::Algorithm algorithm;
    std::string slot;
    v1::Algorithm answered;
  };
  for (const Kind& kind : std::vector<Kind>{
           {crypto::Algorithm::kEcdsaP256Sha256, "82", v1::ALGORITHM_ECDSA_P256_SHA256},
           {crypto::Algorithm::kEcdsaP384Sha384, "83", v1::ALGORITHM_ECDSA_P384_SHA384},
           {crypto::Algorithm::kRsaPkcs1_2048Sha256, "84", v1::ALGORITHM_RSA_PKCS1_2048_SHA256},
           {crypto::Algorithm::kEd25519, "85", v1::ALGORITHM_ED25519}}) {
    const crypto::PrivateKey key = NewKey(kind.algorithm);
    const std::string name = "cards/7/slots/" + kind.slot;
    const v1::Slot slot = RequireOk(agent.Call(&Cards::ImportKey, Import(name, key))).slot();
    CHECK(slot.algorithm() == kind.answered);
    CHECK(slot.origin() == v1::KEY_ORIGIN_IMPORTED);
    CHECK(slot.spki() == key.public_key().spki_der());
    const auto attested = agent.Call(&Cards::AttestKey, Named<v1::AttestKeyRequest>(name)).status();
    CHECK_THAT(attested, kPrecondition);
    CHECK(ReasonOf(attested) == "NOT_ATTESTABLE");
  }
  const uint64_t imports = card->commands(piv::kImportKey);
  v1::ImportKeyRequest request = Import(kSlot, NewKey(crypto::Algorithm::kEcdsaP256Sha256));
  const std::string good = request.private_key();
  for (const std::string& bad :
       {std::string(), std::string("garbage"), good.substr(0, good.size() - 1), good + "x"}) {
    request.set_private_key(bad);
    const auto status = agent.Call(&Cards::ImportKey, request).status();
    CHECK_THAT(status, kInvalid);
    CHECK(FieldOf(status) == "private_key");
  }
  const auto too_long =
      agent.Call(&Cards::ImportKey, Import(kSlot, NewKey(crypto::Algorithm::kRsaPkcs1_3072Sha256)))
          .status();
  CHECK(FieldOf(too_long) == "private_key");
  CHECK(card->commands(piv::kImportKey) == imports);
}

TEST_CASE("a generated key is attested, and a forged attestation is told from it") {
  ServiceBench agent;
  agent.Insert(kSerial);
  const v1::Slot slot = RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  const auto attested =
      RequireOk(agent.Call(&Cards::AttestKey, Named<v1::AttestKeyRequest>(kSlot)));
  v1::VerifyAttestationRequest request;
  request.set_certificate(attested.certificate());
  request.add_intermediates(attested.card_certificate());
  const auto verify = [&] {
    return RequireOk(agent.CallAs("", agent.cards.get(), &Cards::VerifyAttestation, request));
  };
  for (const bool own_root : {false, true}) {
    if (own_root) request.add_roots(Card::AttestationRoot());
    const auto verified = verify();
    CHECK(verified.verified());
    CHECK(verified.detail().empty());
    CHECK(verified.facts().spki() == slot.spki());
    CHECK(verified.facts().serial_number() == kSerial);
    CHECK(verified.facts().firmware_version() == "5.4.3");
    CHECK(verified.facts().slot() == "9a");
    CHECK(verified.facts().pin_policy() == v1::PIN_POLICY_NEVER);
    CHECK(verified.facts().touch_policy() == v1::TOUCH_POLICY_NEVER);
    CHECK(attested.facts().spki() == slot.spki());
  }

  // Another's chain, which says what it likes.
  const piv::TestChain forged =
      piv::MakeTestChain(piv::TestFacts(RequireOk(crypto::PublicKey::FromSpkiDer(slot.spki()))));
  request.Clear();
  request.set_certificate(forged.attestation);
  request.add_intermediates(forged.card.certificate.der);
  auto answer = verify();
  CHECK(!answer.verified());
  CHECK(!answer.detail().empty());
  CHECK(answer.facts().spki() == slot.spki());
  request.add_intermediates(attested.card_certificate());
  CHECK(!verify().verified());
  request.add_roots(forged.root.certificate.der);
  CHECK(verify().verified());
  request.set_certificate("garbage");
  answer = verify();
  CHECK(!answer.verified());
  CHECK(!answer.has_facts());

  for (int i = 0; i < 8; ++i) request.add_intermediates("x");
  CHECK(FieldOf(agent.Call(&Cards::VerifyAttestation, request).status()) == "intermediates");
  for (int i = 0; i < 32; ++i) request.add_roots("x");
  CHECK(FieldOf(agent.Call(&Cards::VerifyAttestation, request).status()) == "roots");
}

TEST_CASE("a certificate is written when it is of the slot's key, and deleted") {
  ServiceBench agent;
  agent.Insert(kSerial);
  CHECK_THAT(
      agent.Call(
          &Cards::WriteCertificate,
          Write(kSlot, CertificateOf(
                           NewKey(crypto::Algorithm::kEcdsaP256Sha256).public_key().spki_der()))),
      kNotFound);
  const v1::Slot slot = RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  const std::string certificate = CertificateOf(slot.spki());
  CHECK(RequireOk(agent.Call(&Cards::WriteCertificate, Write(kSlot, certificate)))
            .slot()
            .certificate() == certificate);
  const std::string others =
      CertificateOf(NewKey(crypto::Algorithm::kEcdsaP256Sha256).public_key().spki_der());
  const auto wrong = agent.Call(&Cards::WriteCertificate, Write(kSlot, others)).status();
  CHECK_THAT(wrong, kPrecondition);
  CHECK(ReasonOf(wrong) == "WRONG_KEY");
  const auto garbage = agent.Call(&Cards::WriteCertificate, Write(kSlot, "garbage")).status();
  CHECK(FieldOf(garbage) == "certificate");
  CHECK(RequireOk(agent.Call(&Cards::GetSlot, Named<v1::GetSlotRequest>(kSlot)))
            .slot()
            .certificate() == certificate);
  for (int i = 0; i < 2; ++i) {
    CHECK_THAT(agent.Call(&Cards::DeleteCertificate, Named<v1::DeleteCertificateRequest>(kSlot)),
               IsOk());
    CHECK(RequireOk(agent.Call(&Cards::GetSlot, Named<v1::GetSlotRequest>(kSlot)))
              .slot()
              .certificate()
              .empty());
  }
}

TEST_CASE("a self-signed certificate is an authority's, as other programs see it too") {
  ServiceBench agent;
  agent.Insert(kSerial, {5, 7, 1});
  testing::TempDir dir;
  for (const v1::Algorithm algorithm :
       {v1::ALGORITHM_ECDSA_P256_SHA256, v1::ALGORITHM_ECDSA_P384_SHA384,
        v1::ALGORITHM_RSA_PKCS1_2048_SHA256, v1::ALGORITHM_ED25519}) {
    INFO(v1::Algorithm_Name(algorithm));
    const std::string name = absl::StrCat("cards/7/slots/", 82 + static_cast<int>(algorithm));
    const v1::Slot made = RequireOk(agent.Generate(name, algorithm));
    auto request = Named<v1::SelfSignCertificateRequest>(name);
    request.set_subject("CN=Release signing,O=Example");
    request.mutable_validity()->set_seconds(86400);
    const v1::Slot slot = RequireOk(agent.Call(&Cards::SelfSignCertificate, request)).slot();
    CHECK(slot.spki() == made.spki());
    const auto certificate = RequireOk(pki::ParseCertificate(slot.certificate()));
    CHECK(certificate.spki_der == made.spki());
    CHECK(certificate.not_after - certificate.not_before == absl::Hours(24) + absl::Minutes(5));
    REQUIRE(certificate.extensions.basic_constraints.has_value());
    CHECK(certificate.extensions.basic_constraints->ca);
    CHECK(certificate.extensions.basic_constraints->path_length == 0);
    CHECK_THAT(pki::CheckPath({certificate, certificate}, absl::Now()), IsOk());
    const std::string file = dir.path() + "/authority.pem";
    RequireOk(base::WriteFileDurably(file, pki::FormatPem("CERTIFICATE", slot.certificate())));
    const auto judged =
        RunCommand("openssl verify -x509_strict -check_ss_sig -CAfile " + file + " " + file);
    INFO(judged.output);
    CHECK(judged.exit_code == 0);
  }
  auto request = Named<v1::SelfSignCertificateRequest>("cards/7/slots/85");
  const auto field = [&] {
    return FieldOf(agent.Call(&Cards::SelfSignCertificate, request).status());
  };
  CHECK(field() == "subject");
  request.set_subject("nonsense");
  CHECK(field() == "subject");
  request.set_subject("CN=x");
  request.mutable_validity()->set_seconds(-1);
  CHECK(field() == "validity");
  request.mutable_validity()->set_seconds(int64_t{7306} * 86400);
  CHECK(field() == "validity");
}

TEST_CASE("a key made on a card that does not tell of its keys is answered all the same") {
  ServiceBench agent;
  agent.Insert(kSerial, {4, 3, 5});
  const v1::Slot made = RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  CHECK(made.name() == kSlot);
  CHECK(made.algorithm() == v1::ALGORITHM_ECDSA_P256_SHA256);
  CHECK_THAT(crypto::PublicKey::FromSpkiDer(made.spki()), IsOk());
  CHECK_THAT(agent.Call(&Cards::GetSlot, Named<v1::GetSlotRequest>(kSlot)), kNotFound);
  const v1::Slot with =
      RequireOk(agent.Call(&Cards::WriteCertificate, Write(kSlot, CertificateOf(made.spki()))))
          .slot();
  CHECK(with.spki() == made.spki());
  const auto imported = RequireOk(agent.Call(
      &Cards::ImportKey, Import("cards/7/slots/9d", NewKey(crypto::Algorithm::kEcdsaP384Sha384))));
  CHECK(imported.slot().name() == "cards/7/slots/9d");
  CHECK(imported.slot().algorithm() == v1::ALGORITHM_ECDSA_P384_SHA384);
}

}  // namespace
}  // namespace countersign::yubikey
