#include "libs/pki/signature.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

using crypto::Algorithm;
using crypto::DigestAlgorithm;
using crypto::KeyType;

constexpr auto kEcdsaSha256Der = OidContents("\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02");
constexpr auto kEcdsaSha384Der = OidContents("\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x03");
constexpr auto kEd25519Der = OidContents("\x30\x05\x06\x03\x2B\x65\x70");
constexpr auto kPkcs1Der =
    OidContents("\x30\x0D\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0B\x05\x00");
// SHA-256, MGF1 with SHA-256, a salt of 32 bytes (RFC 8017 appendix A.2.3).
constexpr auto kPssDer = OidContents(
    "\x30\x41\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A\x30\x34"
    "\xA0\x0F\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00"
    "\xA1\x1C\x30\x1A\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x01\x08"
    "\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00"
    "\xA2\x03\x02\x01\x20");

absl::Status Misfit(absl::string_view algorithm, absl::string_view key) {
  return absl::InvalidArgumentError(
      absl::StrCat("a signature by ", algorithm, " needs ", key, ", and the key is another"));
}

// ECDSA takes the leftmost bits of a digest longer than the field, and a shorter one as the number
// that it is (FIPS 186-5 section 6.4): both are digests of the field's own length.
absl::StatusOr<bool> CheckEcdsa(const crypto::PublicKey& key, DigestAlgorithm hash,
                                absl::string_view message, absl::string_view signature) {
  std::string digest = crypto::Digest(hash, message);
  switch (key.type()) {
    case KeyType::kEcP256:
      digest.resize(32);
      return key.VerifyDigest(Algorithm::kEcdsaP256Sha256, digest, signature);
    case KeyType::kEcP384:
      digest.insert(0, 48 - digest.size(), '\0');
      return key.VerifyDigest(Algorithm::kEcdsaP384Sha384, digest, signature);
    default:
      return Misfit("ECDSA", "a P-256 or P-384 key");
  }
}

// The algorithm for this size of RSA key.
absl::StatusOr<bool> CheckPss(const crypto::PublicKey& key, absl::string_view message,
                              absl::string_view signature) {
  for (const Algorithm algorithm :
       {Algorithm::kRsaPss2048Sha256, Algorithm::kRsaPss3072Sha256, Algorithm::kRsaPss4096Sha256}) {
    if (key.Check(algorithm).ok()) return key.VerifyMessage(algorithm, message, signature);
  }
  return Misfit("RSA PSS", "an RSA key of 2048, 3072 or 4096 bits");
}

// The hash of a PKCS#1 AlgorithmIdentifier; kNone for another. RFC 4055 section 2.1 lets a reader
// meet one without the NULL.
DigestAlgorithm Pkcs1Hash(absl::string_view algorithm_der) {
  DerReader in(algorithm_der);
  DerReader identifier;
  absl::string_view oid;
  if (!in.Read(kSequence, &identifier) || !in.empty() || !identifier.Read(kOid, &oid) ||
      !(identifier.empty() || identifier.rest() == OidContents("\x05\x00"))) {
    return DigestAlgorithm::kNone;
  }
  if (oid == kOidRsaSha256) return DigestAlgorithm::kSha256;
  if (oid == kOidRsaSha384) return DigestAlgorithm::kSha384;
  if (oid == kOidRsaSha512) return DigestAlgorithm::kSha512;
  return DigestAlgorithm::kNone;
}

}  // namespace

absl::string_view SignatureAlgorithmDer(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kEcdsaP256Sha256:
      return kEcdsaSha256Der;
    case Algorithm::kEcdsaP384Sha384:
      return kEcdsaSha384Der;
    case Algorithm::kEd25519:
      return kEd25519Der;
    case Algorithm::kRsaPkcs1_2048Sha256:
    case Algorithm::kRsaPkcs1_3072Sha256:
    case Algorithm::kRsaPkcs1_4096Sha256:
      return kPkcs1Der;
    case Algorithm::kRsaPss2048Sha256:
    case Algorithm::kRsaPss3072Sha256:
    case Algorithm::kRsaPss4096Sha256:
      return kPssDer;
    case Algorithm::kEd25519ph:
    case Algorithm::kHpkeX25519:
      break;
  }
  return "";
}

absl::StatusOr<bool> CheckSignature(const crypto::PublicKey& key, absl::string_view algorithm_der,
                                    absl::string_view message, absl::string_view signature) {
  if (algorithm_der == kEcdsaSha256Der) {
    return CheckEcdsa(key, DigestAlgorithm::kSha256, message, signature);
  }
  if (algorithm_der == kEcdsaSha384Der) {
    return CheckEcdsa(key, DigestAlgorithm::kSha384, message, signature);
  }
  if (algorithm_der == kPssDer) return CheckPss(key, message, signature);
  if (algorithm_der == kEd25519Der) {
    if (key.type() != KeyType::kEd25519) return Misfit("Ed25519", "an Ed25519 key");
    return key.VerifyMessage(Algorithm::kEd25519, message, signature);
  }
  if (const DigestAlgorithm hash = Pkcs1Hash(algorithm_der); hash != DigestAlgorithm::kNone) {
    return key.VerifyRsaPkcs1(hash, message, signature);
  }
  DerReader in(algorithm_der);
  DerReader identifier;
  absl::string_view oid;
  const bool named = in.Read(kSequence, &identifier) && identifier.Read(kOid, &oid) && IsOid(oid);
  return absl::InvalidArgumentError(absl::StrCat(
      "unsupported signature algorithm", named ? absl::StrCat(" ", FormatOid(oid)) : "",
      ": ECDSA with SHA-256 or SHA-384, RSA PKCS#1 v1.5 with SHA-256, SHA-384 or SHA-512, RSA PSS "
      "with SHA-256, and Ed25519 are supported"));
}

std::string AssembleSigned(absl::string_view tbs, Algorithm algorithm,
                           absl::string_view signature) {
  const absl::string_view identifier = SignatureAlgorithmDer(algorithm);
  const size_t bits = signature.size() + 1;
  const size_t size = tbs.size() + identifier.size() + DerHeaderSize(bits) + bits;
  std::string der;
  der.reserve(DerHeaderSize(size) + size);
  AppendDerHeader(kSequence, size, &der);
  der.append(tbs.data(), tbs.size());
  der.append(identifier.data(), identifier.size());
  AppendDerHeader(kBitString, bits, &der);
  der.push_back('\0');
  der.append(signature.data(), signature.size());
  return der;
}

absl::StatusOr<std::string> SignAndAssemble(absl::string_view tbs, const crypto::PrivateKey& key) {
  if (SignatureAlgorithmDer(key.algorithm()).empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a key for ", crypto::AlgorithmName(key.algorithm()), " signs no certificates"));
  }
  ASSIGN_OR_RETURN(const std::string signature, key.SignMessage(tbs));
  return AssembleSigned(tbs, key.algorithm(), signature);
}

}  // namespace countersign::pki
