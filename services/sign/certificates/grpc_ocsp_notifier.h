// OCSP responders over gRPC as an OcspNotifier.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_GRPC_OCSP_NOTIFIER_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_GRPC_OCSP_NOTIFIER_H_

#include <memory>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "services/sign/certificates/ocsp_notifier.h"

namespace grpc {
class Channel;
}

namespace countersign::sign {

// Thread-safe. To each responder there is at most one call at a time; it tells the newest number
// that there was when it began. A responder that failed is left alone, for 100 ms at first and up
// to 2 s: neither told nor waited for.
class GrpcOcspNotifier : public OcspNotifier {
 public:
  struct Options {
    // How long a responder may take to answer.
    absl::Duration call_timeout = absl::Seconds(1);
    const base::Clock* clock = base::Clock::System();
  };

  // One channel to each responder, not to a name that stands for several.
  GrpcOcspNotifier(const std::vector<std::shared_ptr<grpc::Channel>>& channels, Options options);
  explicit GrpcOcspNotifier(const std::vector<std::shared_ptr<grpc::Channel>>& channels);
  // Cancels the calls under way and waits for their end.
  ~GrpcOcspNotifier() override;

  void Notify(int64_t change_number) override;
  bool NotifyAndWait(int64_t change_number, absl::Duration timeout) override;

 private:
  struct Responder;

  // Begins a call when there is something to tell, none is under way and the responder is not left
  // alone.
  void Tell(Responder* responder) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Told(Responder* responder, bool ok);

  const Options options_;
  base::Mutex mutex_;
  // A call ended.
  base::CondVar ended_;
  std::vector<std::unique_ptr<Responder>> responders_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_GRPC_OCSP_NOTIFIER_H_
