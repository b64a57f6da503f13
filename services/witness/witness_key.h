// The witness's key: in a file or, for replicas, in their database.
#ifndef COUNTERSIGN_SERVICES_WITNESS_WITNESS_KEY_H_
#define COUNTERSIGN_SERVICES_WITNESS_WITNESS_KEY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "libs/base/clock.h"
#include "libs/note/cosignature.h"
#include "libs/storage/database.h"

namespace countersign::witness {

// The signer of `directory`/witness.key, sealed under the KEK in `kek_path`; both are made when
// missing. `directory`/witness.vkey holds the verifier key for others to read. FailedPrecondition
// when that says another name or key, since a witness keeps both for ever, or when the key is there
// without its KEK or the verifier key without the key.
absl::StatusOr<std::unique_ptr<note::CosignatureSigner>> OpenWitnessKey(
    const std::string& directory, const std::string& kek_path, const std::string& name,
    const base::Clock* clock);

// The signer whose key `database` holds, sealed under the KEK in `kek_path`: what replicas of one
// witness share. Key and KEK are made when the database holds no key; of replicas that start at
// once one makes it. `directory`/witness.vkey is as above. FailedPrecondition also when the
// database has a key and the KEK is missing or another, and when the database has no key but
// witness.vkey is there: then what that key has cosigned is not known any more.
absl::StatusOr<std::unique_ptr<note::CosignatureSigner>> OpenSharedWitnessKey(
    storage::Database& database, const std::string& directory, const std::string& kek_path,
    const std::string& name, const base::Clock* clock);

}  // namespace countersign::witness

#endif  // COUNTERSIGN_SERVICES_WITNESS_WITNESS_KEY_H_
