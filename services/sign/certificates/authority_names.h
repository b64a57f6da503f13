// The names of authorities by their numbers.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_NAMES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "libs/base/mutex.h"
#include "libs/storage/database.h"
#include "services/sign/certificates/resource_names.h"

namespace countersign::sign {

// Thread-safe. An authority keeps its name for ever, so each is read once.
class AuthorityNames {
 public:
  // The resource name; DataLoss when no authority has this number.
  absl::StatusOr<std::string> NameOf(storage::Transaction& transaction, int64_t authority_id);

 private:
  base::Mutex mutex_;
  absl::flat_hash_map<int64_t, std::string> names_ ABSL_GUARDED_BY(mutex_);
};

// The number of an authority; NotFound.
absl::StatusOr<int64_t> AuthorityIdOf(storage::Transaction& transaction, const AuthorityName& name);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_NAMES_H_
