#include "services/sign/agent_session.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

namespace ypb = ::countersign::yubikey::v1;

// When a renewal that failed is tried again, while the session in use still lasts.
constexpr absl::Duration kRetryRenewal = absl::Seconds(5);
// A token that ends on its way is of no use.
constexpr absl::Duration kSpare = absl::Seconds(2);

absl::Duration LifetimeOf(const ypb::Session& session) {
  return absl::Seconds(session.expire_time().seconds() - session.create_time().seconds()) +
         absl::Nanoseconds(session.expire_time().nanos() - session.create_time().nanos());
}

}  // namespace

absl::Status FromAgent(const grpc::Status& grpc_status, const std::string& caller) {
  const absl::Status status = runtime::FromGrpcStatus(grpc_status);
  if (absl::IsUnauthenticated(status)) {
    return PreconditionError(
        kYubikeySessionRefused,
        absl::StrCat("yubikey-agent: refuses this service's session (", status.message(),
                     "); register its public key there, as caller \"", caller, "\""));
  }
  absl::Status prefixed(status.code(), absl::StrCat("yubikey-agent: ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { prefixed.SetPayload(url, payload); });
  return prefixed;
}

// A session on its way.
struct AgentSession::Opening {
  std::unique_ptr<grpc::ClientContext> context;  // of the call that is under way
  ypb::CreateChallengeRequest challenge_request;
  ypb::CreateChallengeResponse challenge;
  ypb::OpenSessionRequest request;
  ypb::OpenSessionResponse response;
  absl::Time start;
};

AgentSession::AgentSession(Options options)
    : stub_(ypb::SessionService::NewStub(options.channel)), options_(std::move(options)) {}

AgentSession::~AgentSession() {
  base::MutexLock lock(&mutex_);
  closing_ = true;
  if (opening_ != nullptr) opening_->context->TryCancel();
  idle_.Wait(&mutex_, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return opening_ == nullptr; });
}

void AgentSession::Get(Use use) {
  std::string token;
  std::shared_ptr<Opening> opening;
  {
    base::MutexLock lock(&mutex_);
    const absl::Time now = options_.clock->Now();
    const bool usable = !token_.empty() && now < expire_time_;
    if (usable) {
      token = token_;
    } else {
      waiting_.push_back(std::move(use));
    }
    if ((!usable || now >= renew_time_) && opening_ == nullptr) {
      opening = opening_ = std::make_shared<Opening>();
      opening->start = now;
      opening->context = runtime::MakeContext(options_.timeout);
    }
  }
  if (opening != nullptr) Open(std::move(opening));
  if (!token.empty()) use(std::move(token));
}

absl::StatusOr<std::string> AgentSession::GetNow() {
  std::promise<absl::StatusOr<std::string>> promise;
  Get([&promise](absl::StatusOr<std::string> token) { promise.set_value(std::move(token)); });
  return promise.get_future().get();
}

void AgentSession::Drop(const std::string& token) {
  base::MutexLock lock(&mutex_);
  if (token_ == token) token_.clear();
}

void AgentSession::Open(std::shared_ptr<Opening> opening) {
  opening->challenge_request.set_caller(options_.caller);
  Opening* const o = opening.get();
  stub_->async()->CreateChallenge(
      o->context.get(), &o->challenge_request, &o->challenge,
      [this, opening = std::move(opening)](const grpc::Status& status) mutable {
        if (!status.ok()) return Opened(opening, FromAgent(status, options_.caller));
        Answer(std::move(opening));
      });
}

void AgentSession::Answer(std::shared_ptr<Opening> opening) {
  // What is signed is what the contract says that a challenge's message is, and nothing else that
  // an agent might like to have signed.
  const std::string message =
      absl::StrCat("countersign-yubikey-session/v1", absl::string_view("\0", 1), options_.caller,
                   absl::string_view("\0", 1), opening->challenge.challenge());
  absl::StatusOr<std::string> signature = options_.key.SignMessage(message);
  if (!signature.ok()) return Opened(opening, signature.status());
  opening->request.set_caller(options_.caller);
  ypb::SignedChallenge* const proof = opening->request.mutable_signed_challenge();
  proof->set_challenge(opening->challenge.challenge());
  proof->set_signature(*std::move(signature));
  Opening* const o = opening.get();
  {
    base::MutexLock lock(&mutex_);
    o->context = runtime::MakeContext(options_.timeout);
    if (closing_) o->context->TryCancel();
  }
  stub_->async()->OpenSession(
      o->context.get(), &o->request, &o->response,
      [this, opening = std::move(opening)](const grpc::Status& status) {
        Opened(opening, status.ok() ? absl::OkStatus() : FromAgent(status, options_.caller));
      });
}

void AgentSession::Opened(const std::shared_ptr<Opening>& opening, absl::Status status) {
  const std::string& token = opening->response.token();
  const absl::Duration lifetime = LifetimeOf(opening->response.session());
  if (status.ok() && (token.empty() || lifetime <= absl::ZeroDuration())) {
    status = absl::InternalError("yubikey-agent: opened a session without a token or a life");
  }
  std::vector<Use> waiting;
  {
    base::MutexLock lock(&mutex_);
    if (status.ok()) {
      token_ = token;
      renew_time_ = opening->start + lifetime * 2 / 3;
      expire_time_ = opening->start + std::max(lifetime - kSpare, lifetime / 2);
    } else {
      renew_time_ = options_.clock->Now() + kRetryRenewal;
    }
    waiting.swap(waiting_);
    opening_ = nullptr;
    // With the lock: the destructor may be waiting, and end this object when it has it.
    idle_.NotifyAll();
  }
  for (const Use& use : waiting) {
    if (status.ok()) {
      use(token);
    } else {
      use(status);
    }
  }
}

}  // namespace countersign::sign
