#include "libs/http/raw_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace countersign::http {
namespace {

void Require(bool condition, const char* what) {
  if (condition) return;
  perror(what);
  abort();
}

void LimitWait(int fd) {
  timeval ten_seconds = {10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &ten_seconds, sizeof(ten_seconds));
}

}  // namespace

RawSocket::RawSocket(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Require(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "connect");
  LimitWait(fd_);
}

RawSocket::~RawSocket() {
  if (fd_ >= 0) close(fd_);
}

bool RawSocket::Send(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const auto n = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

void RawSocket::HalfClose() { shutdown(fd_, SHUT_WR); }

bool RawSocket::ReadMore() {
  char chunk[65536];
  const auto n = recv(fd_, chunk, sizeof(chunk), 0);
  if (n <= 0) return false;
  pending_.append(chunk, static_cast<size_t>(n));
  return true;
}

std::string RawSocket::ReadToEnd() {
  while (ReadMore()) {
  }
  return std::move(pending_);
}

std::string RawSocket::ReadUntil(const std::string& end) {
  while (true) {
    const size_t at = pending_.find(end);
    if (at != std::string::npos) {
      std::string result = pending_.substr(0, at + end.size());
      pending_.erase(0, at + end.size());
      return result;
    }
    if (!ReadMore()) return std::move(pending_);
  }
}

std::string RawSocket::ReadResponse() {
  std::string response = ReadUntil("\r\n\r\n");
  const char* const length = strcasestr(response.c_str(), "\r\ncontent-length:");
  size_t body = length == nullptr ? 0 : strtoul(length + 17, nullptr, 10);
  while (pending_.size() < body && ReadMore()) {
  }
  body = std::min(body, pending_.size());
  response += pending_.substr(0, body);
  pending_.erase(0, body);
  return response;
}

RawListener::RawListener() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Require(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "bind");
  Require(listen(fd_, 16) == 0, "listen");
  socklen_t length = sizeof(address);
  Require(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) == 0, "getsockname");
  port_ = ntohs(address.sin_port);
  LimitWait(fd_);
}

RawListener::~RawListener() { close(fd_); }

RawSocket RawListener::Accept() {
  const int fd = accept(fd_, nullptr, nullptr);
  Require(fd >= 0, "accept");
  LimitWait(fd);
  return RawSocket::Adopt(fd);
}

}  // namespace countersign::http
