// Single blocks of AES and triple DES, for protocols between devices that ask for them, such as
// challenge and response with a card. Data is not encrypted with these: that is aead.h.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_CRYPTO_BLOCK_CIPHER_H_
#define COUNTERSIGN_LIBS_CRYPTO_BLOCK_CIPHER_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/secret.h"

namespace countersign::crypto {

// SP 800-67 with three keys (the parity bits do not count), and FIPS 197.
enum class BlockCipher { kTripleDes, kAes128, kAes192, kAes256 };

// 24, 16, 24 and 32.
size_t KeyBytes(BlockCipher cipher);
// 8 or 16.
size_t BlockBytes(BlockCipher cipher);

// One block under `key`. InvalidArgument for a key or a block of another length.
absl::StatusOr<std::string> EncryptBlock(BlockCipher cipher, const SecretBytes& key,
                                         absl::string_view block);
absl::StatusOr<std::string> DecryptBlock(BlockCipher cipher, const SecretBytes& key,
                                         absl::string_view block);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_BLOCK_CIPHER_H_
