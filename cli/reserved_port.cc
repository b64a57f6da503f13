#include "cli/reserved_port.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/file.h"

namespace countersign::cli {
namespace {

int PortOf(const sockaddr_storage& address) {
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ReservedPort>> ReservedPort::Take(const std::string& host,
                                                                 int port) {
  absl::string_view bare = host;
  if (absl::ConsumePrefix(&bare, "[")) absl::ConsumeSuffix(&bare, "]");
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(std::string(bare).c_str(), absl::StrCat(port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat(host, " has no address: ", gai_strerror(error)));
  }
  const auto free_addresses = absl::MakeCleanup([found] { freeaddrinfo(found); });
  const std::string what = absl::StrCat("port ", port, " of ", host);
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return base::ErrnoStatus(errno, what);
  auto close_fd = absl::MakeCleanup([fd] { close(fd); });
  const int on = 1;
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return base::ErrnoStatus(errno, what);
  }
  std::move(close_fd).Cancel();
  return std::unique_ptr<ReservedPort>(new ReservedPort(fd, PortOf(bound)));
}

ReservedPort::~ReservedPort() { close(fd_); }

}  // namespace countersign::cli
