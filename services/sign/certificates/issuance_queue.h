// The issuance queue: claims what is due, has it issued, and writes down what came of it.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_QUEUE_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_QUEUE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "countersign/sign/v1/issuance_service.pb.h"
#include "libs/base/clock.h"
#include "services/sign/certificates/issuance_store.h"
#include "services/sign/certificates/renewal_store.h"
#include "services/sign/certificates/upstream.h"

namespace countersign::runtime {
class Metrics;
}

namespace countersign::sign {

// Thread-safe. Several processes may work on one database.
//
// Each request is carried out once: it is claimed under a lease, which a process that dies loses,
// and issued under a request id made of its name, by which whoever issues it recognises a second
// try. Requests of no renewal share `workers`; a renewal belongs to one process at a time and
// brings its own concurrency. Both are claimed some way ahead and written down in batches of at
// most 100, beside the issuing, so that no database call stands between the end of one and the
// begin of the next.
class IssuanceQueue {
 public:
  // Puts what an upstream issued into the inventory; answers its resource name. `request` is used
  // only until it returns. Done twice for one request id it answers the same.
  using Track = std::function<void(
      const std::string& tenant, const v1::IssueCertificateRequest& request,
      Upstream::Issued issued, std::function<void(absl::StatusOr<std::string>)> done)>;

  struct Options {
    IssuanceStore* issuances;
    RenewalStore* renewals;
    // An upstream authority by its tenant and id; this service's own for an empty id. May block.
    std::function<absl::StatusOr<std::shared_ptr<Upstream>>(const ResourceId& name)> find_upstream;
    Track track;
    // Told, without blocking, of each change that this process wrote. May be null.
    std::function<void(const ResourceId& name)> on_issuance_change;
    std::function<void(const ResourceId& name)> on_renewal_change;
    // Completes the start of a renewal whose process died before; may block. May be null.
    std::function<absl::Status(const ResourceId& name)> resume_start;
    // What it claims under; made up when empty. No other queue's.
    std::string claim;
    int workers = 50;
    // The wait after the n-th failure, doubled each time, and up to a quarter more by chance.
    absl::Duration backoff = absl::Seconds(1);
    absl::Duration lease = absl::Seconds(30);
    // How often the database is looked into for what other processes did.
    absl::Duration poll = absl::Seconds(1);
    // Whether no other process uses the database: what runs in it at the start is nobody's.
    bool alone = false;
    // How long Stop lets what is under way go on before it is cancelled.
    absl::Duration stop_grace = absl::Seconds(5);
    const base::Clock* clock = base::Clock::System();
    // May be null.
    runtime::Metrics* metrics = nullptr;
  };

  // What `options` points to must outlive it. Begins to work.
  explicit IssuanceQueue(Options options);
  // Stops.
  ~IssuanceQueue();

  // Queues all or none; returns, with the queued requests in order, when that is durable. Those
  // that wait at the same time share a transaction. Blocks. Errors as IssuanceStore::Enqueue.
  absl::StatusOr<std::vector<v1::Issuance>> Enqueue(std::vector<NewIssuance> issuances);

  // A renewal that belongs to this queue's claim has begun to be queued.
  void Started(const ResourceId& renewal, int64_t concurrency);

  // Something is due now: requests were queued again.
  void Wake();

  // As it was at most `poll` ago.
  QueueStats stats() const;
  int workers() const;

  // Claims no more, lets what is under way end or cancels it, and gives back what was not begun.
  // Idempotent; blocks.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Whether another try cannot help.
bool IsPermanent(const absl::Status& status);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_QUEUE_H_
