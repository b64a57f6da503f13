#include <cstddef>
#include <cstdint>

#include "libs/crypto/pkcs12.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace crypto = countersign::crypto;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  // The corpus is encrypted under this passphrase with one round.
  const auto opened = crypto::ParsePkcs12(input, crypto::SecretBytes("x"), /*max_iterations=*/64);
  if (!opened.ok()) return 0;
  Holds(!opened->certificate.empty(), "a key has its certificate");
  Holds(crypto::CanSign(opened->key.algorithm()), "a certificate's key signs");
  return 0;
}
