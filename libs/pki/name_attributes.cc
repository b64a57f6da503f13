#include "libs/pki/name_attributes.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/note/utf8.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

struct Attribute {
  absl::string_view name;
  absl::string_view oid;
  uint8_t tag;
  size_t most_characters;  // 0: RFC 5280 sets no bound
};

// The first name of an OID is the one that is written.
constexpr Attribute kAttributes[] = {
    {"CN", kOidCommonName, kUtf8String, 64},
    {"O", kOidOrganization, kUtf8String, 64},
    {"OU", kOidOrganizationalUnit, kUtf8String, 64},
    {"C", kOidCountry, kPrintableString, 2},
    {"ST", kOidState, kUtf8String, 128},
    {"L", kOidLocality, kUtf8String, 128},
    {"STREET", kOidStreet, kUtf8String, 0},
    {"DC", kOidDomainComponent, kIa5String, 0},
    {"UID", kOidUserId, kUtf8String, 0},
    {"emailAddress", kOidEmailAddress, kIa5String, 255},
    {"E", kOidEmailAddress, kIa5String, 255},
    {"serialNumber", kOidSerialNumber, kPrintableString, 64},
    {"dnQualifier", kOidDnQualifier, kPrintableString, 0},
    {"title", kOidTitle, kUtf8String, 64},
    {"SN", kOidSurname, kUtf8String, 32768},
    {"surname", kOidSurname, kUtf8String, 32768},
    {"GN", kOidGivenName, kUtf8String, 32768},
    {"givenName", kOidGivenName, kUtf8String, 32768},
    {"initials", kOidInitials, kUtf8String, 32768},
    {"generationQualifier", kOidGenerationQualifier, kUtf8String, 32768},
    {"pseudonym", kOidPseudonym, kUtf8String, 128},
    {"postalCode", kOidPostalCode, kUtf8String, 0},
    {"businessCategory", kOidBusinessCategory, kUtf8String, 0},
    {"organizationIdentifier", kOidOrganizationIdentifier, kUtf8String, 0},
};

const Attribute* Find(absl::string_view oid) {
  for (const Attribute& attribute : kAttributes) {
    if (attribute.oid == oid) return &attribute;
  }
  return nullptr;
}

// X.680 section 41.4.
bool IsPrintable(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view(" '()+,-./:=?").find(c) != absl::string_view::npos;
}

bool AllPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), IsPrintable);
}

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isascii(static_cast<unsigned char>(c)); });
}

void AppendUtf8(uint16_t code_point, std::string* out) {
  if (code_point < 0x80) {
    out->push_back(static_cast<char>(code_point));
    return;
  }
  if (code_point < 0x800) {
    out->push_back(static_cast<char>(0xC0 | code_point >> 6));
  } else {
    out->push_back(static_cast<char>(0xE0 | code_point >> 12));
    out->push_back(static_cast<char>(0x80 | (code_point >> 6 & 0x3F)));
  }
  out->push_back(static_cast<char>(0x80 | (code_point & 0x3F)));
}

bool DecodeLatin1(absl::string_view contents, std::string* utf8) {
  for (const char c : contents) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || (byte >= 0x7F && byte < 0xA0)) return false;
    AppendUtf8(byte, utf8);
  }
  return true;
}

// UCS-2: surrogates stand for nothing in it.
bool DecodeBmp(absl::string_view contents, std::string* utf8) {
  if (contents.size() % 2 != 0) return false;
  for (size_t i = 0; i < contents.size(); i += 2) {
    const auto code_point = static_cast<uint16_t>(static_cast<uint8_t>(contents[i]) << 8 |
                                                  static_cast<uint8_t>(contents[i + 1]));
    if (code_point == 0 || (code_point >= 0xD800 && code_point < 0xE000)) return false;
    AppendUtf8(code_point, utf8);
  }
  return true;
}

}  // namespace

absl::string_view AttributeName(absl::string_view oid) {
  const Attribute* attribute = Find(oid);
  return attribute == nullptr ? "" : attribute->name;
}

std::string AttributeText(absl::string_view oid) {
  const absl::string_view name = AttributeName(oid);
  return name.empty() ? FormatOid(oid) : std::string(name);
}

absl::string_view AttributeOid(absl::string_view name) {
  for (const Attribute& attribute : kAttributes) {
    if (absl::EqualsIgnoreCase(attribute.name, name)) return attribute.oid;
  }
  return "";
}

uint8_t StringTag(absl::string_view oid, absl::string_view value) {
  const Attribute* attribute = Find(oid);
  if (attribute == nullptr) return kUtf8String;
  const bool fits = (attribute->tag == kPrintableString && AllPrintable(value)) ||
                    (attribute->tag == kIa5String && IsAscii(value));
  return fits ? attribute->tag : uint8_t{kUtf8String};
}

absl::Status CheckAttribute(const NameAttribute& attribute) {
  const Attribute* known = Find(attribute.oid);
  if (known == nullptr) return absl::OkStatus();
  const auto bad = [known](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("name: ", known->name, " ", what));
  };
  const absl::string_view value = attribute.value;
  // Continuation bytes are no characters.
  const auto characters = static_cast<size_t>(std::count_if(
      value.begin(), value.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
  if (known->oid == kOidCountry &&
      !(value.size() == 2 && absl::ascii_isalpha(static_cast<unsigned char>(value[0])) &&
        absl::ascii_isalpha(static_cast<unsigned char>(value[1])))) {
    return bad("is not the two letters of a country (ISO 3166)");
  }
  if (known->most_characters != 0 && characters > known->most_characters) {
    return bad(absl::StrCat("has ", characters, " characters: at most ", known->most_characters,
                            " are allowed"));
  }
  if (known->tag != StringTag(attribute.oid, value)) {
    return bad(known->tag == kIa5String ? "is not in ASCII"
                                        : "has characters that a PrintableString cannot hold");
  }
  return absl::OkStatus();
}

bool DecodeString(uint8_t tag, absl::string_view contents, std::string* utf8) {
  if (contents.empty()) return false;
  utf8->clear();
  switch (tag) {
    case kUtf8String:
      if (!note::IsUtf8(contents)) return false;
      break;
    case kPrintableString:
      if (!AllPrintable(contents)) return false;
      break;
    case kIa5String:
      if (!IsAscii(contents)) return false;
      break;
    case kTeletexString:
      return DecodeLatin1(contents, utf8);
    case kBmpString:
      return DecodeBmp(contents, utf8);
    default:
      return false;
  }
  if (contents.find('\0') != absl::string_view::npos) return false;
  utf8->assign(contents.data(), contents.size());
  return true;
}

}  // namespace countersign::pki
