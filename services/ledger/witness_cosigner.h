// Asks the witnesses of a policy for their cosignatures over HTTP (C2SP tlog-witness).
#ifndef COUNTERSIGN_SERVICES_LEDGER_WITNESS_COSIGNER_H_
#define COUNTERSIGN_SERVICES_LEDGER_WITNESS_COSIGNER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/http/client.h"
#include "libs/note/key.h"
#include "libs/note/policy.h"
#include "libs/note/signed_note.h"
#include "services/ledger/cosigner.h"

namespace countersign::ledger {

// All witnesses of a round are asked at once. Once the quorum is met the rest get a short grace, so
// that a slow witness delays nobody by much and a dead one not at all.
//
// A witness is asked about the next head before it has answered about the last, as if that answer
// were yes. How many requests it may owe answers to follows from how it takes them: fewer when they
// arrive out of order (409) or only queue there, more again when it keeps up. Where that leaves no
// room for every head it is asked about the newest, but one that others of its kind are asked about
// too, lest they never agree. One that fails is left alone for a while, longer each time, and is
// then tried with a single request.
class WitnessCosigner : public Cosigner {
 public:
  struct Options {
    absl::Duration timeout = absl::Seconds(5);  // of one request to a witness
    // After the quorum is met: as long again as that took, times this, but at least the minimum.
    double grace_factor = 0.25;
    absl::Duration min_grace = absl::Milliseconds(10);
    absl::Duration min_backoff = absl::Milliseconds(250);
    absl::Duration max_backoff = absl::Seconds(30);
    size_t max_requests = 16;  // to one witness, not answered yet
    const base::Clock* clock = base::Clock::System();
  };

  // InvalidArgument when a witness of the policy has no URL, or the policy's log is another one.
  static absl::StatusOr<std::unique_ptr<WitnessCosigner>> Create(const Options& options,
                                                                 note::Policy policy,
                                                                 note::NoteVerifier log_key);

  ~WitnessCosigner() override;

  void Start(const TreeHead& head, absl::string_view checkpoint, ProofFn proof, Done done) override;
  void Stop() override;
  std::vector<WitnessState> witnesses() const override;
  absl::Status fork() const override;

 private:
  // From Start to its end. Answers that come later still find it.
  struct Round {
    TreeHead head;
    note::SignedNote note;
    std::string checkpoint;
    ProofFn proof;
    Done done;
    absl::Duration began;
    std::vector<std::optional<note::NoteSignature>> signatures;  // by witness
    size_t outstanding = 0;                                      // witnesses that may still answer
    std::optional<absl::Duration> grace_end;                     // once the quorum is met
    bool preferred = false;    // some witness that could not take every head was asked about this
    bool passed_over = false;  // some witness was not asked, or not in time
    bool ended = false;
    // The body that was built last: witnesses mostly stand at one size.
    std::optional<uint64_t> body_old_size;
    std::string body;
  };
  using RoundPtr = std::shared_ptr<Round>;

  // What one witness is asked about one head.
  struct Request {
    size_t witness = 0;
    RoundPtr round;
    int conflicts = 0;  // times that it was answered 409
    uint64_t old_size = 0;
    uint64_t number = 0;  // in the order of sending, over all witnesses
    absl::Duration sent;
    bool alone = false;        // nothing else was asked of the witness meanwhile
    uint64_t acceptances = 0;  // of the witness, when it was sent
    uint64_t failures = 0;
  };
  using RequestPtr = std::shared_ptr<Request>;

  struct Witness {
    note::PolicyWitness policy;
    std::deque<RequestPtr> pending;  // to be sent, smallest head first
    std::deque<RequestPtr> sent;     // and not answered, in that order
    uint64_t stands_at = 0;          // the size that it holds, as far as is known
    uint64_t acceptances = 0;        // answers of 200 with a good cosignature
    size_t window = 0;               // requests that it may owe answers to
    int kept_up = 0;                 // answers since the window changed that allow a larger one
    uint64_t narrowed_at = 0;        // number of the next request when the window shrank last
    bool draining = false;           // nothing is sent before all are answered
    absl::Duration alone_time = absl::InfiniteDuration();  // to answer a request alone
    uint64_t cosigned_size = 0;
    absl::Time cosign_time = absl::InfinitePast();
    uint64_t total_failures = 0;  // one a burst of requests
    int failures = 0;             // since the last success
    absl::Time leave_until = absl::InfinitePast();
    std::string last_error;
  };

  WitnessCosigner(const Options& options, note::Policy policy, note::NoteVerifier log_key);

  void Run();
  // Takes what can be sent to the witness out of what is pending.
  void Schedule(size_t witness, std::vector<RequestPtr>* out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Send(const RequestPtr& request);
  // Whether the round has ended: everybody has answered, or the grace is over, or it is in vain.
  bool CheckEnd(Round& round, absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::string> ResultOf(const Round& round) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool QuorumMet(const Round& round) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Answers; on the client's thread.
  void HandleAnswer(const RequestPtr& request, absl::StatusOr<http::Response> response);
  void HandleSignatures(const RequestPtr& request, const http::Response& response);
  void HandleConflict(const RequestPtr& request, uint64_t size, const std::string& answer);
  // Whether the witness stands where this log cannot follow, which is fatal; else `answer` is only
  // why it did not cosign. `claimed` is the size that it named, if it named one.
  void Investigate(const RequestPtr& request, uint64_t claimed, const std::string& answer);
  void Fail(const RequestPtr& request, const absl::Status& status);

  // The request is answered, or will not be sent.
  void Settle(RequestPtr request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PassOver(RequestPtr request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Narrow(Witness& witness, const Request& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const note::Policy policy_;
  const note::NoteVerifier log_key_;

  mutable base::Mutex mutex_;
  base::CondVar wake_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Witness> witnesses_ ABSL_GUARDED_BY(mutex_);  // in the policy's order
  std::vector<RoundPtr> rounds_ ABSL_GUARDED_BY(mutex_);    // not ended
  uint64_t newest_size_ ABSL_GUARDED_BY(mutex_) = 0;        // of any round
  uint64_t next_number_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status fork_ ABSL_GUARDED_BY(mutex_);

  // Last, so that it is gone, and its callbacks with it, before anything that they use.
  std::unique_ptr<http::Client> client_;
  // Sends all requests, so that a witness gets them in order, and ends the rounds.
  std::thread thread_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_WITNESS_COSIGNER_H_
