// Upstream authorities at rest, and ready to be asked.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_UPSTREAMS_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_UPSTREAMS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "countersign/sign/v1/issuance_service.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/private_key.h"
#include "libs/storage/database.h"
#include "services/sign/certificates/queue_names.h"
#include "services/sign/certificates/upstream.h"

namespace countersign::sign {

// What the account of an ACME upstream consists of. It is stored sealed.
struct AcmeAccountSecrets {
  crypto::PrivateKey key;       // P-256
  crypto::SecretBytes eab_key;  // of the external account binding; empty for none
};

// Thread-safe. Methods block on the database: call them on an executor. Those that take a request
// answer, and fail, as the contract says of the method of the same name.
class Upstreams {
 public:
  struct Options {
    storage::Database* database;
    // Seals the account keys.
    crypto::Kek kek;
    // This service's own authorities.
    std::shared_ptr<Upstream> local;
    // Make an upstream of its settings; may block.
    std::function<absl::StatusOr<std::shared_ptr<Upstream>>(const v1::CountersignUpstream&)>
        make_countersign;
    std::function<absl::StatusOr<std::shared_ptr<Upstream>>(const v1::AcmeUpstream&,
                                                            AcmeAccountSecrets)>
        make_acme;
    const base::Clock* clock = base::Clock::System();
  };

  // `options.database`, with the schema of MigrateSchema, must outlive it.
  explicit Upstreams(Options options) : options_(std::move(options)) {}

  absl::StatusOr<v1::CreateUpstreamResponse> CreateUpstream(
      const v1::CreateUpstreamRequest& request);
  absl::StatusOr<v1::ListUpstreamsResponse> ListUpstreams(const v1::ListUpstreamsRequest& request);
  absl::StatusOr<v1::DeleteUpstreamResponse> DeleteUpstream(
      const v1::DeleteUpstreamRequest& request);

  // For IssuanceQueue::Options: the local one for an empty id. NotFound.
  absl::StatusOr<std::shared_ptr<Upstream>> Find(const ResourceId& name);

 private:
  // One that was made, and when its row was last seen; the time of its creation tells whether
  // another process has put another one in its place.
  struct Made {
    int64_t create_time = 0;
    absl::Time seen;
    std::shared_ptr<Upstream> upstream;
  };

  const Options options_;
  base::Mutex mutex_;
  std::map<ResourceId, Made> made_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_UPSTREAMS_H_
