#include "libs/piv/card_key.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "libs/piv/tlv.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"

namespace countersign::piv {
namespace {

constexpr uint32_t kModulus = 0x81;
constexpr uint32_t kExponent = 0x82;
constexpr uint32_t kPoint = 0x86;
constexpr char kUncompressed = 0x04;

absl::Status Bad() { return absl::InternalError("the card answered what is no public key"); }

// `parameters` is the element behind the algorithm's OID; empty: none.
std::string Spki(absl::string_view algorithm_oid, absl::string_view parameters,
                 absl::string_view key_bits) {
  pki::DerWriter out(key_bits.size() + 40);
  const size_t spki = out.Begin(pki::kSequence);
  const size_t algorithm = out.Begin(pki::kSequence);
  out.Add(pki::kOid, algorithm_oid);
  out.AddRaw(parameters);
  out.End(algorithm);
  out.AddBitStringBytes(key_bits);
  out.End(spki);
  return out.Take();
}

std::string Element(uint8_t tag, absl::string_view contents) {
  pki::DerWriter out;
  out.Add(tag, contents);
  return out.Take();
}

absl::StatusOr<std::string> RsaSpki(absl::string_view modulus, absl::string_view exponent) {
  pki::DerWriter key;
  const size_t sequence = key.Begin(pki::kSequence);
  key.AddUnsigned(modulus);
  key.AddUnsigned(exponent);
  key.End(sequence);
  return Spki(pki::kOidRsaEncryption, Element(pki::kNull, ""), key.der());
}

}  // namespace

bool IsEc(Algorithm algorithm) {
  return algorithm == Algorithm::kEccP256 || algorithm == Algorithm::kEccP384;
}

bool IsRsa(Algorithm algorithm) {
  return algorithm == Algorithm::kRsa1024 || algorithm == Algorithm::kRsa2048;
}

size_t InputBytes(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRsa1024:
      return 128;
    case Algorithm::kRsa2048:
      return 256;
    case Algorithm::kEccP256:
      return 32;
    case Algorithm::kEccP384:
      return 48;
    default:
      return 0;
  }
}

absl::StatusOr<std::string> CardKeySpki(Algorithm algorithm, absl::string_view elements) {
  TlvReader in(elements);
  absl::string_view point;
  if (in.Read(kPoint, &point)) {
    if (!in.empty()) return Bad();
    if (algorithm == Algorithm::kEd25519 && point.size() == 32) {
      return Spki(pki::kOidEd25519, "", point);
    }
    if (!IsEc(algorithm) || point.size() != 1 + 2 * InputBytes(algorithm) ||
        point[0] != kUncompressed) {
      return Bad();
    }
    const auto curve = algorithm == Algorithm::kEccP256 ? pki::kOidP256 : pki::kOidP384;
    return Spki(pki::kOidEcPublicKey, Element(pki::kOid, curve), point);
  }
  absl::string_view modulus;
  absl::string_view exponent;
  if (!in.Read(kModulus, &modulus) || !in.Read(kExponent, &exponent) || !in.empty() ||
      modulus.empty() || exponent.empty() ||
      (IsRsa(algorithm) && modulus.size() != InputBytes(algorithm)) || IsEc(algorithm) ||
      algorithm == Algorithm::kEd25519) {
    return Bad();
  }
  return RsaSpki(modulus, exponent);
}

}  // namespace countersign::piv
