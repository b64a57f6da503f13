#include "services/ledger/log_key.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/sealed_key_file.h"

namespace countersign::ledger {

absl::StatusOr<std::unique_ptr<note::NoteSigner>> OpenLogKey(const std::string& directory,
                                                             const std::string& kek_path,
                                                             const std::string& origin) {
  RETURN_IF_ERROR(base::EnsureDirectory(directory, 0700));
  const std::string key_path = directory + "/log.key";
  const std::string path = directory + "/log.vkey";
  // What is made anew would not fit what is left of the old.
  for (const auto& [missing, left] : {std::pair(key_path, path), std::pair(kek_path, key_path)}) {
    if (base::FileExists(left) && !base::FileExists(missing)) {
      return absl::FailedPreconditionError(
          absl::StrCat(missing, " is missing but ", left, " is there: restore it"));
    }
  }
  ASSIGN_OR_RETURN(const crypto::Kek kek, crypto::Kek::LoadOrCreate(kek_path));
  ASSIGN_OR_RETURN(
      crypto::PrivateKey key,
      crypto::LoadOrCreateSealedKey(key_path, kek, crypto::Algorithm::kEd25519, "log key"));
  ASSIGN_OR_RETURN(std::unique_ptr<note::NoteSigner> signer,
                   note::NewEd25519Signer(origin, std::move(key)));
  const std::string line = absl::StrCat(signer->vkey(), "\n");
  const absl::StatusOr<std::string> known = base::ReadFile(path);
  if (absl::IsNotFound(known.status())) {
    RETURN_IF_ERROR(base::WriteFileDurably(path, line));
  } else if (!known.ok()) {
    return known.status();
  } else if (*known != line) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " says that this log is ", absl::StripTrailingAsciiWhitespace(*known), ", not ",
        signer->vkey(), ": a log keeps its origin and key for ever, give --origin as it was"));
  }
  return signer;
}

}  // namespace countersign::ledger
