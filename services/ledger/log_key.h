// The log's signing key, in its data folder.
#ifndef COUNTERSIGN_SERVICES_LEDGER_LOG_KEY_H_
#define COUNTERSIGN_SERVICES_LEDGER_LOG_KEY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "libs/note/key.h"

namespace countersign::ledger {

// Opens, or makes on first use, the Ed25519 key `directory`/log.key, sealed under the KEK file
// `kek_path` (also made on first use), and writes its verifier key to `directory`/log.vkey. The
// signer's name is `origin` (C2SP tlog-checkpoint). FailedPrecondition when the folder's key is
// already known under another origin, or when a key or KEK that it needs is missing. The caller
// holds the folder's lock.
absl::StatusOr<std::unique_ptr<note::NoteSigner>> OpenLogKey(const std::string& directory,
                                                             const std::string& kek_path,
                                                             const std::string& origin);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_LOG_KEY_H_
