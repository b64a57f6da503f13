// Parts of URLs (RFC 3986) and host:port addresses. Pure functions.
#ifndef COUNTERSIGN_LIBS_HTTP_URL_H_
#define COUNTERSIGN_LIBS_HTTP_URL_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::http {

// Replaces %XX; with `plus_is_space`, '+' too. InvalidArgument for '%' without two hex digits.
absl::StatusOr<std::string> PercentDecode(absl::string_view text, bool plus_is_space = false);

// Encodes all but letters, digits and "-._~", so that the result fits any part of a URL.
std::string PercentEncode(absl::string_view text);

using QueryParams = std::vector<std::pair<std::string, std::string>>;

// "a=1&b=x%20y&c" as decoded pairs in order; a name without '=' has the value "".
absl::StatusOr<QueryParams> ParseQuery(absl::string_view query);

struct HostPort {
  std::string host;  // without brackets
  int port = 0;
};

// "host:port", "127.0.0.1:80", "[::1]:80"; the port is required, 0..65535.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

// Joins them again, with brackets around an IPv6 address.
std::string FormatHostPort(absl::string_view host, int port);

struct Url {
  std::string host;  // without brackets
  int port = 80;
  std::string target = "/";  // path and query

  // The Host field: with the port unless it is 80.
  std::string authority() const;
};

// An absolute http URL without user information; a fragment is dropped. InvalidArgument otherwise,
// also for https.
absl::StatusOr<Url> ParseHttpUrl(absl::string_view text);

}  // namespace countersign::http

#endif  // COUNTERSIGN_LIBS_HTTP_URL_H_
