// Yubico's PIV attestation: certificates by which a card says that it made a key.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PIV_ATTESTATION_H_
#define COUNTERSIGN_LIBS_PIV_ATTESTATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/piv/piv.h"

namespace countersign::piv {

enum class FormFactor : uint8_t {
  kUnknown = 0,
  kUsbAKeychain = 1,
  kUsbANano = 2,
  kUsbCKeychain = 3,
  kUsbCNano = 4,
  kUsbCLightning = 5,
  kUsbABio = 6,
  kUsbCBio = 7,
};

// "USB-A keychain"; empty for kUnknown.
absl::string_view FormFactorName(FormFactor form_factor);

// What an attestation certificate says, by extensions 1.3.6.1.4.1.41482.3.*.
struct Attestation {
  std::string spki_der;  // the attested key
  Slot slot = Slot{};    // of the subject's name ("… 9a"); 0 when it has none
  Version firmware;      // .3
  uint32_t serial = 0;   // .7; 0 when the card does not tell
  PinPolicy pin_policy = PinPolicy::kDefault;  // .8
  TouchPolicy touch_policy = TouchPolicy::kDefault;
  FormFactor form_factor = FormFactor::kUnknown;  // .9; the upper bits mark FIPS and SKY keys
  bool fips = false;  // .10 is there; as VerifyAttestation answers it, or in the card's certificate
  bool cspn = false;  // .11 is there
};

// InvalidArgument for what is no certificate, or lacks the extensions of firmware and policy.
absl::StatusOr<Attestation> ParseAttestation(absl::string_view certificate_der);

// Checks that `certificate` (an attestation certificate) leads through `intermediates` (the card's
// f9 certificate, and Yubico's where there are some) to one of `roots`: signatures, names, and
// validity at `now` of all but the attestation itself, whose validity cards copy from f9. Basic
// constraints are looked at less strictly than RFC 5280 asks: some cards' f9 certificates have
// none. An attestation is nobody's issuer, since its key signs whatever its owner likes.
// FailedPrecondition, saying which certificate and why, when it does not hold; InvalidArgument as
// ParseAttestation, or for an empty list of roots.
absl::StatusOr<Attestation> VerifyAttestation(absl::string_view certificate,
                                              absl::Span<const std::string> intermediates,
                                              absl::Span<const std::string> roots, absl::Time now);

// The roots in a PEM file, DER. InvalidArgument when it holds none, or something else.
absl::StatusOr<std::vector<std::string>> ParseAttestationRoots(absl::string_view pem);

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_ATTESTATION_H_
