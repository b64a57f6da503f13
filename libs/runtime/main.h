// Main: what every service's main() shares, so that main.cc is only a wiring diagram.
//
//   int main(int argc, char** argv) {
//     countersign::runtime::Main main({.name = "sign", .description = "…",
//                                      .listen = "127.0.0.1:7101", .admin_listen =
//                                      "127.0.0.1:7201"});
//     std::string data;
//     main.AddString("--data", &data, "folder of the keys").Required();
//     return main.Run(argc, argv, [&](countersign::runtime::Server& server) -> absl::Status {
//       ASSIGN_OR_RETURN(auto keys, KeyStore::Open(data));
//       auto* store = server.Own(std::move(keys));
//       auto* service = server.Own(std::make_unique<SignService>(store, server.executor()));
//       server.AddService(service, "countersign.sign.v1.SignService");
//       return absl::OkStatus();
//     });
//   }
//
// Every service so gets the flags --listen, --http-listen, --admin-listen, --port-file, --tls-cert,
// --tls-key, --tls-client-ca, --allow-caller, --max-message-bytes, --executor-threads,
// --drain-timeout, --log-level, --access-log, --reflection, --version and --help; grpc.health.v1;
// an admin port with /metrics, /healthz and /readyz; request ids; and a graceful stop.
#ifndef COUNTERSIGN_LIBS_RUNTIME_MAIN_H_
#define COUNTERSIGN_LIBS_RUNTIME_MAIN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Service;
}

namespace countersign::base {
class ThreadPool;
}

namespace countersign::http {
struct FastRequest;
struct FastResponse;
struct Request;
struct Response;
}  // namespace countersign::http

namespace countersign::runtime {

class Metrics;
struct ClientTls;

// The same type as http::Handler: may answer from any thread, exactly once.
using HttpHandler = std::function<void(http::Request, std::function<void(http::Response)>)>;
// The same type as http::FastHandler.
using HttpFastHandler = std::function<bool(const http::FastRequest&, http::FastResponse*)>;

// What a setup function wires together. Used by the thread that called Main::Run only.
class Server {
 public:
  Server();
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Serves `service` on the gRPC port. `full_name` is its proto name ("package.Service"): the name
  // its health and its metrics go by. The service must live until Run returns: see Own.
  void AddService(grpc::Service* service, absl::string_view full_name);

  // Serves `handler` on --http-listen. Without it that port is not opened.
  void ServeHttp(HttpHandler handler);
  // With `fast_handler`, which is asked first about requests that it may answer on the spot.
  void ServeHttp(HttpHandler handler, HttpFastHandler fast_handler);

  // Called once when the service is told to stop: health is already off, calls in flight still run
  // and new ones still arrive. Several run in the order they were added. It must not block for
  // longer than the drain timeout.
  void OnDrain(std::function<void()> function);

  // /readyz answers 503 and grpc.health.v1 is unaffected while `check` is not OK. Called from any
  // thread, at each probe; must be quick.
  void AddReadyCheck(absl::string_view name, std::function<absl::Status()> check);

  // Keeps `object` until every call has ended; released in reverse order of Own. Returns it.
  template <typename T>
  T* Own(std::unique_ptr<T> object) {
    T* raw = object.get();
    OwnErased(std::shared_ptr<void>(std::move(object)));
    return raw;
  }
  template <typename T>
  T* Own(std::shared_ptr<T> object) {
    T* raw = object.get();
    OwnErased(std::move(object));
    return raw;
  }

  // The process's metrics, served at /metrics; lives until Run returns.
  Metrics* metrics();

  // Threads for work that blocks (fsync, database, card); outlives everything owned.
  base::ThreadPool* executor();

 private:
  friend class Main;
  struct State;

  void OwnErased(std::shared_ptr<void> object);

  std::unique_ptr<State> state_;
};

struct MainOptions {
  std::string name;         // short: "sign"; the service of log lines and build_info
  std::string description;  // one sentence for --help
  // Defaults of the flags. An empty `listen` means: no gRPC port unless the flag asks for one.
  std::string listen = "";
  std::string http_listen = "127.0.0.1:0";
  std::string admin_listen = "127.0.0.1:0";
};

// Not thread-safe: one per process, on the main thread.
class Main {
 public:
  // Refines the flag added last.
  class Flag {
   public:
    Flag& Required();
    // Only these values are taken.
    Flag& OneOf(std::vector<std::string> values);

   private:
    friend class Main;
    explicit Flag(void* option) : option_(option) {}
    void* option_;
  };

  explicit Main(MainOptions options);
  ~Main();
  Main(const Main&) = delete;
  Main& operator=(const Main&) = delete;

  // A service's own flags. `name` is "--data"; `*value` holds the default, must outlive Run, and is
  // set before the setup function runs.
  Flag AddString(const std::string& name, std::string* value, const std::string& help);
  Flag AddInt(const std::string& name, int64_t* value, const std::string& help);
  // "--name" or "--name=false".
  Flag AddBool(const std::string& name, bool* value, const std::string& help);
  // "90s", "250ms", "1h30m".
  Flag AddDuration(const std::string& name, absl::Duration* value, const std::string& help);
  // Repeatable.
  Flag AddStringList(const std::string& name, std::vector<std::string>* value,
                     const std::string& help);
  // --peer-tls-ca, --peer-tls-cert, --peer-tls-key, --peer-tls-name: how this service's channels to
  // other services are secured (channel.h).
  void AddClientTls(ClientTls* tls);

  // A flag (such as --init) that makes Run do `function` and exit instead of serving: 0 when it
  // returns OK, else 1 with its message on standard error.
  void AddAction(const std::string& name, std::function<absl::Status()> function,
                 const std::string& help);

  // Parses the command line, calls `setup`, opens the ports, and serves until SIGTERM or SIGINT.
  // Returns the process's exit code: 0 after a graceful stop, --help, --version or an action; 2 for
  // a bad command line; 1 when setup failed or a port could not be opened. A failure is one line on
  // standard error.
  int Run(int argc, char** argv, const std::function<absl::Status(Server&)>& setup);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The version of the suite, as --version and build_info show it.
absl::string_view Version();

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_MAIN_H_
