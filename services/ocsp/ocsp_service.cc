#include "services/ocsp/ocsp_service.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/call.h"
#include "libs/runtime/error_details.h"

namespace countersign::ocsp {
namespace {

absl::Status NotLoaded() {
  return runtime::AttachRetryAfter(
      absl::UnavailableError("the responses are not loaded yet; try again in a moment"),
      absl::Seconds(1));
}

// The magnitude that `hex` stands for, without leading zeros.
absl::StatusOr<std::string> ParseSerial(absl::string_view hex) {
  const absl::StatusOr<std::string> bytes =
      base::HexDecode(hex.size() % 2 == 0 ? std::string(hex) : absl::StrCat("0", hex));
  if (!bytes.ok() || bytes->empty()) {
    return absl::InvalidArgumentError("serial_number is not hexadecimal digits");
  }
  const size_t first = bytes->find_first_not_of('\0');
  return first == std::string::npos ? std::string(1, '\0') : bytes->substr(first);
}

}  // namespace

grpc::ServerUnaryReactor* OcspService::Respond(grpc::CallbackServerContext* context,
                                               const v1::RespondRequest* request,
                                               v1::RespondResponse* response) {
  if (!options_.responses->loaded()) return runtime::FinishUnary(context, NotLoaded());
  const Answer answer =
      options_.responder->TryAnswer(request->request(), response->mutable_response());
  if (answer.kind != Answer::Kind::kNeedsSigning) {
    options_.metrics->Count(answer);
    return runtime::FinishUnary(context, absl::OkStatus());
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  options_.live->Submit(request->request(),
                        [this, context, reactor, response](const Answer& answer, std::string body) {
                          options_.metrics->Count(answer);
                          response->set_response(std::move(body));
                          runtime::FinishCall(context, reactor, absl::OkStatus());
                        });
  return reactor;
}

grpc::ServerUnaryReactor* OcspService::GetCertificateStatus(
    grpc::CallbackServerContext* context, const v1::GetCertificateStatusRequest* request,
    v1::GetCertificateStatusResponse* response) {
  return runtime::FinishUnary(context, [&]() -> absl::Status {
    if (!options_.responses->loaded()) return NotLoaded();
    const std::shared_ptr<const Directory> directory = options_.responses->directory();
    const Authority* const authority = directory->FindByName(request->authority());
    if (authority == nullptr) {
      return absl::NotFoundError(
          absl::StrCat("authority '", request->authority(), "' is not known here"));
    }
    ASSIGN_OR_RETURN(const std::string serial, ParseSerial(request->serial_number()));
    const std::optional<Responder::Known> known = options_.responder->Look(*authority, serial);
    if (!known.has_value()) {
      if (!options_.responses->Fresh(options_.responder->Now())) {
        return absl::UnavailableError(
            "the certificate is not known here, and the database has not been heard of lately");
      }
      response->set_status(v1::CERTIFICATE_STATUS_UNKNOWN);
      return absl::OkStatus();
    }
    response->set_status(known->revoked ? v1::CERTIFICATE_STATUS_REVOKED
                                        : v1::CERTIFICATE_STATUS_GOOD);
    if (known->revoked) {
      response->mutable_revocation_time()->set_seconds(known->revocation_time);
      response->set_revocation_reason(known->reason);
    }
    response->mutable_this_update()->set_seconds(known->this_update);
    response->mutable_next_update()->set_seconds(known->next_update);
    return absl::OkStatus();
  }());
}

grpc::ServerUnaryReactor* OcspService::Refresh(grpc::CallbackServerContext* context,
                                               const v1::RefreshRequest* request,
                                               v1::RefreshResponse* response) {
  if (request->change_number() < 0) {
    return runtime::FinishUnary(context, absl::InvalidArgumentError("change_number is below 0"));
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  options_.source->Refresh(request->change_number(),
                           [context, reactor, response](absl::StatusOr<int64_t> number) {
                             if (number.ok()) response->set_change_number(*number);
                             runtime::FinishCall(context, reactor, number.status());
                           });
  return reactor;
}

grpc::ServerUnaryReactor* OcspService::GetResponder(grpc::CallbackServerContext* context,
                                                    const v1::GetResponderRequest* request,
                                                    v1::GetResponderResponse* response) {
  const Responses& responses = *options_.responses;
  response->set_authorities(static_cast<int64_t>(responses.directory()->authorities().size()));
  response->set_certificates(responses.index().size());
  response->set_change_number(responses.change_number());
  response->set_memory_bytes(responses.index().memory_bytes());
  if (responses.loaded()) {
    const int64_t micros = absl::ToUnixMicros(responses.sync_time());
    response->mutable_sync_time()->set_seconds(micros / 1'000'000);
    response->mutable_sync_time()->set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
  }
  return runtime::FinishUnary(context, absl::OkStatus());
}

}  // namespace countersign::ocsp
