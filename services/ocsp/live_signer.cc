#include "services/ocsp/live_signer.h"

#include <utility>

namespace countersign::ocsp {

LiveSigner::LiveSigner(const Options& options) : options_(options), pool_(options.threads) {}

void LiveSigner::Submit(absl::string_view request, Done done) {
  if (depth_.fetch_add(1) >= options_.max_queue) {
    --depth_;
    std::string response;
    const Answer answer = Responder::Fail(pki::OcspError::kTryLater, &response);
    return done(answer, std::move(response));
  }
  pool_.Schedule([this, request = std::string(request), done = std::move(done)] {
    std::string response;
    const Answer answer = options_.responder->AnswerLive(request, &response);
    // Before the answer leaves: who has it may ask again.
    --depth_;
    done(answer, std::move(response));
  });
}

}  // namespace countersign::ocsp
