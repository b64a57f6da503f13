// Judges PIV attestations of YubiKeys.
#ifndef COUNTERSIGN_SERVICES_VERIFY_ATTESTATIONS_H_
#define COUNTERSIGN_SERVICES_VERIFY_ATTESTATIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/base/clock.h"
#include "libs/piv/attestation.h"

namespace countersign::verify {

// One question: did a card make this key? Certificates are DER; views belong to the caller.
struct AttestationCheck {
  absl::string_view certificate;
  std::vector<std::string> intermediates;
  std::vector<std::string> roots;   // empty: the service's own
  absl::string_view expected_spki;  // empty: any
  std::optional<uint32_t> expected_serial;
};

// The checks are made in this order, behind kVerified.
enum class AttestationReason { kVerified, kMalformed, kNotTrusted, kKeyMismatch, kSerialMismatch };

struct AttestationVerdict {
  AttestationReason reason = AttestationReason::kMalformed;
  std::string detail;  // for a person; empty when verified
  // What the certificate says, when it parses.
  std::optional<piv::Attestation> facts;

  bool verified() const { return reason == AttestationReason::kVerified; }
};

// Thread-safe. Verdicts are values; an error means that a question has none, and carries a reason
// (libs/runtime/error_details.h): FIELD_MISSING, TOO_MANY_CERTIFICATES, ROOTS_MALFORMED,
// ROOTS_MISSING.
class Attestations {
 public:
  // `roots` are DER, for questions that bring none; `clock` must outlive it. InvalidArgument,
  // saying which, for a root that is no certificate.
  static absl::StatusOr<Attestations> Create(std::vector<std::string> roots,
                                             const base::Clock* clock);

  // InvalidArgument for no certificate, malformed roots, and more than 8 intermediates or 32 roots;
  // FailedPrecondition when there are no roots to judge by.
  absl::StatusOr<AttestationVerdict> Verify(const AttestationCheck& check) const;

 private:
  Attestations(std::vector<std::string> roots, const base::Clock* clock);

  std::vector<std::string> roots_;
  const base::Clock* clock_;
};

}  // namespace countersign::verify

#endif  // COUNTERSIGN_SERVICES_VERIFY_ATTESTATIONS_H_
