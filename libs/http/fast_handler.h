// Answering requests on the spot, out of memory and without allocating: what a Handler with its
// Request, Responder and Response costs is more than a cached answer does.
#ifndef COUNTERSIGN_LIBS_HTTP_FAST_HANDLER_H_
#define COUNTERSIGN_LIBS_HTTP_FAST_HANDLER_H_

#include <array>
#include <cstddef>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace countersign::http {

// A request as it lies in the connection's buffer. The views are good until the handler returns.
struct FastRequest {
  struct Field {
    absl::string_view name;
    absl::string_view value;
  };
  static constexpr size_t kMaxFields = 32;

  // "GET" or "POST". HEAD arrives as GET with `head` set, as in Request.
  absl::string_view method;
  bool head = false;
  // Path and query as received, starting with '/'.
  absl::string_view target;
  absl::string_view body;

  size_t field_count = 0;
  std::array<Field, kMaxFields> fields;

  // `target` up to the first '?'.
  absl::string_view path() const { return target.substr(0, target.find('?')); }
  // The value of the first field with that name; empty when there is none. Names compare without
  // regard to case.
  absl::string_view Get(absl::string_view name) const;
  // How many fields have that name.
  int Count(absl::string_view name) const;
};

// The answer in the making. The strings belong to the event loop and keep their capacity from one
// request to the next; they are empty when the handler is called.
struct FastResponse {
  int status = 200;  // 200 to 599
  // Whole header lines, each "Name: value\r\n". Content-Length, Connection and Date are the
  // server's. They are sent as they are: what a client has sent does not belong here.
  std::string fields;
  std::string body;
  // For the handler's own use.
  std::string scratch;
};

// Answers `request` into `*response` and returns true; or returns false, and the Handler gets the
// same request as though this one had not been asked. Called on several server threads at once;
// must not block, nor throw.
//
// It is asked only about plain requests that are in the buffer as a whole: GET and HEAD without a
// body, POST with a Content-Length, one Host field, at most kMaxFields fields, no
// Transfer-Encoding, Expect or Upgrade. All others go to the Handler, which must therefore know an
// answer to every request.
using FastHandler = std::function<bool(const FastRequest& request, FastResponse* response)>;

}  // namespace countersign::http

#endif  // COUNTERSIGN_LIBS_HTTP_FAST_HANDLER_H_
