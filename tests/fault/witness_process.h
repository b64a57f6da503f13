// Witnesses as child processes, and a ledger's policy of them.
#ifndef COUNTERSIGN_TESTS_FAULT_WITNESS_PROCESS_H_
#define COUNTERSIGN_TESTS_FAULT_WITNESS_PROCESS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/fault/ledger_client.h"

namespace countersign::fault {

// Makes the key of a log at `data`; returns its vkey.
inline std::string MakeLogKey(const std::string& binary, const std::string& data) {
  std::vector<std::string> flags = {"--init", "--data=" + data, absl::StrCat("--origin=", kOrigin)};
  ChildProcess init(binary, flags);
  REQUIRE(init.Wait() == 0);
  return LogKey(data).vkey();
}

// A witness of one log, which keeps its port over restarts.
class WitnessProcess {
 public:
  WitnessProcess(std::string binary, std::string name, const std::string& data,
                 const std::string& log_vkey, std::vector<std::string> env = {})
      : binary_(std::move(binary)), name_(std::move(name)), env_(std::move(env)) {
    flags_ = {"--data=" + data, "--name=witness.example/" + name_, "--log=" + log_vkey,
              "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"};
    std::vector<std::string> first = flags_;
    first.push_back("--http-listen=127.0.0.1:0");
    process_ = ChildProcess::StartService(binary_, first, env_);
    address_ = process_->http_address();
    const std::string vkey = RequireOk(base::ReadFile(data + "/witness.vkey"));
    vkey_ = std::string(absl::StripSuffix(vkey, "\n"));
  }

  void Kill() { process_->Kill(); }
  void Restart() {
    std::vector<std::string> again = flags_;
    again.push_back("--http-listen=" + address_);
    process_ = ChildProcess::StartService(binary_, again, env_);
  }

  std::string output() const { return process_->output(); }
  // Its line of a policy.
  std::string PolicyLine() const {
    return absl::StrCat("witness ", name_, " ", vkey_, " http://", address_, "\n");
  }

 private:
  const std::string binary_;
  const std::string name_;
  const std::vector<std::string> env_;
  std::vector<std::string> flags_;
  std::string address_;
  std::string vkey_;
  std::unique_ptr<ChildProcess> process_;
};

// The newest checkpoint that the log has published, or has signed; size 0 before the first.
inline note::Checkpoint GetCheckpoint(Stub* stub, const note::NoteVerifier& key, bool published,
                                      std::string* note = nullptr) {
  pb::GetCheckpointRequest request;
  request.set_log(kLog);
  request.set_unpublished(!published);
  const auto response = Call(stub, &Stub::GetCheckpoint, request);
  if (!response.ok()) return {};
  if (note != nullptr) *note = response->checkpoint();
  return RequireOk(OpenCheckpoint(response->checkpoint(), key));
}

}  // namespace countersign::fault

#endif  // COUNTERSIGN_TESTS_FAULT_WITNESS_PROCESS_H_
