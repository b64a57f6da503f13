// What benchmarks run against: real service processes in a temporary folder, and the baselines.
#ifndef COUNTERSIGN_BENCHMARKS_ENVIRONMENT_H_
#define COUNTERSIGN_BENCHMARKS_ENVIRONMENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/runtime/subprocess.h"

namespace grpc {
class Channel;
}

namespace countersign::bench {

// Used by one thread. Processes are started on first use and stopped with this object.
class Environment {
 public:
  // `bin` is Bazel's output folder; `work` an empty folder on the disk to measure. `length` is how
  // long one measurement takes.
  Environment(std::string bin, std::string work, absl::Duration length);
  ~Environment();

  absl::Duration length() const { return length_; }
  const std::string& work() const { return work_; }

  // Channels to a service on its own: "echo", "sign" (without a ledger), "verify" (which remembers
  // no signature) or "ledger" (without witnesses); or to the sign service of a whole suite with
  // three witnesses, "suite".
  absl::StatusOr<std::vector<std::shared_ptr<grpc::Channel>>> Channels(const std::string& service);

  // Starts the service "ledger", "witness", "sign", "ocsp" or "yubikey-agent" once more, as `name`,
  // with `args` beside those for its ports and its data folder, WORK/NAME, and `env` added to this
  // process's environment. `name` then stands for it here.
  absl::StatusOr<runtime::BoundPorts> StartService(const std::string& name,
                                                   const std::string& service,
                                                   std::vector<std::string> args,
                                                   std::vector<std::string> env = {});
  // Makes its keys first: runs its --init with `args`, to the end.
  absl::Status InitService(const std::string& name, const std::string& service,
                           std::vector<std::string> args);
  // Ends one of those.
  absl::Status StopService(const std::string& name);
  // Kills one of those (SIGKILL); it can be started again.
  absl::Status KillService(const std::string& name);
  absl::StatusOr<pid_t> Pid(const std::string& name);
  // The system calls by which one of those has synchronised files so far.
  absl::StatusOr<uint64_t> Syncs(const std::string& name);

  // The value of a counter at a running service's /metrics, all its labels added up; 0 when it
  // shows none of that name.
  absl::StatusOr<double> Metric(const std::string& service, const std::string& name);

  // Rates a second, each measured once.
  absl::StatusOr<double> EchoRate();    // unary calls of 256 bytes, 64 in flight
  absl::StatusOr<double> SignRate();    // P-256 signatures on all cores, no RPC
  absl::StatusOr<double> VerifyRate();  // P-256 verifications on all cores, no RPC
  // Appending `bytes` bytes to a file and fdatasync, over and over, on one thread.
  absl::StatusOr<double> SyncRate(size_t bytes);

 private:
  struct Service {
    std::unique_ptr<runtime::Subprocess> process;
    runtime::BoundPorts ports;
    std::vector<std::shared_ptr<grpc::Channel>> channels;
  };

  absl::StatusOr<Service*> Start(const std::string& name);
  absl::StatusOr<Service*> Launch(const std::string& name, const std::string& binary,
                                  std::vector<std::string> args, std::vector<std::string> env = {});
  absl::StatusOr<Service*> LaunchSuite();
  std::string SyncsPath(const std::string& name) const;

  const std::string bin_;
  const std::string work_;
  const absl::Duration length_;
  std::vector<std::string> order_;  // of starting
  std::map<std::string, Service> services_;
  std::map<std::string, double> rates_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_ENVIRONMENT_H_
