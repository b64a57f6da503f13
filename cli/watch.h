// Streams of a service that answers what it has as it changes.
#ifndef COUNTERSIGN_CLI_WATCH_H_
#define COUNTERSIGN_CLI_WATCH_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/context.h"

namespace countersign::cli {

// Calls `method` of the service called `service` at `address`, without a deadline, and `take` with
// each answer until the stream ends or `take` returns false. What breaks the stream after its first
// answer (the service is started again, say) makes it ask anew each second, for as long as
// --timeout without an answer.
template <typename Stub, typename Request, typename Response>
absl::Status Watch(Context& context, absl::string_view service, const std::string& address,
                   std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(
                       grpc::ClientContext*, const Request&),
                   const Request& request, const std::function<bool(const Response&)>& take) {
  absl::Time last_answer = absl::InfinitePast();
  while (true) {
    bool enough = false;
    const absl::Status status =
        context.Call(service, address,
                     [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* call) {
                       call->set_deadline(std::chrono::system_clock::time_point::max());
                       Stub stub(channel);
                       const auto reader = (stub.*method)(call, request);
                       Response response;
                       while (!enough && reader->Read(&response)) {
                         last_answer = absl::Now();
                         enough = !take(response);
                       }
                       if (enough) call->TryCancel();
                       return reader->Finish();
                     });
    if (enough || status.ok()) return absl::OkStatus();
    const bool broken = absl::IsUnavailable(status) || absl::IsCancelled(status);
    if (!broken || absl::Now() > last_answer + absl::Seconds(context.timeout_seconds)) {
      return status;
    }
    absl::SleepFor(absl::Seconds(1));
  }
}

// The same of one of the sign process's services.
template <typename Stub, typename Request, typename Response>
absl::Status WatchSign(Context& context,
                       std::unique_ptr<grpc::ClientReader<Response>> (Stub::*method)(
                           grpc::ClientContext*, const Request&),
                       const Request& request, const std::function<bool(const Response&)>& take) {
  absl::StatusOr<Endpoints> endpoints = context.GetEndpoints();
  if (!endpoints.ok()) return endpoints.status();
  return Watch(context, "sign", endpoints->sign, method, request, take);
}

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_WATCH_H_
