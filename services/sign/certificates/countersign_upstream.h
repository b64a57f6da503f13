// Another Countersign's authority, behind the seam of upstreams.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_COUNTERSIGN_UPSTREAM_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_COUNTERSIGN_UPSTREAM_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "services/sign/certificates/upstream.h"

namespace grpc {
class Channel;
}

namespace countersign::sign {

// Thread-safe. Calls CertificateService.IssueCertificate with the task's request id, which makes a
// repeated call answer the same certificate there. Calls take no thread while they wait.
class CountersignUpstream final : public Upstream {
 public:
  // `authority` is the resource name of the authority there.
  CountersignUpstream(std::shared_ptr<grpc::Channel> channel, std::string authority,
                      absl::Duration timeout = absl::Seconds(60));
  ~CountersignUpstream() override;

  absl::string_view kind() const override { return "countersign"; }
  void Issue(Task task, Done done) override;
  void Cancel() override;

 private:
  struct Impl;
  const std::shared_ptr<Impl> impl_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_COUNTERSIGN_UPSTREAM_H_
