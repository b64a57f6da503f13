#include "benchmarks/free_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

namespace countersign::bench {

absl::StatusOr<int> FreePort() {
  std::random_device random;
  for (int tries = 0; tries < 100; ++tries) {
    const int port = std::uniform_int_distribution<int>(20'000, 32'000)(random);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    close(fd);
    if (free) return port;
  }
  return absl::UnavailableError("no free port");
}

}  // namespace countersign::bench
