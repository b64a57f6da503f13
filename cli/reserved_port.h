// A TCP port that is kept free for a process that is started later.
#ifndef COUNTERSIGN_CLI_RESERVED_PORT_H_
#define COUNTERSIGN_CLI_RESERVED_PORT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace countersign::cli {

// Holds a port by a socket that is bound and never listens: the kernel gives it to nobody who asks
// for any port, while a server that asks for it by number, with SO_REUSEADDR as servers do, gets
// it. Nobody is connected to it before. Immutable, hence thread-safe.
class ReservedPort {
 public:
  // `port` 0 takes a free one. Unavailable when `host` has no address here or the port is in use.
  static absl::StatusOr<std::unique_ptr<ReservedPort>> Take(const std::string& host, int port);

  ~ReservedPort();
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;

  int port() const { return port_; }

 private:
  ReservedPort(int fd, int port) : fd_(fd), port_(port) {}

  const int fd_;
  const int port_;
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_RESERVED_PORT_H_
