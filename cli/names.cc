#include "cli/names.h"

#include <google/protobuf/descriptor.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cli/output.h"

namespace countersign::cli {
namespace {

// What the zero value's name is without UNSPECIFIED is the prefix of all.
std::string WithoutPrefix(const google::protobuf::EnumValueDescriptor& value) {
  absl::string_view prefix = value.type()->FindValueByNumber(0)->name();
  absl::ConsumeSuffix(&prefix, "UNSPECIFIED");
  absl::string_view name = value.name();
  absl::ConsumePrefix(&name, prefix);
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", "-"}});
}

}  // namespace

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

std::string EnumText(const google::protobuf::EnumDescriptor* type, int value) {
  const auto* known = type->FindValueByNumber(value);
  return known == nullptr ? absl::StrCat(value) : WithoutPrefix(*known);
}

std::vector<std::string> EnumNames(const google::protobuf::EnumDescriptor* type) {
  std::vector<std::string> names;
  for (int i = 0; i < type->value_count(); ++i) {
    if (type->value(i)->number() > 0) names.push_back(WithoutPrefix(*type->value(i)));
  }
  return names;
}

absl::StatusOr<int> ParseEnum(const google::protobuf::EnumDescriptor* type,
                              absl::string_view text) {
  for (int i = 0; i < type->value_count(); ++i) {
    if (type->value(i)->number() > 0 && WithoutPrefix(*type->value(i)) == text) {
      return type->value(i)->number();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is none of ", absl::StrJoin(EnumNames(type), ", ")));
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

void ToProto(absl::Time time, google::protobuf::Timestamp* proto) {
  proto->set_seconds(absl::ToUnixSeconds(time));
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return FormatUtc(absl::FromUnixSeconds(time.seconds()));
}

}  // namespace countersign::cli
