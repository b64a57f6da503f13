#include "cli/suite.h"

#include <limits.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/trust.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

// What the services take by themselves; a witness adds its number to the base.
constexpr int kSignPort = 7101;
constexpr int kVerifyPort = 7102;
constexpr int kLedgerPort = 7103;
constexpr int kWitnessPort = 7103;
constexpr int kOcspPort = 7107;
// Between a gRPC port and its service's admin and HTTP ports.
constexpr int kAdminOffset = 100;
constexpr int kHttpOffset = 200;
// Above the witnesses'.
constexpr int kYubikeyAgentPort = 7120;
// The witnesses use 7204 and up.
constexpr int kGatewayAdminPort = 7200;

// The folder of this executable.
std::string OwnFolder() {
  const absl::StatusOr<std::string> self = AbsolutePath("/proc/self/exe");
  if (!self.ok()) return ".";
  return self->substr(0, self->rfind('/'));
}

// A service's binary: in `bin_dir`, else beside this executable (as installed) or where a build
// leaves it.
absl::StatusOr<std::string> FindBinary(const std::string& bin_dir, const std::string& service) {
  const std::string own = OwnFolder();
  const std::vector<std::string> folders =
      bin_dir.empty() ? std::vector<std::string>{own, absl::StrCat(own, "/../libexec/countersign"),
                                                 absl::StrCat(own, "/..")}
                      : std::vector<std::string>{bin_dir};
  const std::string long_name = absl::StrCat("countersign-", service);
  for (const std::string& folder : folders) {
    for (const std::string& name :
         {long_name, service, absl::StrCat("services/", service, "/", long_name),
          absl::StrCat("services/", service, "/", service)}) {
      const std::string path = absl::StrCat(folder, "/", name);
      if (access(path.c_str(), X_OK) == 0 && access((path + "/.").c_str(), X_OK) != 0) {
        return AbsolutePath(path);
      }
    }
  }
  return absl::NotFoundError(absl::StrCat("there is no binary of the ", service, " service in ",
                                          bin_dir.empty() ? own : bin_dir,
                                          ": give its folder by --bin-dir"));
}

// "localhost/countersign/" and eight random digits: origins must differ from log to log.
std::string NewOrigin() {
  std::random_device random;
  return absl::StrFormat("localhost/countersign/%08x", random());
}

// The only line of a vkey file.
absl::StatusOr<std::string> ReadVkey(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, base::ReadFile(path));
  text = std::string(absl::StripAsciiWhitespace(text));
  if (text.find('+') == std::string::npos || text.find('\n') != std::string::npos) {
    return absl::DataLossError(absl::StrCat(path, " does not hold one verifier key"));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> AbsolutePath(const std::string& path) {
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr) return base::ErrnoStatus(errno, path);
  return std::string(resolved);
}

absl::Status Suite::FindBinaries() {
  ASSIGN_OR_RETURN(sign_binary_, FindBinary(options_.bin_dir, "sign"));
  ASSIGN_OR_RETURN(verify_binary_, FindBinary(options_.bin_dir, "verify"));
  ASSIGN_OR_RETURN(ledger_binary_, FindBinary(options_.bin_dir, "ledger"));
  ASSIGN_OR_RETURN(ocsp_binary_, FindBinary(options_.bin_dir, "ocsp"));
  ASSIGN_OR_RETURN(gateway_binary_, FindBinary(options_.bin_dir, "gateway"));
  if (options_.yubikey) {
    ASSIGN_OR_RETURN(yubikey_agent_binary_, FindBinary(options_.bin_dir, "yubikey-agent"));
  }
  if (options_.witnesses > 0) {
    ASSIGN_OR_RETURN(witness_binary_, FindBinary(options_.bin_dir, "witness"));
  }
  return absl::OkStatus();
}

// The keys of log and witnesses come first: each side is started with the other's.
absl::Status Suite::MakeKeys() {
  const std::string vkey_file = Folder("ledger/log.vkey");
  const absl::StatusOr<std::string> known = ReadVkey(vkey_file);
  if (known.ok()) {
    const std::string origin = known->substr(0, known->find('+'));
    if (!options_.origin.empty() && options_.origin != origin) {
      return absl::FailedPreconditionError(
          absl::StrCat("the log in ", options_.data, " is ", origin,
                       " for ever: leave --origin out, or choose another folder by --data"));
    }
    options_.origin = origin;
  } else if (options_.origin.empty()) {
    options_.origin = NewOrigin();
  }
  RETURN_IF_ERROR(supervisor_->RunOnce(
      "ledger", ledger_binary_,
      {"--init", "--data=" + Folder("ledger"), "--origin=" + options_.origin}));
  ASSIGN_OR_RETURN(log_vkey_, ReadVkey(vkey_file));
  for (int i = 1; i <= options_.witnesses; ++i) {
    Witness witness;
    witness.name = absl::StrCat("witness-", i);
    RETURN_IF_ERROR(supervisor_->RunOnce(
        witness.name, witness_binary_,
        {"--init", "--data=" + Folder(witness.name), "--name=localhost/" + witness.name}));
    ASSIGN_OR_RETURN(witness.vkey, ReadVkey(Folder(witness.name) + "/witness.vkey"));
    witnesses_.push_back(std::move(witness));
  }
  return absl::OkStatus();
}

absl::StatusOr<Supervisor::Child*> Suite::StartService(const std::string& name,
                                                       const std::string& binary,
                                                       Supervisor::Listen listen,
                                                       std::vector<std::string> args) {
  std::fprintf(stderr, "  starting %s\n", name.c_str());
  return supervisor_->Start(name, binary, std::move(listen), std::move(args),
                            options_.start_timeout);
}

absl::Status Suite::StartWitnesses() {
  for (size_t i = 0; i < witnesses_.size(); ++i) {
    Witness& witness = witnesses_[i];
    const int port = kWitnessPort + 1 + static_cast<int>(i);
    ASSIGN_OR_RETURN(
        witness.child,
        StartService(witness.name, witness_binary_,
                     {Listen(port), Listen(port + kHttpOffset), Listen(port + kAdminOffset)},
                     {"--data=" + Folder(witness.name), "--name=localhost/" + witness.name,
                      "--log=" + log_vkey_}));
  }
  return absl::OkStatus();
}

// trust/policy for the ledger and for people, trust/trust.json for the verify service. A majority
// of the witnesses is the quorum: one may be down.
absl::Status Suite::WriteTrust() {
  std::string text = absl::StrCat("log ", log_vkey_, "\n");
  std::string members;
  for (const Witness& witness : witnesses_) {
    absl::StrAppend(&text, "witness ", witness.name, " ", witness.vkey, " ",
                    HttpUrl(*witness.child), "\n");
    absl::StrAppend(&members, " ", witness.name);
  }
  if (witnesses_.empty()) {
    absl::StrAppend(&text, "quorum none\n");
  } else {
    absl::StrAppend(&text, "group majority ", witnesses_.size() / 2 + 1, members,
                    "\nquorum majority\n");
  }
  RETURN_IF_ERROR(base::EnsureDirectory(Folder("trust")));
  policy_ = Folder("trust/policy");
  RETURN_IF_ERROR(base::WriteFileDurably(policy_, text));
  ASSIGN_OR_RETURN(const bundle::TrustPolicy trust, bundle::TrustPolicy::Create(text, {}));
  return base::WriteFileDurably(Folder("trust/trust.json"), trust.Format());
}

absl::Status Suite::StartLedger() {
  ASSIGN_OR_RETURN(ledger_,
                   StartService("ledger", ledger_binary_,
                                {Listen(kLedgerPort), Listen(kLedgerPort + kHttpOffset),
                                 Listen(kLedgerPort + kAdminOffset)},
                                {"--data=" + Folder("ledger"), "--origin=" + options_.origin,
                                 "--witness-policy=" + policy_}));
  return absl::OkStatus();
}

// sign tells ocsp of each revocation, and ocsp reads the tables that sign makes: sign comes first,
// with the address that ocsp will have; and with the agent's, to whom it shows a key that it makes.
absl::Status Suite::StartSignAndOcsp() {
  ASSIGN_OR_RETURN(ocsp_port_,
                   ReservedPort::Take(options_.host, options_.any_port ? 0 : kOcspPort));
  std::vector<std::string> args = {"--data=" + Folder("sign"),
                                   "--ledger=" + Reach(ledger_->ports.grpc),
                                   "--ocsp=" + Reach(ocsp_port_->port())};
  if (options_.yubikey) {
    ASSIGN_OR_RETURN(yubikey_agent_port_,
                     ReservedPort::Take(options_.host, options_.any_port ? 0 : kYubikeyAgentPort));
    args.push_back("--yubikey-agent=" + Reach(yubikey_agent_port_->port()));
  }
  ASSIGN_OR_RETURN(sign_, StartService("sign", sign_binary_,
                                       {Listen(kSignPort), Listen(kSignPort + kHttpOffset),
                                        Listen(kSignPort + kAdminOffset)},
                                       std::move(args)));
  ASSIGN_OR_RETURN(ocsp_,
                   StartService("ocsp", ocsp_binary_,
                                {absl::StrCat(options_.host, ":", ocsp_port_->port()),
                                 Listen(kOcspPort + kHttpOffset), Listen(kOcspPort + kAdminOffset)},
                                {"--database=sqlite:" + Folder("sign/keys.db"),
                                 "--kek=" + Folder("sign/ocsp-kek")}));
  return absl::OkStatus();
}

// Its callers are its administrator, who is whoever can read the key's file, and sign.
absl::Status Suite::StartYubikeyAgent() {
  if (!options_.yubikey) return absl::OkStatus();
  const std::string data = "--data=" + Folder("yubikey-agent");
  RETURN_IF_ERROR(supervisor_->RunOnce("yubikey-agent", yubikey_agent_binary_, {"--init", data}));
  RETURN_IF_ERROR(supervisor_->RunOnce(
      "yubikey-agent", yubikey_agent_binary_,
      {"--add-caller", data, "--caller=sign", "--caller-key=" + Folder("sign/yubikey-caller.pem"),
       "--caller-operation=sign", "--caller-operation=generate"}));
  ASSIGN_OR_RETURN(yubikey_agent_,
                   StartService("yubikey-agent", yubikey_agent_binary_,
                                {absl::StrCat(options_.host, ":", yubikey_agent_port_->port()), "",
                                 Listen(kYubikeyAgentPort + kAdminOffset)},
                                {data, "--sign=" + Reach(sign_->ports.grpc)}));
  return absl::OkStatus();
}

absl::Status Suite::StartGateway() {
  std::vector<std::string> args = {
      "--sign=" + Reach(sign_->ports.grpc),     "--verify=" + Reach(verify_->ports.grpc),
      "--ledger=" + Reach(ledger_->ports.grpc), "--ocsp=" + Reach(ocsp_->ports.grpc),
      "--ledger-http=" + HttpUrl(*ledger_),     "--ocsp-http=" + HttpUrl(*ocsp_),
      "--sign-http=" + HttpUrl(*sign_)};
  for (const Witness& witness : witnesses_) {
    args.push_back(absl::StrCat("--witness-http=", witness.name, "=", HttpUrl(*witness.child)));
  }
  ASSIGN_OR_RETURN(gateway_,
                   StartService("gateway", gateway_binary_,
                                {"", Listen(options_.gateway_port), Listen(kGatewayAdminPort)},
                                std::move(args)));
  return absl::OkStatus();
}

absl::Status Suite::Start() {
  RETURN_IF_ERROR(FindBinaries());
  RETURN_IF_ERROR(MakeKeys());
  RETURN_IF_ERROR(StartWitnesses());
  RETURN_IF_ERROR(WriteTrust());
  RETURN_IF_ERROR(StartLedger());
  RETURN_IF_ERROR(StartSignAndOcsp());
  RETURN_IF_ERROR(StartYubikeyAgent());
  ASSIGN_OR_RETURN(verify_,
                   StartService("verify", verify_binary_,
                                {Listen(kVerifyPort), "", Listen(kVerifyPort + kAdminOffset)},
                                {"--trust=" + Folder("trust/trust.json")}));
  return StartGateway();
}

std::string Suite::EndpointsJson() const {
  nlohmann::ordered_json root;
  root["pid"] = getpid();
  root["sign"] = Reach(sign_->ports.grpc);
  root["verify"] = Reach(verify_->ports.grpc);
  root["ledger"] = Reach(ledger_->ports.grpc);
  root["ocsp"] = Reach(ocsp_->ports.grpc);
  root["ledger_http"] = Reach(ledger_->ports.http);
  root["ocsp_http"] = Reach(ocsp_->ports.http);
  root["sign_http"] = Reach(sign_->ports.http);
  if (yubikey_agent_ != nullptr) root["yubikey_agent"] = Reach(yubikey_agent_->ports.grpc);
  root["witnesses"] = nlohmann::ordered_json::array();
  for (const Witness& witness : witnesses_) {
    root["witnesses"].push_back({{"name", witness.name},
                                 {"grpc", Reach(witness.child->ports.grpc)},
                                 {"http", Reach(witness.child->ports.http)},
                                 {"vkey", witness.vkey}});
  }
  root["gateway"] = Reach(gateway_->ports.http);
  for (const auto& child : supervisor_->children()) {
    root["admin"][child->name] = Reach(child->ports.admin);
    root["pids"][child->name] = child->pid();
  }
  root["log_vkey"] = log_vkey_;
  root["policy"] = policy_;
  return root.dump(2) + "\n";
}

void Suite::PrintTable() const {
  std::printf("\nCountersign is up. Its data is in %s\n\n", options_.data.c_str());
  const auto row = [](const std::string& name, const std::string& address,
                      const std::string& what) {
    std::printf("  %-10s %-28s %s\n", name.c_str(), address.c_str(), what.c_str());
  };
  row("gateway", HttpUrl(*gateway_), "JSON over HTTP, the public log, OCSP and CRLs");
  row("sign", Reach(sign_->ports.grpc), "keys, signatures, certificates (gRPC)");
  row("ocsp", Reach(ocsp_->ports.grpc),
      absl::StrCat("what is revoked (gRPC); OCSP and CRLs at ", HttpUrl(*ocsp_)));
  row("verify", Reach(verify_->ports.grpc), "verification (gRPC)");
  row("ledger", Reach(ledger_->ports.grpc),
      absl::StrCat("the log ", options_.origin, " (gRPC); tiles at ", HttpUrl(*ledger_)));
  if (yubikey_agent_ != nullptr) {
    row("yubikey", Reach(yubikey_agent_->ports.grpc),
        "keys on cards (gRPC); unlock one by: countersign yubikey unlock CARD");
  }
  for (const Witness& witness : witnesses_) {
    row(witness.name, Reach(witness.child->ports.grpc),
        absl::StrCat("cosigns the log; C2SP witness at ", HttpUrl(*witness.child)));
  }
  std::printf("\n  trust policy   %s\n  logs           %s/*.log\n\nCtrl-C stops it.\n",
              policy_.c_str(), Folder("log").c_str());
  std::fflush(stdout);
}

}  // namespace countersign::cli
