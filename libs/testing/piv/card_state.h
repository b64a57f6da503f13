// What a simulated card remembers without power.
#ifndef COUNTERSIGN_LIBS_TESTING_PIV_CARD_STATE_H_
#define COUNTERSIGN_LIBS_TESTING_PIV_CARD_STATE_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/piv/piv.h"
#include "libs/testing/piv/card_key.h"

namespace countersign::testing::piv {

// A PIN or PUK with its counter.
struct Reference {
  std::string value;  // padded to 8 bytes
  std::string factory;
  int tries = 3;
  int limit = 3;

  bool IsDefault() const { return value == factory; }
  void Reset();
};

struct CardState {
  uint32_t serial = 0;
  countersign::piv::Version version;
  Reference pin;
  Reference puk;
  countersign::piv::Algorithm management_algorithm = countersign::piv::Algorithm::kTripleDes;
  std::string management_key;
  countersign::piv::TouchPolicy management_touch = countersign::piv::TouchPolicy::kNever;
  std::map<uint8_t, CardKey> keys;          // by slot
  std::map<uint32_t, std::string> objects;  // contents of the 0x53 template

  // PINs, management key, keys and objects as they left the factory; f9 is left alone.
  void ResetToFactory();
  bool ManagementKeyIsDefault() const;
  countersign::piv::Algorithm DefaultManagementAlgorithm() const;
};

// A new card, with an attestation key and certificate.
CardState MakeCardState(uint32_t serial, countersign::piv::Version version);

std::string SerializeCardState(const CardState& state);
// DataLoss for what SerializeCardState does not write.
absl::StatusOr<CardState> ParseCardState(absl::string_view json);

}  // namespace countersign::testing::piv

#endif  // COUNTERSIGN_LIBS_TESTING_PIV_CARD_STATE_H_
