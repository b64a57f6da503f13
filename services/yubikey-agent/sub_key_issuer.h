// Certification of sub-keys, by a card's key or by an authority of the sign service.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_ISSUER_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_ISSUER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/crypto/private_key.h"
#include "services/yubikey-agent/card_keys.h"
#include "services/yubikey-agent/sub_key.h"
#include "services/yubikey-agent/sub_key_authority.h"

namespace countersign::yubikey {

// Thread-safe. What it points to must outlive it and every Issue.
class SubKeyIssuer {
 public:
  using AttestDone = std::function<void(absl::StatusOr<std::vector<std::string>>)>;

  struct Options {
    CardKeys* card_keys;
    // The certificate in a slot, DER; empty: none.
    std::function<absl::StatusOr<std::string>(const KeyPlace&)> certificate;
    // The attestation of the key in a slot and the card's own certificate, DER.
    std::function<void(const KeyPlace&, absl::Time deadline, AttestDone)> attest;
    // Null: there is no sign service.
    SubKeyAuthority* authority = nullptr;
    const base::Clock* clock = base::Clock::System();
  };
  using Done = std::function<void(absl::StatusOr<SubKeyCertificates>)>;

  explicit SubKeyIssuer(Options options) : options_(std::move(options)) {}

  // Has the public half of `key`, which must live until `done`, certified as `spec` (which passes
  // CheckSubKeySpec) says, and calls `done` once, from any thread, perhaps before it returns. What
  // it gives was verified from the certificate to the last of its chain.
  //
  // FailedPrecondition with reason NOT_AN_AUTHORITY when no slot of the card key has a certificate
  // of its key that may certify now, or NO_SIGN_SERVICE; and the failures of CardKeys and of
  // SubKeyAuthority.
  void Issue(const SubKeySpec& spec, const crypto::PrivateKey& key, absl::Time deadline,
             Done done) const;

 private:
  void IssueByCard(const SubKeySpec& spec, const crypto::PrivateKey& key, absl::Time deadline,
                   Done done) const;
  void IssueByAuthority(const SubKeySpec& spec, const crypto::PrivateKey& key, absl::Time deadline,
                        Done done) const;
  // Adds the attestation of the key in `place`, where the card gives one.
  void Attest(const KeyPlace& place, absl::Time deadline, SubKeyCertificates certificates,
              Done done) const;

  const Options options_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_ISSUER_H_
