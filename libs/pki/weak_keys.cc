#include "libs/pki/weak_keys.h"

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/rsa_checks.h"
#include "libs/crypto/sha1.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

// Bytes of Debian's lists: the last half of a SHA-1.
constexpr size_t kDebianBytes = 10;
constexpr size_t kSpkiHashBytes = 32;
constexpr size_t kMinRsaBits = 2048;
constexpr size_t kMaxRsaBits = 4096;
constexpr absl::string_view kExponent("\x01\x00\x01", 3);

absl::Status Weak(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("the key must not be certified: ", why));
}

size_t Bits(absl::string_view magnitude) {
  size_t bits = 8 * magnitude.size();
  for (uint8_t mask = 0x80; mask != 0 && (magnitude[0] & mask) == 0; mask >>= 1) --bits;
  return bits;
}

// What Debian's lists hold of a modulus.
std::string DebianHash(absl::string_view modulus) {
  const std::string text =
      absl::StrCat("Modulus=", absl::AsciiStrToUpper(base::HexEncode(modulus)), "\n");
  const auto digest = crypto::Sha1(text);
  return std::string(base::AsBytes(digest).substr(digest.size() - kDebianBytes));
}

absl::Status CheckFlaw(absl::string_view modulus) {
  switch (crypto::FindRsaFlaw(modulus)) {
    case crypto::RsaFlaw::kNone:
      return absl::OkStatus();
    case crypto::RsaFlaw::kSmallFactor:
      return Weak("a small prime divides its RSA modulus");
    case crypto::RsaFlaw::kRoca:
      return Weak("its RSA modulus is of the form that can be factored by ROCA (CVE-2017-15361)");
    case crypto::RsaFlaw::kClosePrimes:
      return Weak("the primes of its RSA modulus are so close that it can be factored");
  }
  return absl::OkStatus();
}

}  // namespace

struct WeakKeys::Lists {
  absl::flat_hash_set<std::string> moduli;  // DebianHash
  absl::flat_hash_set<std::string> keys;    // SHA-256 of SubjectPublicKeyInfos

  absl::Status CheckRsa(absl::string_view key_bits) const;
};

absl::Status WeakKeys::Lists::CheckRsa(absl::string_view key_bits) const {
  DerReader outer(key_bits);
  DerReader key;
  absl::string_view modulus;
  absl::string_view exponent;
  if (!outer.Read(kSequence, &key) || !outer.empty() || !key.ReadUnsigned(&modulus) ||
      !key.ReadUnsigned(&exponent) || !key.empty()) {
    return Weak("it is no RSA key");
  }
  const size_t bits = Bits(modulus);
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    return Weak(absl::StrCat("its RSA modulus has ", bits, " bits, and ", kMinRsaBits, " to ",
                             kMaxRsaBits, " are allowed"));
  }
  if (exponent != kExponent) return Weak("its RSA exponent is not 65537");
  if (!moduli.empty() && moduli.contains(DebianHash(modulus))) {
    return Weak("it is one that Debian's OpenSSL made predictably (CVE-2008-0166)");
  }
  return CheckFlaw(modulus);
}

WeakKeys::WeakKeys() : lists_(std::make_unique<Lists>()) {}
WeakKeys::~WeakKeys() = default;

absl::Status WeakKeys::AddBlocklist(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path));
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    if (line.empty()) continue;
    absl::StatusOr<std::string> bytes = base::HexDecode(line);
    if (bytes.ok() && bytes->size() == kDebianBytes) {
      lists_->moduli.insert(*std::move(bytes));
    } else if (bytes.ok() && bytes->size() == kSpkiHashBytes) {
      lists_->keys.insert(*std::move(bytes));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " line ", number,
                       ": neither 20 hexadecimal digits (of an RSA modulus) nor 64 (the SHA-256 of "
                       "a SubjectPublicKeyInfo)"));
    }
  }
  return absl::OkStatus();
}

absl::Status WeakKeys::Check(absl::string_view spki_der) const {
  DerReader outer(spki_der);
  DerReader spki;
  DerReader algorithm;
  absl::string_view oid;
  absl::string_view key_bits;
  if (!outer.Read(kSequence, &spki) || !outer.empty() || !spki.Read(kSequence, &algorithm) ||
      !algorithm.Read(kOid, &oid) || !spki.ReadBitStringBytes(&key_bits) || !spki.empty()) {
    return Weak("it is no SubjectPublicKeyInfo");
  }
  if (!lists_->keys.empty() &&
      lists_->keys.contains(crypto::Digest(crypto::DigestAlgorithm::kSha256, spki_der))) {
    return Weak("it is known to be compromised");
  }
  if (oid == kOidRsaEncryption) return lists_->CheckRsa(key_bits);
  if (oid == kOidEcPublicKey) {
    // Whether the point is on the curve is seen when the key is parsed to be used.
    absl::string_view curve;
    const bool named = algorithm.Read(kOid, &curve) && algorithm.empty();
    if (named && curve == kOidP256 && key_bits.size() == 65) return absl::OkStatus();
    if (named && curve == kOidP384 && key_bits.size() == 97) return absl::OkStatus();
    return Weak("its elliptic curve is neither P-256 nor P-384");
  }
  if (oid == kOidEd25519 && algorithm.empty() && key_bits.size() == 32) return absl::OkStatus();
  return Weak("it is of no known kind");
}

}  // namespace countersign::pki
