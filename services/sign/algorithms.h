// The contract's algorithms and the library's.
#ifndef COUNTERSIGN_SERVICES_SIGN_ALGORITHMS_H_
#define COUNTERSIGN_SERVICES_SIGN_ALGORITHMS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "countersign/sign/v1/resources.pb.h"
#include "libs/crypto/algorithm.h"

namespace countersign::sign {

v1::Algorithm ToProto(crypto::Algorithm algorithm);

// InvalidArgument, naming `field`, for one that no key is made for: unspecified, unknown,
// Ed25519ph.
absl::StatusOr<crypto::Algorithm> KeyAlgorithm(absl::string_view field, v1::Algorithm algorithm);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_ALGORITHMS_H_
