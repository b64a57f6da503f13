#include "libs/bundle/hashedrekord.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/certificate.h"
#include "libs/bundle/strict_json.h"

namespace countersign::bundle {
namespace {

using crypto::DigestAlgorithm;
using nlohmann::json;

// The member objects of the one shape that an entry has, from the outside in.
absl::StatusOr<const json*> Required(const json& parent, absl::string_view name,
                                     absl::string_view where) {
  ASSIGN_OR_RETURN(const json* object, ObjectMember(parent, name, where));
  if (object == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the entry has no ", where, ".", name));
  }
  return object;
}

}  // namespace

absl::string_view SigstoreDigestName(DigestAlgorithm algorithm) {
  switch (algorithm) {
    case DigestAlgorithm::kSha256:
      return "SHA2_256";
    case DigestAlgorithm::kSha384:
      return "SHA2_384";
    case DigestAlgorithm::kSha512:
      return "SHA2_512";
    case DigestAlgorithm::kNone:
      break;
  }
  return "";
}

absl::StatusOr<DigestAlgorithm> ParseSigstoreDigestName(absl::string_view name) {
  for (DigestAlgorithm algorithm :
       {DigestAlgorithm::kSha256, DigestAlgorithm::kSha384, DigestAlgorithm::kSha512}) {
    if (SigstoreDigestName(algorithm) == name) return algorithm;
  }
  return absl::UnimplementedError(
      absl::StrCat("unknown digest algorithm \"", name, "\"; known: SHA2_256, SHA2_384, SHA2_512"));
}

absl::StatusOr<std::string> FormatHashedRekord(const HashedRekord& entry) {
  if (crypto::DigestFor(entry.algorithm) != entry.digest_algorithm ||
      entry.digest_algorithm == DigestAlgorithm::kNone) {
    return absl::InvalidArgumentError(absl::StrCat(
        crypto::AlgorithmName(entry.algorithm), " does not sign ",
        crypto::DigestName(entry.digest_algorithm), " digests, so it cannot be a hashedrekord"));
  }
  if (entry.digest.size() != crypto::DigestLength(entry.digest_algorithm)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a ", crypto::DigestName(entry.digest_algorithm), " digest has ",
        crypto::DigestLength(entry.digest_algorithm), " bytes, this one ", entry.digest.size()));
  }
  if (entry.spki_der.empty() == entry.certificate_der.empty()) {
    return absl::InvalidArgumentError("an entry names either a public key or a certificate");
  }
  const bool has_key = !entry.spki_der.empty();
  // Names of algorithms and base64 need no escapes, so this is canonical as it stands.
  return absl::StrCat(
      R"({"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":")",
      SigstoreDigestName(entry.digest_algorithm), R"(","digest":")",
      base::Base64Encode(entry.digest), R"("},"signature":{"content":")",
      base::Base64Encode(entry.signature), R"(","verifier":{"keyDetails":")",
      crypto::PkixKeyDetails(entry.algorithm),
      has_key ? R"(","publicKey":{"rawBytes":")" : R"(","x509Certificate":{"rawBytes":")",
      base::Base64Encode(has_key ? entry.spki_der : entry.certificate_der), R"("}}}}}})");
}

absl::StatusOr<HashedRekord> ParseHashedRekord(absl::string_view body) {
  ASSIGN_OR_RETURN(const json root, ParseStrictJson(body));
  if (!root.is_object()) return absl::InvalidArgumentError("the entry is not a JSON object");
  ASSIGN_OR_RETURN(const std::string kind, TextMember(root, "kind", "entry"));
  ASSIGN_OR_RETURN(const std::string version, TextMember(root, "apiVersion", "entry"));
  if (kind != kHashedRekordKind || version != kHashedRekordVersion) {
    return absl::UnimplementedError(
        absl::StrCat("entries of kind \"", kind, "\" version \"", version, "\" are not supported; ",
                     kHashedRekordKind, " ", kHashedRekordVersion, " are"));
  }
  ASSIGN_OR_RETURN(const json* spec, Required(root, "spec", "entry"));
  ASSIGN_OR_RETURN(const json* rekord, Required(*spec, "hashedRekordV002", "spec"));
  ASSIGN_OR_RETURN(const json* data, Required(*rekord, "data", "hashedRekordV002"));
  ASSIGN_OR_RETURN(const json* signature, Required(*rekord, "signature", "hashedRekordV002"));
  ASSIGN_OR_RETURN(const json* verifier, Required(*signature, "verifier", "signature"));
  ASSIGN_OR_RETURN(const json* key, ObjectMember(*verifier, "publicKey", "verifier"));
  ASSIGN_OR_RETURN(const json* certificate, ObjectMember(*verifier, "x509Certificate", "verifier"));

  HashedRekord entry;
  ASSIGN_OR_RETURN(const std::string digest_name, TextMember(*data, "algorithm", "data"));
  ASSIGN_OR_RETURN(entry.digest_algorithm, ParseSigstoreDigestName(digest_name));
  ASSIGN_OR_RETURN(entry.digest, BytesMember(*data, "digest", "data"));
  ASSIGN_OR_RETURN(entry.signature, BytesMember(*signature, "content", "signature"));
  ASSIGN_OR_RETURN(const std::string details, TextMember(*verifier, "keyDetails", "verifier"));
  absl::StatusOr<crypto::Algorithm> algorithm = crypto::FromPkixKeyDetails(details);
  if (!algorithm.ok()) return absl::UnimplementedError(algorithm.status().message());
  entry.algorithm = *algorithm;
  if (key != nullptr) {
    ASSIGN_OR_RETURN(entry.spki_der, BytesMember(*key, "rawBytes", "publicKey"));
  }
  if (certificate != nullptr) {
    ASSIGN_OR_RETURN(entry.certificate_der,
                     BytesMember(*certificate, "rawBytes", "x509Certificate"));
  }
  ASSIGN_OR_RETURN(const std::string canonical, FormatHashedRekord(entry));
  if (canonical != body) {
    return absl::InvalidArgumentError(
        "the entry is not in canonical form (RFC 8785) or holds fields that hashedrekord 0.0.2 "
        "does not have");
  }
  return entry;
}

absl::StatusOr<crypto::PublicKey> SignerKey(const HashedRekord& entry) {
  std::string spki = entry.spki_der;
  if (!entry.certificate_der.empty()) {
    ASSIGN_OR_RETURN(spki, CertificateSpki(entry.certificate_der));
  }
  ASSIGN_OR_RETURN(crypto::PublicKey key, crypto::PublicKey::FromSpkiDer(spki));
  RETURN_IF_ERROR(key.Check(entry.algorithm));
  return key;
}

absl::StatusOr<bool> CheckSignature(const HashedRekord& entry) {
  ASSIGN_OR_RETURN(const crypto::PublicKey key, SignerKey(entry));
  return key.VerifyDigest(entry.algorithm, entry.digest, entry.signature);
}

}  // namespace countersign::bundle
