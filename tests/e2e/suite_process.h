// The whole suite as `countersign up` runs it, and the ways in which people use it: the command
// line, HTTP and gRPC.
#ifndef COUNTERSIGN_TESTS_E2E_SUITE_PROCESS_H_
#define COUNTERSIGN_TESTS_E2E_SUITE_PROCESS_H_

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/http/message.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "libs/testing/child_process.h"
#include "nlohmann/json.hpp"

namespace countersign::e2e {

// The path of a binary: "countersign", "sign", "ledger", ….
std::string Binary(const std::string& name);

// What a command said, on standard output and standard error, and how it ended.
struct CommandResult {
  int exit_code = -1;
  std::string output;
};

// Runs `countersign --data DATA ARGS…` to its end.
CommandResult Countersign(const std::string& data, std::vector<std::string> args);

// Runs a service that is expected to end by itself, on free ports unless `args` say otherwise.
CommandResult RunService(const std::string& name, const std::vector<std::string>& args);

// The lines of `output` that are no log records: what is said to people.
std::vector<std::string> PlainLines(const std::string& output);

// Calls one RPC and waits for its answer, 60 seconds at most.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(Stub* stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request) {
  const auto context = runtime::MakeContext(absl::Seconds(60));
  Response response;
  const grpc::Status status = (stub->*method)(context.get(), request, &response);
  if (!status.ok()) return runtime::FromGrpcStatus(status);
  return response;
}

// A suite that is up. It is killed, with its services, when this object goes. For the test's main
// thread; the answers of Get and Post may be asked for on any.
class SuiteProcess {
 public:
  // Starts it on `data` with free ports and waits until all services are ready. Fails the test
  // case, showing what was said, when they do not become so.
  explicit SuiteProcess(const std::string& data, std::vector<std::string> flags = {});

  const std::string& data() const { return data_; }
  // What endpoints.json said at the start: addresses do not change while the suite runs.
  const nlohmann::json& endpoints() const { return endpoints_; }
  // Of "sign", "verify", "ledger", "ocsp", "ledger_http", "ocsp_http" or "gateway": HOST:PORT.
  std::string Address(const std::string& name) const;
  std::shared_ptr<grpc::Channel> Channel(const std::string& name) const;
  // The process id that a service ("witness-2") has now; 0 while that is unknown.
  pid_t Pid(const std::string& service) const;
  // Whether the service's /readyz answers 200.
  bool Ready(const std::string& service) const;

  // Through the gateway; fails the test case when there is no answer at all.
  http::Response Request(const std::string& method, const std::string& path,
                         const std::string& body = "") const;
  // The same, below /api/v1, of an answer with `status` and JSON in it.
  nlohmann::json Api(int status, const std::string& method, const std::string& path,
                     const nlohmann::json& body = nullptr) const;
  // The same, of an RFC 9457 problem; checks what all problems have.
  nlohmann::json Problem(int status, const std::string& method, const std::string& path,
                         const nlohmann::json& body = nullptr) const;

  CommandResult Run(std::vector<std::string> args) const { return Countersign(data_, args); }

  testing::ChildProcess& process() { return *process_; }

 private:
  const std::string data_;
  std::unique_ptr<testing::ChildProcess> process_;
  nlohmann::json endpoints_;
};

}  // namespace countersign::e2e

#endif  // COUNTERSIGN_TESTS_E2E_SUITE_PROCESS_H_
