#include "libs/crypto/sealed_key_file.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::crypto {

absl::StatusOr<PrivateKey> LoadOrCreateSealedKey(const std::string& path, const Kek& kek,
                                                 Algorithm algorithm, absl::string_view purpose) {
  const absl::StatusOr<std::string> text = base::ReadFile(path);
  if (absl::IsNotFound(text.status())) {
    ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(algorithm));
    ASSIGN_OR_RETURN(const SecretBytes der, key.ToPkcs8());
    ASSIGN_OR_RETURN(const std::string sealed, kek.Seal(der, purpose));
    RETURN_IF_ERROR(
        base::WriteFileDurably(path, absl::StrCat(base::Base64Encode(sealed), "\n"), 0600));
    return key;
  }
  RETURN_IF_ERROR(text.status());
  const absl::StatusOr<std::string> sealed = base::Base64Decode(absl::StripSuffix(*text, "\n"));
  if (!sealed.ok()) return absl::DataLossError(absl::StrCat(path, " is not a sealed key"));
  const absl::StatusOr<SecretBytes> der = kek.Open(*sealed, purpose);
  if (!der.ok()) {
    return absl::Status(der.status().code(), absl::StrCat(path, ": ", der.status().message()));
  }
  return PrivateKey::FromPkcs8(*der, algorithm);
}

}  // namespace countersign::crypto
