#include "libs/bundle/jcs.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/strict_json.h"

namespace countersign::bundle {
namespace {

using nlohmann::json;

// Orders valid UTF-8 as its UTF-16 would be: bytewise, except that a supplementary character (lead
// byte F0 and up, a surrogate pair in UTF-16) comes before U+E000..U+FFFF (lead bytes EE and EF).
bool Utf16Less(const std::string& a, const std::string& b) {
  auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (x == a.end() || y == b.end()) return x == a.end() && y != b.end();
  const auto rank = [](char c) {
    const uint8_t byte = static_cast<uint8_t>(c);
    return byte == 0xEE || byte == 0xEF ? byte + 0x100 : static_cast<int>(byte);
  };
  return rank(*x) < rank(*y);
}

void AppendString(const std::string& text, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  for (char c : text) {
    switch (c) {
      case '"':
        out->append("\\\"");
        break;
      case '\\':
        out->append("\\\\");
        break;
      case '\b':
        out->append("\\b");
        break;
      case '\t':
        out->append("\\t");
        break;
      case '\n':
        out->append("\\n");
        break;
      case '\f':
        out->append("\\f");
        break;
      case '\r':
        out->append("\\r");
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          absl::StrAppend(out, "\\u00", c >= 0x10 ? "1" : "0");
          out->push_back(kHex[c & 0xF]);
        } else {
          out->push_back(c);
        }
    }
  }
  out->push_back('"');
}

void Append(const json& value, std::string* out) {
  switch (value.type()) {
    case json::value_t::object: {
      std::vector<const std::pair<const std::string, json>*> members;
      for (const auto& member : value.get_ref<const json::object_t&>()) members.push_back(&member);
      std::sort(members.begin(), members.end(),
                [](const auto* a, const auto* b) { return Utf16Less(a->first, b->first); });
      const char* separator = "{";
      for (const auto* member : members) {
        out->append(separator);
        separator = ",";
        AppendString(member->first, out);
        out->push_back(':');
        Append(member->second, out);
      }
      out->append(members.empty() ? "{}" : "}");
      break;
    }
    case json::value_t::array: {
      const char* separator = "[";
      for (const json& element : value) {
        out->append(separator);
        separator = ",";
        Append(element, out);
      }
      out->append(value.empty() ? "[]" : "]");
      break;
    }
    case json::value_t::string:
      AppendString(value.get_ref<const std::string&>(), out);
      break;
    case json::value_t::boolean:
      out->append(value.get<bool>() ? "true" : "false");
      break;
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
    case json::value_t::number_float:
      out->append(CanonicalNumber(value.get<double>()));
      break;
    default:
      out->append("null");
  }
}

}  // namespace

std::string CanonicalNumber(double value) {
  if (value == 0) return "0";
  char buffer[32];
  // The shortest digits that read back as `value`, as d.ddde±xx.
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  absl::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  std::string sign;
  if (text[0] == '-') {
    sign = "-";
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  std::string digits(1, text[0]);
  if (e > 2) digits.append(text.substr(2, e - 2).data(), e - 2);
  // ECMAScript's n: the decimal point stands after that many digits.
  const int n = std::atoi(std::string(text.substr(e + 1)).c_str()) + 1;
  const int k = static_cast<int>(digits.size());
  if (k <= n && n <= 21) return absl::StrCat(sign, digits, std::string(n - k, '0'));
  if (0 < n && n <= 21) return absl::StrCat(sign, digits.substr(0, n), ".", digits.substr(n));
  if (-6 < n && n <= 0) return absl::StrCat(sign, "0.", std::string(-n, '0'), digits);
  const std::string exponent = absl::StrCat("e", n - 1 < 0 ? "-" : "+", std::abs(n - 1));
  if (k == 1) return absl::StrCat(sign, digits, exponent);
  return absl::StrCat(sign, digits.substr(0, 1), ".", digits.substr(1), exponent);
}

absl::StatusOr<std::string> CanonicalizeJson(absl::string_view text) {
  ASSIGN_OR_RETURN(json value, ParseStrictJson(text));
  std::string out;
  out.reserve(text.size());
  Append(value, &out);
  return out;
}

}  // namespace countersign::bundle
