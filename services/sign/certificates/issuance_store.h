// The issuance queue at rest: the table issuances, and what completions change in renewals.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_STORE_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "countersign/sign/v1/issuance_service.pb.h"
#include "libs/storage/database.h"
#include "services/sign/certificates/queue_names.h"

namespace countersign::sign {

// A request on its way into the queue.
struct NewIssuance {
  ResourceId name;
  // Whether the id is the client's request id: one that is there already is then answered.
  bool idempotent = false;
  std::string upstream;  // its id; empty for none
  v1::IssueCertificateRequest request;
};

// Requests that are queued all or none, and what came of it.
struct EnqueueGroup {
  std::vector<NewIssuance> issuances;
  absl::StatusOr<std::vector<v1::Issuance>> result = std::vector<v1::Issuance>();
};

// A request that this process has claimed.
struct ClaimedIssuance {
  ResourceId name;
  std::string upstream;  // its id; empty for none
  std::string renewal;   // its id; empty for none
  int64_t tries = 0;     // this one included
  int64_t max_tries = 0;
  std::string progress;
  // Without a request id. An error when it cannot be made.
  absl::StatusOr<v1::IssueCertificateRequest> request = v1::IssueCertificateRequest();
};

// How a claim ends.
struct Completion {
  ResourceId name;
  std::string renewal;
  // SUCCEEDED, FAILED, WAITING, or QUEUED: given back as if it had not been claimed.
  v1::IssuanceState state = v1::ISSUANCE_STATE_UNSPECIFIED;
  std::string certificate;  // resource name, of one that succeeded
  v1::ItemError error;      // of one that did not
  absl::Time due;           // of one that waits
};

struct QueueStats {
  // Of requests that belong to no renewal.
  int64_t waiting = 0;
  std::optional<absl::Time> oldest;  // when the oldest of them was queued
  std::optional<absl::Time> due;     // when the first of them may be tried
  // Of renewals.
  int64_t renewal_waiting = 0;
  std::optional<absl::Time> renewal_oldest;
  // Of all.
  int64_t running = 0;
  bool expired = false;  // some claim's lease is over
};

// Thread-safe; blocks on the database. Errors beside those that are named are the database's.
class IssuanceStore {
 public:
  // `database`, with the schema of MigrateSchema, must outlive it.
  IssuanceStore(storage::Database* database, int64_t capacity, int max_tries)
      : database_(database), capacity_(capacity), max_tries_(max_tries) {}

  int64_t capacity() const { return capacity_; }

  // Queues the groups, each all or none, in one transaction, and sets their results: the rows as
  // they are, NotFound for an unknown upstream, AlreadyExists with reason REQUEST_ID_REUSED,
  // ResourceExhausted with reason QUEUE_FULL. Not OK: nothing was queued.
  absl::Status Enqueue(absl::Span<EnqueueGroup* const> groups, absl::Time now);

  // Claims up to `count` due requests that belong to no renewal, the longest due of each tenant
  // first, the tenants in turn, beginning behind `*last_tenant`, which becomes the last one served.
  // They run under `claim` until `lease_end`.
  absl::StatusOr<std::vector<ClaimedIssuance>> Claim(const std::string& claim, int64_t count,
                                                     std::string* last_tenant, absl::Time now,
                                                     absl::Time lease_end);
  // The same of a renewal's.
  absl::StatusOr<std::vector<ClaimedIssuance>> ClaimOfRenewal(const ResourceId& renewal,
                                                              const std::string& claim,
                                                              int64_t count, absl::Time now,
                                                              absl::Time lease_end);

  // Ends claims in one transaction; those that `claim` does not have any more stay as they are.
  // Returns the renewals that were thereby done.
  absl::StatusOr<std::vector<ResourceId>> Complete(const std::string& claim,
                                                   absl::Span<const Completion> completions,
                                                   absl::Time now);
  // Aborted when `claim` does not have it any more.
  absl::Status SaveProgress(const ResourceId& name, const std::string& claim,
                            const std::string& progress);
  // Moves the lease of everything under `claim`, renewals too.
  absl::Status ExtendLeases(const std::string& claim, absl::Time lease_end);
  // Queues again what runs under leases that ended before `now`, and with `but_of` everything that
  // runs under another claim. The try that was cut short is not counted.
  absl::Status Recover(absl::Time now, const std::string* but_of = nullptr);

  // NotFound. Cancel and Retry: FailedPrecondition; Retry also as Enqueue when the queue is full.
  absl::StatusOr<v1::Issuance> Get(const ResourceId& name);
  absl::StatusOr<v1::Issuance> Cancel(const ResourceId& name, absl::Time now);
  absl::StatusOr<v1::Issuance> Retry(const ResourceId& name, absl::Time now);
  absl::StatusOr<v1::ListIssuancesResponse> List(const v1::ListIssuancesRequest& request);

  absl::StatusOr<QueueStats> Stats(absl::Time now);

 private:
  struct Batch;

  absl::Status EnqueueIn(storage::Transaction& transaction, EnqueueGroup& group, Batch* batch,
                         absl::Time now);
  // How many more may wait. Locks, so that no other transaction counts until this one has ended.
  absl::StatusOr<int64_t> Room(storage::Transaction& transaction);
  std::string ClaimSql() const;

  storage::Database* const database_;
  const int64_t capacity_;
  const int64_t max_tries_;
};

// The collections of names.
inline constexpr char kIssuances[] = "issuances";
inline constexpr char kRenewals[] = "renewals";
inline constexpr char kUpstreams[] = "upstreams";

// RESOURCE_EXHAUSTED with reason QUEUE_FULL and RetryInfo.
absl::Status QueueFull(int64_t capacity);

// An error as items of a batch bear it.
v1::ItemError ToItemError(const absl::Status& status);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_STORE_H_
