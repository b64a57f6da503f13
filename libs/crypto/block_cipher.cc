#include "libs/crypto/block_cipher.h"

#include "absl/strings/str_cat.h"
#include "libs/crypto/openssl_util.h"
#include "openssl/cipher.h"

namespace countersign::crypto {
namespace {

const EVP_CIPHER* Ecb(BlockCipher cipher) {
  switch (cipher) {
    case BlockCipher::kTripleDes:
      return EVP_des_ede3_ecb();
    case BlockCipher::kAes128:
      return EVP_aes_128_ecb();
    case BlockCipher::kAes192:
      return EVP_aes_192_ecb();
    case BlockCipher::kAes256:
      return EVP_aes_256_ecb();
  }
  return nullptr;
}

absl::StatusOr<std::string> Apply(BlockCipher cipher, const SecretBytes& key,
                                  absl::string_view block, bool encrypt) {
  if (key.size() != KeyBytes(cipher)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the key has ", key.size(), " bytes, and the cipher takes ", KeyBytes(cipher)));
  }
  if (block.size() != BlockBytes(cipher)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the block has ", block.size(), " bytes, and the cipher's have ", BlockBytes(cipher)));
  }
  // The context wipes its key schedule when it ends.
  bssl::ScopedEVP_CIPHER_CTX context;
  std::string out(block.size(), '\0');
  int size = 0;
  if (!EVP_CipherInit_ex(context.get(), Ecb(cipher), nullptr,
                         Bytes(key.Expose(SecretAccess::Grant())), nullptr, encrypt ? 1 : 0) ||
      !EVP_CIPHER_CTX_set_padding(context.get(), 0) ||
      !EVP_CipherUpdate(context.get(), MutableBytes(&out), &size, Bytes(block),
                        static_cast<int>(block.size())) ||
      size != static_cast<int>(block.size())) {
    return Failure(absl::StatusCode::kInternal, "the block cipher failed");
  }
  return out;
}

}  // namespace

size_t KeyBytes(BlockCipher cipher) {
  switch (cipher) {
    case BlockCipher::kAes128:
      return 16;
    case BlockCipher::kTripleDes:
    case BlockCipher::kAes192:
      return 24;
    case BlockCipher::kAes256:
      return 32;
  }
  return 0;
}

size_t BlockBytes(BlockCipher cipher) { return cipher == BlockCipher::kTripleDes ? 8 : 16; }

absl::StatusOr<std::string> EncryptBlock(BlockCipher cipher, const SecretBytes& key,
                                         absl::string_view block) {
  return Apply(cipher, key, block, /*encrypt=*/true);
}

absl::StatusOr<std::string> DecryptBlock(BlockCipher cipher, const SecretBytes& key,
                                         absl::string_view block) {
  return Apply(cipher, key, block, /*encrypt=*/false);
}

}  // namespace countersign::crypto
