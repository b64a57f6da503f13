// The process behind main_test.cc.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "libs/http/message.h"
#include "libs/runtime/echo_service.h"
#include "libs/runtime/main.h"
#include "libs/runtime/metrics.h"

int main(int argc, char** argv) {
  namespace runtime = countersign::runtime;
  runtime::Main main(
      {.name = "echo", .description = "Answers what it is sent.", .listen = "127.0.0.1:0"});
  std::string setup_error;
  std::string drain_pipe;
  std::string ready_error;
  absl::Duration pause = absl::Seconds(1);
  int64_t number = 0;
  main.AddString("--setup-error", &setup_error, "fail the set-up");
  main.AddString("--drain-pipe", &drain_pipe, "draining waits for a writer of this pipe");
  main.AddString("--ready-error", &ready_error, "not ready, for this reason");
  main.AddDuration("--pause", &pause, "unused");
  main.AddInt("--number", &number, "unused");
  main.AddString("--color", &setup_error, "unused").OneOf({"red", "green"});
  main.AddAction(
      "--init",
      [&] {
        std::printf("number %d, pause %d ms\n", static_cast<int>(number),
                    static_cast<int>(absl::ToInt64Milliseconds(pause)));
        std::fflush(stdout);
        return setup_error.empty() ? absl::OkStatus() : absl::InternalError(setup_error);
      },
      "print and exit");
  return main.Run(argc, argv, [&](runtime::Server& server) -> absl::Status {
    if (!setup_error.empty()) return absl::FailedPreconditionError(setup_error);
    auto* service = server.Own(std::make_unique<runtime::EchoService>(server.executor()));
    server.AddService(service, "countersign.runtime.test.v1.EchoService");
    server.ServeHttp([](countersign::http::Request request,
                        std::function<void(countersign::http::Response)> respond) {
      respond(
          countersign::http::MakeResponse(200, "text/plain", "you asked for " + request.target));
    });
    server.metrics()->AddCounter("countersign_echo_starts_total", "Starts.")->Increment();
    if (!ready_error.empty()) {
      server.AddReadyCheck("echo", [&] { return absl::UnavailableError(ready_error); });
    }
    server.OnDrain([&, service] {
      service->BeginDrain();
      if (!drain_pipe.empty()) close(open(drain_pipe.c_str(), O_RDONLY | O_CLOEXEC));
    });
    return absl::OkStatus();
  });
}
