// Keys that must not be certified: predictable, factorable or too small.
#ifndef COUNTERSIGN_LIBS_PKI_WEAK_KEYS_H_
#define COUNTERSIGN_LIBS_PKI_WEAK_KEYS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::pki {

// Immutable after it is made; thread-safe.
class WeakKeys {
 public:
  // Knows what is computed: RSA moduli outside 2048 to 4096 bits, exponents other than 65537, ROCA
  // (CVE-2017-15361), moduli with small factors, close primes (Fermat, 100 rounds), and curves
  // other than P-256 and P-384.
  WeakKeys();
  ~WeakKeys();

  // Adds a list in the format of Debian's openssl-blacklist (CVE-2008-0166): a line for each RSA
  // key, the last 20 hexadecimal digits of the SHA-1 of "Modulus=" HEX "\n"; '#' begins a comment.
  // Also takes lines of 64 digits: the SHA-256 of a SubjectPublicKeyInfo, of a key known to be
  // compromised. InvalidArgument, naming the line, for another; errors of reading as
  // base::ReadFile.
  absl::Status AddBlocklist(const std::string& path);

  // OK, or InvalidArgument saying why the key must not be used. `spki_der` that is no key of a
  // known kind is refused too.
  absl::Status Check(absl::string_view spki_der) const;

 private:
  struct Lists;
  std::unique_ptr<Lists> lists_;
};

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_WEAK_KEYS_H_
