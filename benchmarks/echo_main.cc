// A bare gRPC server, on none of the suite's libraries: prints its port and serves until its
// standard input ends.

#include <grpcpp/grpcpp.h>

#include <cstdio>

#include "countersign/bench/v1/echo.grpc.pb.h"

namespace {

class EchoService final : public countersign::bench::v1::EchoService::CallbackService {
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context,
                                 const countersign::bench::v1::EchoRequest* request,
                                 countersign::bench::v1::EchoResponse* response) override {
    response->set_payload(request->payload());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

}  // namespace

int main(int argc, char** argv) {
  EchoService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || argc != 2) return 1;
  // The same announcement as the suite's services make with --port-file.
  std::FILE* file = std::fopen(argv[1], "w");
  if (file == nullptr) return 1;
  std::fprintf(file, "{\"grpc\":%d,\"http\":0,\"admin\":0}\n", port);
  std::fclose(file);
  server->Wait();
  return 0;
}
