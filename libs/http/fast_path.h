// Reads plain requests by hand and has the FastHandler answer them; an event loop has one.
#ifndef COUNTERSIGN_LIBS_HTTP_FAST_PATH_H_
#define COUNTERSIGN_LIBS_HTTP_FAST_PATH_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "libs/http/fast_handler.h"

namespace countersign::http::internal {

// A request as FastHandler takes it, with what the connection must know.
struct ParsedRequest {
  FastRequest request;
  size_t size = 0;  // from the request line's first byte to the body's last
  bool http10 = false;
  bool keep_alive = false;
};

// Reads the request at the front of `bytes`. False when it is not there as a whole, or is of any
// kind that FastHandler is not asked about; malformed ones are among them. Only what the session's
// parser accepts too, and understands in the same way, is taken (RFC 9112 sections 3, 5 and 6).
bool ParsePlainRequest(absl::string_view bytes, size_t max_header_bytes, size_t max_body_bytes,
                       ParsedRequest* parsed);

// Used by the loop's thread. Allocates nothing once its buffers have grown to what is asked of it.
class FastPath {
 public:
  struct Answered {
    size_t consumed = 0;  // bytes of the requests that were answered
    bool close = false;   // the last of them was the connection's last
  };

  FastPath(FastHandler handler, size_t max_header_bytes, size_t max_body_bytes);

  bool enabled() const { return handler_ != nullptr; }

  // Answers the requests at the front of `bytes`, in order, into out(), up to the first that is not
  // for it or that ends the connection; with `draining` the first does. `date` is the Date field's
  // value.
  Answered Answer(absl::string_view bytes, absl::string_view date, bool draining);

  // The answers; good until the next call of Answer.
  absl::string_view out() const { return out_; }

 private:
  void AppendAnswer(absl::string_view date, bool close);

  const FastHandler handler_;
  const size_t max_header_bytes_;
  const size_t max_body_bytes_;
  ParsedRequest parsed_;
  FastResponse response_;
  std::string out_;
};

}  // namespace countersign::http::internal

#endif  // COUNTERSIGN_LIBS_HTTP_FAST_PATH_H_
