// The host's side of a card in memory, for the card's own tests.
#ifndef COUNTERSIGN_LIBS_TESTING_PIV_CARD_HOST_H_
#define COUNTERSIGN_LIBS_TESTING_PIV_CARD_HOST_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/piv/apdu.h"
#include "libs/piv/piv.h"
#include "libs/testing/piv/card.h"

namespace countersign::testing::piv {

// Bytes of hexadecimal digits, in which spaces are skipped.
std::string Hex(absl::string_view hex);

// A card of its own, PIV selected. Fails the test case when the card is pulled, except in TrySend.
class CardHost {
 public:
  explicit CardHost(CardOptions options = {});
  explicit CardHost(countersign::piv::Version version);

  Card* card() { return card_.get(); }

  // A command with chaining and GET RESPONSE.
  absl::StatusOr<countersign::piv::Response> TrySend(uint8_t ins, uint8_t p1, uint8_t p2,
                                                     absl::string_view data = "");
  countersign::piv::Response Send(uint8_t ins, uint8_t p1, uint8_t p2, absl::string_view data = "");
  // The status word alone.
  int Status(uint8_t ins, uint8_t p1, uint8_t p2, absl::string_view data = "");
  // Data of a command that must succeed.
  std::string Data(uint8_t ins, uint8_t p1, uint8_t p2, absl::string_view data = "");

  int Select(absl::string_view aid = countersign::piv::kPivAid);
  int Verify(absl::string_view pin = "123456");
  // By the factory's key; the status word of the last command.
  int Authenticate();
  // GENERATE, which must succeed; `policies` are AA and AB.
  std::string Generate(countersign::piv::Slot slot, countersign::piv::Algorithm algorithm,
                       absl::string_view policies = "");
  // GENERAL AUTHENTICATE with a challenge (81), or a point (85).
  countersign::piv::Response Use(countersign::piv::Slot slot, countersign::piv::Algorithm algorithm,
                                 absl::string_view input, uint8_t tag = 0x81);

 private:
  std::unique_ptr<Card> card_;
};

// A PIN padded to 8 bytes.
std::string Pad(absl::string_view pin);

// One block in ECB mode, by BoringSSL's EVP interface, which the card itself does not use.
std::string EncryptBlock(countersign::piv::Algorithm algorithm, absl::string_view key,
                         absl::string_view block);
std::string DecryptBlock(countersign::piv::Algorithm algorithm, absl::string_view key,
                         absl::string_view block);

// The key that cards leave the factory with.
std::string FactoryKey();

// Contents of an element that must be alone in `tlv`.
std::string Unwrap(uint32_t tag, absl::string_view tlv);

}  // namespace countersign::testing::piv

#endif  // COUNTERSIGN_LIBS_TESTING_PIV_CARD_HOST_H_
