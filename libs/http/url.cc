#include "libs/http/url.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace countersign::http {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool ParsePort(absl::string_view text, int* port) {
  if (text.empty() || text.size() > 5) return false;
  for (char c : text) {
    if (!absl::ascii_isdigit(c)) return false;
  }
  return absl::SimpleAtoi(text, port) && *port <= 65535;
}

// Splits "host:port" or "[v6]:port"; `port` is empty when there is none.
bool SplitAuthority(absl::string_view text, absl::string_view* host, absl::string_view* port) {
  *port = {};
  if (absl::ConsumePrefix(&text, "[")) {
    const size_t close = text.find(']');
    if (close == absl::string_view::npos) return false;
    *host = text.substr(0, close);
    text.remove_prefix(close + 1);
    if (text.empty()) return !host->empty();
    if (!absl::ConsumePrefix(&text, ":") || text.empty()) return false;
    *port = text;
    return !host->empty();
  }
  const size_t colon = text.find(':');
  *host = text.substr(0, colon);
  if (host->empty()) return false;
  if (colon == absl::string_view::npos) return true;
  *port = text.substr(colon + 1);
  return !port->empty() && !absl::StrContains(*port, ':');
}

bool ValidHost(absl::string_view host) {
  for (char c : host) {
    if (!absl::ascii_isalnum(c) && c != '.' && c != '-' && c != '_' && c != ':') return false;
  }
  return !host.empty();
}

}  // namespace

absl::StatusOr<std::string> PercentDecode(absl::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return absl::InvalidArgumentError("'%' must be followed by two hexadecimal digits");
      }
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

std::string PercentEncode(absl::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
      out.push_back(kHex[static_cast<unsigned char>(c) & 15]);
    }
  }
  return out;
}

absl::StatusOr<QueryParams> ParseQuery(absl::string_view query) {
  QueryParams params;
  for (absl::string_view part : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const size_t equals = part.find('=');
    auto name = PercentDecode(part.substr(0, equals), /*plus_is_space=*/true);
    if (!name.ok()) return name.status();
    std::string value;
    if (equals != absl::string_view::npos) {
      auto decoded = PercentDecode(part.substr(equals + 1), /*plus_is_space=*/true);
      if (!decoded.ok()) return decoded.status();
      value = *std::move(decoded);
    }
    params.emplace_back(*std::move(name), std::move(value));
  }
  return params;
}

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  absl::string_view host;
  absl::string_view port;
  HostPort result;
  if (!SplitAuthority(text, &host, &port) || !ValidHost(host) || !ParsePort(port, &result.port)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not host:port (for example 127.0.0.1:8080 or [::1]:8080)"));
  }
  result.host = std::string(host);
  return result;
}

std::string FormatHostPort(absl::string_view host, int port) {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port)
                                      : absl::StrCat(host, ":", port);
}

std::string Url::authority() const {
  if (port != 80) return FormatHostPort(host, port);
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]") : host;
}

absl::StatusOr<Url> ParseHttpUrl(absl::string_view text) {
  const absl::string_view whole = text;
  const auto fail = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("'", whole, "' ", why));
  };
  if (text.size() < 7 || !absl::EqualsIgnoreCase(text.substr(0, 7), "http://")) {
    return fail("is not an http:// URL");
  }
  text.remove_prefix(7);
  for (char c : text) {
    if (!absl::ascii_isgraph(c)) return fail("holds a character that must be percent-encoded");
  }
  text = text.substr(0, text.find('#'));
  const size_t end = text.find_first_of("/?");
  const absl::string_view authority = text.substr(0, end);
  const absl::string_view target =
      end == absl::string_view::npos ? absl::string_view() : text.substr(end);
  if (absl::StrContains(authority, '@')) return fail("must not hold user information");
  absl::string_view host;
  absl::string_view port;
  Url url;
  if (!SplitAuthority(authority, &host, &port) || !ValidHost(host))
    return fail("has no valid host");
  if (!port.empty() && (!ParsePort(port, &url.port) || url.port == 0)) {
    return fail("has no valid port");
  }
  url.host = std::string(host);
  url.target = absl::StartsWith(target, "/") ? std::string(target) : absl::StrCat("/", target);
  return url;
}

}  // namespace countersign::http
