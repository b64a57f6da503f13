// Trust policies: which logs, which witnesses, and how many of these must have cosigned (C2SP
// tlog-policy).
//
//   log <vkey> [<url>]
//   witness <name> <vkey> [<url>]
//   group <name> all|any|<k> <member>…
//   quorum <name>|none
#ifndef COUNTERSIGN_LIBS_NOTE_POLICY_H_
#define COUNTERSIGN_LIBS_NOTE_POLICY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/note/checkpoint.h"
#include "libs/note/key.h"

namespace countersign::note {

struct PolicyLog {
  NoteVerifier key;  // its name is the log's origin
  std::string url;   // empty when not given
};

struct PolicyWitness {
  std::string name;  // in this policy only; the witness's own name is key.name()
  NoteVerifier key;  // of type kCosignature
  std::string url;   // empty when not given; usually the submission prefix of tlog-witness
};

struct PolicyGroup {
  std::string name;
  size_t threshold = 0;              // how many members must have witnessed
  std::vector<std::string> members;  // of witnesses and of earlier groups
};

// A cosignature that holds.
struct PolicyCosignature {
  std::string witness;     // its name in the policy
  uint64_t timestamp = 0;  // POSIX seconds
};

// What a signed checkpoint is worth under a policy.
struct PolicyVerdict {
  Checkpoint checkpoint;
  const PolicyLog* log = nullptr;  // which of the policy's logs signed it; the policy's
  std::vector<PolicyCosignature> cosignatures;  // one a witness, the latest; in the note's order
  bool quorum = false;
};

// Immutable once parsed, and thread-safe.
class Policy {
 public:
  // Words "all" and "any" of a group become its threshold. At most 1,024 lines of each kind; the
  // last line may lack its newline.
  // InvalidArgument, naming the line, for anything that tlog-policy does not allow, and for a
  // witness key of another type than kCosignature.
  static absl::StatusOr<Policy> Parse(absl::string_view text);

  // The policy without comments: logs, witnesses, groups, quorum. Parse reads it back.
  std::string Format() const;

  const std::vector<PolicyLog>& logs() const { return logs_; }
  const std::vector<PolicyWitness>& witnesses() const { return witnesses_; }
  const std::vector<PolicyGroup>& groups() const { return groups_; }
  // A witness, a group or "none".
  const std::string& quorum() const { return quorum_; }

  // Whether the witnesses with these names, having cosigned, are enough.
  bool Satisfied(const std::set<std::string, std::less<>>& witnesses) const;

  // Verifies a signed note: the origin must be one of the logs', and one of that log's keys must
  // have signed. Cosignatures of the policy's witnesses must hold; unknown keys are ignored.
  // InvalidArgument when the note is malformed, NotFound when the origin is none of the logs',
  // PermissionDenied when a known key's signature does not verify or no key of the log signed.
  // Too few cosignatures are no error: see PolicyVerdict::quorum. The verdict points into this
  // policy.
  absl::StatusOr<PolicyVerdict> Check(absl::string_view note) const;

  // Check, and FailedPrecondition when the quorum is not met.
  absl::StatusOr<PolicyVerdict> Verify(absl::string_view note) const;

 private:
  Policy() = default;

  std::vector<PolicyLog> logs_;
  std::vector<PolicyWitness> witnesses_;
  std::vector<PolicyGroup> groups_;
  std::string quorum_;
};

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_POLICY_H_
