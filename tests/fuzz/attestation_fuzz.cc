#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/piv/attestation.h"
#include "libs/pki/certificate.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace piv = countersign::piv;
namespace pki = countersign::pki;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const auto parsed = piv::ParseAttestation(input);
  const auto certificate = pki::ParseCertificate(input);
  Holds(!parsed.ok() || certificate.ok(), "an attestation is a certificate");
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  // Trusting itself, it leads nowhere unless it has signed itself, and an attestation may not.
  const std::vector<std::string> itself = {input};
  const auto verified = piv::VerifyAttestation(input, itself, itself, now);
  Holds(!verified.ok(), "an attestation vouches for nothing, itself included");
  if (!parsed.ok()) {
    Holds(!certificate.ok() || verified.status().code() == absl::StatusCode::kInvalidArgument,
          "what attests nothing is malformed");
    return 0;
  }
  Holds(parsed->spki_der == certificate->spki_der, "the attested key is the certificate's");
  Holds(verified.status().code() == absl::StatusCode::kFailedPrecondition,
        "an attestation that leads nowhere is refused");
  Holds(parsed->slot == piv::Slot{} || piv::ParseSlot(piv::SlotName(parsed->slot)).ok(),
        "a slot is one that there is");
  return 0;
}
