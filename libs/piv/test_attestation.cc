#include "libs/piv/test_attestation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/der.h"
#include "libs/pki/extensions.h"
#include "libs/pki/oid.h"
#include "libs/pki/signature.h"
#include "libs/testing/matchers.h"

namespace countersign::piv {
namespace {

using ::countersign::testing::RequireOk;

std::string Oid(int last) {
  return RequireOk(pki::ParseOid(absl::StrCat("1.3.6.1.4.1.41482.3.", last)));
}

std::string Byte(uint8_t value) { return std::string(1, static_cast<char>(value)); }

}  // namespace

Attestation TestFacts(const crypto::PublicKey& key) {
  Attestation facts;
  facts.spki_der = key.spki_der();
  facts.slot = kSignature;
  facts.firmware = {5, 4, 3};
  facts.serial = 12345678;
  facts.pin_policy = PinPolicy::kAlways;
  facts.touch_policy = TouchPolicy::kCached;
  facts.form_factor = FormFactor::kUsbCNano;
  return facts;
}

pki::CertificateTemplate TestCardTemplate() {
  pki::CertificateTemplate what = pki::TestCaTemplate("CN=Yubico PIV Attestation");
  what.basic_constraints = pki::BasicConstraints{.ca = true, .path_length = 0};
  what.key_usage = 0;
  return what;
}

TestChain MakeTestChain(const Attestation& facts) {
  pki::TestIdentity root =
      pki::MakeTestRoot(crypto::Algorithm::kRsaPkcs1_2048Sha256, "CN=Test PIV Root");
  pki::TestIdentity card =
      pki::IssueTest(root, TestCardTemplate(), crypto::Algorithm::kRsaPkcs1_2048Sha256);
  std::string attestation = MakeAttestation(card, facts);
  return {std::move(root), std::move(card), std::move(attestation)};
}

std::string WithExtension(absl::string_view tbs, absl::string_view oid, absl::string_view value) {
  pki::DerReader outer(tbs);
  pki::DerReader fields;
  REQUIRE(outer.Read(pki::kSequence, &fields));
  pki::DerWriter out;
  const size_t sequence = out.Begin(pki::kSequence);
  uint8_t tag;
  absl::string_view contents;
  absl::string_view element;
  bool added = false;
  while (fields.ReadAny(&tag, &contents, &element)) {
    if (tag != pki::ContextConstructed(3)) {
      out.AddRaw(element);
      continue;
    }
    pki::DerReader explicit_list(contents);
    absl::string_view list;
    REQUIRE(explicit_list.Read(pki::kSequence, &list));
    const size_t context = out.Begin(pki::ContextConstructed(3));
    const size_t extensions = out.Begin(pki::kSequence);
    out.AddRaw(list);
    {
      pki::ExtensionWriter extension(oid, /*critical=*/false, &out);
      out.AddRaw(value);
    }
    out.End(extensions);
    out.End(context);
    added = true;
  }
  REQUIRE(added);
  out.End(sequence);
  return out.Take();
}

std::string MakeAttestation(const pki::TestIdentity& issuer, const Attestation& facts) {
  pki::CertificateTemplate what = pki::TestLeafTemplate("unused.example");
  what.subject_der = pki::EncodeName(RequireOk(
      pki::ParseNameText(absl::StrCat("CN=YubiKey PIV Attestation ", SlotName(facts.slot)))));
  what.extended_key_usage.clear();
  what.subject_alt_names.clear();
  what.signature_algorithm = issuer.key.algorithm();
  what.issuer_der = issuer.certificate.subject_der;
  what.spki_der = facts.spki_der;
  std::string tbs = pki::BuildTbsCertificate(what);
  const auto add = [&](int last, absl::string_view value) {
    tbs = WithExtension(tbs, Oid(last), value);
  };
  add(3, absl::StrCat(Byte(facts.firmware.major), Byte(facts.firmware.minor),
                      Byte(facts.firmware.patch)));
  if (facts.serial != 0) {
    pki::DerWriter serial;
    serial.AddInt64(facts.serial);
    add(7, serial.der());
  }
  add(8, absl::StrCat(Byte(static_cast<uint8_t>(facts.pin_policy)),
                      Byte(static_cast<uint8_t>(facts.touch_policy))));
  if (facts.form_factor != FormFactor::kUnknown) {
    add(9, Byte(static_cast<uint8_t>(facts.form_factor)));
  }
  if (facts.fips) add(10, "");
  if (facts.cspn) add(11, "");
  return RequireOk(pki::SignAndAssemble(tbs, issuer.key));
}

}  // namespace countersign::piv
