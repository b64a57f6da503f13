// An HTTP/1.1 server (RFC 9112): one event loop a thread, each with a listener of its own on the
// same port, and neutral requests and responses.
//
// Plain HTTP; TLS ends at the proxy in front. Malformed input is answered with 400 and closed.
#ifndef COUNTERSIGN_LIBS_HTTP_SERVER_H_
#define COUNTERSIGN_LIBS_HTTP_SERVER_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/http/fast_handler.h"
#include "libs/http/message.h"

namespace countersign::http {

struct ServerOptions {
  // host:port; a literal address or a name, "[::1]:80" for IPv6. Port 0 takes a free one.
  std::string address = "127.0.0.1:0";
  int threads = 1;
  // Request line and header fields together; beyond it 431.
  size_t max_header_bytes = 16 * 1024;
  // Beyond it 413.
  size_t max_body_bytes = 1024 * 1024;
  // How long a connection may rest between requests before it is closed.
  absl::Duration idle_timeout = absl::Seconds(60);
  // From a request's first byte to its last; beyond it 408.
  absl::Duration read_timeout = absl::Seconds(10);
  // From a request's last byte to the handler's answer; beyond it 504. Also bounds how long a
  // client may take to read the answer.
  absl::Duration request_timeout = absl::Seconds(30);
  // Beyond it new connections are answered 503 and closed.
  int max_connections = 10000;
  // Asked before the handler about requests that it may answer on the spot; none when empty.
  FastHandler fast_handler;
};

// Thread-safe.
class Server {
 public:
  // Binds, listens and starts the threads. Unavailable when the port is in use (also by another
  // server of this kind), InvalidArgument when the address cannot be understood.
  static absl::StatusOr<std::unique_ptr<Server>> Listen(ServerOptions options, Handler handler);

  // Closes what is still open at once.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // The port bound, and "host:port" with it.
  int port() const;
  const std::string& address() const;

  // Open connections.
  int connections() const;

  // Stops accepting, closes idle connections, lets requests under way be answered for at most
  // `grace`, then closes the rest and stops the threads. Returns whether all were answered. Blocks;
  // not to be called from a handler. Later calls do nothing.
  bool Drain(absl::Duration grace);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::http

#endif  // COUNTERSIGN_LIBS_HTTP_SERVER_H_
