// Between the contract's enumerations, the library's, and what people type.
#ifndef COUNTERSIGN_CLI_NAMES_H_
#define COUNTERSIGN_CLI_NAMES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "countersign/sign/v1/resources.pb.h"
#include "libs/crypto/algorithm.h"

namespace countersign::cli {

// "ecdsa-p256-sha256"; "unspecified" for one that the library does not know.
std::string AlgorithmText(sign::v1::Algorithm algorithm);

absl::StatusOr<crypto::Algorithm> AlgorithmFromProto(sign::v1::Algorithm algorithm);
sign::v1::Algorithm AlgorithmToProto(crypto::Algorithm algorithm);

// Those a key can be made for.
std::vector<std::string> KeyAlgorithmNames();

// The part of a resource name after its last slash.
std::string LastPart(absl::string_view resource_name);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_NAMES_H_
