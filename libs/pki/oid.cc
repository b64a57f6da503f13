#include "libs/pki/oid.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace countersign::pki {
namespace {

using Number = unsigned __int128;

std::string Decimal(Number value) {
  std::string digits;
  do {
    digits.push_back(static_cast<char>('0' + static_cast<int>(value % 10)));
    value /= 10;
  } while (value != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

// Takes a number off the front of `*text`: no sign, no leading zero, below 2^128.
bool ConsumeNumber(absl::string_view* text, Number* value) {
  size_t size = 0;
  *value = 0;
  for (; size < text->size() && (*text)[size] >= '0' && (*text)[size] <= '9'; ++size) {
    const Number digit = static_cast<Number>((*text)[size] - '0');
    if (*value > (~Number{0} - digit) / 10) return false;
    *value = *value * 10 + digit;
  }
  if (size == 0 || (size > 1 && (*text)[0] == '0')) return false;
  text->remove_prefix(size);
  return true;
}

void AppendBase128(Number value, std::string* out) {
  int groups = 1;
  for (Number left = value >> 7; left != 0; left >>= 7) ++groups;
  for (int i = groups - 1; i >= 0; --i) {
    const auto bits = static_cast<uint8_t>(value >> (7 * i)) & 0x7F;
    out->push_back(static_cast<char>(i == 0 ? bits : bits | 0x80));
  }
}

}  // namespace

bool IsOid(absl::string_view contents) {
  constexpr size_t kMostBytes = 19;       // of a number below 2^128
  constexpr uint8_t kMostOfFirst = 0x83;  // when it has so many
  if (contents.empty() || (static_cast<uint8_t>(contents.back()) & 0x80) != 0) return false;
  size_t begin = 0;
  for (size_t i = 0; i < contents.size(); ++i) {
    if ((static_cast<uint8_t>(contents[i]) & 0x80) != 0) continue;
    const auto first = static_cast<uint8_t>(contents[begin]);
    const size_t size = i + 1 - begin;
    if (first == 0x80 || size > kMostBytes || (size == kMostBytes && first > kMostOfFirst)) {
      return false;
    }
    begin = i + 1;
  }
  return true;
}

std::string FormatOid(absl::string_view contents) {
  std::string text;
  Number value = 0;
  for (const char c : contents) {
    value = value << 7 | (static_cast<uint8_t>(c) & 0x7F);
    if ((static_cast<uint8_t>(c) & 0x80) != 0) continue;
    if (text.empty()) {
      const int root = value < 40 ? 0 : value < 80 ? 1 : 2;
      absl::StrAppend(&text, root, ".", Decimal(value - static_cast<Number>(40 * root)));
    } else {
      absl::StrAppend(&text, ".", Decimal(value));
    }
    value = 0;
  }
  return text;
}

absl::StatusOr<std::string> ParseOid(absl::string_view text) {
  const auto bad = [text] {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no object identifier"));
  };
  absl::string_view rest = text;
  Number root;
  Number value;
  if (!ConsumeNumber(&rest, &root) || root > 2 || rest.empty() || rest[0] != '.') return bad();
  rest.remove_prefix(1);
  if (!ConsumeNumber(&rest, &value) || (root < 2 && value >= 40) || value > ~Number{0} - 80) {
    return bad();
  }
  std::string contents;
  AppendBase128(root * 40 + value, &contents);
  while (!rest.empty()) {
    if (rest[0] != '.') return bad();
    rest.remove_prefix(1);
    if (!ConsumeNumber(&rest, &value)) return bad();
    AppendBase128(value, &contents);
  }
  return contents;
}

}  // namespace countersign::pki
