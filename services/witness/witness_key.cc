#include "services/witness/witness_key.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/sealed_key_file.h"

namespace countersign::witness {

absl::StatusOr<std::unique_ptr<note::CosignatureSigner>> OpenWitnessKey(
    const std::string& directory, const std::string& kek_path, const std::string& name,
    const base::Clock* clock) {
  if (!note::IsValidKeyName(name)) {
    return absl::InvalidArgumentError(
        "a witness's name has no spaces, control characters or '+', and is not empty");
  }
  RETURN_IF_ERROR(base::EnsureDirectory(directory, 0700));
  const std::string key_path = directory + "/witness.key";
  const std::string path = directory + "/witness.vkey";
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
      crypto::LoadOrCreateSealedKey(key_path, kek, crypto::Algorithm::kEd25519, "witness key"));
  ASSIGN_OR_RETURN(auto signer, note::CosignatureSigner::Create(name, std::move(key), clock));
  const std::string line = absl::StrCat(signer->vkey(), "\n");
  const absl::StatusOr<std::string> known = base::ReadFile(path);
  if (absl::IsNotFound(known.status())) {
    RETURN_IF_ERROR(base::WriteFileDurably(path, line));
  } else if (!known.ok()) {
    return known.status();
  } else if (*known != line) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " names another witness than ", signer->vkey(),
                     ": give the name, the key and the folder that belong together"));
  }
  return signer;
}

}  // namespace countersign::witness
