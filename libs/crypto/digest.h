// SHA-2 (FIPS 180-4), one shot and streaming.
//
// The functions are safe to use from any thread; a Hasher belongs to one thread at a time.
#ifndef COUNTERSIGN_LIBS_CRYPTO_DIGEST_H_
#define COUNTERSIGN_LIBS_CRYPTO_DIGEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace countersign::crypto {

// kNone stands for "the message itself is signed": it hashes nothing, its digest is empty.
enum class DigestAlgorithm { kNone, kSha256, kSha384, kSha512 };

// 0, 32, 48 or 64 bytes.
size_t DigestLength(DigestAlgorithm algorithm);

// "none", "sha256", "sha384" or "sha512".
absl::string_view DigestName(DigestAlgorithm algorithm);

// The digest of `data`, DigestLength(algorithm) bytes.
std::string Digest(DigestAlgorithm algorithm, absl::string_view data);

std::array<uint8_t, 32> Sha256(absl::string_view data);

// SHA-256 of the concatenation of `parts`, which is never built.
std::array<uint8_t, 32> Sha256Parts(std::initializer_list<absl::string_view> parts);

// Writes the SHA-256 of data[0, size) to out[0, 32), without allocating; `out` may lie in `data`.
void Sha256Raw(const uint8_t* data, size_t size, uint8_t* out);

// Hashes what Update is given, in order.
class Hasher {
 public:
  explicit Hasher(DigestAlgorithm algorithm);
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void Update(absl::string_view data);

  // The digest of everything so far. The hasher then starts afresh.
  std::string Finish();

 private:
  struct State;

  void Reset();

  std::unique_ptr<State> state_;
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_DIGEST_H_
