// Self-signed certificates of card keys, that may certify sub-keys (RFC 5280 section 4.2.1.9).
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SELF_SIGNED_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SELF_SIGNED_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "countersign/yubikey/v1/card_service.pb.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/secret.h"
#include "libs/piv/applet.h"

namespace countersign::yubikey {

// A certificate that lacks its signature.
struct SelfSigned {
  crypto::Algorithm algorithm;
  std::string tbs;
  std::string input;  // what the card signs: the digest of `tbs`, for Ed25519 `tbs` itself
};

// InvalidArgument, naming the field, for a bad subject or validity; FailedPrecondition for a key
// that the suite does not know.
absl::StatusOr<SelfSigned> DraftSelfSigned(const v1::SelfSignCertificateRequest& request,
                                           const piv::SlotMetadata& key, absl::Time now);

// The certificate's DER. Internal when the signature does not verify.
absl::StatusOr<std::string> FinishSelfSigned(const SelfSigned& draft, const std::string& signature);

// What a key in PKCS#8 is for. InvalidArgument, naming `private_key`, when it does not parse or no
// card takes it.
absl::StatusOr<v1::Algorithm> AlgorithmOfPkcs8(const crypto::SecretBytes& pkcs8);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SELF_SIGNED_H_
