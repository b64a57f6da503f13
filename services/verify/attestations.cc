#include "services/verify/attestations.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/pki/certificate.h"
#include "libs/runtime/error_details.h"

namespace countersign::verify {
namespace {

using runtime::AttachReason;

constexpr size_t kMaxIntermediates = 8;
constexpr size_t kMaxRoots = 32;

absl::Status CheckRoots(absl::Span<const std::string> roots) {
  for (size_t i = 0; i < roots.size(); ++i) {
    const auto parsed = pki::ParseCertificate(roots[i]);
    if (parsed.ok()) continue;
    return AttachReason(
        absl::InvalidArgumentError(absl::StrCat("root ", i + 1, ": ", parsed.status().message())),
        "ROOTS_MALFORMED");
  }
  return absl::OkStatus();
}

absl::Status CheckRequest(const AttestationCheck& check) {
  if (check.certificate.empty()) {
    return AttachReason(absl::InvalidArgumentError("certificate is required"), "FIELD_MISSING");
  }
  if (check.intermediates.size() > kMaxIntermediates || check.roots.size() > kMaxRoots) {
    return AttachReason(
        absl::InvalidArgumentError(absl::StrCat("at most ", kMaxIntermediates,
                                                " intermediates and ", kMaxRoots, " roots")),
        "TOO_MANY_CERTIFICATES");
  }
  return absl::OkStatus();
}

std::string Fingerprint(absl::string_view spki) {
  return base::HexEncode(base::AsBytes(crypto::Sha256(spki)));
}

}  // namespace

Attestations::Attestations(std::vector<std::string> roots, const base::Clock* clock)
    : roots_(std::move(roots)), clock_(clock) {}

absl::StatusOr<Attestations> Attestations::Create(std::vector<std::string> roots,
                                                  const base::Clock* clock) {
  if (roots.size() > kMaxRoots) {
    return absl::InvalidArgumentError(
        absl::StrCat(roots.size(), " roots are more than ", kMaxRoots));
  }
  RETURN_IF_ERROR(CheckRoots(roots));
  return Attestations(std::move(roots), clock);
}

absl::StatusOr<AttestationVerdict> Attestations::Verify(const AttestationCheck& check) const {
  RETURN_IF_ERROR(CheckRequest(check));
  RETURN_IF_ERROR(CheckRoots(check.roots));
  const std::vector<std::string>& roots = check.roots.empty() ? roots_ : check.roots;
  if (roots.empty()) {
    return AttachReason(absl::FailedPreconditionError(
                            "no roots are given, and the server has none (--attestation-roots)"),
                        "ROOTS_MISSING");
  }
  AttestationVerdict verdict;
  const auto refuse = [&](AttestationReason reason, std::string detail) {
    verdict.reason = reason;
    verdict.detail = std::move(detail);
    return verdict;
  };
  absl::StatusOr<piv::Attestation> attestation = piv::ParseAttestation(check.certificate);
  if (!attestation.ok()) {
    return refuse(AttestationReason::kMalformed, std::string(attestation.status().message()));
  }
  verdict.facts = *attestation;
  attestation =
      piv::VerifyAttestation(check.certificate, check.intermediates, roots, clock_->Now());
  if (!attestation.ok()) {
    return refuse(absl::IsInvalidArgument(attestation.status()) ? AttestationReason::kMalformed
                                                                : AttestationReason::kNotTrusted,
                  std::string(attestation.status().message()));
  }
  verdict.facts = *attestation;
  if (!check.expected_spki.empty() && attestation->spki_der != check.expected_spki) {
    return refuse(AttestationReason::kKeyMismatch,
                  absl::StrCat("the key with fingerprint ", Fingerprint(attestation->spki_der),
                               " is attested, and that with ", Fingerprint(check.expected_spki),
                               " is expected"));
  }
  if (check.expected_serial.has_value() &&
      (attestation->serial == 0 || attestation->serial != *check.expected_serial)) {
    return refuse(AttestationReason::kSerialMismatch,
                  attestation->serial == 0
                      ? std::string("the card does not tell its serial number")
                      : absl::StrCat("card ", attestation->serial, " attests, and card ",
                                     *check.expected_serial, " is expected"));
  }
  verdict.reason = AttestationReason::kVerified;
  return verdict;
}

}  // namespace countersign::verify
