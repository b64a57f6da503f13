// The suite's processes in one data folder, in the order in which they need each other.
#ifndef COUNTERSIGN_CLI_SUITE_H_
#define COUNTERSIGN_CLI_SUITE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/reserved_port.h"
#include "cli/supervisor.h"
#include "cli/up.h"

namespace countersign::cli {

// `path` without links, "." and ".."; as base::ErrnoStatus when it is not there.
absl::StatusOr<std::string> AbsolutePath(const std::string& path);

// Not thread-safe: for the main thread, as the supervisor, which must outlive it.
class Suite {
 public:
  Suite(UpOptions options, Supervisor* supervisor)
      : options_(std::move(options)), supervisor_(supervisor) {}

  // From nothing to all healthy; the first failure ends it. Cancelled when told to stop meanwhile.
  absl::Status Start();

  // What endpoints.json says now.
  std::string EndpointsJson() const;
  void PrintTable() const;
  const std::string& data() const { return options_.data; }

 private:
  struct Witness {
    std::string name;
    std::string vkey;
    Supervisor::Child* child = nullptr;
  };

  absl::Status FindBinaries();
  absl::Status MakeKeys();
  absl::Status StartWitnesses();
  absl::Status WriteTrust();
  absl::Status StartLedger();
  absl::Status StartSignAndOcsp();
  absl::Status StartYubikeyAgent();
  absl::Status StartGateway();

  std::string Folder(const std::string& name) const {
    return absl::StrCat(options_.data, "/", name);
  }
  std::string Listen(int port) const {
    return absl::StrCat(options_.host, ":", options_.any_port ? 0 : port);
  }
  // What others connect to.
  std::string Reach(int port) const {
    const bool any = options_.host == "0.0.0.0" || options_.host == "[::]";
    return absl::StrCat(any ? "127.0.0.1" : options_.host, ":", port);
  }
  std::string HttpUrl(const Supervisor::Child& child) const {
    return absl::StrCat("http://", Reach(child.ports.http));
  }
  absl::StatusOr<Supervisor::Child*> StartService(const std::string& name,
                                                  const std::string& binary,
                                                  Supervisor::Listen listen,
                                                  std::vector<std::string> args);

  UpOptions options_;
  Supervisor* const supervisor_;
  std::string sign_binary_, verify_binary_, ledger_binary_, witness_binary_, ocsp_binary_,
      gateway_binary_, yubikey_agent_binary_;
  // Held as long as the suite runs, so that a service that is started again finds it free.
  std::unique_ptr<ReservedPort> ocsp_port_, yubikey_agent_port_;
  std::string log_vkey_;
  std::string policy_;
  std::vector<Witness> witnesses_;
  Supervisor::Child* sign_ = nullptr;
  Supervisor::Child* verify_ = nullptr;
  Supervisor::Child* ledger_ = nullptr;
  Supervisor::Child* ocsp_ = nullptr;
  Supervisor::Child* gateway_ = nullptr;
  Supervisor::Child* yubikey_agent_ = nullptr;  // null without --yubikey
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_SUITE_H_
