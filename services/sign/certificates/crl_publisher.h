// Signs certificate revocation lists (RFC 5280 section 5): on schedule, on demand, at once.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CRL_PUBLISHER_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CRL_PUBLISHER_H_

#include <cstdint>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "countersign/sign/v1/authority_service.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/storage/database.h"

namespace countersign::sign {

class Authorities;
class CertificateMetrics;
class CertificateStore;
struct LiveAuthority;

// Thread-safe. Methods block on the database: call them on an executor.
//
// An authority with one shard has a full CRL; one with several a CRL each, which name their scope
// by a critical IssuingDistributionPoint with the URL that the shard's certificates have. A CRL's
// number is taken before the revocations are read, and a CRL takes the place of those with lower
// numbers only. So whichever process signs, and however many at once, a revocation that was
// committed before a CRL's number was taken is in that CRL and in every later one.
class CrlPublisher {
 public:
  struct Options {
    storage::Database* database;
    Authorities* authorities;
    CertificateStore* certificates;
    CertificateMetrics* metrics = nullptr;
    const base::Clock* clock = base::Clock::System();
  };

  // What `options` points to must outlive it.
  explicit CrlPublisher(Options options);

  // As the contract says of the methods of the same name. A shard that has no CRL yet gets one.
  absl::StatusOr<v1::GetCrlResponse> GetCrl(const v1::GetCrlRequest& request);
  absl::StatusOr<v1::PublishCrlsResponse> PublishCrls(const v1::PublishCrlsRequest& request);

  // Signs the CRL of a shard anew, now. FailedPrecondition when the authority's key is disabled or
  // its certificate has expired. What failed is tried again by PublishDue.
  absl::Status PublishShard(int64_t authority_id, int64_t shard);

  // Signs what has no CRL yet or has reached half of its CRL's life, where the authority's key is
  // enabled and its certificate has not expired. Several processes may do it at
  // once: one of them signs. One authority's failure does not keep the others from it; the first is
  // returned. For a timer.
  absl::Status PublishDue();

 private:
  // Signs the CRLs of `shards` under one number, which is returned: the next one, or the one after
  // `*after` only; then Aborted when another was given out meanwhile.
  absl::StatusOr<int64_t> Publish(const LiveAuthority& authority, absl::Span<const int64_t> shards,
                                  const int64_t* after);
  absl::Status PublishChunk(const LiveAuthority& authority, absl::Span<const int64_t> shards,
                            int64_t number);
  absl::Status PublishDueOf(int64_t authority_id);

  const Options options_;
  base::Mutex mutex_;
  // Authority and shard of what could not be signed at once.
  std::set<std::pair<int64_t, int64_t>> owed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CRL_PUBLISHER_H_
