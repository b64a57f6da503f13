// The sign service's authorities, as sub-keys need them.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_AUTHORITY_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_AUTHORITY_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace countersign::yubikey {

// A seam. Thread-safe. `done` is called once, from any thread, no later than soon after `deadline`.
// Failures are the sign service's own; Unavailable when it cannot be reached.
class SubKeyAuthority {
 public:
  struct Request {
    std::string authority;    // `tenants/{tenant}/authorities/{authority}`
    std::string csr;          // DER
    absl::Duration lifetime;  // from now; of a young authority up to five minutes more
    bool log = false;         // whether the issuance is entered in the ledger before it is answered
  };
  struct Issued {
    std::vector<std::string> chain;  // DER: the certificate, then its issuers up to the root
    std::string name;                // in the inventory
  };
  enum class State { kGood, kOnHold, kRevoked };

  virtual ~SubKeyAuthority() = default;

  // Issues a code-signing certificate.
  virtual void Issue(Request request, absl::Time deadline,
                     std::function<void(absl::StatusOr<Issued>)> done) = 0;
  // Revokes a certificate. OK when it is revoked, whoever did it.
  virtual void Revoke(const std::string& name, absl::Time deadline,
                      std::function<void(absl::Status)> done) = 0;
  // What the inventory says of a certificate.
  virtual void Check(const std::string& name, absl::Time deadline,
                     std::function<void(absl::StatusOr<State>)> done) = 0;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_AUTHORITY_H_
