// X.501 distinguished names (RFC 5280 section 4.1.2.4) and their text (RFC 4514).
//
// Values and pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PKI_NAME_H_
#define COUNTERSIGN_LIBS_PKI_NAME_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::pki {

struct NameAttribute {
  std::string oid;    // contents of the OBJECT IDENTIFIER
  std::string value;  // UTF-8
};

// RDNs in the order of the encoding (country first, usually), each with at least one attribute.
struct Name {
  std::vector<std::vector<NameAttribute>> rdns;

  bool empty() const { return rdns.empty(); }
  // The last commonName; empty when there is none.
  absl::string_view CommonName() const;
};

// The Name in `der`, a whole SEQUENCE. Strings may be PrintableString, UTF8String, IA5String,
// TeletexString (taken as Latin-1) or BMPString. InvalidArgument for anything else, an empty value,
// or characters that do not belong to the string's type.
absl::StatusOr<Name> ParseName(absl::string_view der);

// countryName, serialNumber and dnQualifier as PrintableString, emailAddress and domainComponent as
// IA5String, all else as UTF8String.
std::string EncodeName(const Name& name);

// RFC 4514: "CN=Example,O=Example Ltd,C=DE", the last RDN first; attributes of no known name by their
// OID. ParseNameText is its inverse and takes spaces around separators. InvalidArgument when the
// text is not of the form, for an unknown attribute, a value longer than its upper bound (RFC 5280
// appendix A), or a country that is not two letters.
std::string FormatName(const Name& name);
absl::StatusOr<Name> ParseNameText(absl::string_view text);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_NAME_H_
