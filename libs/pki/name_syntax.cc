#include "libs/pki/name_syntax.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/pki/general_name.h"

namespace countersign::pki {
namespace {

using Kind = GeneralName::Kind;

constexpr size_t kMostLabelBytes = 63;
constexpr size_t kMostNameBytes = 253;
// RFC 5321 section 4.5.3.1; the path's 256 include its angle brackets.
constexpr size_t kMostLocalPartBytes = 64;
constexpr size_t kMostMailboxBytes = 254;

bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }
bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

bool OneOf(char c, absl::string_view set) { return set.find(c) != absl::string_view::npos; }

absl::Status Bad(absl::string_view kind, absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(kind, " \"", name, "\" ", what));
}

// RFC 5321 section 4.1.2: Dot-string or Quoted-string.
bool IsLocalPart(absl::string_view part) {
  if (part.empty() || part.size() > kMostLocalPartBytes) return false;
  if (part[0] == '"') {
    if (part.size() < 2 || part.back() != '"') return false;
    part = part.substr(1, part.size() - 2);
    for (size_t i = 0; i < part.size(); ++i) {
      if (part[i] == '"') return false;
      if (part[i] == '\\' && ++i == part.size()) return false;
      if (part[i] < 0x20 || part[i] > 0x7E) return false;
    }
    return true;
  }
  char before = '.';
  for (const char c : part) {
    if (c == '.' ? before == '.' : !IsAlnum(c) && !OneOf(c, "!#$%&'*+-/=?^_`{|}~")) return false;
    before = c;
  }
  return before != '.';
}

absl::Status CheckMailbox(absl::string_view mailbox) {
  const size_t at = mailbox.rfind('@');
  if (at == absl::string_view::npos) {
    return Bad("e-mail address", mailbox, "has no \"@\"");
  }
  if (mailbox.size() > kMostMailboxBytes || !IsLocalPart(mailbox.substr(0, at))) {
    return Bad("e-mail address", mailbox,
               "has no local part as RFC 5321 section 4.1.2 spells it, or is too long");
  }
  absl::string_view host = mailbox.substr(at + 1);
  if (absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]")) {
    const bool six = absl::ConsumePrefix(&host, "IPv6:");
    if (ParseIp(host).size() == (six ? 16 : 4)) return absl::OkStatus();
    return Bad("e-mail address", mailbox, "has no IP address in its brackets");
  }
  return CheckHostName(mailbox.substr(at + 1), /*wildcard=*/false);
}

// RFC 3986 section 2: what may stand in a URI.
bool IsUriText(absl::string_view uri) {
  for (size_t i = 0; i < uri.size(); ++i) {
    if (uri[i] == '%') {
      if (i + 2 >= uri.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(uri[i + 1])) ||
          !absl::ascii_isxdigit(static_cast<unsigned char>(uri[i + 2]))) {
        return false;
      }
      i += 2;
    } else if (!IsAlnum(uri[i]) && !OneOf(uri[i], "-._~:/?#[]@!$&'()*+,;=")) {
      return false;
    }
  }
  return true;
}

bool IsScheme(absl::string_view scheme) {
  return !scheme.empty() && absl::ascii_isalpha(static_cast<unsigned char>(scheme[0])) &&
         std::all_of(scheme.begin(), scheme.end(),
                     [](char c) { return IsAlnum(c) || OneOf(c, "+-."); });
}

absl::Status CheckUri(absl::string_view uri) {
  if (!IsUriText(uri)) return Bad("URI", uri, "has characters that RFC 3986 wants escaped");
  if (!IsScheme(uri.substr(0, uri.find(':')))) return Bad("URI", uri, "is not absolute");
  const absl::string_view host = UriHost(uri);
  if (host.empty()) return Bad("URI", uri, "has no host");
  const auto behind = static_cast<size_t>(host.data() - uri.data()) + host.size();
  if (behind < uri.size() && uri[behind] == ':') {
    const absl::string_view port = uri.substr(behind + 1);
    const auto end = std::find_if_not(port.begin(), port.end(), IsDigit);
    if (end != port.end() && !OneOf(*end, "/?#"))
      return Bad("URI", uri, "has no number for its port");
  }
  return IsIpHost(host) ? absl::OkStatus() : CheckHostName(host, /*wildcard=*/false);
}

}  // namespace

absl::Status CheckHostName(absl::string_view name, bool wildcard) {
  const auto bad = [name](absl::string_view what) { return Bad("DNS name", name, what); };
  absl::string_view labels = name;
  const bool starred = wildcard && absl::ConsumePrefix(&labels, "*.");
  if (name.empty()) return bad("is empty");
  if (name.size() > kMostNameBytes) return bad("is longer than 253 characters");
  absl::string_view last;
  size_t count = 0;
  for (absl::string_view rest = labels;; ++count) {
    const size_t dot = rest.find('.');
    last = rest.substr(0, dot);
    if (last.empty())
      return bad(dot == absl::string_view::npos && count > 0 ? "ends with a dot"
                                                             : "has an empty label");
    if (last.size() > kMostLabelBytes) return bad("has a label longer than 63 characters");
    if (last.find('*') != absl::string_view::npos) {
      return bad(wildcard ? "has a \"*\" that is not the whole leftmost label of at least three"
                          : "has a \"*\"");
    }
    if (!std::all_of(last.begin(), last.end(), [](char c) { return IsAlnum(c) || c == '-'; })) {
      return bad("has characters other than letters, digits and hyphens");
    }
    if (last.front() == '-' || last.back() == '-') {
      return bad("has a label with a hyphen at its edge");
    }
    if (dot == absl::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (starred && count == 0) return bad("is a wildcard with fewer than two labels behind it");
  if (std::all_of(last.begin(), last.end(), IsDigit)) {
    return bad("ends with a number: an address is no DNS name");
  }
  return absl::OkStatus();
}

std::string ParseIp(absl::string_view text) {
  const std::string zero_terminated(text);
  char bytes[16];
  if (inet_pton(AF_INET, zero_terminated.c_str(), bytes) == 1 &&
      zero_terminated.find('\0') == std::string::npos) {
    return std::string(bytes, 4);
  }
  if (inet_pton(AF_INET6, zero_terminated.c_str(), bytes) == 1 &&
      zero_terminated.find('\0') == std::string::npos) {
    return std::string(bytes, 16);
  }
  return "";
}

absl::string_view UriHost(absl::string_view uri) {
  const size_t colon = uri.find(':');
  if (colon == absl::string_view::npos) return "";
  absl::string_view rest = uri.substr(colon + 1);
  if (!absl::ConsumePrefix(&rest, "//")) return "";
  rest = rest.substr(0, rest.find_first_of("/?#"));
  const size_t at = rest.rfind('@');
  if (at != absl::string_view::npos) rest.remove_prefix(at + 1);
  if (!rest.empty() && rest[0] == '[') {
    const size_t close = rest.find(']');
    return close == absl::string_view::npos ? "" : rest.substr(0, close + 1);
  }
  return rest.substr(0, rest.find(':'));
}

bool IsIpHost(absl::string_view host) {
  if (absl::ConsumePrefix(&host, "[")) {
    return absl::ConsumeSuffix(&host, "]") && ParseIp(host).size() == 16;
  }
  return ParseIp(host).size() == 4;
}

absl::Status CheckSyntax(const GeneralName& name) {
  switch (name.kind) {
    case Kind::kDns:
      return CheckHostName(name.value, /*wildcard=*/true);
    case Kind::kEmail:
      return CheckMailbox(name.value);
    case Kind::kUri:
      return CheckUri(name.value);
    case Kind::kIp:
      if (name.value.size() == 4 || name.value.size() == 16) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat("an IP address has 4 or 16 bytes, not ", name.value.size()));
    case Kind::kDirectory: {
      const absl::StatusOr<Name> parsed = ParseName(name.value);
      if (parsed.ok() && parsed->empty()) {
        return absl::InvalidArgumentError("a directory name is empty");
      }
      return parsed.status();
    }
    case Kind::kOther:
      break;
  }
  return absl::InvalidArgumentError(
      "alternative names of this kind are not supported: DNS, IP, email, URI and DirName are");
}

}  // namespace countersign::pki
