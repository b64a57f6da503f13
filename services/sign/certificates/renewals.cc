#include "services/sign/certificates/renewals.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/runtime/error_details.h"
#include "services/sign/certificates/issuance_store.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

constexpr int32_t kUsualConcurrency = 50;
constexpr int32_t kMaxConcurrency = 1000;
// While the first are claimed, pages are small: claims wait for them.
constexpr size_t kFirstPage = 100;

}  // namespace

absl::StatusOr<v1::StartRenewalResponse> Renewals::StartRenewal(
    const v1::StartRenewalRequest& given) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", given.parent()));
  v1::StartRenewalRequest request = given;
  request.clear_request_id();
  if (given.filter().ByteSizeLong() == 0) {
    return FieldError("filter", "say which certificates are to be renewed");
  }
  if (request.concurrency() < 0 || request.concurrency() > kMaxConcurrency) {
    return FieldError("concurrency", absl::StrCat("0 to ", kMaxConcurrency));
  }
  if (request.concurrency() == 0) request.set_concurrency(kUsualConcurrency);
  if (request.lifetime().seconds() < 0 || request.lifetime().nanos() < 0) {
    return FieldError("lifetime", "must not be negative");
  }
  ASSIGN_OR_RETURN(const std::string upstream, UpstreamId("upstream", tenant, request.upstream()));
  if (!given.request_id().empty() && !ValidRequestId(given.request_id())) {
    return FieldError("request_id", "expected a UUID, or nothing");
  }
  const bool idempotent = !given.request_id().empty();
  RenewalStore::NewRenewal renewal;
  renewal.name = {tenant,
                  idempotent ? absl::AsciiStrToLower(given.request_id()) : crypto::RandomUuid()};
  const absl::Time now = options_.clock->Now();
  ASSIGN_OR_RETURN(
      const storage::Rows rows,
      options_.store->Select(tenant, request.filter(), now, request.only_due() ? &now : nullptr));
  const auto starting = Starting(renewal.name);
  renewal.request = request;
  renewal.idempotent = idempotent;
  renewal.claim = options_.claim;
  renewal.lease_end = options_.claim.empty() ? absl::UnixEpoch() : now + options_.lease;
  // As many as can be worked on, so that it begins early.
  renewal.page = absl::MakeSpan(rows).subspan(0, static_cast<size_t>(request.concurrency()));
  renewal.more = renewal.page.size() < rows.size();
  absl::StatusOr<bool> created = options_.store->Create(renewal, now);
  // Another call of the same request id came in between.
  if (idempotent && absl::IsAlreadyExists(created.status()) &&
      !runtime::ReasonOf(created.status()).has_value()) {
    created = options_.store->Create(renewal, now);
  }
  RETURN_IF_ERROR(created.status());
  if (*created) {
    if (options_.started != nullptr) options_.started(renewal.name, request.concurrency());
    if (renewal.more) {
      RETURN_IF_ERROR(
          QueuePages(renewal.name, upstream, absl::MakeSpan(rows).subspan(renewal.page.size())));
    }
  } else {
    RETURN_IF_ERROR(Start(renewal.name));
  }
  v1::StartRenewalResponse response;
  ASSIGN_OR_RETURN(*response.mutable_renewal(), options_.store->Get(renewal.name));
  return response;
}

std::shared_ptr<void> Renewals::Starting(const ResourceId& name) {
  base::MutexLock lock(&mutex_);
  starting_.insert(name);
  return std::shared_ptr<void>(nullptr, [this, name](void*) {
    base::MutexLock ended(&mutex_);
    starting_.erase(starting_.find(name));
  });
}

absl::Status Renewals::Start(const ResourceId& name) {
  const auto starting = Starting(name);
  ASSIGN_OR_RETURN(const RenewalStore::Start start, options_.store->GetStart(name));
  if (start.complete) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string upstream,
                   UpstreamId("upstream", name.tenant, start.request.upstream()));
  ASSIGN_OR_RETURN(const storage::Rows rows,
                   options_.store->Select(name.tenant, start.request.filter(), start.time,
                                          start.request.only_due() ? &start.time : nullptr));
  return QueuePages(name, upstream, rows);
}

absl::Status Renewals::QueuePages(const ResourceId& name, const std::string& upstream,
                                  absl::Span<const storage::Row> rows) {
  for (size_t size = std::min(kFirstPage, options_.page); !rows.empty();
       size = std::min(2 * size, options_.page)) {
    const absl::Span<const storage::Row> page = rows.subspan(0, size);
    RETURN_IF_ERROR(options_.store->AddPage(name, upstream, page, options_.clock->Now()));
    rows.remove_prefix(page.size());
  }
  return options_.store->FinishStart(name, options_.clock->Now());
}

absl::Status Renewals::ResumeStart(const ResourceId& name) {
  {
    base::MutexLock lock(&mutex_);
    if (starting_.count(name) != 0) return absl::OkStatus();
  }
  return Start(name);
}

absl::StatusOr<v1::GetRenewalResponse> Renewals::GetRenewal(const v1::GetRenewalRequest& request) {
  ASSIGN_OR_RETURN(const ResourceId name, ParseResourceName("name", request.name(), kRenewals));
  v1::GetRenewalResponse response;
  ASSIGN_OR_RETURN(*response.mutable_renewal(), options_.store->Get(name));
  return response;
}

absl::StatusOr<v1::RetryRenewalResponse> Renewals::RetryRenewal(
    const v1::RetryRenewalRequest& request) {
  ASSIGN_OR_RETURN(const ResourceId name, ParseResourceName("name", request.name(), kRenewals));
  v1::RetryRenewalResponse response;
  ASSIGN_OR_RETURN(*response.mutable_renewal(), options_.store->Retry(name, options_.clock->Now()));
  if (options_.wake != nullptr) options_.wake();
  return response;
}

}  // namespace countersign::sign
