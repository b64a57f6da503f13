#include "libs/crypto/hpke.h"

#include "absl/cleanup/cleanup.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/key_impl.h"
#include "libs/crypto/openssl_util.h"
#include "openssl/hpke.h"

namespace countersign::crypto {

absl::StatusOr<HpkeCiphertext> HpkeSeal(const PublicKey& recipient, absl::string_view info,
                                        absl::string_view aad, absl::string_view plaintext) {
  RETURN_IF_ERROR(recipient.Check(Algorithm::kHpkeX25519));
  HpkeCiphertext result;
  result.enc.resize(EVP_HPKE_MAX_ENC_LENGTH);
  size_t enc_size = 0;
  bssl::ScopedEVP_HPKE_CTX context;
  if (!EVP_HPKE_CTX_setup_sender(
          context.get(), MutableBytes(&result.enc), &enc_size, result.enc.size(),
          EVP_hpke_x25519_hkdf_sha256(), EVP_hpke_hkdf_sha256(), EVP_hpke_aes_256_gcm(),
          Bytes(recipient.raw()), recipient.raw().size(), Bytes(info), info.size())) {
    return Failure(absl::StatusCode::kInvalidArgument,
                   "cannot encrypt to this X25519 key: it is of small order");
  }
  result.enc.resize(enc_size);
  result.ciphertext.resize(plaintext.size() + EVP_HPKE_CTX_max_overhead(context.get()));
  size_t size = 0;
  if (!EVP_HPKE_CTX_seal(context.get(), MutableBytes(&result.ciphertext), &size,
                         result.ciphertext.size(), Bytes(plaintext), plaintext.size(), Bytes(aad),
                         aad.size())) {
    return Failure(absl::StatusCode::kInternal, "HPKE encryption failed");
  }
  result.ciphertext.resize(size);
  return result;
}

absl::StatusOr<std::string> HpkeOpen(const PrivateKey& recipient, absl::string_view enc,
                                     absl::string_view info, absl::string_view aad,
                                     absl::string_view ciphertext) {
  ASSIGN_OR_RETURN(const SecretBytes secret, X25519Secret::Of(recipient));
  const absl::string_view raw = secret.Expose(SecretAccess::Grant());
  bssl::ScopedEVP_HPKE_KEY key;
  if (!EVP_HPKE_KEY_init(key.get(), EVP_hpke_x25519_hkdf_sha256(), Bytes(raw), raw.size())) {
    return Failure(absl::StatusCode::kInternal, "cannot use the X25519 key");
  }
  // BoringSSL's own clean-up leaves the key's bytes where they are.
  const auto wipe = absl::MakeCleanup([&key] { Wipe(key.get(), sizeof(EVP_HPKE_KEY)); });
  bssl::ScopedEVP_HPKE_CTX context;
  std::string plaintext(ciphertext.size(), '\0');
  size_t size = 0;
  if (!EVP_HPKE_CTX_setup_recipient(context.get(), key.get(), EVP_hpke_hkdf_sha256(),
                                    EVP_hpke_aes_256_gcm(), Bytes(enc), enc.size(), Bytes(info),
                                    info.size()) ||
      !EVP_HPKE_CTX_open(context.get(), MutableBytes(&plaintext), &size, plaintext.size(),
                         Bytes(ciphertext), ciphertext.size(), Bytes(aad), aad.size())) {
    return Failure(absl::StatusCode::kInvalidArgument,
                   "the ciphertext does not decrypt: key, encapsulated key, info, associated data "
                   "and ciphertext do not belong together");
  }
  plaintext.resize(size);
  return plaintext;
}

}  // namespace countersign::crypto
