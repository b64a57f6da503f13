#include "libs/runtime/main.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "libs/base/file.h"
#include "libs/base/log.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/http/server.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/flags.h"
#include "libs/runtime/metrics.h"
#include "libs/runtime/observer.h"
#include "libs/runtime/subprocess.h"
#include "libs/runtime/tls.h"

namespace countersign::runtime {
namespace {

// Beyond the drain timeout, for what does not end by itself.
constexpr absl::Duration kStopGrace = absl::Seconds(3);

struct CommonFlags {
  std::string listen;
  std::string http_listen;
  std::string admin_listen;
  std::string port_file;
  ServerTls tls;
  int64_t max_message_bytes = 4 << 20;
  int64_t executor_threads = std::max(4u, 2 * std::thread::hardware_concurrency());
  absl::Duration drain_timeout = absl::Seconds(25);
  std::string log_level = "info";
  std::string access_log = "errors";
  bool reflection = true;
};

// gRPC's own log lines in our format, and for debugging only: what is an error to a connection is
// not one to the service.
void LogFromGrpc(gpr_log_func_args* args) {
  base::Log(base::Severity::kDebug, args->message, {{"source", "grpc"}});
}

// The reflection library registers itself by being linked; this takes it out again.
class WithoutReflection : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* arguments) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->erase(std::remove_if(plugins->begin(), plugins->end(),
                                  [](const std::unique_ptr<grpc::ServerBuilderPlugin>& plugin) {
                                    return plugin->name() == "proto_server_reflection";
                                  }),
                   plugins->end());
  }
};

// Ends the process when a stop takes too long, whatever hangs.
class Watchdog {
 public:
  explicit Watchdog(absl::Duration limit)
      : thread_([this, limit] {
          base::MutexLock lock(&mutex_);
          if (!wake_.WaitFor(&mutex_, limit, [this] { return done_; })) {
            base::Log(base::Severity::kError, "the stop took too long: ending at once");
            _exit(1);
          }
        }) {}
  ~Watchdog() {
    {
      base::MutexLock lock(&mutex_);
      done_ = true;
    }
    wake_.NotifyAll();
    thread_.join();
  }

 private:
  base::Mutex mutex_;
  base::CondVar wake_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Returns once everything scheduled before has run: all threads meet.
void WaitUntilIdle(base::ThreadPool* pool) {
  base::Mutex mutex;
  base::CondVar wake;
  int waiting = 0;
  int left = pool->threads();
  const int threads = pool->threads();
  for (int i = 0; i < threads; ++i) {
    pool->Schedule([&] {
      base::MutexLock lock(&mutex);
      ++waiting;
      wake.NotifyAll();
      wake.Wait(&mutex, [&] { return waiting == threads; });
      --left;
      wake.NotifyAll();
    });
  }
  base::MutexLock lock(&mutex);
  wake.Wait(&mutex, [&] { return left == 0; });
}

http::Response Text(int status, std::string body) {
  return http::MakeResponse(status, "text/plain; charset=utf-8", std::move(body));
}

}  // namespace

absl::string_view Version() { return "0.1.0"; }

struct Server::State {
  struct Service {
    grpc::Service* service;
    std::string name;
  };
  struct ReadyCheck {
    std::string name;
    std::function<absl::Status()> check;
  };

  // Destroyed from the bottom: what is owned goes before the executor and the metrics it uses.
  ~State() {
    while (!owned.empty()) owned.pop_back();
  }

  Metrics metrics;
  std::unique_ptr<base::ThreadPool> executor;
  std::vector<std::shared_ptr<void>> owned;
  std::vector<Service> services;
  HttpHandler http_handler;
  HttpFastHandler http_fast_handler;
  std::vector<std::function<void()>> on_drain;
  base::Mutex ready_mutex;
  std::vector<ReadyCheck> ready_checks ABSL_GUARDED_BY(ready_mutex);
  std::atomic<bool> ready{false};
};

Server::Server() : state_(std::make_unique<State>()) {}
Server::~Server() = default;

void Server::AddService(grpc::Service* service, absl::string_view full_name) {
  state_->services.push_back({service, std::string(full_name)});
}

void Server::ServeHttp(HttpHandler handler) { ServeHttp(std::move(handler), nullptr); }

void Server::ServeHttp(HttpHandler handler, HttpFastHandler fast_handler) {
  state_->http_handler = std::move(handler);
  state_->http_fast_handler = std::move(fast_handler);
}

void Server::OnDrain(std::function<void()> function) {
  state_->on_drain.push_back(std::move(function));
}

void Server::AddReadyCheck(absl::string_view name, std::function<absl::Status()> check) {
  base::MutexLock lock(&state_->ready_mutex);
  state_->ready_checks.push_back({std::string(name), std::move(check)});
}

Metrics* Server::metrics() { return &state_->metrics; }
base::ThreadPool* Server::executor() { return state_->executor.get(); }
void Server::OwnErased(std::shared_ptr<void> object) { state_->owned.push_back(std::move(object)); }

struct Main::Impl {
  struct Action {
    bool asked = false;
    std::function<absl::Status()> function;
  };

  explicit Impl(MainOptions main_options)
      : options(std::move(main_options)),
        flags(options.name, options.description, std::string(Version())) {}

  void AddCommonFlags();
  absl::Status Serve(const std::function<absl::Status(Server&)>& setup, const sigset_t& signals);
  absl::StatusOr<std::unique_ptr<grpc::Server>> StartGrpc(Server::State* state, int* port);
  absl::StatusOr<std::unique_ptr<http::Server>> StartAdmin(Server::State* state);
  void Stop(Server::State* state, grpc::Server* grpc, http::Server* http);

  const MainOptions options;
  FlagSet flags;
  CommonFlags common;
  std::vector<std::unique_ptr<Action>> actions;
};

void Main::Impl::AddCommonFlags() {
  common.listen = options.listen;
  common.http_listen = options.http_listen;
  common.admin_listen = options.admin_listen;
  flags.AddString("--listen", &common.listen, "gRPC address, host:port; port 0 takes a free one");
  flags.AddString("--http-listen", &common.http_listen, "HTTP address, if the service speaks HTTP");
  flags.AddString("--admin-listen", &common.admin_listen,
                  "address of /metrics, /healthz and /readyz; empty for none");
  flags.AddString("--port-file", &common.port_file,
                  "write the bound ports to this file, as JSON, once all listen");
  flags.AddString("--tls-cert", &common.tls.cert_file, "PEM certificate chain of the gRPC port");
  flags.AddString("--tls-key", &common.tls.key_file, "PEM private key of --tls-cert");
  flags.AddString("--tls-client-ca", &common.tls.client_ca_file,
                  "PEM roots: clients must show a certificate of theirs (mTLS)");
  flags.AddStringList("--allow-caller", &common.tls.allowed_callers,
                      "with --tls-client-ca: the name of a client that may call; repeatable");
  flags.AddInt("--max-message-bytes", &common.max_message_bytes,
               "largest gRPC message taken from a caller");
  flags.AddInt("--executor-threads", &common.executor_threads, "threads for blocking work");
  flags.AddDuration("--drain-timeout", &common.drain_timeout,
                    "how long calls may take to end after SIGTERM");
  FlagSet::OneOf(flags.AddString("--log-level", &common.log_level, "least severity logged"),
                 {"debug", "info", "warning", "error"});
  FlagSet::OneOf(flags.AddString("--access-log", &common.access_log, "which calls are logged"),
                 {"all", "errors", "none"});
  flags.AddBool("--reflection", &common.reflection, "serve gRPC reflection");
}

absl::StatusOr<std::unique_ptr<grpc::Server>> Main::Impl::StartGrpc(Server::State* state,
                                                                    int* port) {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials,
                   MakeServerCredentials(common.tls));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  if (!common.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  builder.AddListeningPort(common.listen, credentials, port);
  // Else a second process could share the port and take half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 30'000);
  builder.SetMaxReceiveMessageSize(static_cast<int>(common.max_message_bytes));
  std::vector<std::string> names;
  for (const auto& service : state->services) {
    builder.RegisterService(service.service);
    names.push_back(service.name);
  }
  const AccessLog access_log = common.access_log == "all"    ? AccessLog::kAll
                               : common.access_log == "none" ? AccessLog::kNone
                                                             : AccessLog::kErrors;
  ObserveCalls(names, access_log, &state->metrics, &builder);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || *port == 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot serve gRPC on ", common.listen, ": the address is in use or not this machine's",
        common.tls.cert_file.empty() ? ""
                                     : ", or the TLS certificate, key and client CA do not fit"));
  }
  return server;
}

absl::StatusOr<std::unique_ptr<http::Server>> Main::Impl::StartAdmin(Server::State* state) {
  if (common.admin_listen.empty()) return nullptr;
  http::ServerOptions server_options;
  server_options.address = common.admin_listen;
  server_options.max_body_bytes = 4096;
  return http::Server::Listen(
      server_options, [state](http::Request request, http::Responder respond) {
        if (request.method != "GET") {
          respond(Text(405, "only GET\n"));
        } else if (request.path() == "/metrics") {
          respond(http::MakeResponse(200, "text/plain; version=0.0.4; charset=utf-8",
                                     state->metrics.Expose()));
        } else if (request.path() == "/healthz") {
          respond(Text(200, "ok\n"));
        } else if (request.path() == "/readyz") {
          if (!state->ready.load()) return respond(Text(503, "not serving\n"));
          std::string failed;
          {
            base::MutexLock lock(&state->ready_mutex);
            for (const auto& ready_check : state->ready_checks) {
              const absl::Status status = ready_check.check();
              if (!status.ok()) {
                absl::StrAppend(&failed, ready_check.name, ": ", status.message(), "\n");
              }
            }
          }
          respond(failed.empty() ? Text(200, "ok\n") : Text(503, failed));
        } else {
          respond(Text(404, "try /metrics, /healthz or /readyz\n"));
        }
      });
}

void Main::Impl::Stop(Server::State* state, grpc::Server* grpc, http::Server* http) {
  for (const auto& function : state->on_drain) function();
  std::thread http_drain([&] {
    if (http != nullptr) http->Drain(common.drain_timeout);
  });
  if (grpc != nullptr) {
    grpc->Shutdown(std::chrono::system_clock::now() +
                   std::chrono::milliseconds(absl::ToInt64Milliseconds(common.drain_timeout)));
    grpc->Wait();
  }
  http_drain.join();
  WaitUntilIdle(state->executor.get());
}

absl::Status Main::Impl::Serve(const std::function<absl::Status(Server&)>& setup,
                               const sigset_t& signals) {
  Server server;
  Server::State* state = server.state_.get();
  state->executor = std::make_unique<base::ThreadPool>(static_cast<int>(common.executor_threads));
  state->metrics.AddProcessMetrics(options.name, Version());

  // First, so that a slow start can be watched; last to go, after what its metrics read is stopped
  // but before it is destroyed.
  ASSIGN_OR_RETURN(std::unique_ptr<http::Server> admin, StartAdmin(state));
  RETURN_IF_ERROR(setup(server));

  BoundPorts ports;
  if (admin != nullptr) ports.admin = admin->port();
  std::unique_ptr<http::Server> http;
  if (state->http_handler) {
    http::ServerOptions server_options;
    server_options.address = common.http_listen;
    server_options.threads =
        static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 8u));
    server_options.max_body_bytes = static_cast<size_t>(common.max_message_bytes);
    server_options.fast_handler = state->http_fast_handler;
    ASSIGN_OR_RETURN(http, http::Server::Listen(server_options, state->http_handler));
    ports.http = http->port();
  }
  std::unique_ptr<grpc::Server> grpc;
  if (!common.listen.empty()) {
    ASSIGN_OR_RETURN(grpc, StartGrpc(state, &ports.grpc));
    grpc::HealthCheckServiceInterface* health = grpc->GetHealthCheckService();
    for (const auto& service : state->services) health->SetServingStatus(service.name, true);
    health->SetServingStatus("", true);
  }
  state->ready.store(true);
  if (!common.port_file.empty()) {
    // Who waits for the file may remove it, and its folder, at once: nothing is to be done after
    // the renaming that could fail then.
    RETURN_IF_ERROR(base::WriteFileAtomically(common.port_file, FormatPortFile(ports)));
  }
  base::Log(base::Severity::kInfo, "serving",
            {{"version", std::string(Version())},
             {"grpc_port", absl::StrCat(ports.grpc)},
             {"http_port", absl::StrCat(ports.http)},
             {"admin_port", absl::StrCat(ports.admin)}});

  int received = 0;
  sigwait(&signals, &received);
  base::Log(base::Severity::kInfo, "stopping", {{"signal", strsignal(received)}});
  // A second Ctrl-C ends the process at once.
  signal(SIGINT, SIG_DFL);
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr);

  {
    Watchdog watchdog(common.drain_timeout + kStopGrace);
    state->ready.store(false);
    if (grpc != nullptr) grpc->GetHealthCheckService()->SetServingStatus(false);
    Stop(state, grpc.get(), http.get());
    grpc.reset();
    http.reset();
    if (admin != nullptr) admin->Drain(absl::Milliseconds(200));
    admin.reset();
    while (!state->owned.empty()) state->owned.pop_back();
  }
  base::Log(base::Severity::kInfo, "stopped");
  return absl::OkStatus();
}

Main::Flag& Main::Flag::Required() {
  FlagSet::Require(option_);
  return *this;
}

Main::Flag& Main::Flag::OneOf(std::vector<std::string> values) {
  FlagSet::OneOf(option_, values);
  return *this;
}

Main::Main(MainOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  impl_->AddCommonFlags();
}

Main::~Main() = default;

Main::Flag Main::AddString(const std::string& name, std::string* value, const std::string& help) {
  return Flag(impl_->flags.AddString(name, value, help));
}

Main::Flag Main::AddInt(const std::string& name, int64_t* value, const std::string& help) {
  return Flag(impl_->flags.AddInt(name, value, help));
}

Main::Flag Main::AddBool(const std::string& name, bool* value, const std::string& help) {
  return Flag(impl_->flags.AddBool(name, value, help));
}

Main::Flag Main::AddDuration(const std::string& name, absl::Duration* value,
                             const std::string& help) {
  return Flag(impl_->flags.AddDuration(name, value, help));
}

Main::Flag Main::AddStringList(const std::string& name, std::vector<std::string>* value,
                               const std::string& help) {
  return Flag(impl_->flags.AddStringList(name, value, help));
}

void Main::AddClientTls(ClientTls* tls) {
  AddString("--peer-tls-ca", &tls->ca_file, "PEM roots of the services this one calls");
  AddString("--peer-tls-cert", &tls->cert_file, "PEM certificate shown to them");
  AddString("--peer-tls-key", &tls->key_file, "PEM private key of --peer-tls-cert");
  AddString("--peer-tls-name", &tls->server_name, "name expected in their certificates");
}

void Main::AddAction(const std::string& name, std::function<absl::Status()> function,
                     const std::string& help) {
  impl_->actions.push_back(std::make_unique<Impl::Action>());
  Impl::Action* action = impl_->actions.back().get();
  action->function = std::move(function);
  AddBool(name, &action->asked, help);
}

int Main::Run(int argc, char** argv, const std::function<absl::Status(Server&)>& setup) {
  if (const auto exit_code = impl_->flags.Parse(argc, argv)) return *exit_code;
  const CommonFlags& common = impl_->common;
  const char* name = impl_->options.name.c_str();
  if (common.max_message_bytes < 1 || common.max_message_bytes > (1 << 30) ||
      common.executor_threads < 1 || common.executor_threads > 1024) {
    std::fprintf(stderr,
                 "%s: --max-message-bytes must be 1 to 1073741824, --executor-threads 1 to 1024\n",
                 name);
    return 2;
  }
  if (common.drain_timeout > absl::Minutes(10)) {
    std::fprintf(stderr, "%s: --drain-timeout is at most 10m\n", name);
    return 2;
  }
  base::SetLogService(impl_->options.name);
  base::SetLogSeverity(*base::ParseSeverity(common.log_level));
  gpr_set_log_function(LogFromGrpc);

  // Blocked in every thread; one waits for them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  // A file-size limit is an error to report like a full disk.
  signal(SIGXFSZ, SIG_IGN);

  absl::Status status;
  const auto action = std::find_if(impl_->actions.begin(), impl_->actions.end(),
                                   [](const std::unique_ptr<Impl::Action>& a) { return a->asked; });
  if (action != impl_->actions.end()) {
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    status = (*action)->function();
  } else {
    status = impl_->Serve(setup, signals);
  }
  if (status.ok()) return 0;
  const std::string message(status.message());
  std::fprintf(stderr, "%s: %s\n", name, absl::StrReplaceAll(message, {{"\n", " "}}).c_str());
  return 1;
}

}  // namespace countersign::runtime
