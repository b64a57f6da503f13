// HTTP requests and responses as plain values, whatever engine carries them.
//
// Handlers see these types only; no Beast or Asio type leaves the .cc files, so that an HTTP/2
// engine can feed the same handlers.
#ifndef COUNTERSIGN_LIBS_HTTP_MESSAGE_H_
#define COUNTERSIGN_LIBS_HTTP_MESSAGE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::http {

// Header fields in order. Names compare without regard to case (RFC 9110 section 5.1).
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;

  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  // The value of the first field with that name; empty when there is none.
  absl::string_view Get(absl::string_view name) const;
  bool Has(absl::string_view name) const;
  // How many fields have that name.
  int Count(absl::string_view name) const;
  // Appends a field.
  void Add(absl::string_view name, absl::string_view value);
  // Replaces every field of that name by one.
  void Set(absl::string_view name, absl::string_view value);
  void Remove(absl::string_view name);

  std::vector<Field>::const_iterator begin() const { return fields_.begin(); }
  std::vector<Field>::const_iterator end() const { return fields_.end(); }
  size_t size() const { return fields_.size(); }

 private:
  std::vector<Field> fields_;
};

struct Request {
  // As received, but for HEAD, which arrives as GET with `head` set: the server drops the body.
  std::string method = "GET";
  bool head = false;
  // Path and query as received: percent-encoded, starting with '/' ("*" for OPTIONS *).
  std::string target = "/";
  Headers headers;
  std::string body;
  // The other end, "127.0.0.1:40112" or "[::1]:40112".
  std::string peer;
  // When the server gives up waiting for the answer.
  absl::Time deadline = absl::InfiniteFuture();
  // What the Router took from the path, in the pattern's order.
  std::vector<std::pair<std::string, std::string>> params;

  // `target` up to the first '?', and what follows it; both still percent-encoded.
  absl::string_view path() const;
  absl::string_view query() const;
  // A path parameter by its name; empty when the pattern has none of that name.
  absl::string_view Param(absl::string_view name) const;
};

struct Response {
  int status = 200;
  // Content-Length, Connection and Date are the server's.
  Headers headers;
  // Shared and immutable, so that a cached body is never copied. Null is an empty body.
  std::shared_ptr<const std::string> body;

  absl::string_view body_view() const {
    return body == nullptr ? absl::string_view() : absl::string_view(*body);
  }
};

// A response with that Content-Type and body.
Response MakeResponse(int status, absl::string_view content_type, std::string body);

// Answers one request. May be called from any thread, during the handler or long after it; only the
// first call counts. When every copy is destroyed uncalled, the client receives a 500.
using Responder = std::function<void(Response)>;

// Called on a server thread, which it must not block.
using Handler = std::function<void(Request, Responder)>;

// The standard reason phrase of a status code; "Unknown" for one without.
absl::string_view ReasonPhrase(int status);

// IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7).
std::string FormatHttpDate(absl::Time time);
// The same appended; allocates nothing when `*out` has room for 29 bytes.
void AppendHttpDate(absl::Time time, std::string* out);

// Cache-Control of what never changes (tiles), of what may be kept for `age`, and of what must not
// be stored.
void SetImmutable(Response* response);
void SetMaxAge(absl::Duration age, Response* response);
void SetNoStore(Response* response);

// Whether the request's If-None-Match names `etag` (quoted, as in the ETag field) or is "*";
// comparison is weak (RFC 9110 section 13.1.2).
bool MatchesETag(const Request& request, absl::string_view etag);
// The same of one If-None-Match field's value.
bool ETagListMatches(absl::string_view if_none_match, absl::string_view etag);

}  // namespace countersign::http

#endif  // COUNTERSIGN_LIBS_HTTP_MESSAGE_H_
