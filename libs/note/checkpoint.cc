#include "libs/note/checkpoint.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/note/signed_note.h"

namespace countersign::note {
namespace {

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("malformed checkpoint: ", why));
}

}  // namespace

absl::StatusOr<uint64_t> ParseSize(absl::string_view text) {
  uint64_t size = 0;
  bool valid = !text.empty() && text.size() <= 19 && (text.size() == 1 || text[0] != '0');
  for (char c : text.substr(0, 19)) {
    valid = valid && c >= '0' && c <= '9';
    size = size * 10 + static_cast<uint64_t>(c - '0');
  }
  if (!valid || size > INT64_MAX) {
    return absl::InvalidArgumentError(
        "not a number in shortest decimal form from 0 to 9223372036854775807");
  }
  return size;
}

absl::StatusOr<Checkpoint> ParseCheckpoint(absl::string_view text) {
  if (!absl::ConsumeSuffix(&text, "\n")) return Malformed("its last line has no newline");
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  if (lines.size() < 3) return Malformed("it has fewer than three lines");
  Checkpoint checkpoint;
  for (absl::string_view line : lines) {
    if (line.empty()) return Malformed("it has an empty line");
  }
  checkpoint.origin = std::string(lines[0]);
  const absl::StatusOr<uint64_t> size = ParseSize(lines[1]);
  if (!size.ok()) return Malformed(absl::StrCat("its size is ", size.status().message()));
  checkpoint.size = *size;
  const absl::StatusOr<merkle::Hash> root = merkle::DecodeHash(lines[2]);
  if (!root.ok()) return Malformed("its root hash is not canonical base64 of 32 bytes");
  checkpoint.root = *root;
  checkpoint.extensions = std::vector<std::string>(lines.begin() + 3, lines.end());
  return checkpoint;
}

std::string FormatCheckpoint(const Checkpoint& checkpoint) {
  std::string text = absl::StrCat(checkpoint.origin, "\n", checkpoint.size, "\n",
                                  merkle::EncodeHash(checkpoint.root), "\n");
  for (const std::string& extension : checkpoint.extensions) {
    absl::StrAppend(&text, extension, "\n");
  }
  return text;
}

absl::StatusOr<Checkpoint> ParseSignedCheckpoint(absl::string_view note) {
  ASSIGN_OR_RETURN(const SignedNote parsed, ParseNote(note));
  return ParseCheckpoint(parsed.text);
}

absl::StatusOr<Checkpoint> OpenCheckpoint(absl::string_view note, absl::string_view origin,
                                          absl::Span<const NoteVerifier> verifiers) {
  ASSIGN_OR_RETURN(const SignedNote parsed, ParseNote(note));
  ASSIGN_OR_RETURN(Checkpoint checkpoint, ParseCheckpoint(parsed.text));
  if (checkpoint.origin != origin) {
    return absl::PermissionDeniedError(
        absl::StrCat("the checkpoint is of the log ", checkpoint.origin, ", not of ", origin));
  }
  RETURN_IF_ERROR(VerifyNote(parsed, verifiers).status());
  return checkpoint;
}

}  // namespace countersign::note
