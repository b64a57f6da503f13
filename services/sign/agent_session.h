// A session with the YubiKey agent, kept open.
#ifndef COUNTERSIGN_SERVICES_SIGN_AGENT_SESSION_H_
#define COUNTERSIGN_SERVICES_SIGN_AGENT_SESSION_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "countersign/yubikey/v1/session_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/crypto/private_key.h"

namespace countersign::sign {

// A failure that the agent answered: its code and details, the message prefixed with
// "yubikey-agent: ". UNAUTHENTICATED becomes FailedPrecondition with reason
// YUBIKEY_SESSION_REFUSED, for it is this service that the agent does not know, and not who called
// it.
absl::Status FromAgent(const grpc::Status& status, const std::string& caller);

// Opens a session by signing the agent's challenge (countersign.yubikey.v1.SessionService) when one
// is first wanted, with all that the caller may have, and a new one when a third of its life is
// left. One is opened at a time, and everyone waits for it. Thread-safe.
class AgentSession {
 public:
  struct Options {
    std::shared_ptr<grpc::Channel> channel;
    std::string caller;
    crypto::PrivateKey key;  // the caller's: it signs challenges
    absl::Duration timeout;  // of each call to the agent
    const base::Clock* clock = base::Clock::System();
  };
  // A token, or why there is none.
  using Use = std::function<void(absl::StatusOr<std::string>)>;

  explicit AgentSession(Options options);
  // Every `use` must have been called. Gives up what is being opened for later.
  ~AgentSession();

  // Calls `use` once: at once when a session is open, else on another thread when that is decided.
  void Get(Use use);
  // The same, waiting for it.
  absl::StatusOr<std::string> GetNow();

  // The agent no longer takes `token`: the next Get opens a new session, unless one was opened
  // since.
  void Drop(const std::string& token);

 private:
  struct Opening;

  // Without mutex_: gRPC may answer before it returns.
  void Open(std::shared_ptr<Opening> opening);
  void Answer(std::shared_ptr<Opening> opening);
  void Opened(const std::shared_ptr<Opening>& opening, absl::Status status);

  const std::unique_ptr<yubikey::v1::SessionService::Stub> stub_;
  const Options options_;

  base::Mutex mutex_;
  base::CondVar idle_;
  std::string token_ ABSL_GUARDED_BY(mutex_);  // empty for none
  absl::Time renew_time_ ABSL_GUARDED_BY(mutex_);
  absl::Time expire_time_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Opening> opening_ ABSL_GUARDED_BY(mutex_);
  std::vector<Use> waiting_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_AGENT_SESSION_H_
