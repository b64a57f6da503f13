#include "services/verify/translate.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/digest.h"
#include "libs/piv/piv.h"
#include "libs/runtime/error_details.h"

namespace countersign::verify {
namespace {

using crypto::Algorithm;
using crypto::DigestAlgorithm;

absl::Status Missing(absl::string_view field) {
  return runtime::AttachReason(absl::InvalidArgumentError(absl::StrCat(field, " is required")),
                               "FIELD_MISSING");
}

absl::StatusOr<Algorithm> FromProto(v1::Algorithm algorithm) {
  switch (algorithm) {
    case v1::ALGORITHM_ED25519:
      return Algorithm::kEd25519;
    case v1::ALGORITHM_ED25519PH:
      return Algorithm::kEd25519ph;
    case v1::ALGORITHM_ECDSA_P256_SHA256:
      return Algorithm::kEcdsaP256Sha256;
    case v1::ALGORITHM_ECDSA_P384_SHA384:
      return Algorithm::kEcdsaP384Sha384;
    case v1::ALGORITHM_RSA_PSS_2048_SHA256:
      return Algorithm::kRsaPss2048Sha256;
    case v1::ALGORITHM_RSA_PSS_3072_SHA256:
      return Algorithm::kRsaPss3072Sha256;
    case v1::ALGORITHM_RSA_PSS_4096_SHA256:
      return Algorithm::kRsaPss4096Sha256;
    case v1::ALGORITHM_RSA_PKCS1_2048_SHA256:
      return Algorithm::kRsaPkcs1_2048Sha256;
    case v1::ALGORITHM_RSA_PKCS1_3072_SHA256:
      return Algorithm::kRsaPkcs1_3072Sha256;
    case v1::ALGORITHM_RSA_PKCS1_4096_SHA256:
      return Algorithm::kRsaPkcs1_4096Sha256;
    case v1::ALGORITHM_UNSPECIFIED:
      return Missing("algorithm");
    default:
      return runtime::AttachReason(absl::InvalidArgumentError(absl::StrCat(
                                       "algorithm ", static_cast<int>(algorithm), " is unknown")),
                                   "WRONG_ALGORITHM");
  }
}

v1::Algorithm ToProto(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kEd25519:
      return v1::ALGORITHM_ED25519;
    case Algorithm::kEd25519ph:
      return v1::ALGORITHM_ED25519PH;
    case Algorithm::kEcdsaP256Sha256:
      return v1::ALGORITHM_ECDSA_P256_SHA256;
    case Algorithm::kEcdsaP384Sha384:
      return v1::ALGORITHM_ECDSA_P384_SHA384;
    case Algorithm::kRsaPss2048Sha256:
      return v1::ALGORITHM_RSA_PSS_2048_SHA256;
    case Algorithm::kRsaPss3072Sha256:
      return v1::ALGORITHM_RSA_PSS_3072_SHA256;
    case Algorithm::kRsaPss4096Sha256:
      return v1::ALGORITHM_RSA_PSS_4096_SHA256;
    case Algorithm::kRsaPkcs1_2048Sha256:
      return v1::ALGORITHM_RSA_PKCS1_2048_SHA256;
    case Algorithm::kRsaPkcs1_3072Sha256:
      return v1::ALGORITHM_RSA_PKCS1_3072_SHA256;
    case Algorithm::kRsaPkcs1_4096Sha256:
      return v1::ALGORITHM_RSA_PKCS1_4096_SHA256;
    case Algorithm::kHpkeX25519:
      break;
  }
  return v1::ALGORITHM_UNSPECIFIED;
}

absl::StatusOr<DigestAlgorithm> FromProto(v1::DigestAlgorithm algorithm) {
  switch (algorithm) {
    case v1::DIGEST_ALGORITHM_SHA256:
      return DigestAlgorithm::kSha256;
    case v1::DIGEST_ALGORITHM_SHA384:
      return DigestAlgorithm::kSha384;
    case v1::DIGEST_ALGORITHM_SHA512:
      return DigestAlgorithm::kSha512;
    case v1::DIGEST_ALGORITHM_UNSPECIFIED:
      return Missing("artifact_digests.algorithm");
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("digest algorithm ", static_cast<int>(algorithm), " is unknown"));
  }
}

v1::DigestAlgorithm ToProto(DigestAlgorithm algorithm) {
  switch (algorithm) {
    case DigestAlgorithm::kNone:
      break;
    case DigestAlgorithm::kSha256:
      return v1::DIGEST_ALGORITHM_SHA256;
    case DigestAlgorithm::kSha384:
      return v1::DIGEST_ALGORITHM_SHA384;
    case DigestAlgorithm::kSha512:
      return v1::DIGEST_ALGORITHM_SHA512;
  }
  return v1::DIGEST_ALGORITHM_UNSPECIFIED;
}

v1::Reason ToProto(bundle::Reason reason) {
  switch (reason) {
    case bundle::Reason::kVerified:
      return v1::REASON_VERIFIED;
    case bundle::Reason::kMalformed:
      return v1::REASON_MALFORMED;
    case bundle::Reason::kUnsupported:
      return v1::REASON_UNSUPPORTED;
    case bundle::Reason::kArtifactMismatch:
      return v1::REASON_ARTIFACT_MISMATCH;
    case bundle::Reason::kSignerNotTrusted:
      return v1::REASON_SIGNER_NOT_TRUSTED;
    case bundle::Reason::kSignatureInvalid:
      return v1::REASON_SIGNATURE_INVALID;
    case bundle::Reason::kEntryMismatch:
      return v1::REASON_ENTRY_MISMATCH;
    case bundle::Reason::kInconsistent:
      return v1::REASON_INCONSISTENT;
    case bundle::Reason::kLogNotTrusted:
      return v1::REASON_LOG_NOT_TRUSTED;
    case bundle::Reason::kCheckpointSignatureInvalid:
      return v1::REASON_CHECKPOINT_SIGNATURE_INVALID;
    case bundle::Reason::kNotInLog:
      return v1::REASON_NOT_IN_LOG;
    case bundle::Reason::kQuorumNotMet:
      return v1::REASON_QUORUM_NOT_MET;
  }
  return v1::REASON_UNSPECIFIED;
}

v1::AttestationReason ToProto(AttestationReason reason) {
  switch (reason) {
    case AttestationReason::kVerified:
      return v1::ATTESTATION_REASON_VERIFIED;
    case AttestationReason::kMalformed:
      return v1::ATTESTATION_REASON_MALFORMED;
    case AttestationReason::kNotTrusted:
      return v1::ATTESTATION_REASON_NOT_TRUSTED;
    case AttestationReason::kKeyMismatch:
      return v1::ATTESTATION_REASON_KEY_MISMATCH;
    case AttestationReason::kSerialMismatch:
      return v1::ATTESTATION_REASON_SERIAL_MISMATCH;
  }
  return v1::ATTESTATION_REASON_UNSPECIFIED;
}

// Cards write the policies, and may know more of them.
v1::PinPolicy ToProto(piv::PinPolicy policy) {
  switch (policy) {
    case piv::PinPolicy::kNever:
      return v1::PIN_POLICY_NEVER;
    case piv::PinPolicy::kOnce:
      return v1::PIN_POLICY_ONCE;
    case piv::PinPolicy::kAlways:
      return v1::PIN_POLICY_ALWAYS;
    default:
      return v1::PIN_POLICY_UNSPECIFIED;
  }
}

v1::TouchPolicy ToProto(piv::TouchPolicy policy) {
  switch (policy) {
    case piv::TouchPolicy::kNever:
      return v1::TOUCH_POLICY_NEVER;
    case piv::TouchPolicy::kAlways:
      return v1::TOUCH_POLICY_ALWAYS;
    case piv::TouchPolicy::kCached:
      return v1::TOUCH_POLICY_CACHED;
    default:
      return v1::TOUCH_POLICY_UNSPECIFIED;
  }
}

}  // namespace

absl::StatusOr<SignatureCheck> FromProto(const v1::SignatureCheck& message) {
  SignatureCheck check;
  switch (message.key_case()) {
    case v1::SignatureCheck::kSpki:
      check.key_form = SignatureCheck::KeyForm::kSpki;
      check.key = message.spki();
      break;
    case v1::SignatureCheck::kPem:
      check.key_form = SignatureCheck::KeyForm::kPem;
      check.key = message.pem();
      break;
    case v1::SignatureCheck::kCertificate:
      check.key_form = SignatureCheck::KeyForm::kCertificate;
      check.key = message.certificate();
      break;
    case v1::SignatureCheck::KEY_NOT_SET:
      return Missing("key (spki, pem or certificate)");
  }
  switch (message.payload_case()) {
    case v1::SignatureCheck::kMessage:
      check.payload = message.message();
      break;
    case v1::SignatureCheck::kDigest:
      check.payload = message.digest();
      check.prehashed = true;
      break;
    case v1::SignatureCheck::PAYLOAD_NOT_SET:
      return Missing("payload (message or digest)");
  }
  ASSIGN_OR_RETURN(check.algorithm, FromProto(message.algorithm()));
  check.signature = message.signature();
  return check;
}

v1::Verdict ToProto(bool verified) {
  v1::Verdict verdict;
  verdict.set_verified(verified);
  verdict.set_reason(verified ? v1::REASON_VERIFIED : v1::REASON_SIGNATURE_INVALID);
  if (!verified) verdict.set_detail("the signature is not one by this key over this message");
  return verdict;
}

v1::ItemError ToItemError(const absl::Status& status) {
  v1::ItemError error;
  error.set_code(static_cast<int>(status.code()));
  error.set_message(std::string(status.message()));
  error.set_reason(runtime::ReasonOf(status).value_or(""));
  return error;
}

v1::ProofVerdict ToProto(const bundle::Verdict& verdict) {
  v1::ProofVerdict message;
  message.set_verified(verdict.verified);
  message.set_reason(ToProto(verdict.reason));
  message.set_detail(verdict.detail);
  message.set_format(verdict.format);
  message.set_signer_name(verdict.signer_name);
  message.set_signer_fingerprint(verdict.signer_fingerprint);
  if (const auto algorithm = crypto::ParseAlgorithm(verdict.algorithm); algorithm.ok()) {
    message.set_algorithm(ToProto(*algorithm));
  }
  message.set_digest_algorithm(ToProto(verdict.digest_algorithm));
  message.set_digest(verdict.digest);
  message.set_payload_type(verdict.payload_type);
  message.set_log_origin(verdict.log_origin);
  message.set_log_index(static_cast<int64_t>(verdict.log_index));
  message.set_tree_size(static_cast<int64_t>(verdict.tree_size));
  message.set_root_hash(verdict.root_hash);
  for (const bundle::WitnessFact& witness : verdict.witnesses) {
    v1::WitnessFact* fact = message.add_witnesses();
    fact->set_name(witness.name);
    fact->mutable_cosign_time()->set_seconds(absl::ToUnixSeconds(witness.time));
  }
  message.set_quorum(verdict.quorum);
  return message;
}

AttestationCheck FromProto(const v1::VerifyAttestationRequest& message) {
  AttestationCheck check;
  check.certificate = message.certificate();
  check.intermediates.assign(message.intermediates().begin(), message.intermediates().end());
  check.roots.assign(message.roots().begin(), message.roots().end());
  check.expected_spki = message.expected_spki();
  if (message.has_expected_serial_number()) {
    check.expected_serial = message.expected_serial_number();
  }
  return check;
}

v1::AttestationVerdict ToProto(const AttestationVerdict& verdict) {
  v1::AttestationVerdict message;
  message.set_verified(verdict.verified());
  message.set_reason(ToProto(verdict.reason));
  message.set_detail(verdict.detail);
  if (!verdict.facts.has_value()) return message;
  const piv::Attestation& attestation = *verdict.facts;
  v1::AttestationFacts* facts = message.mutable_facts();
  facts->set_spki(attestation.spki_der);
  facts->set_serial_number(attestation.serial);
  facts->set_firmware_version(attestation.firmware.ToString());
  facts->set_pin_policy(ToProto(attestation.pin_policy));
  facts->set_touch_policy(ToProto(attestation.touch_policy));
  facts->set_form_factor(std::string(piv::FormFactorName(attestation.form_factor)));
  facts->set_fips(attestation.fips);
  if (attestation.slot != piv::Slot{}) facts->set_slot(piv::SlotName(attestation.slot));
  facts->set_fingerprint(base::HexEncode(base::AsBytes(crypto::Sha256(attestation.spki_der))));
  return message;
}

absl::StatusOr<bundle::ArtifactDigest> ArtifactOf(
    const google::protobuf::RepeatedPtrField<v1::ArtifactDigest>& digests,
    const std::string* artifact) {
  if ((artifact != nullptr) != digests.empty()) {
    return runtime::AttachReason(
        absl::InvalidArgumentError("exactly one of artifact and artifact_digests is required"),
        "FIELD_MISSING");
  }
  if (artifact != nullptr) {
    return bundle::ArtifactDigest([artifact](DigestAlgorithm algorithm) {
      return absl::StatusOr<std::string>(crypto::Digest(algorithm, *artifact));
    });
  }
  std::map<DigestAlgorithm, std::string> known;
  for (const v1::ArtifactDigest& given : digests) {
    ASSIGN_OR_RETURN(const DigestAlgorithm algorithm, FromProto(given.algorithm()));
    if (given.digest().size() != crypto::DigestLength(algorithm)) {
      return runtime::AttachReason(
          absl::InvalidArgumentError(
              absl::StrCat("artifact_digests: ", crypto::DigestName(algorithm), " has ",
                           crypto::DigestLength(algorithm), " bytes, not ", given.digest().size())),
          "DIGEST_INVALID");
    }
    if (!known.emplace(algorithm, given.digest()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("artifact_digests: ", crypto::DigestName(algorithm), " is given twice"));
    }
  }
  return bundle::ArtifactDigest(
      [known = std::move(known)](DigestAlgorithm algorithm) -> absl::StatusOr<std::string> {
        if (const auto it = known.find(algorithm); it != known.end()) return it->second;
        return runtime::AttachReason(absl::InvalidArgumentError(absl::StrCat(
                                         "the proof was made with ", crypto::DigestName(algorithm),
                                         ": give the artifact's digest by it")),
                                     "ARTIFACT_DIGEST_MISSING");
      });
}

}  // namespace countersign::verify
