// The vocabulary of PIV cards (NIST SP 800-73-4) with Yubico's extensions: slots, algorithms,
// policies and data objects, by their numbers on the wire.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PIV_PIV_H_
#define COUNTERSIGN_LIBS_PIV_PIV_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::piv {

// The AID that SELECT takes.
inline constexpr absl::string_view kPivAid("\xA0\x00\x00\x03\x08", 5);

// Key references (SP 800-73-4 part 1 table 4b); 0x82 to 0x95 are the retired ones.
enum Slot : uint8_t {
  kAuthentication = 0x9A,
  kCardManagement = 0x9B,
  kSignature = 0x9C,
  kKeyManagement = 0x9D,
  kCardAuthentication = 0x9E,
  kRetired1 = 0x82,
  kRetired20 = 0x95,
  kAttestation = 0xF9,
};

// The slots that hold users' keys, in the order that tools list them: 9a, 9c, 9d, 82 to 95, 9e.
const std::vector<Slot>& UserSlots();
// "9a", "82", "f9".
std::string SlotName(Slot slot);
// Inverse of SlotName, in either case, for users' slots and f9. InvalidArgument for another.
absl::StatusOr<Slot> ParseSlot(absl::string_view name);

// Cryptographic algorithm identifiers (SP 800-78-4 table 6-2, and Yubico's).
enum class Algorithm : uint8_t {
  kTripleDes = 0x03,
  kRsa1024 = 0x06,
  kRsa2048 = 0x07,
  kAes128 = 0x08,
  kAes192 = 0x0A,
  kAes256 = 0x0C,
  kEccP256 = 0x11,
  kEccP384 = 0x14,
  kEd25519 = 0xE0,  // firmware 5.7
};

enum class PinPolicy : uint8_t { kDefault = 0, kNever = 1, kOnce = 2, kAlways = 3 };
enum class TouchPolicy : uint8_t { kDefault = 0, kNever = 1, kAlways = 2, kCached = 3 };
enum class Origin : uint8_t { kUnknown = 0, kGenerated = 1, kImported = 2 };

// What kDefault means for a slot: always for 9c, never for 9e, else once.
PinPolicy DefaultPinPolicy(Slot slot);

// Instructions.
enum Instruction : uint8_t {
  kVerify = 0x20,
  kChangeReference = 0x24,
  kResetRetry = 0x2C,
  kGenerateAsymmetric = 0x47,
  kGeneralAuthenticate = 0x87,
  kSelect = 0xA4,
  kGetResponse = 0xC0,
  kGetData = 0xCB,
  kPutData = 0xDB,
  kMoveKey = 0xF6,
  kGetMetadata = 0xF7,
  kGetSerial = 0xF8,
  kAttest = 0xF9,
  kSetPinRetries = 0xFA,
  kReset = 0xFB,
  kGetVersion = 0xFD,
  kImportKey = 0xFE,
  kSetManagementKey = 0xFF,
};

// Data objects (SP 800-73-4 part 1 table 3).
inline constexpr uint32_t kObjectDiscovery = 0x7E;
inline constexpr uint32_t kObjectChuid = 0x5FC102;
inline constexpr uint32_t kObjectCapability = 0x5FC107;
inline constexpr uint32_t kObjectPrinted = 0x5FC109;
inline constexpr uint32_t kObjectKeyHistory = 0x5FC10C;
inline constexpr uint32_t kObjectAttestation = 0x5FFF01;
inline constexpr uint32_t kObjectAdminData = 0x5FFF00;
// The object that holds a slot's certificate; 0 for a slot without one (9b).
uint32_t CertificateObject(Slot slot);

// PIN and PUK: 6 to 8 bytes, padded with 0xFF to 8.
inline constexpr size_t kPinBytes = 8;
// Largest object that a card takes.
inline constexpr size_t kMaxObjectBytes = 3063;

// A firmware version: 5.4.3.
struct Version {
  uint8_t major = 0;
  uint8_t minor = 0;
  uint8_t patch = 0;

  std::string ToString() const;
  bool AtLeast(int other_major, int other_minor) const {
    return major != other_major ? major > other_major : minor >= other_minor;
  }
};

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_PIV_H_
