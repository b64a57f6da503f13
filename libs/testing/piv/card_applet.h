// The commands of a simulated card: whole ones, with chaining and faults above it.
#ifndef COUNTERSIGN_LIBS_TESTING_PIV_CARD_APPLET_H_
#define COUNTERSIGN_LIBS_TESTING_PIV_CARD_APPLET_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/piv/apdu.h"
#include "libs/piv/piv.h"
#include "libs/testing/piv/card_state.h"

namespace countersign::testing::piv {

// Not thread-safe.
class CardApplet {
 public:
  // What happens when a key wants a touch for this instruction: nullopt is a touch, else nobody
  // touches it for so long.
  using Touch = std::function<std::optional<absl::Duration>(uint8_t instruction)>;

  struct Outcome {
    countersign::piv::Response response;
    bool used_key = false;  // GENERATE or GENERAL AUTHENTICATE: takes the card's operation time
    bool changed = false;   // the state is another now
    absl::Duration waited;  // for a touch that did not come
  };

  // `state` must outlive it.
  CardApplet(CardState* state, Touch touch) : state_(state), touch_(std::move(touch)) {}

  // A command with all of its data, its class without the chaining bit.
  Outcome Process(const countersign::piv::Command& command);

  // Power on: no applet is selected, nothing verified.
  void Reset();
  // A command that something else answers comes between VERIFY and the use of a key too.
  void ForgetFreshPin() { pin_is_fresh_ = false; }

 private:
  using Command = countersign::piv::Command;
  using Response = countersign::piv::Response;
  enum class Selected { kNothing, kPiv, kOtp, kManagement };

  // Forgets what was verified.
  void Deauthenticate();
  Response Dispatch(const Command& command, bool fresh);
  Response Select(const Command& command);
  Response OtpCommand(const Command& command);

  // card_pins.cc
  Response Verify(const Command& command);
  Response ChangeReference(const Command& command);
  Response ResetRetry(const Command& command);
  Response SetRetries(const Command& command);
  Response ResetCard();
  // Compares and counts; nullopt when it is right.
  std::optional<Response> Check(absl::string_view value, Reference* reference);

  // card_management.cc
  Response AuthenticateManagement(const Command& command, absl::string_view request);
  Response SetManagementKey(const Command& command);
  Response GetObject(const Command& command);
  Response PutObject(const Command& command);

  // card_keys.cc
  Response Generate(const Command& command);
  Response ImportKey(const Command& command);
  Response GeneralAuthenticate(const Command& command, bool fresh);
  Response UseKey(uint8_t slot, absl::string_view request, bool fresh);
  Response Attest(const Command& command);
  Response Metadata(const Command& command);
  Response MoveKey(const Command& command);
  // The policies of AA and AB, those of the slot in the place of defaults; false for unknown ones.
  bool ReadPolicies(absl::string_view tlvs, uint8_t slot, CardKey* key) const;
  bool Supports(countersign::piv::Algorithm algorithm) const;
  // Whether a key of such a policy is touched.
  bool Touched(countersign::piv::TouchPolicy policy, uint8_t instruction);

  CardState* const state_;
  const Touch touch_;
  Outcome outcome_;  // of the command that is being done
  Selected selected_ = Selected::kNothing;
  bool pin_verified_ = false;
  bool pin_is_fresh_ = false;  // the last command verified it
  bool management_verified_ = false;
  std::string witness_;    // plain, of the authentication that has begun
  std::string challenge_;  // likewise
  absl::Time touched_ = absl::InfinitePast();
};

// Whether a slot may hold an asymmetric key.
bool HoldsKey(uint8_t slot);

}  // namespace countersign::testing::piv

#endif  // COUNTERSIGN_LIBS_TESTING_PIV_CARD_APPLET_H_
