// Signed notes: a text and signatures under it, in one file (C2SP signed-note).
//
// Thread-safe: pure functions over values. Malformed input is InvalidArgument.
#ifndef COUNTERSIGN_LIBS_NOTE_SIGNED_NOTE_H_
#define COUNTERSIGN_LIBS_NOTE_SIGNED_NOTE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/note/key.h"

namespace countersign::note {

// More signature lines than this are refused.
inline constexpr size_t kMaxSignatures = 128;

// One signature line. The name and id only say which key to try.
struct NoteSignature {
  std::string name;
  uint32_t key_id = 0;
  std::string signature;  // the bytes behind the id; at least one
};

struct SignedNote {
  std::string text;  // ends with a newline; without the blank line behind it
  std::vector<NoteSignature> signatures;
};

// Splits a note at its last blank line. Nothing is verified.
absl::StatusOr<SignedNote> ParseNote(absl::string_view note);

// The note's bytes, the inverse of ParseNote.
std::string FormatNote(const SignedNote& note);

// "— <name> <base64 of id || signature>\n".
std::string FormatSignatureLine(const NoteSignature& signature);

// One or more signature lines, each with its newline: what a witness answers.
absl::StatusOr<std::vector<NoteSignature>> ParseSignatureLines(absl::string_view lines);

// A signature that holds: signatures[signature] by verifiers[verifier].
struct VerifiedSignature {
  size_t signature = 0;
  size_t verifier = 0;
};

// The signatures of the note by known keys, in the note's order; those of unknown keys are ignored.
// PermissionDenied when a line that bears a known key's name and id does not verify, or when the
// note has no signature of a known key.
absl::StatusOr<std::vector<VerifiedSignature>> VerifyNote(const SignedNote& note,
                                                          absl::Span<const NoteVerifier> verifiers);

// `text` with the signers' signatures, in their order. InvalidArgument when the text cannot be a
// note's, or there is no signer; else the error of the signer that failed.
absl::StatusOr<std::string> SignNote(absl::string_view text,
                                     const std::vector<const NoteSigner*>& signers);

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_SIGNED_NOTE_H_
