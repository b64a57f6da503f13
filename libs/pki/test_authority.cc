#include "libs/pki/test_authority.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/pki/name.h"
#include "libs/pki/oid.h"
#include "libs/pki/signature.h"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using ::countersign::testing::RequireOk;

// From an hour ago for a day, in whole seconds.
CertificateTemplate Template(absl::string_view subject) {
  CertificateTemplate what;
  what.serial = RandomSerial();
  what.subject_der = EncodeName(RequireOk(ParseNameText(subject)));
  const absl::Time now = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  what.not_before = now - absl::Hours(1);
  what.not_after = now + absl::Hours(23);
  return what;
}

Certificate Sign(const CertificateTemplate& what, const crypto::PrivateKey& key) {
  return RequireOk(ParseCertificate(RequireOk(SignAndAssemble(BuildTbsCertificate(what), key))));
}

}  // namespace

CertificateTemplate TestCaTemplate(absl::string_view subject) {
  CertificateTemplate what = Template(subject);
  what.basic_constraints = BasicConstraints{.ca = true};
  what.key_usage = kKeyCertSign | kCrlSign | kDigitalSignature;
  return what;
}

CertificateTemplate TestLeafTemplate(absl::string_view host) {
  CertificateTemplate what = Template(absl::StrCat("CN=", host));
  what.key_usage = kDigitalSignature;
  what.extended_key_usage = {std::string(kOidServerAuth)};
  what.subject_alt_names = {{GeneralName::Kind::kDns, std::string(host)}};
  return what;
}

CertificateTemplate TestOcspSignerTemplate(absl::string_view subject) {
  CertificateTemplate what = Template(subject);
  what.key_usage = kDigitalSignature;
  what.extended_key_usage = {std::string(kOidOcspSigning)};
  what.ocsp_no_check = true;
  return what;
}

TestIdentity MakeTestRoot(crypto::Algorithm algorithm, absl::string_view subject) {
  crypto::PrivateKey key = RequireOk(crypto::PrivateKey::Generate(algorithm));
  CertificateTemplate what = TestCaTemplate(subject);
  what.not_before -= absl::Hours(1);
  what.not_after += absl::Hours(1);
  what.signature_algorithm = algorithm;
  what.issuer_der = what.subject_der;
  what.spki_der = key.public_key().spki_der();
  what.subject_key_id = KeyIdentifier(what.spki_der);
  Certificate certificate = Sign(what, key);
  return {std::move(key), std::move(certificate)};
}

TestIdentity IssueTest(const TestIdentity& issuer, CertificateTemplate what,
                       crypto::Algorithm algorithm) {
  crypto::PrivateKey key = RequireOk(crypto::PrivateKey::Generate(algorithm));
  what.signature_algorithm = issuer.key.algorithm();
  what.issuer_der = issuer.certificate.subject_der;
  what.spki_der = key.public_key().spki_der();
  what.subject_key_id = KeyIdentifier(what.spki_der);
  what.authority_key_id = issuer.certificate.extensions.subject_key_id;
  Certificate certificate = Sign(what, issuer.key);
  return {std::move(key), std::move(certificate)};
}

}  // namespace countersign::pki
