#include "libs/runtime/status.h"

#include <grpcpp/support/status.h>

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/status.pb.h"

namespace countersign::runtime {
namespace {

constexpr absl::string_view kAnyPrefix = "type.googleapis.com/";
// As it travels: gRPC percent-encodes what is not printable ASCII.
constexpr size_t kMaxMessageBytes = 2048;
// Clients refuse trailers above 8 KiB; base64 and the message take their part of it.
constexpr size_t kMaxDetailsBytes = 3072;

// absl's codes and gRPC's are numbered alike (both are google.rpc.Code).
constexpr int kLastCode = static_cast<int>(absl::StatusCode::kUnauthenticated);
static_assert(kLastCode == grpc::StatusCode::UNAUTHENTICATED);
static_assert(static_cast<int>(absl::StatusCode::kNotFound) == grpc::StatusCode::NOT_FOUND);
static_assert(static_cast<int>(absl::StatusCode::kUnavailable) == grpc::StatusCode::UNAVAILABLE);

// As much of `message` as travels in kMaxMessageBytes, cut between two UTF-8 characters.
std::string CutMessage(absl::string_view message) {
  size_t travels = 0;
  for (size_t i = 0; i < message.size(); ++i) {
    const char c = message[i];
    travels += c >= 0x20 && c < 0x7f && c != '%' ? 1 : 3;
    if (travels <= kMaxMessageBytes) continue;
    while (i > 0 && (message[i] & 0xc0) == 0x80) --i;
    return std::string(message.substr(0, i));
  }
  return std::string(message);
}

bool Defined(int code) { return code >= 0 && code <= kLastCode; }

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // absl::Status::code() already maps an undefined number to kUnknown.
  const int code = static_cast<int>(status.code());
  std::string message = CutMessage(status.message());
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  const auto add = [&](absl::string_view url, const absl::Cord& payload) {
    if (!absl::StartsWith(url, kAnyPrefix)) return;
    auto* any = details.add_details();
    any->set_type_url(url.data(), url.size());
    any->set_value(std::string(payload));
    if (details.ByteSizeLong() > kMaxDetailsBytes + message.size()) {
      details.mutable_details()->RemoveLast();
    }
  };
  if (ReasonOf(status).has_value()) {
    status.ForEachPayload(add);
  } else {
    AttachReason(status, absl::StatusCodeToString(status.code())).ForEachPayload(add);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(code), message, details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const int code = Defined(status.error_code()) ? status.error_code()
                                                : static_cast<int>(absl::StatusCode::kUnknown);
  absl::Status out(static_cast<absl::StatusCode>(code), status.error_message());
  google::rpc::Status details;
  if (!status.error_details().empty() && details.ParseFromString(status.error_details())) {
    for (const auto& any : details.details()) {
      out.SetPayload(any.type_url(), absl::Cord(any.value()));
    }
  }
  return out;
}

absl::string_view GrpcCodeName(int code) {
  static constexpr absl::string_view kNames[] = {
      "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
      "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
      "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
      "DataLoss", "Unauthenticated"};
  return Defined(code) ? kNames[code] : kNames[2];
}

}  // namespace countersign::runtime
