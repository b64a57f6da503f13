// Asks the witnesses of a policy for their cosignatures over HTTP (C2SP tlog-witness).
#ifndef COUNTERSIGN_SERVICES_LEDGER_WITNESS_COSIGNER_H_
#define COUNTERSIGN_SERVICES_LEDGER_WITNESS_COSIGNER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
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

// All witnesses are asked at once. One that fails is left alone for a while, longer each time; one
// that still owes an answer is not asked again. Once the quorum is met the rest get a short grace,
// so that a slow witness delays nobody by much and a dead one not at all.
class WitnessCosigner : public Cosigner {
 public:
  struct Options {
    absl::Duration timeout = absl::Seconds(5);  // of one request to a witness
    // After the quorum is met: as long again as that took, times this, but at least the minimum.
    double grace_factor = 0.25;
    absl::Duration min_grace = absl::Milliseconds(10);
    absl::Duration min_backoff = absl::Milliseconds(250);
    absl::Duration max_backoff = absl::Seconds(30);
    const base::Clock* clock = base::Clock::System();
  };

  // InvalidArgument when a witness of the policy has no URL, or the policy's log is another one.
  static absl::StatusOr<std::unique_ptr<WitnessCosigner>> Create(const Options& options,
                                                                 note::Policy policy,
                                                                 note::NoteVerifier log_key);

  ~WitnessCosigner() override;

  absl::StatusOr<std::string> Cosign(const TreeHead& head, absl::string_view checkpoint,
                                     const ProofFn& proof) override;
  void Stop() override;
  std::vector<WitnessState> witnesses() const override;

 private:
  struct Witness {
    note::PolicyWitness policy;
    bool asked = false;          // an answer is still to come
    uint64_t cosigned_size = 0;  // what it cosigned last, as far as is known
    absl::Time cosign_time = absl::InfinitePast();
    int failures = 0;  // since the last success
    absl::Time leave_until = absl::InfinitePast();
    std::string last_error;
  };
  // One Cosign call. Answers that come after it has returned still find their round.
  struct Round {
    TreeHead head;
    note::SignedNote note;
    std::string checkpoint;
    ProofFn proof;
    std::vector<std::optional<note::NoteSignature>> signatures;  // by witness
    size_t outstanding = 0;
    absl::Status fatal;
  };
  using RoundPtr = std::shared_ptr<Round>;

  WitnessCosigner(const Options& options, note::Policy policy, note::NoteVerifier log_key);

  // `old_size` is what the witness is told to have cosigned; `retry` whether it may correct that.
  void Ask(size_t witness, const RoundPtr& round, uint64_t old_size, bool retry);
  void HandleAnswer(size_t witness, const RoundPtr& round, bool retry,
                    absl::StatusOr<http::Response> response);
  void HandleSignatures(size_t witness, const RoundPtr& round, const http::Response& response);
  // Whether the witness stands where this log cannot follow, which is fatal; else `answer` is only
  // why it did not cosign.
  void Investigate(size_t witness, const RoundPtr& round, const std::string& answer);
  void Settle(size_t witness, const RoundPtr& round, const absl::Status& status);
  bool QuorumMet(const Round& round) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  const note::Policy policy_;
  const note::NoteVerifier log_key_;

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<Witness> witnesses_ ABSL_GUARDED_BY(mutex_);  // in the policy's order
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  // Last, so that it is gone, and its callbacks with it, before anything that they use.
  std::unique_ptr<http::Client> client_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_WITNESS_COSIGNER_H_
