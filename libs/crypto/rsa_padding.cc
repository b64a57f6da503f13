#include "libs/crypto/rsa_padding.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/openssl_util.h"
#include "libs/crypto/random.h"
#include "openssl/digest.h"
#include "openssl/rsa.h"
// After openssl/rsa.h, which declares what it uses.
#include "src/crypto/fipsmodule/rsa/internal.h"

namespace countersign::crypto {
namespace {

constexpr size_t kHashBytes = 32;
// A DigestInfo of SHA-256 up to the digest (RFC 8017 section 9.2 note 1).
constexpr absl::string_view kSha256Info(
    "\x30\x31\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20", 19);
constexpr char kPssTrailer = '\xBC';

// Bytes of the modulus; 0 for what is not RSA.
size_t ModulusBytes(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRsaPss2048Sha256:
    case Algorithm::kRsaPkcs1_2048Sha256:
      return 2048 / 8;
    case Algorithm::kRsaPss3072Sha256:
    case Algorithm::kRsaPkcs1_3072Sha256:
      return 3072 / 8;
    case Algorithm::kRsaPss4096Sha256:
    case Algorithm::kRsaPkcs1_4096Sha256:
      return 4096 / 8;
    default:
      return 0;
  }
}

bool IsPss(Algorithm algorithm) {
  return algorithm == Algorithm::kRsaPss2048Sha256 || algorithm == Algorithm::kRsaPss3072Sha256 ||
         algorithm == Algorithm::kRsaPss4096Sha256;
}

// Appendix B.2.1, with SHA-256.
std::string Mgf1(absl::string_view seed, size_t size) {
  std::string mask;
  for (uint32_t counter = 0; mask.size() < size; ++counter) {
    std::string suffix;
    base::AppendU32(&suffix, counter);
    absl::StrAppend(&mask, base::AsBytes(Sha256Parts({seed, suffix})));
  }
  mask.resize(size);
  return mask;
}

std::string EncodePkcs1(absl::string_view digest, size_t size) {
  const size_t filling = size - 3 - kSha256Info.size() - digest.size();
  return absl::StrCat(absl::string_view("\x00\x01", 2), std::string(filling, '\xFF'),
                      absl::string_view("\x00", 1), kSha256Info, digest);
}

// With a modulus of whole bytes, emBits is one less than they have.
std::string EncodePss(absl::string_view digest, size_t size) {
  const std::string salt = RandomBytes(kHashBytes);
  const auto hash = Sha256Parts({std::string(8, '\0'), digest, salt});
  std::string block(size - kHashBytes - 1 - salt.size() - 1, '\0');
  absl::StrAppend(&block, "\x01", salt);
  const std::string mask = Mgf1(base::AsBytes(hash), block.size());
  for (size_t i = 0; i < block.size(); ++i) block[i] = static_cast<char>(block[i] ^ mask[i]);
  block[0] = static_cast<char>(block[0] & 0x7F);
  return absl::StrCat(block, base::AsBytes(hash), std::string(1, kPssTrailer));
}

}  // namespace

absl::StatusOr<std::string> EncodeForSigning(Algorithm algorithm, absl::string_view digest) {
  const size_t size = ModulusBytes(algorithm);
  if (size == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(AlgorithmName(algorithm), " is no algorithm of RSA"));
  }
  if (digest.size() != kHashBytes) {
    return absl::InvalidArgumentError(absl::StrCat(AlgorithmName(algorithm), " signs digests of ",
                                                   kHashBytes, " bytes, and this one has ",
                                                   digest.size()));
  }
  return IsPss(algorithm) ? EncodePss(digest, size) : EncodePkcs1(digest, size);
}

absl::StatusOr<SecretBytes> DecodeDecrypted(RsaEncryption encryption, const SecretBytes& block) {
  const uint8_t* bytes = Bytes(block.Expose(SecretAccess::Grant()));
  SecretBytes message(block.size());
  auto* out = reinterpret_cast<uint8_t*>(message.ExposeMutable(SecretAccess::Grant()));
  size_t size = 0;
  int ok = 0;
  switch (encryption) {
    case RsaEncryption::kPkcs1:
      ok = RSA_padding_check_PKCS1_type_2(out, &size, block.size(), bytes, block.size());
      break;
    case RsaEncryption::kOaepSha256:
      ok = RSA_padding_check_PKCS1_OAEP_mgf1(out, &size, block.size(), bytes, block.size(), nullptr,
                                             0, EVP_sha256(), EVP_sha256());
      break;
  }
  if (!ok) {
    return Failure(absl::StatusCode::kInvalidArgument,
                   "the ciphertext does not decrypt: it is for another key, or was altered");
  }
  message.Truncate(size);
  return message;
}

}  // namespace countersign::crypto
