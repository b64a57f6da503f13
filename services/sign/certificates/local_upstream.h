// This service's own authorities, behind the seam of upstreams.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_LOCAL_UPSTREAM_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_LOCAL_UPSTREAM_H_

#include "services/sign/certificates/issuing.h"
#include "services/sign/certificates/upstream.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

// Thread-safe. Checking and signing run on the executor, side by side.
class LocalUpstream final : public Upstream {
 public:
  // Both must outlive it and what it was asked for.
  LocalUpstream(Issuing* issuing, base::ThreadPool* executor)
      : issuing_(issuing), executor_(executor) {}

  absl::string_view kind() const override { return "local"; }
  void Issue(Task task, Done done) override;

 private:
  Issuing* const issuing_;
  base::ThreadPool* const executor_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_LOCAL_UPSTREAM_H_
