// The attributes that names are made of: their short names, string types and bounds (RFC 5280
// appendix A, RFC 4519). For name.cc and name_text.cc.
#ifndef COUNTERSIGN_LIBS_PKI_NAME_ATTRIBUTES_H_
#define COUNTERSIGN_LIBS_PKI_NAME_ATTRIBUTES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/pki/name.h"

namespace countersign::pki {

// "CN", "serialNumber"; empty for an attribute that has no name here.
absl::string_view AttributeName(absl::string_view oid);
// The same, or the OID in numbers.
std::string AttributeText(absl::string_view oid);
// The OID of a name, in any case; empty for one that is unknown.
absl::string_view AttributeOid(absl::string_view name);

// The string type that `value` of this attribute is encoded in.
uint8_t StringTag(absl::string_view oid, absl::string_view value);

// Of one value, what CheckBounds says of all.
absl::Status CheckAttribute(const NameAttribute& attribute);

// A string of one of the types that ParseName takes, as UTF-8. False as ParseName fails.
bool DecodeString(uint8_t tag, absl::string_view contents, std::string* utf8);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_NAME_ATTRIBUTES_H_
