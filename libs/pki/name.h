// X.501 distinguished names (RFC 5280 section 4.1.2.4) and their text (RFC 4514).
//
// Values and pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PKI_NAME_H_
#define COUNTERSIGN_LIBS_PKI_NAME_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::pki {

struct NameAttribute {
  std::string oid;    // contents of the OBJECT IDENTIFIER
  std::string value;  // UTF-8

  friend bool operator==(const NameAttribute& a, const NameAttribute& b) = default;
};

// RDNs in the order of the encoding (country first, usually), each with at least one attribute.
struct Name {
  std::vector<std::vector<NameAttribute>> rdns;

  bool empty() const { return rdns.empty(); }
  // The last commonName; empty when there is none.
  absl::string_view CommonName() const;

  friend bool operator==(const Name& a, const Name& b) = default;
};

// The Name in `der`, a whole SEQUENCE. Strings may be PrintableString, UTF8String, IA5String,
// TeletexString (taken as Latin-1) or BMPString. InvalidArgument for anything else, an empty value,
// a zero character, or characters that do not belong to the string's type.
absl::StatusOr<Name> ParseName(absl::string_view der);

// countryName, serialNumber and dnQualifier as PrintableString, emailAddress and domainComponent as
// IA5String, all else, and what does not fit these types, as UTF8String.
std::string EncodeName(const Name& name);

// OK when every value keeps to the upper bound of its attribute (RFC 5280 appendix A) and to its
// type, and a country is two letters; else InvalidArgument, naming the attribute.
absl::Status CheckBounds(const Name& name);

// Whether they are the same name: the same attributes in the same RDNs, compared without regard to
// the case of ASCII letters and with runs of spaces folded (RFC 5280 section 7.1, without its
// mapping of other letters). IsBelow: whether `name` begins with all RDNs of `ancestor`.
bool SameName(const Name& a, const Name& b);
bool IsBelow(const Name& name, const Name& ancestor);

// RFC 4514: "CN=Example,O=Example Ltd,C=DE", the last RDN first; attributes of no known name by
// their OID, with the value as '#' and the hexadecimal digits of its DER. ParseNameText is its
// inverse and takes spaces around separators. InvalidArgument when the text is not of the form, for
// an unknown attribute, or when CheckBounds fails.
std::string FormatName(const Name& name);
absl::StatusOr<Name> ParseNameText(absl::string_view text);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_NAME_H_
