#include "services/yubikey-agent/session_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/runtime/call.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/field_error.h"
#include "services/yubikey-agent/call_guard.h"
#include "services/yubikey-agent/names.h"

namespace countersign::yubikey {
namespace {

constexpr size_t kMaxProofBytes = 64 << 10;
constexpr int kMaxScopeNames = 1000;

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp proto;
  const int64_t seconds = absl::ToUnixSeconds(time);
  proto.set_seconds(seconds);
  proto.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return proto;
}

void ToProto(const Session& session, v1::Session* proto) {
  proto->set_caller(session.caller);
  for (int operation = 1; operation < 32; ++operation) {
    if ((session.scope->operations & (1u << operation)) == 0) continue;
    proto->mutable_scope()->add_operations(static_cast<v1::Operation>(operation));
  }
  for (const std::string& name : session.scope->names) proto->mutable_scope()->add_names(name);
  *proto->mutable_create_time() = ToProto(session.create_time);
  *proto->mutable_expire_time() = ToProto(session.expire_time);
}

absl::Status CheckForm(const v1::OpenSessionRequest& request) {
  if (!IsCallerName(request.caller())) return runtime::FieldError("caller", "is no caller's name");
  switch (request.proof_case()) {
    case v1::OpenSessionRequest::kSignedChallenge:
      if (request.signed_challenge().ByteSizeLong() > kMaxProofBytes) {
        return runtime::FieldError("signed_challenge", "is too long");
      }
      break;
    case v1::OpenSessionRequest::kApiKey:
      if (request.api_key().api_key().size() > kMaxProofBytes) {
        return runtime::FieldError("api_key", "is too long");
      }
      break;
    case v1::OpenSessionRequest::PROOF_NOT_SET:
      return runtime::FieldError("proof", "is missing");
  }
  if (request.has_card_pin()) {
    RETURN_IF_ERROR(ParseCardName("card_pin.card", request.card_pin().card()).status());
    const size_t size = request.card_pin().pin().size();
    if (size < 6 || size > 8) return runtime::FieldError("card_pin.pin", "must have 6 to 8 bytes");
  }
  if (request.scope().names_size() > kMaxScopeNames) {
    return runtime::FieldError("scope.names", "has more than 1,000 names");
  }
  for (const std::string& name : request.scope().names()) {
    if (!IsScopeName(name))
      return runtime::FieldError("scope.names", "has a name of no known form");
  }
  for (const int operation : request.scope().operations()) {
    if (operation == v1::OPERATION_UNSPECIFIED || !v1::Operation_IsValid(operation)) {
      return runtime::FieldError("scope.operations", "has an operation that there is not");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Duration> Lifetime(const v1::OpenSessionRequest& request) {
  const absl::Duration lifetime =
      absl::Seconds(request.lifetime().seconds()) + absl::Nanoseconds(request.lifetime().nanos());
  if (lifetime <= absl::ZeroDuration()) return runtime::FieldError("lifetime", "must be positive");
  return lifetime;
}

absl::Status Exceeds(absl::string_view what) {
  return runtime::AttachReason(
      absl::PermissionDeniedError(absl::StrCat("the caller may not have ", what)), "NOT_IN_SCOPE");
}

// What the session shall cover: the caller's scope itself where it is all of that.
absl::StatusOr<std::shared_ptr<const Scope>> ScopeOf(const v1::OpenSessionRequest& request,
                                                     const Caller& caller) {
  if (request.scope().operations().empty() && request.scope().names().empty()) return caller.scope;
  auto scope = std::make_shared<Scope>(*caller.scope);
  if (!request.scope().operations().empty()) {
    scope->operations = 0;
    for (const int operation : request.scope().operations()) scope->operations |= 1u << operation;
  }
  if (!request.scope().names().empty()) {
    scope->names.assign(request.scope().names().begin(), request.scope().names().end());
    std::sort(scope->names.begin(), scope->names.end());
    scope->names.erase(std::unique(scope->names.begin(), scope->names.end()), scope->names.end());
  }
  if (!caller.scope->Includes(*scope)) return Exceeds("a session of this scope");
  return scope;
}

}  // namespace

grpc::ServerUnaryReactor* SessionService::CreateChallenge(grpc::CallbackServerContext* context,
                                                          const v1::CreateChallengeRequest* request,
                                                          v1::CreateChallengeResponse* response) {
  if (!IsCallerName(request->caller())) {
    return runtime::FinishUnary(context, runtime::FieldError("caller", "is no caller's name"));
  }
  Challenges::Challenge challenge =
      options_.challenges->Create(request->caller(), TransportIdentity(*context));
  response->set_message(Challenges::Message(request->caller(), challenge.bytes));
  response->set_challenge(std::move(challenge.bytes));
  *response->mutable_expire_time() = ToProto(challenge.expire_time);
  return runtime::FinishUnary(context, absl::OkStatus());
}

absl::StatusOr<std::shared_ptr<const Caller>> SessionService::Prove(
    const v1::OpenSessionRequest& request, absl::string_view transport) const {
  if (request.has_api_key()) {
    return options_.callers->VerifyApiKey(request.caller(), request.api_key().api_key());
  }
  const v1::SignedChallenge& proof = request.signed_challenge();
  // The challenge is spent before the signature is looked at: there is one attempt at each.
  if (!options_.challenges->Use(proof.challenge(), request.caller(), transport)) {
    return Callers::Refused();
  }
  const std::vector<std::string> attestation(proof.attestation().begin(),
                                             proof.attestation().end());
  return options_.callers->VerifySignature(request.caller(),
                                           Challenges::Message(request.caller(), proof.challenge()),
                                           proof.signature(), attestation);
}

absl::StatusOr<SessionService::Opening> SessionService::Prepare(
    const grpc::CallbackServerContext& context, const v1::OpenSessionRequest& request) const {
  // A file that cannot be read now leaves the callers as they were, and says so in the log.
  options_.callers->Refresh().IgnoreError();
  Opening opening;
  opening.session.transport = TransportIdentity(context);
  ASSIGN_OR_RETURN(opening.caller, Prove(request, opening.session.transport));
  const Caller& caller = *opening.caller;
  ASSIGN_OR_RETURN(opening.session.scope, ScopeOf(request, caller));
  absl::Duration lifetime = caller.max_lifetime;
  if (request.has_lifetime()) {
    ASSIGN_OR_RETURN(lifetime, Lifetime(request));
    if (lifetime > caller.max_lifetime) return Exceeds("a session of this lifetime");
  }
  if (request.has_card_pin()) {
    if (!caller.scope->Has(Operation::kUnlock) ||
        !caller.scope->Covers(request.card_pin().card())) {
      return Exceeds("this card unlocked");
    }
    ASSIGN_OR_RETURN(opening.card, ParseCardName("card_pin.card", request.card_pin().card()));
  }
  opening.session.caller = caller.name;
  opening.session.create_time = options_.clock->Now();
  opening.session.expire_time = opening.session.create_time + lifetime;
  return opening;
}

absl::Status SessionService::Open(Opening opening, v1::OpenSessionResponse* response) const {
  const std::string transport = opening.session.transport;
  ToProto(opening.session, response->mutable_session());
  std::string token = options_.sessions->Open(std::move(opening.session));
  // A caller that was lost since the proof was checked has had its sessions ended, perhaps before
  // this one was there.
  if (!options_.callers->IsCurrent(opening.caller)) {
    options_.sessions->Close(token, transport);
    response->Clear();
    return Callers::Refused();
  }
  response->set_token(std::move(token));
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* SessionService::OpenSession(grpc::CallbackServerContext* context,
                                                      const v1::OpenSessionRequest* request,
                                                      v1::OpenSessionResponse* response) {
  if (const absl::Status form = CheckForm(*request); !form.ok()) {
    return runtime::FinishUnary(context, form);
  }
  if (!request->has_card_pin()) {
    return runtime::RunUnary(context, options_.executor,
                             [this, context, request, response]() -> absl::Status {
                               ASSIGN_OR_RETURN(Opening opening, Prepare(*context, *request));
                               return Open(std::move(opening), response);
                             });
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  options_.executor->Schedule([this, context, reactor, request, response] {
    absl::StatusOr<Opening> opening = Prepare(*context, *request);
    if (!opening.ok()) return runtime::FinishCall(context, reactor, opening.status());
    const uint32_t card = opening->card;
    options_.unlock(card, crypto::SecretBytes(request->card_pin().pin()),
                    runtime::Deadline(*context),
                    [this, context, reactor, response,
                     opening = *std::move(opening)](const absl::Status& unlocked) mutable {
                      absl::Status status = unlocked;
                      if (status.ok()) status = Open(std::move(opening), response);
                      runtime::FinishCall(context, reactor, status);
                    });
  });
  return reactor;
}

grpc::ServerUnaryReactor* SessionService::GetSession(grpc::CallbackServerContext* context,
                                                     const v1::GetSessionRequest* request,
                                                     v1::GetSessionResponse* response) {
  const absl::StatusOr<std::shared_ptr<const Session>> session =
      options_.sessions->Find(TokenOf(*context), TransportIdentity(*context));
  if (session.ok()) ToProto(**session, response->mutable_session());
  return runtime::FinishUnary(context, session.status());
}

grpc::ServerUnaryReactor* SessionService::CloseSession(grpc::CallbackServerContext* context,
                                                       const v1::CloseSessionRequest* request,
                                                       v1::CloseSessionResponse* response) {
  options_.sessions->Close(TokenOf(*context), TransportIdentity(*context));
  return runtime::FinishUnary(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* SessionService::RevokeSessions(grpc::CallbackServerContext* context,
                                                         const v1::RevokeSessionsRequest* request,
                                                         v1::RevokeSessionsResponse* response) {
  const absl::StatusOr<std::shared_ptr<const Session>> session =
      options_.sessions->Find(TokenOf(*context), TransportIdentity(*context));
  if (!session.ok()) return runtime::FinishUnary(context, session.status());
  if (!(*session)->scope->Has(Operation::kAdminister)) {
    return runtime::FinishUnary(
        context, runtime::AttachReason(
                     absl::PermissionDeniedError("the session does not cover this operation"),
                     "NOT_IN_SCOPE"));
  }
  if (request->caller() != "*" && !IsCallerName(request->caller())) {
    return runtime::FinishUnary(context,
                                runtime::FieldError("caller", "is neither a caller's name nor *"));
  }
  response->set_revoked(options_.sessions->Revoke(request->caller()));
  return runtime::FinishUnary(context, absl::OkStatus());
}

}  // namespace countersign::yubikey
