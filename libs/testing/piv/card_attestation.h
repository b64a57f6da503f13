// The certificates of a simulated card's attestation: root, f9 and statements.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_TESTING_PIV_CARD_ATTESTATION_H_
#define COUNTERSIGN_LIBS_TESTING_PIV_CARD_ATTESTATION_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/piv/piv.h"
#include "libs/testing/piv/card_key.h"

namespace countersign::testing::piv {

// The root, the same bytes from every process: its key is in this source, and good for tests alone.
std::string MakeAttestationRoot();

// The certificate of a card's f9 key, signed by the root.
std::string MakeAttestationCertificate(uint32_t serial, const CardKey& key);

struct Statement {
  const CardKey* key = nullptr;
  countersign::piv::Slot slot = countersign::piv::kAuthentication;
  countersign::piv::Version version;
  uint32_t serial = 0;
};

// The statement about a key by `signer`, whose certificate lends it issuer and validity.
// FailedPrecondition when they cannot sign one.
absl::StatusOr<std::string> MakeStatement(const Statement& what, const CardKey& signer,
                                          absl::string_view signer_certificate);

}  // namespace countersign::testing::piv

#endif  // COUNTERSIGN_LIBS_TESTING_PIV_CARD_ATTESTATION_H_
