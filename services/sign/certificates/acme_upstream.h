// An ACME server, behind the seam of upstreams.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ACME_UPSTREAM_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ACME_UPSTREAM_H_

#include <memory>

#include "libs/acme/client.h"
#include "libs/acme/issuance.h"
#include "services/sign/certificates/upstream.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

// Thread-safe. The names are those of the certification request, which has to have the ones that
// the task asks for; how long the certificate lives is the server's to say. A task's progress is
// the URL of its order, so that a second try goes on with the same order. An order takes a thread
// while it waits; others wait behind it.
class AcmeUpstream final : public Upstream {
 public:
  struct Options {
    acme::Client::Options client;
    // Both must outlive it and what it was asked for.
    acme::ChallengeResponder* challenges;
    base::ThreadPool* threads;
  };

  explicit AcmeUpstream(Options options);
  ~AcmeUpstream() override;

  absl::string_view kind() const override { return "acme"; }
  void Issue(Task task, Done done) override;
  void Cancel() override;

 private:
  struct Impl;
  const std::shared_ptr<Impl> impl_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ACME_UPSTREAM_H_
