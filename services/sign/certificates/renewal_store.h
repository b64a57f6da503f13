// Renewals at rest: the table renewals, and their requests in issuances.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RENEWAL_STORE_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RENEWAL_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "countersign/sign/v1/issuance_service.pb.h"
#include "libs/storage/database.h"
#include "services/sign/certificates/queue_names.h"

namespace countersign::sign {

// Thread-safe; blocks on the database. Errors beside those that are named are the database's.
class RenewalStore {
 public:
  // `database`, with the schema of MigrateSchema, must outlive it.
  RenewalStore(storage::Database* database, int max_tries)
      : database_(database), max_tries_(max_tries) {}

  struct NewRenewal {
    ResourceId name;
    v1::StartRenewalRequest request;
    // Whether one of the name that was made by the same request is taken as it is.
    bool idempotent = false;
    // Who works on it until `lease_end`; empty for nobody.
    std::string claim;
    absl::Time lease_end;
    // The first of its certificates; of Select.
    absl::Span<const storage::Row> page;
    // Whether there are more, so that FinishStart completes it.
    bool more = false;
  };
  // Makes it, with its first page queued. False when it was there. AlreadyExists with reason
  // REQUEST_ID_REUSED when that was made by another request; NotFound for an unknown upstream.
  absl::StatusOr<bool> Create(const NewRenewal& renewal, absl::Time now);

  // What a renewal was started by, and whether its start is complete. NotFound.
  struct Start {
    v1::StartRenewalRequest request;
    absl::Time time;
    bool complete = false;
  };
  absl::StatusOr<Start> GetStart(const ResourceId& name);

  // The certificates of `filter` that are ACTIVE, have a certification request and were there at
  // `by`, a renewal's start, so that what it issues is not renewed again when its start is resumed;
  // with `due`, only those whose renewal time has come by then. Rows for AddPage.
  absl::StatusOr<storage::Rows> Select(const std::string& tenant,
                                       const v1::CertificateFilter& filter, absl::Time by,
                                       const absl::Time* due);
  // Queues a page of them, durably, without those that are queued already.
  absl::Status AddPage(const ResourceId& name, const std::string& upstream,
                       absl::Span<const storage::Row> page, absl::Time now);
  // Says that all are queued.
  absl::Status FinishStart(const ResourceId& name, absl::Time now);

  // NotFound.
  absl::StatusOr<v1::Renewal> Get(const ResourceId& name);
  // Queues those that failed, with all their tries.
  absl::StatusOr<v1::Renewal> Retry(const ResourceId& name, absl::Time now);

  struct Owned {
    ResourceId name;
    int64_t concurrency = 0;
    bool started = false;
  };
  // The renewals that are not done and belong to `claim`, after it has taken those that nobody has.
  absl::StatusOr<std::vector<Owned>> Acquire(const std::string& claim, absl::Time now,
                                             absl::Time lease_end);
  // Gives up all that `claim` has.
  absl::Status Release(const std::string& claim);

 private:
  // Queues a page; returns how many of it were not queued yet.
  absl::StatusOr<int64_t> Queue(storage::Transaction& transaction, const ResourceId& name,
                                const std::string& upstream, absl::Span<const storage::Row> page,
                                absl::Time now);

  storage::Database* const database_;
  const int64_t max_tries_;
};

// The id of an upstream of `tenant`; empty for an empty name. InvalidArgument, naming `field`.
absl::StatusOr<std::string> UpstreamId(absl::string_view field, const std::string& tenant,
                                       const std::string& upstream);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RENEWAL_STORE_H_
