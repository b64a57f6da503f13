// The contract's messages and the pool's values.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CONVERSIONS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CONVERSIONS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "countersign/yubikey/v1/resources.pb.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/secret.h"
#include "libs/piv/applet.h"
#include "libs/piv/attestation.h"
#include "libs/piv/piv.h"
#include "services/yubikey-agent/card_pool.h"

namespace countersign::yubikey {

v1::Algorithm ToProto(crypto::Algorithm algorithm);
// The suite's algorithm. InvalidArgument, naming `field`, for one that a card does not do.
absl::StatusOr<crypto::Algorithm> CardAlgorithm(absl::string_view field, v1::Algorithm algorithm);
// What a key signs by when nothing else is said; ALGORITHM_UNSPECIFIED for one that is not known.
v1::Algorithm DefaultAlgorithm(absl::string_view spki_der);

// InvalidArgument, naming the field, for what a key cannot be made with.
absl::StatusOr<piv::KeySettings> KeySettingsOf(v1::Algorithm algorithm, v1::PinPolicy pin_policy,
                                               v1::TouchPolicy touch_policy);

v1::Card ToProto(const CardInfo& card);
v1::Slot ToProto(uint32_t serial, const SlotInfo& slot);
v1::Key ToProto(const CardKey& key);
v1::AttestationFacts ToProto(const piv::Attestation& attestation);

// A copy of a secret in a request, whose own bytes are overwritten: gRPC keeps the message until
// the call has ended.
crypto::SecretBytes TakeSecret(const std::string& bytes);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CONVERSIONS_H_
