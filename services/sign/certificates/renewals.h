// Renewing many certificates at once.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RENEWALS_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RENEWALS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "countersign/sign/v1/issuance_service.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "services/sign/certificates/renewal_store.h"

namespace countersign::sign {

// Thread-safe. Methods block on the database: call them on an executor. They answer, and fail, as
// the contract says of the method of the same name.
class Renewals {
 public:
  struct Options {
    RenewalStore* store;
    // The queue that works on what is started here (IssuanceQueue::Options); empty for any.
    std::string claim;
    absl::Duration lease = absl::Seconds(30);
    // Told that a renewal has begun to be queued, and that there is something else to do. May be
    // null.
    std::function<void(const ResourceId& name, int64_t concurrency)> started;
    std::function<void()> wake;
    // Certificates that are queued in one transaction, at most.
    size_t page = 4000;
    const base::Clock* clock = base::Clock::System();
  };

  // What `options` points to must outlive it.
  explicit Renewals(Options options) : options_(std::move(options)) {}

  // The first page is already worked on while the others are queued. Answers when all are.
  absl::StatusOr<v1::StartRenewalResponse> StartRenewal(const v1::StartRenewalRequest& request);
  absl::StatusOr<v1::GetRenewalResponse> GetRenewal(const v1::GetRenewalRequest& request);
  absl::StatusOr<v1::RetryRenewalResponse> RetryRenewal(const v1::RetryRenewalRequest& request);

  // Completes the start of one whose process died before it was, unless this process is at it.
  absl::Status ResumeStart(const ResourceId& name);

 private:
  // While what is returned lives, this process is at the start of `name`.
  std::shared_ptr<void> Starting(const ResourceId& name);
  absl::Status Start(const ResourceId& name);
  absl::Status QueuePages(const ResourceId& name, const std::string& upstream,
                          absl::Span<const storage::Row> rows);

  const Options options_;
  base::Mutex mutex_;
  std::multiset<ResourceId> starting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RENEWALS_H_
