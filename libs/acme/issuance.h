// Takes an ACME order from its beginning, or from wherever an earlier process left it, to the
// certificate.
#ifndef COUNTERSIGN_LIBS_ACME_ISSUANCE_H_
#define COUNTERSIGN_LIBS_ACME_ISSUANCE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/acme/client.h"

namespace countersign::acme {

// Answers http-01 challenges (RFC 8555 section 8.3). Thread-safe; may block.
class ChallengeResponder {
 public:
  virtual ~ChallengeResponder() = default;

  // From now on /.well-known/acme-challenge/`token` answers `key_authorization`.
  virtual absl::Status Publish(const std::string& token, const std::string& key_authorization) = 0;
  virtual void Withdraw(const std::string& token) = 0;
};

struct IssuanceSteps {
  Client* client;
  ChallengeResponder* challenges;
  // Keeps the order's URL, durably, before anything is done for it.
  std::function<absl::Status(const std::string& order_url)> save;
  // False when the wait was cut short because all is to end.
  std::function<bool(absl::Duration)> sleep;
  // For all of it.
  absl::Duration timeout = absl::Minutes(10);
  const base::Clock* clock = base::Clock::System();
};

// The certificate chain, PEM, for `csr_der`, which names `identifiers`. `order_url` is what `save`
// kept; empty for a new order. Blocks. Errors as Client; FailedPrecondition when the server offers
// no http-01 challenge, DeadlineExceeded, Cancelled.
absl::StatusOr<std::string> IssueByHttp01(const IssuanceSteps& steps,
                                          const std::vector<Identifier>& identifiers,
                                          absl::string_view csr_der, std::string order_url);

}  // namespace countersign::acme

#endif  // COUNTERSIGN_LIBS_ACME_ISSUANCE_H_
