#include "cli/names.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace countersign::cli {

// The contract names algorithms as the library does, in the way of enumerators.
sign::v1::Algorithm AlgorithmToProto(crypto::Algorithm algorithm) {
  const std::string name = absl::StrCat(
      "ALGORITHM_",
      absl::AsciiStrToUpper(absl::StrReplaceAll(crypto::AlgorithmName(algorithm), {{"-", "_"}})));
  sign::v1::Algorithm result = sign::v1::ALGORITHM_UNSPECIFIED;
  sign::v1::Algorithm_Parse(name, &result);
  return result;
}

absl::StatusOr<crypto::Algorithm> AlgorithmFromProto(sign::v1::Algorithm algorithm) {
  for (crypto::Algorithm known : crypto::kAllAlgorithms) {
    if (AlgorithmToProto(known) == algorithm) return known;
  }
  return absl::UnimplementedError(
      absl::StrCat("the service uses an algorithm (number ", static_cast<int>(algorithm),
                   ") that this countersign does not know; use a newer one"));
}

std::string AlgorithmText(sign::v1::Algorithm algorithm) {
  const auto known = AlgorithmFromProto(algorithm);
  return known.ok() ? std::string(crypto::AlgorithmName(*known)) : "unspecified";
}

std::vector<std::string> KeyAlgorithmNames() {
  std::vector<std::string> names;
  for (crypto::Algorithm algorithm : crypto::kAllAlgorithms) {
    if (algorithm != crypto::Algorithm::kEd25519ph) {
      names.emplace_back(crypto::AlgorithmName(algorithm));
    }
  }
  return names;
}

std::string LastPart(absl::string_view resource_name) {
  return std::string(resource_name.substr(resource_name.rfind('/') + 1));
}

}  // namespace countersign::cli
