#include "libs/crypto/algorithm.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace countersign::crypto {
namespace {

struct Row {
  Algorithm algorithm;
  absl::string_view name;
  absl::string_view pkix;
  DigestAlgorithm digest;
};

constexpr Row kRows[] = {
    {Algorithm::kEd25519, "ed25519", "PKIX_ED25519", DigestAlgorithm::kNone},
    {Algorithm::kEd25519ph, "ed25519ph", "PKIX_ED25519_PH", DigestAlgorithm::kSha512},
    {Algorithm::kEcdsaP256Sha256, "ecdsa-p256-sha256", "PKIX_ECDSA_P256_SHA_256",
     DigestAlgorithm::kSha256},
    {Algorithm::kEcdsaP384Sha384, "ecdsa-p384-sha384", "PKIX_ECDSA_P384_SHA_384",
     DigestAlgorithm::kSha384},
    {Algorithm::kRsaPss2048Sha256, "rsa-pss-2048-sha256", "PKIX_RSA_PSS_2048_SHA256",
     DigestAlgorithm::kSha256},
    {Algorithm::kRsaPss3072Sha256, "rsa-pss-3072-sha256", "PKIX_RSA_PSS_3072_SHA256",
     DigestAlgorithm::kSha256},
    {Algorithm::kRsaPss4096Sha256, "rsa-pss-4096-sha256", "PKIX_RSA_PSS_4096_SHA256",
     DigestAlgorithm::kSha256},
    {Algorithm::kRsaPkcs1_2048Sha256, "rsa-pkcs1-2048-sha256", "PKIX_RSA_PKCS1V15_2048_SHA256",
     DigestAlgorithm::kSha256},
    {Algorithm::kRsaPkcs1_3072Sha256, "rsa-pkcs1-3072-sha256", "PKIX_RSA_PKCS1V15_3072_SHA256",
     DigestAlgorithm::kSha256},
    {Algorithm::kRsaPkcs1_4096Sha256, "rsa-pkcs1-4096-sha256", "PKIX_RSA_PKCS1V15_4096_SHA256",
     DigestAlgorithm::kSha256},
    {Algorithm::kHpkeX25519, "hpke-x25519", "", DigestAlgorithm::kNone},
};

static_assert(std::size(kRows) == kAllAlgorithms.size());

// The table is in the enumeration's order.
const Row& RowOf(Algorithm algorithm) { return kRows[static_cast<size_t>(algorithm)]; }

}  // namespace

absl::string_view AlgorithmName(Algorithm algorithm) { return RowOf(algorithm).name; }

absl::StatusOr<Algorithm> ParseAlgorithm(absl::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return row.algorithm;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown algorithm \"", name, "\"; known are ",
      absl::StrJoin(kRows, ", ",
                    [](std::string* out, const Row& row) { absl::StrAppend(out, row.name); })));
}

DigestAlgorithm DigestFor(Algorithm algorithm) { return RowOf(algorithm).digest; }

bool CanSign(Algorithm algorithm) { return algorithm != Algorithm::kHpkeX25519; }

absl::string_view PkixKeyDetails(Algorithm algorithm) { return RowOf(algorithm).pkix; }

absl::StatusOr<Algorithm> FromPkixKeyDetails(absl::string_view name) {
  for (const Row& row : kRows) {
    if (!row.pkix.empty() && row.pkix == name) return row.algorithm;
  }
  return absl::InvalidArgumentError(absl::StrCat("unsupported key details \"", name, "\""));
}

}  // namespace countersign::crypto
