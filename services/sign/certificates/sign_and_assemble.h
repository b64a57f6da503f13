// Certificates and CRLs signed by an authority's key, wherever that is.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_SIGN_AND_ASSEMBLE_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_SIGN_AND_ASSEMBLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/status_macros.h"
#include "libs/pki/signature.h"
#include "services/sign/key_ring.h"

namespace countersign::sign {

// `tbs` with its signature by `key`, which signs. Blocks, for one on a card until the agent has
// answered: never in a transaction, nor on gRPC's threads. Errors as Signer::SignNow.
inline absl::StatusOr<std::string> SignAndAssemble(absl::string_view tbs, const LiveKey& key) {
  ASSIGN_OR_RETURN(const std::string signature, key.signer->SignNow(tbs));
  return pki::AssembleSigned(tbs, key.algorithm, signature);
}

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_SIGN_AND_ASSEMBLE_H_
