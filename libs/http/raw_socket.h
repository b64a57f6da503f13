// Plain TCP for tests that say what no well-behaved peer would.
#ifndef COUNTERSIGN_LIBS_HTTP_RAW_SOCKET_H_
#define COUNTERSIGN_LIBS_HTTP_RAW_SOCKET_H_

#include <string>

namespace countersign::http {

// A connected socket; reading gives up after ten seconds. Not thread-safe.
class RawSocket {
 public:
  // Connects to the port on loopback; ends the process when that fails.
  explicit RawSocket(int port);
  // Takes over a connected socket.
  static RawSocket Adopt(int fd) { return RawSocket(fd, 0); }
  RawSocket(RawSocket&& other) : fd_(other.fd_) { other.fd_ = -1; }
  ~RawSocket();

  // False when the peer has closed.
  bool Send(const std::string& bytes);
  // "No more will come from here."
  void HalfClose();
  // All that comes until the peer closes.
  std::string ReadToEnd();
  // What comes up to and with `end`, or less when the peer closes before.
  std::string ReadUntil(const std::string& end);
  // One response: head and as many bytes as Content-Length says.
  std::string ReadResponse();

 private:
  RawSocket(int fd, int) : fd_(fd) {}
  bool ReadMore();

  int fd_;
  std::string pending_;
};

// A listening socket on a free loopback port.
class RawListener {
 public:
  RawListener();
  ~RawListener();
  RawListener(const RawListener&) = delete;
  int port() const { return port_; }
  RawSocket Accept();

 private:
  int fd_;
  int port_;
};

}  // namespace countersign::http

#endif  // COUNTERSIGN_LIBS_HTTP_RAW_SOCKET_H_
