// RFC 4514: FormatName and ParseNameText.
#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/note/utf8.h"
#include "libs/pki/der.h"
#include "libs/pki/name.h"
#include "libs/pki/name_attributes.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

// What RFC 4514 section 2.4 keeps from standing in a value as it is.
constexpr absl::string_view kSpecials = "\"+,;<>\\";
// What may follow a backslash as itself.
constexpr absl::string_view kEscapable = "\"+,;<>\\ #=";

bool IsHexDigit(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }

void AppendEscaped(absl::string_view value, std::string* out) {
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      absl::StrAppend(out, "\\", base::HexEncode(value.substr(i, 1)));
      continue;
    }
    const bool at_edge = (c == ' ' && (i == 0 || i + 1 == value.size())) || (c == '#' && i == 0);
    if (at_edge || kSpecials.find(c) != absl::string_view::npos) out->push_back('\\');
    out->push_back(c);
  }
}

// Reads a name's text from front to back.
class TextParser {
 public:
  explicit TextParser(absl::string_view text) : rest_(text) {}

  absl::StatusOr<Name> Parse() {
    Name name;
    SkipSpaces();
    if (rest_.empty()) return name;
    do {
      std::vector<NameAttribute>& rdn = name.rdns.emplace_back();
      do {
        RETURN_IF_ERROR(ParseAttribute(&rdn.emplace_back()));
      } while (Take('+'));
    } while (Take(','));
    std::reverse(name.rdns.begin(), name.rdns.end());
    return name;
  }

 private:
  static absl::Status Bad(absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("name: ", what));
  }

  void SkipSpaces() {
    while (!rest_.empty() && rest_[0] == ' ') rest_.remove_prefix(1);
  }

  bool Take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // Leaves the reader at a separator or at the end.
  absl::Status ParseAttribute(NameAttribute* attribute) {
    SkipSpaces();
    const size_t equals = rest_.find('=');
    if (equals == absl::string_view::npos) {
      return Bad("an attribute is not of the form TYPE=VALUE");
    }
    const absl::string_view type = absl::StripTrailingAsciiWhitespace(rest_.substr(0, equals));
    rest_.remove_prefix(equals + 1);
    if (!type.empty() && absl::ascii_isdigit(static_cast<unsigned char>(type[0]))) {
      ASSIGN_OR_RETURN(attribute->oid, ParseOid(type));
    } else {
      attribute->oid = std::string(AttributeOid(type));
      if (attribute->oid.empty()) {
        return Bad(absl::StrCat("unknown attribute \"", type,
                                "\": write another by its OID, as in 2.5.4.3=…"));
      }
    }
    SkipSpaces();
    RETURN_IF_ERROR(Take('#') ? ParseHex(&attribute->value) : ParseString(&attribute->value));
    if (!rest_.empty() && rest_[0] != ',' && rest_[0] != '+') {
      return Bad(absl::StrCat("\"", rest_.substr(0, 1), "\" needs a backslash before it"));
    }
    if (attribute->value.empty()) return Bad(absl::StrCat(type, " has no value"));
    if (!note::IsUtf8(attribute->value) || attribute->value.find('\0') != std::string::npos) {
      return Bad(absl::StrCat(type, " is not text in UTF-8 without zeros"));
    }
    return CheckAttribute(*attribute);
  }

  // The DER of a value, in hexadecimal digits.
  absl::Status ParseHex(std::string* value) {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), IsHexDigit);
    const auto digits = static_cast<size_t>(end - rest_.begin());
    const absl::StatusOr<std::string> der = base::HexDecode(rest_.substr(0, digits));
    rest_.remove_prefix(digits);
    SkipSpaces();
    if (!der.ok()) return Bad("an odd number of hexadecimal digits after '#'");
    DerReader in(*der);
    uint8_t tag;
    absl::string_view contents;
    if (!in.ReadAny(&tag, &contents) || !in.empty() || !DecodeString(tag, contents, value)) {
      return Bad("what follows '#' is not the DER of a string");
    }
    return absl::OkStatus();
  }

  absl::Status ParseString(std::string* value) {
    size_t kept = 0;  // without the spaces at the end that no backslash holds
    while (!rest_.empty() && rest_[0] != ',' && rest_[0] != '+') {
      if (Take('\\')) {
        RETURN_IF_ERROR(TakeEscaped(value));
        kept = value->size();
        continue;
      }
      if (kSpecials.find(rest_[0]) != absl::string_view::npos) break;
      value->push_back(rest_[0]);
      if (rest_[0] != ' ') kept = value->size();
      rest_.remove_prefix(1);
    }
    value->resize(kept);
    return absl::OkStatus();
  }

  absl::Status TakeEscaped(std::string* value) {
    if (!rest_.empty() && kEscapable.find(rest_[0]) != absl::string_view::npos) {
      value->push_back(rest_[0]);
      rest_.remove_prefix(1);
      return absl::OkStatus();
    }
    const absl::StatusOr<std::string> byte = base::HexDecode(rest_.substr(0, 2));
    if (!byte.ok() || byte->empty()) return Bad("a backslash before what needs none");
    value->append(*byte);
    rest_.remove_prefix(2);
    return absl::OkStatus();
  }

  absl::string_view rest_;
};

}  // namespace

std::string FormatName(const Name& name) {
  std::string text;
  for (auto rdn = name.rdns.rbegin(); rdn != name.rdns.rend(); ++rdn) {
    if (rdn != name.rdns.rbegin()) text.push_back(',');
    for (const NameAttribute& attribute : *rdn) {
      if (&attribute != &rdn->front()) text.push_back('+');
      const absl::string_view known = AttributeName(attribute.oid);
      if (!known.empty()) {
        absl::StrAppend(&text, known, "=");
        AppendEscaped(attribute.value, &text);
        continue;
      }
      DerWriter value;
      value.Add(StringTag(attribute.oid, attribute.value), attribute.value);
      absl::StrAppend(&text, FormatOid(attribute.oid), "=#", base::HexEncode(value.der()));
    }
  }
  return text;
}

absl::StatusOr<Name> ParseNameText(absl::string_view text) { return TextParser(text).Parse(); }

}  // namespace countersign::pki
