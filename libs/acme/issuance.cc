#include "libs/acme/issuance.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/error_details.h"

namespace countersign::acme {
namespace {

constexpr absl::Duration kFirstWait = absl::Milliseconds(250);
constexpr absl::Duration kLongestWait = absl::Seconds(5);

// Waits as long as the server says, or a little longer each time, until all takes too long.
class Pace {
 public:
  explicit Pace(const IssuanceSteps& steps)
      : steps_(steps), give_up_(steps.clock->Now() + steps.timeout) {}

  absl::Status Wait(absl::Duration asked) {
    if (steps_.clock->Now() > give_up_) {
      return absl::DeadlineExceededError(absl::StrCat("the ACME server was not done within ",
                                                      absl::FormatDuration(steps_.timeout)));
    }
    const absl::Duration wait = asked > absl::ZeroDuration() ? asked : next_;
    next_ = std::min(next_ * 1.5, kLongestWait);
    if (!steps_.sleep(wait)) return absl::CancelledError("the service stops");
    return absl::OkStatus();
  }

 private:
  const IssuanceSteps& steps_;
  const absl::Time give_up_;
  absl::Duration next_ = kFirstWait;
};

absl::Status Failed(const std::string& what, const absl::Status& error) {
  if (error.ok()) return absl::FailedPreconditionError(absl::StrCat(what, " failed"));
  // Whatever the cause was, this order will not come to a certificate.
  absl::Status failed =
      absl::FailedPreconditionError(absl::StrCat(what, " failed: ", error.message()));
  const auto reason = runtime::ReasonOf(error);
  return reason.has_value() ? runtime::AttachReason(failed, *reason) : failed;
}

absl::Status Authorize(const IssuanceSteps& steps, const Order& order, Pace* pace) {
  std::vector<std::string> tokens;
  const auto withdraw = absl::MakeCleanup([&] {
    for (const std::string& token : tokens) steps.challenges->Withdraw(token);
  });
  std::vector<std::string> pending;
  for (const std::string& url : order.authorizations) {
    ASSIGN_OR_RETURN(const Authorization authorization, steps.client->GetAuthorization(url));
    const std::string what = absl::StrCat("the authorisation of ", authorization.identifier);
    if (authorization.status == Progress::kValid) continue;
    if (authorization.status != Progress::kPending) return Failed(what, authorization.error);
    if (authorization.challenge_url.empty()) {
      return Failed(what, absl::FailedPreconditionError("no http-01 challenge is offered"));
    }
    ASSIGN_OR_RETURN(const std::string key_authorization,
                     steps.client->KeyAuthorization(authorization.token));
    RETURN_IF_ERROR(steps.challenges->Publish(authorization.token, key_authorization));
    tokens.push_back(authorization.token);
    if (!authorization.started) {
      RETURN_IF_ERROR(steps.client->StartChallenge(authorization.challenge_url));
    }
    pending.push_back(url);
  }
  for (const std::string& url : pending) {
    while (true) {
      ASSIGN_OR_RETURN(const Authorization authorization, steps.client->GetAuthorization(url));
      if (authorization.status == Progress::kValid) break;
      if (authorization.status != Progress::kPending) {
        return Failed(absl::StrCat("the authorisation of ", authorization.identifier),
                      authorization.error);
      }
      RETURN_IF_ERROR(pace->Wait(authorization.retry_after));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> IssueByHttp01(const IssuanceSteps& steps,
                                          const std::vector<Identifier>& identifiers,
                                          absl::string_view csr_der, std::string order_url) {
  Pace pace(steps);
  Order order;
  if (!order_url.empty()) {
    absl::StatusOr<Order> found = steps.client->GetOrder(order_url);
    // One that the server has forgotten is begun again.
    if (absl::IsNotFound(found.status())) {
      order_url.clear();
    } else {
      ASSIGN_OR_RETURN(order, std::move(found));
    }
  }
  if (order_url.empty()) {
    ASSIGN_OR_RETURN(order, steps.client->NewOrder(identifiers));
    RETURN_IF_ERROR(steps.save(order.url));
  }
  while (true) {
    switch (order.status) {
      case Progress::kPending:
        RETURN_IF_ERROR(Authorize(steps, order, &pace));
        break;
      case Progress::kReady: {
        absl::StatusOr<Order> finalized = steps.client->Finalize(order, csr_der);
        // Another process may have done it.
        if (!finalized.ok() && !absl::IsAborted(finalized.status())) return finalized.status();
        if (finalized.ok()) order.retry_after = finalized->retry_after;
        break;
      }
      case Progress::kProcessing:
        break;
      case Progress::kValid:
        return steps.client->Download(order.certificate_url);
      case Progress::kInvalid:
        return Failed("the ACME order", order.error);
    }
    const Progress before = order.status;
    const absl::Duration asked = order.retry_after;
    ASSIGN_OR_RETURN(order, steps.client->GetOrder(order.url));
    if (order.status == before || order.status == Progress::kProcessing) {
      RETURN_IF_ERROR(pace.Wait(std::max(asked, order.retry_after)));
      ASSIGN_OR_RETURN(order, steps.client->GetOrder(order.url));
    }
  }
}

}  // namespace countersign::acme
