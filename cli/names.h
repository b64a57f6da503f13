// Between the contract's enumerations, the library's, and what people type.
#ifndef COUNTERSIGN_CLI_NAMES_H_
#define COUNTERSIGN_CLI_NAMES_H_

#include <google/protobuf/timestamp.pb.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/sign/v1/resources.pb.h"
#include "libs/crypto/algorithm.h"

namespace google::protobuf {
class EnumDescriptor;
}

namespace countersign::cli {

// "ecdsa-p256-sha256"; "unspecified" for one that the library does not know.
std::string AlgorithmText(sign::v1::Algorithm algorithm);

absl::StatusOr<crypto::Algorithm> AlgorithmFromProto(sign::v1::Algorithm algorithm);
sign::v1::Algorithm AlgorithmToProto(crypto::Algorithm algorithm);

// Those a key can be made for.
std::vector<std::string> KeyAlgorithmNames();

// The part of a resource name after its last slash.
std::string LastPart(absl::string_view resource_name);

// Values of an enumeration without its prefix, as people write them: CERTIFICATE_PROFILE_TLS_SERVER
// is "tls-server". EnumText of a number that the enumeration does not have is the number.
std::string EnumText(const google::protobuf::EnumDescriptor* type, int value);
// Those with a number above 0.
std::vector<std::string> EnumNames(const google::protobuf::EnumDescriptor* type);
// InvalidArgument, listing the names, for another one.
absl::StatusOr<int> ParseEnum(const google::protobuf::EnumDescriptor* type, absl::string_view text);

absl::Time FromProto(const google::protobuf::Timestamp& time);
// Whole seconds.
void ToProto(absl::Time time, google::protobuf::Timestamp* proto);
// FormatUtc of it.
std::string TimeText(const google::protobuf::Timestamp& time);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_NAMES_H_
