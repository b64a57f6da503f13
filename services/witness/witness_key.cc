#include "services/witness/witness_key.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/sealed_key_file.h"
#include "libs/crypto/secret.h"
#include "libs/storage/migrations.h"
#include "services/witness/schema.h"

namespace countersign::witness {
namespace {

using Signer = note::CosignatureSigner;
using storage::Value;

constexpr char kPurpose[] = "witness key";

absl::Status CheckName(const std::string& name) {
  if (note::IsValidKeyName(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "a witness's name has no spaces, control characters or '+', and is not empty");
}

std::string VkeyPath(const std::string& directory) { return directory + "/witness.vkey"; }

// Writes the verifier key for others to read, or checks that it is the one there.
absl::Status KeepVkey(const std::string& directory, const std::string& vkey) {
  const std::string path = VkeyPath(directory);
  const std::string line = absl::StrCat(vkey, "\n");
  const absl::StatusOr<std::string> known = base::ReadFile(path);
  if (absl::IsNotFound(known.status())) return base::WriteFileDurably(path, line);
  RETURN_IF_ERROR(known.status());
  if (*known == line) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path, " names another witness than ", vkey,
                   ": give the name, the key and the folder that belong together"));
}

// The row of the table `witness`.
struct StoredKey {
  std::string vkey;
  std::string sealed;  // empty when a file holds the key
};

absl::StatusOr<std::optional<StoredKey>> ReadKey(storage::Transaction& transaction) {
  ASSIGN_OR_RETURN(const storage::Rows rows,
                   transaction.Query("SELECT vkey, sealed_key FROM witness"));
  if (rows.empty()) return std::nullopt;
  return StoredKey{rows[0].Text(0), rows[0].IsNull(1) ? "" : rows[0].Bytes(1)};
}

// Stores a fresh key unless another replica has stored one meanwhile; returns the one stored.
absl::StatusOr<StoredKey> MakeKey(storage::Database& database, const crypto::Kek& kek,
                                  const std::string& name, const base::Clock* clock) {
  ASSIGN_OR_RETURN(crypto::PrivateKey key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEd25519));
  ASSIGN_OR_RETURN(const crypto::SecretBytes der, key.ToPkcs8());
  ASSIGN_OR_RETURN(const std::string sealed, kek.Seal(der, kPurpose));
  ASSIGN_OR_RETURN(const auto signer, Signer::Create(name, std::move(key), clock));
  std::optional<StoredKey> stored;
  RETURN_IF_ERROR(database.InTransaction(
      [&](storage::Transaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(transaction
                            .Run("INSERT INTO witness (id, vkey, sealed_key) VALUES (1, $1, $2) "
                                 "ON CONFLICT DO NOTHING",
                                 {Value::Text(signer->vkey()), Value::Bytes(sealed)})
                            .status());
        ASSIGN_OR_RETURN(stored, ReadKey(transaction));
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted));
  if (!stored.has_value()) return absl::DataLossError("the key just stored is not there");
  return *stored;
}

}  // namespace

absl::StatusOr<std::unique_ptr<note::CosignatureSigner>> OpenWitnessKey(
    const std::string& directory, const std::string& kek_path, const std::string& name,
    const base::Clock* clock) {
  RETURN_IF_ERROR(CheckName(name));
  RETURN_IF_ERROR(base::EnsureDirectory(directory, 0700));
  const std::string key_path = directory + "/witness.key";
  const std::string path = VkeyPath(directory);
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
      crypto::LoadOrCreateSealedKey(key_path, kek, crypto::Algorithm::kEd25519, kPurpose));
  ASSIGN_OR_RETURN(auto signer, Signer::Create(name, std::move(key), clock));
  RETURN_IF_ERROR(KeepVkey(directory, signer->vkey()));
  return signer;
}

absl::StatusOr<std::unique_ptr<note::CosignatureSigner>> OpenSharedWitnessKey(
    storage::Database& database, const std::string& directory, const std::string& kek_path,
    const std::string& name, const base::Clock* clock) {
  RETURN_IF_ERROR(CheckName(name));
  RETURN_IF_ERROR(base::EnsureDirectory(directory, 0700));
  RETURN_IF_ERROR(storage::Migrate(database, Migrations()));
  std::optional<StoredKey> stored;
  RETURN_IF_ERROR(database.InSnapshot(
      [&stored](storage::Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(stored, ReadKey(transaction));
        return absl::OkStatus();
      },
      storage::Freshness::kLatest));
  if (!stored.has_value() && base::FileExists(VkeyPath(directory))) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the database is empty, but ", VkeyPath(directory),
        " is there: give the database of that witness. If it is lost, start a new witness, with a "
        "new name, folder and database: nobody knows any more what the old one has cosigned"));
  }
  if (stored.has_value() && stored->sealed.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("the database is that of the witness ",
                                                      stored->vkey, ", whose key is in a file"));
  }
  if (stored.has_value() && !base::FileExists(kek_path)) {
    return absl::FailedPreconditionError(
        absl::StrCat(kek_path, " is missing, but the database holds the key of the witness ",
                     stored->vkey, ": copy the KEK from another replica"));
  }
  ASSIGN_OR_RETURN(const crypto::Kek kek, crypto::Kek::LoadOrCreate(kek_path));
  if (!stored.has_value()) {
    ASSIGN_OR_RETURN(stored, MakeKey(database, kek, name, clock));
  }
  const absl::StatusOr<crypto::SecretBytes> der = kek.Open(stored->sealed, kPurpose);
  if (!der.ok()) {
    return absl::Status(der.status().code(),
                        absl::StrCat("the key in the database does not open with ", kek_path, ": ",
                                     der.status().message()));
  }
  ASSIGN_OR_RETURN(crypto::PrivateKey key,
                   crypto::PrivateKey::FromPkcs8(*der, crypto::Algorithm::kEd25519));
  ASSIGN_OR_RETURN(auto signer, Signer::Create(name, std::move(key), clock));
  if (signer->vkey() != stored->vkey) {
    return absl::FailedPreconditionError(absl::StrCat("the database is that of the witness ",
                                                      stored->vkey, ", not of ", name,
                                                      ": choose the right database or name"));
  }
  RETURN_IF_ERROR(KeepVkey(directory, signer->vkey()));
  return signer;
}

}  // namespace countersign::witness
