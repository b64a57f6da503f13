#include "libs/testing/in_process_server.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>

namespace countersign::testing {

InProcessServer::InProcessServer(const std::vector<grpc::Service*>& services) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    std::fputs("cannot start an in-process gRPC server\n", stderr);
    std::abort();
  }
  address_ = "127.0.0.1:" + std::to_string(port);
  // A subchannel of its own: a test that stops one server must not break the channel of another.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  channel_ = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
}

InProcessServer::InProcessServer(grpc::Service* service)
    : InProcessServer(std::vector<grpc::Service*>{service}) {}

InProcessServer::~InProcessServer() { Stop(); }

void InProcessServer::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown();
  server_->Wait();
  server_.reset();
}

}  // namespace countersign::testing
