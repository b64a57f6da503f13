// Helpers around BoringSSL for this folder alone.
#ifndef COUNTERSIGN_LIBS_CRYPTO_OPENSSL_UTIL_H_
#define COUNTERSIGN_LIBS_CRYPTO_OPENSSL_UTIL_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "openssl/err.h"
#include "openssl/mem.h"

namespace countersign::crypto {

inline const uint8_t* Bytes(absl::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

inline uint8_t* MutableBytes(std::string* bytes) {
  return reinterpret_cast<uint8_t*>(bytes->data());
}

// A failure of a BoringSSL call. Its thread's error queue is emptied, so that nothing that runs
// later on the thread (gRPC's TLS, say) takes our error for its own.
inline absl::Status Failure(absl::StatusCode code, absl::string_view message) {
  ERR_clear_error();
  return absl::Status(code, message);
}

// `ok` as a verdict, with the error queue emptied when it is negative.
inline bool Verdict(bool ok) {
  if (!ok) ERR_clear_error();
  return ok;
}

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_OPENSSL_UTIL_H_
