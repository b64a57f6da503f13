// Between what people type and read about cards, and the agent's contract. Pure functions, safe to
// use from any thread.
#ifndef COUNTERSIGN_CLI_YUBIKEY_NAMES_H_
#define COUNTERSIGN_CLI_YUBIKEY_NAMES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/output.h"
#include "countersign/yubikey/v1/resources.pb.h"
#include "libs/crypto/algorithm.h"

namespace countersign::cli {

// `cards/{serial}` of itself or of a serial number in decimal. InvalidArgument for another form.
absl::StatusOr<std::string> CardName(absl::string_view given);

// `cards/{serial}/slots/{slot}` of itself or of SERIAL/SLOT ("14289367/9c"). InvalidArgument for
// another form.
absl::StatusOr<std::string> SlotResourceName(absl::string_view given);

// A key's name as of KeyService: a slot in either form, `keys/{key}`, or a fingerprint or alias
// alone.
absl::StatusOr<std::string> CardKeyName(absl::string_view given);

// `subKeys/{sub_key}` of itself or of its last part.
std::string SubKeyName(absl::string_view given);

// "cards/14289367" of one of its slots.
std::string CardOfSlot(absl::string_view slot);

// "ecdsa-p256-sha256"; "-" for none that the suite knows.
std::string AlgorithmText(yubikey::v1::Algorithm algorithm);
absl::StatusOr<crypto::Algorithm> AlgorithmFromProto(yubikey::v1::Algorithm algorithm);
// InvalidArgument for a name that the agent does not know.
absl::StatusOr<yubikey::v1::Algorithm> ParseCardAlgorithm(absl::string_view name);
// Those of keys on cards.
std::vector<std::string> CardAlgorithmNames();

// "once", "not known".
std::string PolicyText(yubikey::v1::PinPolicy policy);
std::string PolicyText(yubikey::v1::TouchPolicy policy);

// A slot's fields, under a headline when there is one.
void ShowSlot(absl::string_view headline, const yubikey::v1::Slot& slot, Output* output);

// What an attestation says.
void ShowFacts(const yubikey::v1::AttestationFacts& facts, Output* output);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_YUBIKEY_NAMES_H_
