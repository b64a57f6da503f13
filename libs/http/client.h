// An HTTP/1.1 client over plain TCP with deadlines and a pool of kept-alive connections.
#ifndef COUNTERSIGN_LIBS_HTTP_CLIENT_H_
#define COUNTERSIGN_LIBS_HTTP_CLIENT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/http/message.h"

namespace countersign::http {

struct ClientOptions {
  size_t max_response_bytes = 16 * 1024 * 1024;
  size_t max_response_header_bytes = 64 * 1024;
  // Connections kept open a host:port, and for how long.
  int max_idle_per_host = 16;
  absl::Duration idle_timeout = absl::Seconds(30);
};

struct ClientRequest {
  std::string method = "GET";
  // http://host[:port][/path][?query]
  std::string url;
  // Host and Content-Length are the client's.
  Headers headers;
  std::string body;
  // For everything: name resolution, connecting, sending, receiving.
  absl::Duration timeout = absl::Seconds(30);
  // Whether it does no harm to send the request twice: GET and HEAD always may, and are sent again
  // once when a kept-alive connection turns out to be closed.
  bool idempotent = false;
};

// Thread-safe.
class Client {
 public:
  // Any HTTP status is an answer, not an error. Errors: InvalidArgument (the URL or a header
  // field), DeadlineExceeded, Unavailable (could not connect, or the connection broke),
  // ResourceExhausted (the response is larger than allowed), Internal (the answer is not HTTP),
  // Cancelled (the client was destroyed).
  using Callback = std::function<void(absl::StatusOr<Response>)>;

  explicit Client(ClientOptions options = {});
  // Ends what is under way with Cancelled, then joins. Not to be called from a callback.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Calls `done` exactly once, on the client's own thread, which it must not block.
  void Send(ClientRequest request, Callback done);

  // Blocks until the answer is there; not to be called from a callback.
  absl::StatusOr<Response> Call(ClientRequest request);
  absl::StatusOr<Response> Get(absl::string_view url, absl::Duration timeout);
  absl::StatusOr<Response> Post(absl::string_view url, absl::string_view content_type,
                                std::string body, absl::Duration timeout);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::http

#endif  // COUNTERSIGN_LIBS_HTTP_CLIENT_H_
