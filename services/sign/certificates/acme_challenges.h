// Answers ACME's http-01 challenges (RFC 8555 section 8.3).
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ACME_CHALLENGES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ACME_CHALLENGES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/acme/issuance.h"
#include "libs/base/clock.h"
#include "libs/http/message.h"
#include "libs/storage/database.h"

namespace countersign::base {
class ThreadPool;
}
namespace countersign::http {
class Router;
}

namespace countersign::sign {

// What is published is kept in the database, so that any replica can answer for it. Thread-safe.
class AcmeChallenges final : public acme::ChallengeResponder {
 public:
  // `database`, with the schema of MigrateSchema, must outlive it; `executor` runs look-ups.
  AcmeChallenges(storage::Database* database, base::ThreadPool* executor,
                 const base::Clock* clock = base::Clock::System())
      : database_(database), executor_(executor), clock_(clock) {}

  absl::Status Publish(const std::string& token, const std::string& key_authorization) override;
  void Withdraw(const std::string& token) override;

  // Adds GET /.well-known/acme-challenge/{token}: the key authorisation, or 404. This object must
  // outlive the server.
  absl::Status AddTo(http::Router* router);

 private:
  http::Response Answer(const std::string& token);

  storage::Database* const database_;
  base::ThreadPool* const executor_;
  const base::Clock* const clock_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ACME_CHALLENGES_H_
