// A gRPC service on an ephemeral loopback port of the test's own process.
#ifndef COUNTERSIGN_LIBS_TESTING_IN_PROCESS_SERVER_H_
#define COUNTERSIGN_LIBS_TESTING_IN_PROCESS_SERVER_H_

#include <memory>
#include <string>
#include <vector>

namespace grpc {
class Channel;
class Server;
class Service;
}  // namespace grpc

namespace countersign::testing {

// Serves from construction to destruction; the services must outlive it. Ends the process when the
// server cannot start.
class InProcessServer {
 public:
  explicit InProcessServer(const std::vector<grpc::Service*>& services);
  explicit InProcessServer(grpc::Service* service);
  ~InProcessServer();
  InProcessServer(const InProcessServer&) = delete;
  InProcessServer& operator=(const InProcessServer&) = delete;

  // "127.0.0.1:port".
  const std::string& address() const { return address_; }

  // A plain channel to it; thread-safe.
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }

  // Refuses new calls and waits for those in flight; the address stays refused after it.
  void Stop();

 private:
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace countersign::testing

#endif  // COUNTERSIGN_LIBS_TESTING_IN_PROCESS_SERVER_H_
