// The asymmetric keys of a simulated card.
#ifndef COUNTERSIGN_LIBS_TESTING_PIV_CARD_KEY_H_
#define COUNTERSIGN_LIBS_TESTING_PIV_CARD_KEY_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "libs/piv/piv.h"
#include "openssl/evp.h"

namespace countersign::testing::piv {

// A private key and what it may be used for: policies are never kDefault. Moves, never copies.
class CardKey {
 public:
  // RSA-1024 and RSA-2048 with the exponent 65537, P-256, P-384 and Ed25519; nullopt for another
  // algorithm.
  static std::optional<CardKey> Generate(countersign::piv::Algorithm algorithm);
  // From what IMPORT carries: 01 p, 02 q, 03 dp, 04 dq, 05 qinv; 06 the EC scalar; 07 the Ed25519
  // seed. Elements with other tags are skipped. nullopt for what is incomplete or inconsistent.
  static std::optional<CardKey> Import(countersign::piv::Algorithm algorithm,
                                       absl::string_view components);
  // The inverse of Pkcs8.
  static std::optional<CardKey> FromPkcs8(countersign::piv::Algorithm algorithm,
                                          absl::string_view der);

  std::string Pkcs8() const;
  std::string Spki() const;
  // 86 point, or 81 modulus 82 exponent.
  std::string PublicTlvs() const;

  // RSA: the private operation on a block as long as the modulus. ECDSA: over a digest no longer
  // than the order, taken as a number; the signature in DER. Ed25519: over the message. nullopt for
  // input that the key does not take.
  std::optional<std::string> Sign(absl::string_view input) const;
  // ECDH with an uncompressed point on the key's curve: the x-coordinate.
  std::optional<std::string> Agree(absl::string_view point) const;

  countersign::piv::Algorithm algorithm = countersign::piv::Algorithm::kEccP256;
  countersign::piv::PinPolicy pin_policy = countersign::piv::PinPolicy::kNever;
  countersign::piv::TouchPolicy touch_policy = countersign::piv::TouchPolicy::kNever;
  countersign::piv::Origin origin = countersign::piv::Origin::kGenerated;

 private:
  static std::optional<CardKey> Of(countersign::piv::Algorithm algorithm,
                                   bssl::UniquePtr<EVP_PKEY> key);

  bssl::UniquePtr<EVP_PKEY> key_;
};

}  // namespace countersign::testing::piv

#endif  // COUNTERSIGN_LIBS_TESTING_PIV_CARD_KEY_H_
