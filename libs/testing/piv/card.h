// A PIV card in software, with Yubico's extensions: the applet behind the APDUs, with real keys,
// real counters and faults on demand.
#ifndef COUNTERSIGN_LIBS_TESTING_PIV_CARD_H_
#define COUNTERSIGN_LIBS_TESTING_PIV_CARD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/piv/apdu.h"
#include "libs/piv/piv.h"

namespace countersign::testing::piv {

// As it left the factory: PIN 123456, PUK 12345678, management key 0102030405060708 three times
// (3DES; AES-192 from firmware 5.7), an attestation key and certificate in f9, slots empty.
struct CardOptions {
  uint32_t serial = 12345678;
  countersign::piv::Version version = {5, 4, 3};
  // Where the state is kept, durably, after each change; empty: in memory only. A file that is
  // there is loaded, and `serial` and `version` are then its own.
  std::string state_file;
};

// A fault, in force until it is used up.
struct Fault {
  enum class Kind {
    kStatusWord,    // answers `status_word` instead of doing the command
    kDelay,         // does it after `delay` on top of the card's own
    kRemoveBefore,  // the card is pulled before the command is done
    kRemoveAfter,   // the card is pulled when it is done, before the answer is out
    kTouchTimeout,  // a key that wants a touch is not touched: 6985 after `delay`
  };
  Kind kind = Kind::kStatusWord;
  uint8_t instruction = 0;  // the instruction it waits for; 0: any
  int skip = 0;             // so many of them pass first
  int times = 1;            // how often it strikes; -1: for ever
  uint16_t status_word = 0x6F00;
  absl::Duration delay;
};

// Thread-safe.
class Card {
 public:
  // DataLoss for a state file that does not parse.
  static absl::StatusOr<std::unique_ptr<Card>> Create(CardOptions options);
  ~Card();
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

  // The answer to one APDU, chaining and 61xx included. Takes as long as the card's operation
  // (SetOperationTime). Unavailable when a fault or Pull pulled the card, until Reset.
  absl::StatusOr<std::string> Transmit(absl::string_view apdu);
  // Power on, warm reset: PIN and management key are no longer verified, no applet is selected.
  void Reset();
  // Takes the power away; an operation that is under way is not waited for.
  void Pull();
  // Answer to reset, that of a YubiKey 5 (4 for firmware 4).
  const std::string& atr() const;

  void AddFault(const Fault& fault);
  void ClearFaults();
  // How long GENERAL AUTHENTICATE with an asymmetric key, and GENERATE, take; zero at first.
  void SetOperationTime(absl::Duration time);

  uint32_t serial() const;
  int pin_tries() const;
  int puk_tries() const;
  // Commands that reached the card so far, and those with this instruction. A chained one counts
  // once, GET RESPONSE does not.
  uint64_t commands() const;
  uint64_t commands(uint8_t instruction) const;
  // The root that the attestation certificates of every such card lead to, DER.
  static std::string AttestationRoot();

 private:
  struct Impl;
  explicit Card(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::testing::piv

#endif  // COUNTERSIGN_LIBS_TESTING_PIV_CARD_H_
