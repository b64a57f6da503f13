// What makes a checkpoint believed: a log's key, or a policy with its witnesses.
#ifndef COUNTERSIGN_LIBS_TLOG_LOG_TRUST_H_
#define COUNTERSIGN_LIBS_TLOG_LOG_TRUST_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/note/checkpoint.h"
#include "libs/note/key.h"
#include "libs/note/policy.h"

namespace countersign::tlog {

// A checkpoint and the signed note it was read from.
struct SignedCheckpoint {
  note::Checkpoint checkpoint;
  std::string note;
};

// Immutable and thread-safe.
class LogTrust {
 public:
  // Believes nothing in particular: any well-formed checkpoint opens, unverified.
  LogTrust() = default;
  // Believes what this key signed under its own name as the origin.
  explicit LogTrust(note::NoteVerifier key) : key_(std::move(key)) {}
  // Believes what a log of the policy signed and the quorum cosigned; with a key, of that log only.
  explicit LogTrust(note::Policy policy, std::optional<note::NoteVerifier> key = std::nullopt)
      : key_(std::move(key)), policy_(std::move(policy)) {}

  bool verifies() const { return key_.has_value() || policy_.has_value(); }
  bool has_quorum() const { return policy_.has_value(); }

  // Errors are DataLoss with a Damage of the file "checkpoint": kMalformed, kSignature, kQuorum.
  absl::StatusOr<SignedCheckpoint> Open(absl::string_view note) const;

  // The same without asking for the quorum: for what was believed before.
  absl::StatusOr<SignedCheckpoint> OpenKnown(absl::string_view note) const;

 private:
  std::optional<note::NoteVerifier> key_;
  std::optional<note::Policy> policy_;
};

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_LOG_TRUST_H_
