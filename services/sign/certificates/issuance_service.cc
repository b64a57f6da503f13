#include "services/sign/certificates/issuance_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/runtime/call.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/certificates/watch_reactor.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

constexpr int kMaxBatch = 1000;
constexpr size_t kMaxCsrBytes = 64 << 10;

// `field` is what stands before the names of its fields: "requests[3].".
absl::StatusOr<NewIssuance> ToNewIssuance(const std::string& tenant, const std::string& field,
                                          const v1::EnqueueIssuanceRequest& given) {
  NewIssuance issuance;
  issuance.request = given.request();
  v1::IssueCertificateRequest& request = issuance.request;
  ASSIGN_OR_RETURN(issuance.upstream, UpstreamId(field + "upstream", tenant, given.upstream()));
  if (issuance.upstream.empty()) {
    ASSIGN_OR_RETURN(const AuthorityName authority,
                     ParseAuthorityName(field + "request.parent", request.parent()));
    if (authority.tenant != tenant) {
      return FieldError(field + "request.parent", "it is another tenant's");
    }
  } else if (!request.parent().empty()) {
    return FieldError(field + "request.parent", "must be empty: the upstream authority issues it");
  }
  if (request.profile() == v1::CERTIFICATE_PROFILE_UNSPECIFIED) {
    return FieldError(field + "request.profile", "required");
  }
  if (request.csr().empty() || request.csr().size() > kMaxCsrBytes) {
    return FieldError(field + "request.csr",
                      absl::StrCat("a certification request of at most ", kMaxCsrBytes, " bytes"));
  }
  if (!request.replaces().empty()) {
    ASSIGN_OR_RETURN(const CertificateName replaces,
                     ParseCertificateName(field + "request.replaces", request.replaces()));
    if (replaces.tenant != tenant) {
      return FieldError(field + "request.replaces", "it is another tenant's");
    }
  }
  issuance.idempotent = !request.request_id().empty();
  if (issuance.idempotent && !ValidRequestId(request.request_id())) {
    return FieldError(field + "request.request_id", "expected a UUID, or nothing");
  }
  issuance.name = {tenant, issuance.idempotent ? absl::AsciiStrToLower(request.request_id())
                                               : crypto::RandomUuid()};
  request.clear_request_id();
  return issuance;
}

bool IsDone(const v1::Issuance& issuance) {
  return issuance.state() == v1::ISSUANCE_STATE_SUCCEEDED ||
         issuance.state() == v1::ISSUANCE_STATE_FAILED ||
         issuance.state() == v1::ISSUANCE_STATE_CANCELLED;
}

}  // namespace

template <typename Request, typename Response, typename Domain>
grpc::ServerUnaryReactor* IssuanceService::On(
    grpc::CallbackServerContext* context, Domain* domain, const Request* request, Response* reply,
    absl::StatusOr<Response> (Domain::*method)(const Request&)) {
  return runtime::RunUnary(context, options_.executor,
                           [domain, request, reply, method]() -> absl::Status {
                             ASSIGN_OR_RETURN(*reply, (domain->*method)(*request));
                             return absl::OkStatus();
                           });
}

grpc::ServerUnaryReactor* IssuanceService::EnqueueIssuance(
    grpc::CallbackServerContext* context, const v1::EnqueueIssuanceRequest* request,
    v1::EnqueueIssuanceResponse* reply) {
  return runtime::RunUnary(context, options_.executor, [this, request, reply]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request->parent()));
    ASSIGN_OR_RETURN(NewIssuance issuance, ToNewIssuance(tenant, "", *request));
    ASSIGN_OR_RETURN(std::vector<v1::Issuance> queued,
                     options_.queue->Enqueue({std::move(issuance)}));
    reply->mutable_issuance()->Swap(&queued[0]);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* IssuanceService::BatchEnqueueIssuances(
    grpc::CallbackServerContext* context, const v1::BatchEnqueueIssuancesRequest* request,
    v1::BatchEnqueueIssuancesResponse* reply) {
  return runtime::RunUnary(context, options_.executor, [this, request, reply]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request->parent()));
    if (request->requests().empty() || request->requests_size() > kMaxBatch) {
      return FieldError("requests",
                        absl::StrCat("1 to ", kMaxBatch, ", not ", request->requests_size()));
    }
    std::vector<NewIssuance> issuances;
    for (int i = 0; i < request->requests_size(); ++i) {
      const std::string field = absl::StrCat("requests[", i, "].");
      const std::string& parent = request->requests(i).parent();
      if (!parent.empty() && parent != request->parent()) {
        return FieldError(field + "parent", "must be empty or the batch's");
      }
      ASSIGN_OR_RETURN(NewIssuance issuance, ToNewIssuance(tenant, field, request->requests(i)));
      issuances.push_back(std::move(issuance));
    }
    ASSIGN_OR_RETURN(std::vector<v1::Issuance> queued,
                     options_.queue->Enqueue(std::move(issuances)));
    for (v1::Issuance& issuance : queued) reply->add_issuances()->Swap(&issuance);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* IssuanceService::GetIssuance(grpc::CallbackServerContext* context,
                                                       const v1::GetIssuanceRequest* request,
                                                       v1::GetIssuanceResponse* reply) {
  return runtime::RunUnary(context, options_.executor, [this, request, reply]() -> absl::Status {
    ASSIGN_OR_RETURN(const ResourceId name, ParseResourceName("name", request->name(), kIssuances));
    ASSIGN_OR_RETURN(*reply->mutable_issuance(), options_.store->Get(name));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* IssuanceService::ListIssuances(grpc::CallbackServerContext* context,
                                                         const v1::ListIssuancesRequest* request,
                                                         v1::ListIssuancesResponse* reply) {
  return On(context, options_.store, request, reply, &IssuanceStore::List);
}

grpc::ServerWriteReactor<v1::WatchIssuanceResponse>* IssuanceService::WatchIssuance(
    grpc::CallbackServerContext* /*context*/, const v1::WatchIssuanceRequest* request) {
  using Reactor = WatchReactor<v1::Issuance, v1::WatchIssuanceResponse>;
  const auto name = ParseResourceName("name", request->name(), kIssuances);
  if (!name.ok()) return Reactor::Fail(name.status());
  return Reactor::Start(
      options_.issuance_watches, *name,
      [](const v1::Issuance& issuance, v1::WatchIssuanceResponse* response) {
        *response->mutable_issuance() = issuance;
      },
      IsDone);
}

grpc::ServerUnaryReactor* IssuanceService::CancelIssuance(grpc::CallbackServerContext* context,
                                                          const v1::CancelIssuanceRequest* request,
                                                          v1::CancelIssuanceResponse* reply) {
  return runtime::RunUnary(context, options_.executor, [this, request, reply]() -> absl::Status {
    ASSIGN_OR_RETURN(const ResourceId name, ParseResourceName("name", request->name(), kIssuances));
    ASSIGN_OR_RETURN(*reply->mutable_issuance(),
                     options_.store->Cancel(name, options_.clock->Now()));
    options_.issuance_watches->Notify(name);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* IssuanceService::RetryIssuance(grpc::CallbackServerContext* context,
                                                         const v1::RetryIssuanceRequest* request,
                                                         v1::RetryIssuanceResponse* reply) {
  return runtime::RunUnary(context, options_.executor, [this, request, reply]() -> absl::Status {
    ASSIGN_OR_RETURN(const ResourceId name, ParseResourceName("name", request->name(), kIssuances));
    ASSIGN_OR_RETURN(*reply->mutable_issuance(),
                     options_.store->Retry(name, options_.clock->Now()));
    options_.issuance_watches->Notify(name);
    options_.queue->Wake();
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* IssuanceService::StartRenewal(grpc::CallbackServerContext* context,
                                                        const v1::StartRenewalRequest* request,
                                                        v1::StartRenewalResponse* reply) {
  return On(context, options_.renewals, request, reply, &Renewals::StartRenewal);
}

grpc::ServerUnaryReactor* IssuanceService::GetRenewal(grpc::CallbackServerContext* context,
                                                      const v1::GetRenewalRequest* request,
                                                      v1::GetRenewalResponse* reply) {
  return On(context, options_.renewals, request, reply, &Renewals::GetRenewal);
}

grpc::ServerWriteReactor<v1::WatchRenewalResponse>* IssuanceService::WatchRenewal(
    grpc::CallbackServerContext* /*context*/, const v1::WatchRenewalRequest* request) {
  using Reactor = WatchReactor<v1::Renewal, v1::WatchRenewalResponse>;
  const auto name = ParseResourceName("name", request->name(), kRenewals);
  if (!name.ok()) return Reactor::Fail(name.status());
  return Reactor::Start(
      options_.renewal_watches, *name,
      [](const v1::Renewal& renewal, v1::WatchRenewalResponse* response) {
        *response->mutable_renewal() = renewal;
      },
      [](const v1::Renewal& renewal) { return renewal.done(); });
}

grpc::ServerUnaryReactor* IssuanceService::RetryRenewal(grpc::CallbackServerContext* context,
                                                        const v1::RetryRenewalRequest* request,
                                                        v1::RetryRenewalResponse* reply) {
  return On(context, options_.renewals, request, reply, &Renewals::RetryRenewal);
}

grpc::ServerUnaryReactor* IssuanceService::GetQueue(grpc::CallbackServerContext* context,
                                                    const v1::GetQueueRequest* request,
                                                    v1::GetQueueResponse* reply) {
  return runtime::RunUnary(context, options_.executor, [this, request, reply]() -> absl::Status {
    RETURN_IF_ERROR(ParseTenantName("parent", request->parent()).status());
    ASSIGN_OR_RETURN(const QueueStats stats, options_.store->Stats(options_.clock->Now()));
    reply->set_waiting(stats.waiting);
    reply->set_running(stats.running);
    reply->set_capacity(options_.store->capacity());
    reply->set_workers(options_.queue->workers());
    if (stats.oldest.has_value()) {
      const int64_t micros = absl::ToUnixMicros(*stats.oldest);
      reply->mutable_oldest_time()->set_seconds(micros / 1000000);
      reply->mutable_oldest_time()->set_nanos(static_cast<int32_t>(micros % 1000000 * 1000));
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* IssuanceService::CreateUpstream(grpc::CallbackServerContext* context,
                                                          const v1::CreateUpstreamRequest* request,
                                                          v1::CreateUpstreamResponse* reply) {
  return On(context, options_.upstreams, request, reply, &Upstreams::CreateUpstream);
}

grpc::ServerUnaryReactor* IssuanceService::ListUpstreams(grpc::CallbackServerContext* context,
                                                         const v1::ListUpstreamsRequest* request,
                                                         v1::ListUpstreamsResponse* reply) {
  return On(context, options_.upstreams, request, reply, &Upstreams::ListUpstreams);
}

grpc::ServerUnaryReactor* IssuanceService::DeleteUpstream(grpc::CallbackServerContext* context,
                                                          const v1::DeleteUpstreamRequest* request,
                                                          v1::DeleteUpstreamResponse* reply) {
  return On(context, options_.upstreams, request, reply, &Upstreams::DeleteUpstream);
}

}  // namespace countersign::sign
