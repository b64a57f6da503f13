#include "cli/renewal_progress.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/durations.h"

namespace countersign::cli {

std::string RenewalText(const sign::v1::Renewal& renewal, double rate) {
  const int64_t done = renewal.succeeded() + renewal.failed();
  std::string text = absl::StrCat(done, " of ", renewal.total());
  if (renewal.failed() > 0) absl::StrAppend(&text, ", ", renewal.failed(), " failed");
  if (renewal.running() > 0) absl::StrAppend(&text, ", ", renewal.running(), " running");
  if (rate > 0) {
    absl::StrAppend(&text, ", ", absl::StrFormat(rate < 100 ? "%.1f" : "%.0f", rate), "/s, ",
                    DurationText(absl::Seconds(static_cast<double>(renewal.total() - done) / rate)),
                    " left");
  }
  return text;
}

void RenewalProgress::Show(const sign::v1::Renewal& renewal, absl::Time now) {
  const int64_t done = renewal.succeeded() + renewal.failed();
  if (start_ == absl::InfinitePast()) {
    start_ = now;
    done_at_start_ = done;
  }
  const double seconds = absl::ToDoubleSeconds(now - start_);
  const double rate = seconds < 0.1 ? 0 : static_cast<double>(done - done_at_start_) / seconds;
  progress_.Show(static_cast<uint64_t>(done), static_cast<uint64_t>(renewal.total()),
                 RenewalText(renewal, rate));
}

}  // namespace countersign::cli
