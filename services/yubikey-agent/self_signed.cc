#include "services/yubikey-agent/self_signed.h"

#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"
#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/name.h"
#include "libs/pki/signature.h"
#include "libs/runtime/field_error.h"
#include "services/yubikey-agent/conversions.h"

namespace countersign::yubikey {
namespace {

constexpr absl::Duration kUsualValidity = absl::Hours(24 * 365);
constexpr absl::Duration kLongestValidity = absl::Hours(24 * 7305);
// For verifiers whose clocks are behind.
constexpr absl::Duration kBackdated = absl::Minutes(5);

}  // namespace

absl::StatusOr<SelfSigned> DraftSelfSigned(const v1::SelfSignCertificateRequest& request,
                                           const piv::SlotMetadata& key, absl::Time now) {
  const absl::StatusOr<pki::Name> subject = pki::ParseNameText(request.subject());
  if (!subject.ok()) return runtime::FieldError("subject", subject.status().message());
  if (subject->empty()) return runtime::FieldError("subject", "required");
  absl::Duration validity = kUsualValidity;
  if (request.has_validity()) {
    validity = absl::Seconds(request.validity().seconds());
    if (validity <= absl::ZeroDuration() || validity > kLongestValidity) {
      return runtime::FieldError("validity", "expected more than nothing and at most 20 years");
    }
  }
  const auto algorithm = CardAlgorithm("name", DefaultAlgorithm(key.spki_der));
  if (!algorithm.ok()) {
    return absl::FailedPreconditionError("the slot has no key that certificates are signed with");
  }
  pki::CertificateTemplate what;
  what.serial = pki::RandomSerial();
  what.signature_algorithm = *algorithm;
  what.subject_der = what.issuer_der = pki::EncodeName(*subject);
  what.not_before = absl::FromUnixSeconds(absl::ToUnixSeconds(now - kBackdated));
  what.not_after = absl::FromUnixSeconds(absl::ToUnixSeconds(now + validity));
  what.spki_der = key.spki_der;
  what.basic_constraints = pki::BasicConstraints{true, 0};
  what.key_usage = pki::kKeyCertSign | pki::kCrlSign;
  what.subject_key_id = pki::KeyIdentifier(key.spki_der);
  SelfSigned draft;
  draft.algorithm = *algorithm;
  draft.tbs = pki::BuildTbsCertificate(what);
  const crypto::DigestAlgorithm hash = crypto::DigestFor(*algorithm);
  draft.input =
      hash == crypto::DigestAlgorithm::kNone ? draft.tbs : crypto::Digest(hash, draft.tbs);
  return draft;
}

absl::StatusOr<std::string> FinishSelfSigned(const SelfSigned& draft,
                                             const std::string& signature) {
  std::string der = pki::AssembleSigned(draft.tbs, draft.algorithm, signature);
  ASSIGN_OR_RETURN(const pki::Certificate certificate, pki::ParseCertificate(der));
  if (!certificate.CheckIssuedBy(certificate).ok()) {
    return absl::InternalError("the card's signature does not verify with the slot's key");
  }
  return der;
}

absl::StatusOr<v1::Algorithm> AlgorithmOfPkcs8(const crypto::SecretBytes& pkcs8) {
  for (const crypto::Algorithm algorithm :
       {crypto::Algorithm::kEcdsaP256Sha256, crypto::Algorithm::kEcdsaP384Sha384,
        crypto::Algorithm::kRsaPkcs1_2048Sha256, crypto::Algorithm::kEd25519}) {
    if (crypto::PrivateKey::FromPkcs8(pkcs8, algorithm).ok()) return ToProto(algorithm);
  }
  return runtime::FieldError(
      "private_key",
      "expected an unencrypted PKCS#8 PrivateKeyInfo of an RSA-2048, P-256, P-384 or Ed25519 key");
}

}  // namespace countersign::yubikey
