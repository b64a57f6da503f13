#include "benchmarks/environment.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "benchmarks/load.h"
#include "countersign/bench/v1/echo.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/private_key.h"
#include "libs/http/client.h"
#include "nlohmann/json.hpp"

namespace countersign::bench {
namespace {

constexpr int kChannels = 4;

// Separate connections: gRPC would let channels of equal arguments share one.
std::vector<std::shared_ptr<grpc::Channel>> Connect(const std::string& address) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < kChannels; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("countersign.channel", i);
    arguments.SetMaxReceiveMessageSize(64 << 20);
    channels.push_back(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }
  return channels;
}

}  // namespace

Environment::Environment(std::string bin, std::string work, absl::Duration length)
    : bin_(std::move(bin)), work_(std::move(work)), length_(length) {}

Environment::~Environment() {
  for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
    Service& service = services_[*it];
    service.channels.clear();
    service.process->Signal(SIGTERM);
    if (!service.process->Wait(absl::Seconds(30)).ok()) service.process->Signal(SIGKILL);
  }
}

absl::StatusOr<Environment::Service*> Environment::Start(const std::string& name) {
  if (const auto it = services_.find(name); it != services_.end()) return &it->second;
  if (name == "suite") return LaunchSuite();
  const std::string data = absl::StrCat(work_, "/", name);
  RETURN_IF_ERROR(base::EnsureDirectory(data, 0700));
  const std::string ports = absl::StrCat(data, "/ports.json");
  if (name == "echo") return Launch(name, bin_ + "/benchmarks/echo_server", {ports});
  std::vector<std::string> args = {"--listen",    "127.0.0.1:0", "--admin-listen",
                                   "127.0.0.1:0", "--port-file", ports};
  if (name == "sign") {
    args.insert(args.end(), {"--data", data, "--ledger", "", "--http-listen", "127.0.0.1:0"});
  }
  if (name == "verify") args.insert(args.end(), {"--signature-cache", "0"});
  if (name == "ledger") {
    args.insert(args.end(), {"--data", data, "--http-listen", "127.0.0.1:0", "--max-message-bytes",
                             absl::StrCat(64 << 20)});
  }
  return Launch(name, absl::StrCat(bin_, "/services/", name, "/countersign-", name),
                std::move(args));
}

absl::StatusOr<Environment::Service*> Environment::Launch(const std::string& name,
                                                          const std::string& binary,
                                                          std::vector<std::string> args,
                                                          std::vector<std::string> env) {
  runtime::SubprocessOptions options;
  options.binary = binary;
  options.args = std::move(args);
  options.env = std::move(env);
  options.log_file = absl::StrCat(work_, "/", name, ".log");
  Service service;
  ASSIGN_OR_RETURN(service.process, runtime::Subprocess::Start(options));
  ASSIGN_OR_RETURN(service.ports,
                   service.process->WaitForPortFile(absl::StrCat(work_, "/", name, "/ports.json"),
                                                    absl::Seconds(30)));
  service.channels = Connect(absl::StrCat("127.0.0.1:", service.ports.grpc));
  order_.push_back(name);
  return &services_.emplace(name, std::move(service)).first->second;
}

absl::StatusOr<runtime::BoundPorts> Environment::StartService(const std::string& name,
                                                              const std::string& service,
                                                              std::vector<std::string> args,
                                                              std::vector<std::string> env) {
  const std::string data = absl::StrCat(work_, "/", name);
  RETURN_IF_ERROR(base::EnsureDirectory(data, 0700));
  // Of an earlier process of this name.
  std::remove((data + "/ports.json").c_str());
  const std::string syncs = SyncsPath(name);
  RETURN_IF_ERROR(base::WriteFileAtomically(syncs, std::string(sizeof(uint64_t), '\0')));
  // It keeps nothing.
  if (service != "ocsp") args.insert(args.end(), {"--data", data});
  args.insert(args.end(), {"--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
                           "--admin-listen", "127.0.0.1:0", "--port-file", data + "/ports.json"});
  env.insert(env.end(), {absl::StrCat("LD_PRELOAD=", bin_, "/benchmarks/libcount_syncs.so"),
                         absl::StrCat("COUNTERSIGN_SYNC_COUNT=", syncs)});
  ASSIGN_OR_RETURN(const Service* started,
                   Launch(name, absl::StrCat(bin_, "/services/", service, "/countersign-", service),
                          std::move(args), std::move(env)));
  return started->ports;
}

absl::Status Environment::InitService(const std::string& name, const std::string& service,
                                      std::vector<std::string> args) {
  const std::string data = absl::StrCat(work_, "/", name);
  RETURN_IF_ERROR(base::EnsureDirectory(data, 0700));
  runtime::SubprocessOptions options;
  options.binary = absl::StrCat(bin_, "/services/", service, "/countersign-", service);
  options.args = std::move(args);
  options.args.insert(options.args.end(), {"--init", "--data", data});
  options.log_file = absl::StrCat(work_, "/", name, ".log");
  ASSIGN_OR_RETURN(const auto process, runtime::Subprocess::Start(options));
  ASSIGN_OR_RETURN(const int code, process->Wait(absl::Seconds(30)));
  if (code == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(name, " made no keys; see ", options.log_file));
}

absl::Status Environment::StopService(const std::string& name) {
  const auto found = services_.find(name);
  if (found == services_.end()) return absl::NotFoundError(absl::StrCat("no ", name, " runs"));
  found->second.channels.clear();
  found->second.process->Signal(SIGTERM);
  ASSIGN_OR_RETURN(const int code, found->second.process->Wait(absl::Seconds(30)));
  services_.erase(found);
  order_.erase(std::find(order_.begin(), order_.end(), name));
  return code == 0 ? absl::OkStatus()
                   : absl::InternalError(absl::StrCat(name, " ended with code ", code));
}

absl::Status Environment::KillService(const std::string& name) {
  const auto found = services_.find(name);
  if (found == services_.end()) return absl::NotFoundError(absl::StrCat("no ", name, " runs"));
  found->second.channels.clear();
  found->second.process->Signal(SIGKILL);
  RETURN_IF_ERROR(found->second.process->Wait(absl::Seconds(30)).status());
  services_.erase(found);
  order_.erase(std::find(order_.begin(), order_.end(), name));
  return absl::OkStatus();
}

absl::StatusOr<pid_t> Environment::Pid(const std::string& name) {
  const auto found = services_.find(name);
  if (found == services_.end()) return absl::NotFoundError(absl::StrCat("no ", name, " runs"));
  return found->second.process->pid();
}

std::string Environment::SyncsPath(const std::string& name) const {
  return absl::StrCat(work_, "/", name, "/syncs");
}

absl::StatusOr<uint64_t> Environment::Syncs(const std::string& name) {
  ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(SyncsPath(name)));
  uint64_t count = 0;
  if (bytes.size() != sizeof(count)) return absl::InternalError("a count has eight bytes");
  std::memcpy(&count, bytes.data(), sizeof(count));
  return count;
}

absl::StatusOr<Environment::Service*> Environment::LaunchSuite() {
  const std::string data = absl::StrCat(work_, "/suite");
  RETURN_IF_ERROR(base::EnsureDirectory(data, 0700));
  runtime::SubprocessOptions options;
  options.binary = bin_ + "/cli/countersign";
  const std::string ready = data + "/ready.json";
  options.args = {"--data", data, "up", "--any-port", "--ready-file", ready};
  options.log_file = absl::StrCat(work_, "/suite.log");
  Service service;
  ASSIGN_OR_RETURN(service.process, runtime::Subprocess::Start(options));
  for (const absl::Time give_up = absl::Now() + absl::Seconds(60); !base::FileExists(ready);) {
    if (!service.process->Running() || absl::Now() > give_up) {
      return absl::UnavailableError("the suite did not start; see " + options.log_file);
    }
    std::this_thread::yield();
  }
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(ready));
  const auto endpoints = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!endpoints.is_object() || !endpoints.contains("sign")) {
    return absl::InternalError(ready + " names no sign service");
  }
  service.channels = Connect(endpoints["sign"].get<std::string>());
  order_.push_back("suite");
  return &services_.emplace("suite", std::move(service)).first->second;
}

absl::StatusOr<std::vector<std::shared_ptr<grpc::Channel>>> Environment::Channels(
    const std::string& service) {
  ASSIGN_OR_RETURN(const Service* started, Start(service));
  return started->channels;
}

absl::StatusOr<double> Environment::Metric(const std::string& service, const std::string& name) {
  ASSIGN_OR_RETURN(const Service* started, Start(service));
  http::Client client;
  ASSIGN_OR_RETURN(const http::Response response,
                   client.Get(absl::StrCat("http://127.0.0.1:", started->ports.admin, "/metrics"),
                              absl::Seconds(10)));
  double sum = 0;
  for (absl::string_view line : absl::StrSplit(response.body_view(), '\n')) {
    double value;
    if (!absl::ConsumePrefix(&line, name) || line.empty() || (line[0] != ' ' && line[0] != '{')) {
      continue;
    }
    if (absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &value)) sum += value;
  }
  return sum;
}

absl::StatusOr<double> Environment::EchoRate() {
  if (rates_.count("echo") != 0) return rates_["echo"];
  ASSIGN_OR_RETURN(const auto channels, Channels("echo"));
  std::vector<std::unique_ptr<v1::EchoService::Stub>> stubs;
  for (const auto& channel : channels) stubs.push_back(v1::EchoService::NewStub(channel));
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    v1::EchoRequest request;
    v1::EchoResponse response;
  };
  std::vector<Call> calls(64);
  const LoadResult load =
      RunLoad({.in_flight = 64, .length = length_}, [&](int slot, std::function<void(bool)> done) {
        Call& call = calls[static_cast<size_t>(slot)];
        call.context = std::make_unique<grpc::ClientContext>();
        call.request.set_payload(std::string(256, 'x'));
        stubs[static_cast<size_t>(slot) % stubs.size()]->async()->Echo(
            call.context.get(), &call.request, &call.response,
            [done = std::move(done)](const grpc::Status& status) { done(status.ok()); });
      });
  return rates_["echo"] = load.PerSecond();
}

absl::StatusOr<double> Environment::SignRate() {
  if (rates_.count("sign") != 0) return rates_["sign"];
  ASSIGN_OR_RETURN(const crypto::PrivateKey key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const std::string digest(32, 'd');
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return rates_["sign"] = RunThreads(cores, length_, [&](int) {
           if (!key.SignDigest(digest).ok()) std::abort();
         });
}

absl::StatusOr<double> Environment::VerifyRate() {
  if (rates_.count("verify") != 0) return rates_["verify"];
  ASSIGN_OR_RETURN(const crypto::PrivateKey key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const std::string digest(32, 'd');
  ASSIGN_OR_RETURN(const std::string signature, key.SignDigest(digest));
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return rates_["verify"] = RunThreads(cores, length_, [&](int) {
           const auto verdict = key.public_key().VerifyDigest(key.algorithm(), digest, signature);
           if (!verdict.ok() || !*verdict) std::abort();
         });
}

absl::StatusOr<double> Environment::SyncRate(size_t bytes) {
  const std::string name = absl::StrCat("sync-", bytes);
  if (rates_.count(name) != 0) return rates_[name];
  const std::string path = absl::StrCat(work_, "/", name);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return base::ErrnoStatus(errno, "create " + path);
  const std::string block(bytes, 's');
  bool failed = false;
  const double rate = RunThreads(1, length_, [&](int) {
    failed |= write(fd, block.data(), block.size()) != static_cast<ssize_t>(block.size()) ||
              fdatasync(fd) != 0;
  });
  close(fd);
  unlink(path.c_str());
  if (failed) return absl::UnavailableError("cannot write and synchronise " + path);
  return rates_[name] = rate;
}

}  // namespace countersign::bench
