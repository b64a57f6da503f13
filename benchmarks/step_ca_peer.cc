#include "benchmarks/step_ca_peer.h"

#include <signal.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "benchmarks/free_port.h"
#include "benchmarks/tool.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace countersign::bench {
namespace {

// Made before a load, each for one request: more than step-ca answers in a second on this kind of
// machine. The load ends early, and says how long it took, where they are too few.
constexpr double kTokensASecond = 8000;

// Both programs would make a folder of settings at home.
std::string StepPath(const std::string& data) { return absl::StrCat("STEPPATH=", data, "/step"); }

}  // namespace

StepCaPeer::StepCaPeer(std::unique_ptr<runtime::Subprocess> process, std::string data,
                       std::string address)
    : process_(std::move(process)), data_(std::move(data)), address_(std::move(address)) {}

StepCaPeer::~StepCaPeer() {
  process_->Signal(SIGTERM);
  (void)process_->Wait(absl::Seconds(30));
}

absl::StatusOr<std::unique_ptr<StepCaPeer>> StepCaPeer::Start(const std::string& data) {
  ASSIGN_OR_RETURN(const std::string binary, Tool("step-ca"));
  ASSIGN_OR_RETURN(const std::string load, Tool("step-load"));
  RETURN_IF_ERROR(base::EnsureDirectory(data, 0700));
  ASSIGN_OR_RETURN(const int port, FreePort());
  std::string address = absl::StrCat("127.0.0.1:", port);
  const std::string log = data + "/init.log";
  ASSIGN_OR_RETURN(const auto init, runtime::Subprocess::Start({.binary = load,
                                                                .args = {"init", data, address},
                                                                .env = {StepPath(data)},
                                                                .log_file = log}));
  ASSIGN_OR_RETURN(const int code, init->Wait(absl::Seconds(30)));
  if (code != 0) return absl::InternalError("no authority was made; see " + log);
  ASSIGN_OR_RETURN(auto process, runtime::Subprocess::Start({.binary = binary,
                                                             .args = {data + "/ca.json"},
                                                             .env = {StepPath(data)},
                                                             .log_file = data + "/step-ca.log"}));
  return std::unique_ptr<StepCaPeer>(new StepCaPeer(std::move(process), data, std::move(address)));
}

absl::StatusOr<StepCaLoad> StepCaPeer::Sign(const std::vector<std::string>& csrs,
                                            const LoadOptions& options) {
  std::string lines;
  for (const std::string& csr : csrs) absl::StrAppend(&lines, base::Base64Encode(csr), "\n");
  const std::string file = data_ + "/csrs";
  RETURN_IF_ERROR(base::WriteFileAtomically(file, lines));
  const absl::Duration all = options.warm_up + options.length;
  const auto tokens = static_cast<int64_t>(kTokensASecond * absl::ToDoubleSeconds(all));
  const std::string out = absl::StrCat(data_, "/load-", ++loads_, ".json");
  ASSIGN_OR_RETURN(const std::string binary, Tool("step-load"));
  ASSIGN_OR_RETURN(
      const auto process,
      runtime::Subprocess::Start(
          {.binary = binary,
           .args = {"sign", "-folder", data_, "-address", address_, "-csrs", file, "-in-flight",
                    absl::StrCat(options.in_flight), "-warm-up",
                    absl::FormatDuration(options.warm_up), "-length",
                    absl::FormatDuration(options.length), "-tokens", absl::StrCat(tokens)},
           .env = {StepPath(data_)},
           .log_file = out}));
  // Beside the load itself: up to half a minute for step-ca to start, the rest to make tokens.
  ASSIGN_OR_RETURN(const int code, process->Wait(all + absl::Seconds(90)));
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(out));
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (code != 0 || !json.is_object() || json.value("certificates", 0) == 0) {
    return absl::UnavailableError(
        absl::StrCat("step-ca issued nothing; see ", out, " and ", data_, "/step-ca.log: ", text));
  }
  StepCaLoad result;
  result.load.operations = json.value("certificates", uint64_t{0});
  result.load.failures = json.value("failures", uint64_t{0});
  result.load.seconds = json.value("seconds", 0.0);
  result.load.p50_ms = json.value("p50_ms", 0.0);
  result.load.p95_ms = json.value("p95_ms", 0.0);
  result.load.p99_ms = json.value("p99_ms", 0.0);
  result.issued = json.value("issued", uint64_t{0});
  result.client_cpu_seconds = json.value("client_cpu_seconds", 0.0);
  return result;
}

}  // namespace countersign::bench
