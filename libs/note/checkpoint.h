// Checkpoints: the note text that states a log's size and root (C2SP tlog-checkpoint).
//
// Thread-safe: pure functions over values.
#ifndef COUNTERSIGN_LIBS_NOTE_CHECKPOINT_H_
#define COUNTERSIGN_LIBS_NOTE_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/merkle/hash.h"
#include "libs/note/key.h"

namespace countersign::note {

struct Checkpoint {
  std::string origin;  // the log's identity; not empty
  uint64_t size = 0;   // leaves in its tree; at most 2^63 - 1
  merkle::Hash root{};
  // Further lines, opaque, without their newlines; none is empty.
  std::vector<std::string> extensions = {};

  friend bool operator==(const Checkpoint& a, const Checkpoint& b) {
    return a.origin == b.origin && a.size == b.size && a.root == b.root &&
           a.extensions == b.extensions;
  }
};

// A tree size or leaf index as the C2SP formats write it: decimal, no sign, no leading zero, at
// most 2^63 - 1. InvalidArgument otherwise.
absl::StatusOr<uint64_t> ParseSize(absl::string_view text);

// Reads a note text. InvalidArgument unless it is the one text of a checkpoint.
absl::StatusOr<Checkpoint> ParseCheckpoint(absl::string_view text);

// The note text, the inverse of ParseCheckpoint.
std::string FormatCheckpoint(const Checkpoint& checkpoint);

// The checkpoint of a signed note, whose signatures are parsed but not verified.
absl::StatusOr<Checkpoint> ParseSignedCheckpoint(absl::string_view note);

// The checkpoint of a signed note that at least one of the keys has signed; errors as of ParseNote
// and VerifyNote. PermissionDenied also when its origin is not `origin`.
absl::StatusOr<Checkpoint> OpenCheckpoint(absl::string_view note, absl::string_view origin,
                                          absl::Span<const NoteVerifier> verifiers);

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_CHECKPOINT_H_
