// How far a renewal of many certificates has come.
#ifndef COUNTERSIGN_CLI_RENEWAL_PROGRESS_H_
#define COUNTERSIGN_CLI_RENEWAL_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "cli/progress.h"
#include "countersign/sign/v1/issuance_service.pb.h"

namespace countersign::cli {

// "512 of 1000, 3 failed, 50 running, 48.2/s, 10 s left": `rate` is certificates a second, 0 when
// it is not known yet.
std::string RenewalText(const sign::v1::Renewal& renewal, double rate);

// Shows a renewal's states as they come. Not thread-safe.
class RenewalProgress {
 public:
  explicit RenewalProgress(Output* output) : progress_(output, "renewed") {}

  void Show(const sign::v1::Renewal& renewal, absl::Time now);

 private:
  Progress progress_;
  // The first state that was shown: the rate is counted from there, since an older renewal has done
  // some of its work before.
  absl::Time start_ = absl::InfinitePast();
  int64_t done_at_start_ = 0;
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_RENEWAL_PROGRESS_H_
