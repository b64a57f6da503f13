#include "services/sign/encryption.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/hpke.h"
#include "libs/runtime/error_details.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

constexpr size_t kTagBytes = 16;
constexpr size_t kEncBytes = 32;

absl::Status CheckSize(absl::string_view field, const std::string& bytes, size_t most) {
  if (bytes.size() <= most) return absl::OkStatus();
  return FieldError(field, absl::StrCat("at most ", most, " bytes, not ", bytes.size()));
}

absl::StatusOr<std::shared_ptr<const LiveKey>> EncryptionKey(KeyRing& keys,
                                                             const std::string& name) {
  ASSIGN_OR_RETURN(std::shared_ptr<const LiveKey> key, keys.Load(name));
  if (key->algorithm != crypto::Algorithm::kHpkeX25519) {
    return PreconditionError(
        kWrongAlgorithm,
        absl::StrCat(key->version, " is for ", crypto::AlgorithmName(key->algorithm),
                     "; encryption needs a key for hpke-x25519"));
  }
  return key;
}

}  // namespace

absl::StatusOr<v1::EncryptResponse> Encrypt(KeyRing& keys, const v1::EncryptRequest& request) {
  RETURN_IF_ERROR(CheckSize("plaintext", request.plaintext(), kMaxPlaintextBytes));
  RETURN_IF_ERROR(CheckSize("info", request.info(), kMaxInfoBytes));
  RETURN_IF_ERROR(CheckSize("aad", request.aad(), kMaxInfoBytes));
  ASSIGN_OR_RETURN(const auto key, EncryptionKey(keys, request.name()));
  ASSIGN_OR_RETURN(
      crypto::HpkeCiphertext sealed,
      crypto::HpkeSeal(key->public_key, request.info(), request.aad(), request.plaintext()));
  v1::EncryptResponse response;
  response.set_key_version(key->version);
  response.set_enc(std::move(sealed.enc));
  response.set_ciphertext(std::move(sealed.ciphertext));
  return response;
}

absl::StatusOr<v1::DecryptResponse> Decrypt(KeyRing& keys, const v1::DecryptRequest& request) {
  RETURN_IF_ERROR(CheckSize("ciphertext", request.ciphertext(), kMaxPlaintextBytes + kTagBytes));
  RETURN_IF_ERROR(CheckSize("info", request.info(), kMaxInfoBytes));
  RETURN_IF_ERROR(CheckSize("aad", request.aad(), kMaxInfoBytes));
  if (request.enc().size() != kEncBytes) {
    return FieldError("enc",
                      absl::StrCat("expected ", kEncBytes, " bytes, not ", request.enc().size()));
  }
  ASSIGN_OR_RETURN(const auto key, EncryptionKey(keys, request.name()));
  absl::StatusOr<std::string> plaintext = crypto::HpkeOpen(*key->key, request.enc(), request.info(),
                                                           request.aad(), request.ciphertext());
  if (!plaintext.ok()) return runtime::AttachReason(plaintext.status(), kDecryptionFailed);
  v1::DecryptResponse response;
  response.set_plaintext(*std::move(plaintext));
  return response;
}

}  // namespace countersign::sign
