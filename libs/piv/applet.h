// A PIV applet seen from the host: typed operations over APDUs (NIST SP 800-73-4 part 2, Yubico's
// PIV extensions).
//
// Status words become statuses, exactly:
//   63Cx      PermissionDenied     wrong PIN, PUK or key; TriesLeftOf(status) says how many are
//   left 6983      FailedPrecondition   reason PIN_BLOCKED or PUK_BLOCKED; nothing is left to try
//   6982      Unauthenticated      reason PIN_REQUIRED or MANAGEMENT_KEY_REQUIRED
//   6985      FailedPrecondition   reason TOUCH_REQUIRED for a use of a key, else CONDITIONS
//   6A80      InvalidArgument      the card refuses the data
//   6A82 6A88 NotFound             no such object; no key in the slot
//   6A84      ResourceExhausted    the card is full
//   6B00 6A86 InvalidArgument      no such slot
//   6D00      Unimplemented        this firmware does not do it
//   else      Internal             with the status word in its text
// No message holds a PIN, a PUK or key bytes.
#ifndef COUNTERSIGN_LIBS_PIV_APPLET_H_
#define COUNTERSIGN_LIBS_PIV_APPLET_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/public_key.h"
#include "libs/crypto/secret.h"
#include "libs/piv/piv.h"
#include "libs/piv/transport.h"

namespace countersign::piv {

// ErrorInfo reasons of the failures above.
inline constexpr char kPinBlocked[] = "PIN_BLOCKED";
inline constexpr char kPukBlocked[] = "PUK_BLOCKED";
inline constexpr char kPinRequired[] = "PIN_REQUIRED";
inline constexpr char kWrongPin[] = "WRONG_PIN";  // or a wrong PUK
inline constexpr char kWrongManagementKey[] = "WRONG_MANAGEMENT_KEY";
inline constexpr char kManagementKeyRequired[] = "MANAGEMENT_KEY_REQUIRED";
inline constexpr char kTouchRequired[] = "TOUCH_REQUIRED";
inline constexpr char kConditions[] = "CONDITIONS";

// Tries left that a wrong PIN or PUK was answered with; nullopt for another failure.
std::optional<int> TriesLeftOf(const absl::Status& status);

// What GET METADATA says of a slot (firmware 5.3), or what can be found out without it.
struct SlotMetadata {
  Algorithm algorithm = Algorithm::kEccP256;
  PinPolicy pin_policy = PinPolicy::kDefault;
  TouchPolicy touch_policy = TouchPolicy::kDefault;
  Origin origin = Origin::kUnknown;
  std::string spki_der;  // empty for a key of a kind that the suite does not know (RSA-1024)
};

struct KeySettings {
  Algorithm algorithm = Algorithm::kEccP256;
  PinPolicy pin_policy = PinPolicy::kDefault;
  TouchPolicy touch_policy = TouchPolicy::kDefault;
};

// Used by one thread at a time. Nothing is cached and nothing is tried twice: each method is the
// commands it names, in the transaction that the caller holds.
class Applet {
 public:
  // `transport` must outlive it.
  explicit Applet(Transport* transport) : transport_(transport) {}

  // SELECT: forgets what was verified.
  absl::Status Select();
  absl::StatusOr<Version> GetVersion();
  // By GET SERIAL, or through the OTP applet before firmware 5 (PIV is selected again then).
  absl::StatusOr<uint32_t> GetSerial();

  // The tries that the PIN has left, without using one up: VERIFY without data. A verified PIN
  // stays so, and its count is then not known: nullopt.
  absl::StatusOr<std::optional<int>> PinTries();
  // InvalidArgument, sending nothing, for a PIN that is not 6 to 8 bytes.
  absl::Status VerifyPin(const crypto::SecretBytes& pin);
  // VERIFY with P1 FF (firmware 5), else by Select.
  absl::Status Logout();
  absl::Status ChangePin(const crypto::SecretBytes& pin, const crypto::SecretBytes& new_pin);
  absl::Status ChangePuk(const crypto::SecretBytes& puk, const crypto::SecretBytes& new_puk);
  absl::Status UnblockPin(const crypto::SecretBytes& puk, const crypto::SecretBytes& new_pin);
  absl::Status SetPinRetries(int pin_tries, int puk_tries);

  // Mutual authentication with the management key: 3DES (24 bytes) or AES (16, 24, 32). The
  // algorithm is asked of the card's metadata; without it, 3DES. PermissionDenied for a wrong key;
  // Unauthenticated when it is the card that does not know it.
  absl::Status AuthenticateManagement(const crypto::SecretBytes& key);
  absl::Status SetManagementKey(Algorithm algorithm, const crypto::SecretBytes& key, bool touch);

  // The new public key.
  absl::StatusOr<crypto::PublicKey> GenerateKey(Slot slot, const KeySettings& settings);
  // `pkcs8` is an unencrypted PrivateKeyInfo of an RSA-2048, P-256, P-384 or Ed25519 key.
  absl::Status ImportKey(Slot slot, const crypto::SecretBytes& pkcs8, const KeySettings& settings);
  // MOVE KEY to nowhere (firmware 5.7).
  absl::Status DeleteKey(Slot slot);
  // Unimplemented before firmware 5.3.
  absl::StatusOr<SlotMetadata> GetMetadata(Slot slot);

  // GENERAL AUTHENTICATE. `input` is a digest no longer than the curve's field for EC (the answer
  // is ASN.1 DER), the message for Ed25519, and the padded block for RSA.
  absl::StatusOr<std::string> Sign(Slot slot, Algorithm algorithm, absl::string_view input);
  // `point` is the peer's public point, uncompressed; the answer is the shared x-coordinate.
  absl::StatusOr<crypto::SecretBytes> Agree(Slot slot, Algorithm algorithm,
                                            absl::string_view point);
  // RSA: the raw block with its padding.
  absl::StatusOr<crypto::SecretBytes> Decipher(Slot slot, Algorithm algorithm,
                                               absl::string_view ciphertext);
  // The attestation certificate of the slot's key, DER.
  absl::StatusOr<std::string> Attest(Slot slot);

  // Contents of the object's 0x53 template.
  absl::StatusOr<std::string> ReadObject(uint32_t object);
  absl::Status WriteObject(uint32_t object, absl::string_view contents);
  // Of a slot, DER. NotFound when there is none; DataLoss when the object does not parse, or is
  // compressed beyond what it may be.
  absl::StatusOr<std::string> ReadCertificate(Slot slot);
  absl::Status WriteCertificate(Slot slot, absl::string_view der);
  absl::Status DeleteCertificate(Slot slot);

  // RESET: FailedPrecondition unless PIN and PUK are blocked.
  absl::Status Reset();

 private:
  Transport* const transport_;
};

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_APPLET_H_
