#include "services/gateway/rpc_handler.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/status.h"
#include "services/gateway/problems.h"
#include "services/gateway/transcoder.h"

namespace countersign::gateway {
namespace {

// gRPC ends the process for metadata that is not printable ASCII.
bool IsTraceContext(absl::string_view value) {
  return !value.empty() && value.size() <= 512 &&
         std::all_of(value.begin(), value.end(),
                     [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
}

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// What must live until the call has ended.
struct Call {
  explicit Call(std::shared_ptr<grpc::Channel> channel) : stub(std::move(channel)) {}
  grpc::GenericStub stub;
  std::unique_ptr<grpc::ClientContext> context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
};

}  // namespace

absl::StatusOr<absl::Duration> ParseGrpcTimeout(absl::string_view text) {
  if (text.empty()) return absl::InfiniteDuration();
  int64_t count = 0;
  const absl::string_view digits = text.substr(0, text.size() - 1);
  if (digits.empty() || digits.size() > 8 || !absl::ascii_isdigit(digits[0]) ||
      !absl::SimpleAtoi(digits, &count)) {
    return absl::InvalidArgumentError("Grpc-Timeout must be up to 8 digits and one of H M S m u n");
  }
  switch (text.back()) {
    case 'H':
      return absl::Hours(count);
    case 'M':
      return absl::Minutes(count);
    case 'S':
      return absl::Seconds(count);
    case 'm':
      return absl::Milliseconds(count);
    case 'u':
      return absl::Microseconds(count);
    case 'n':
      return absl::Nanoseconds(count);
    default:
      return absl::InvalidArgumentError("Grpc-Timeout must end with one of H M S m u n");
  }
}

void CallRpc(const http::Request& request, std::shared_ptr<grpc::Channel> channel,
             const std::string& rpc_path, const std::string& message, absl::Duration timeout,
             std::function<void(absl::StatusOr<std::string>)> done) {
  auto call = std::make_shared<Call>(std::move(channel));
  call->context = runtime::MakeContext(std::min(timeout, request.deadline - absl::Now()),
                                       request.headers.Get(kRequestIdField));
  for (const char* name : {"traceparent", "tracestate"}) {
    const absl::string_view value = request.headers.Get(name);
    if (IsTraceContext(value)) call->context->AddMetadata(name, std::string(value));
  }
  const grpc::Slice slice(message);
  call->request = grpc::ByteBuffer(&slice, 1);
  call->stub.UnaryCall(call->context.get(), rpc_path, grpc::StubOptions(), &call->request,
                       &call->response, [call, done = std::move(done)](grpc::Status status) {
                         if (status.ok()) return done(ToString(call->response));
                         done(runtime::FromGrpcStatus(status));
                       });
}

absl::Status ForClients(const absl::Status& status, absl::string_view backend) {
  // The suite's services give a reason with every failure; gRPC itself gives none.
  if (status.ok() || runtime::ReasonOf(status).has_value()) return status;
  const auto say = [&](absl::string_view what) {
    base::Log(base::Severity::kWarning, "call failed",
              {{"backend", std::string(backend)}, {"error", status.ToString()}});
    return absl::Status(status.code(), absl::StrCat("the ", backend, " service ", what));
  };
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return say("cannot be reached; try again later");
    case absl::StatusCode::kDeadlineExceeded:
      return say("did not answer in time");
    case absl::StatusCode::kUnimplemented:
      return say("does not offer this");
    default:
      return status;
  }
}

absl::StatusOr<http::Handler> MakeRpcHandler(const RpcRoute& route,
                                             std::shared_ptr<grpc::Channel> channel,
                                             absl::Duration timeout) {
  ASSIGN_OR_RETURN(Transcoder transcoder_value, Transcoder::Create(route));
  const auto transcoder = std::make_shared<const Transcoder>(std::move(transcoder_value));
  return http::Handler([transcoder, channel, timeout,
                        backend = std::string(BackendName(BackendOf(route.service)))](
                           http::Request request, http::Responder respond) {
    std::string request_id(request.headers.Get(kRequestIdField));
    const auto fail = [&](const absl::Status& status) { respond(ToProblem(status, request_id)); };
    const auto asked = ParseGrpcTimeout(request.headers.Get("Grpc-Timeout"));
    if (!asked.ok()) return fail(asked.status());
    const auto message = transcoder->ToRpc(request);
    if (!message.ok()) return fail(message.status());
    CallRpc(request, channel, transcoder->rpc_path(), *message, std::min(*asked, timeout),
            [transcoder, backend, request_id = std::move(request_id),
             respond = std::move(respond)](absl::StatusOr<std::string> answer) {
              absl::StatusOr<std::string> json =
                  answer.ok() ? transcoder->ToJson(*answer) : ForClients(answer.status(), backend);
              if (!json.ok()) return respond(ToProblem(json.status(), request_id));
              http::Response response =
                  http::MakeResponse(200, "application/json", *std::move(json));
              http::SetNoStore(&response);
              respond(std::move(response));
            });
  });
}

}  // namespace countersign::gateway
