#include "libs/note/signed_note.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/note/utf8.h"

namespace countersign::note {
namespace {

constexpr absl::string_view kDash = "\xe2\x80\x94 ";  // U+2014 and a space
constexpr size_t kKeyIdBytes = 4;

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("malformed signed note: ", why));
}

absl::Status CheckText(absl::string_view text) {
  for (char c : text) {
    if (static_cast<uint8_t>(c) < 0x20 && c != '\n') return Malformed("it has a control character");
  }
  if (!IsUtf8(text)) return Malformed("it is not UTF-8");
  return absl::OkStatus();
}

// One line, without its newline.
absl::StatusOr<NoteSignature> ParseSignatureLine(absl::string_view line) {
  if (!absl::ConsumePrefix(&line, kDash)) {
    return Malformed("a signature line does not begin with an em dash and a space");
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() != 2 || !IsValidKeyName(parts[0])) {
    return Malformed("a signature line is not a key name and a signature");
  }
  const absl::StatusOr<std::string> bytes = base::Base64Decode(parts[1]);
  if (!bytes.ok()) return Malformed("a signature is not canonical base64");
  base::ByteReader reader(*bytes);
  NoteSignature signature;
  if (!reader.ReadU32(&signature.key_id) || reader.empty()) {
    return Malformed(absl::StrCat("a signature needs more than ", kKeyIdBytes, " bytes"));
  }
  signature.name = std::string(parts[0]);
  signature.signature = std::string(reader.rest());
  return signature;
}

}  // namespace

absl::StatusOr<std::vector<NoteSignature>> ParseSignatureLines(absl::string_view lines) {
  RETURN_IF_ERROR(CheckText(lines));
  if (lines.empty()) return Malformed("it has no signature");
  if (!absl::ConsumeSuffix(&lines, "\n")) return Malformed("its last line has no newline");
  std::vector<NoteSignature> signatures;
  for (absl::string_view line : absl::StrSplit(lines, '\n')) {
    if (signatures.size() == kMaxSignatures) {
      return Malformed(absl::StrCat("it has more than ", kMaxSignatures, " signatures"));
    }
    ASSIGN_OR_RETURN(NoteSignature signature, ParseSignatureLine(line));
    signatures.push_back(std::move(signature));
  }
  return signatures;
}

absl::StatusOr<SignedNote> ParseNote(absl::string_view note) {
  RETURN_IF_ERROR(CheckText(note));
  const size_t blank = note.rfind("\n\n");
  if (blank == absl::string_view::npos) return Malformed("it has no blank line before signatures");
  SignedNote parsed;
  parsed.text = std::string(note.substr(0, blank + 1));
  ASSIGN_OR_RETURN(parsed.signatures, ParseSignatureLines(note.substr(blank + 2)));
  return parsed;
}

std::string FormatSignatureLine(const NoteSignature& signature) {
  std::string bytes;
  base::AppendU32(&bytes, signature.key_id);
  bytes += signature.signature;
  return absl::StrCat(kDash, signature.name, " ", base::Base64Encode(bytes), "\n");
}

std::string FormatNote(const SignedNote& note) {
  std::string formatted = absl::StrCat(note.text, "\n");
  for (const NoteSignature& signature : note.signatures) {
    formatted += FormatSignatureLine(signature);
  }
  return formatted;
}

absl::StatusOr<std::vector<VerifiedSignature>> VerifyNote(
    const SignedNote& note, absl::Span<const NoteVerifier> verifiers) {
  std::vector<VerifiedSignature> verified;
  for (size_t s = 0; s < note.signatures.size(); ++s) {
    const NoteSignature& signature = note.signatures[s];
    for (size_t v = 0; v < verifiers.size(); ++v) {
      const NoteVerifier& verifier = verifiers[v];
      if (signature.key_id != verifier.key_id() || signature.name != verifier.name()) continue;
      if (!verifier.Verify(note.text, signature.signature)) {
        return absl::PermissionDeniedError(
            absl::StrCat("a signature of ", verifier.name(), " does not verify"));
      }
      verified.push_back({s, v});
    }
  }
  if (verified.empty()) {
    return absl::PermissionDeniedError("the note bears no signature of a known key");
  }
  return verified;
}

absl::StatusOr<std::string> SignNote(absl::string_view text,
                                     const std::vector<const NoteSigner*>& signers) {
  RETURN_IF_ERROR(CheckText(text));
  if (!absl::EndsWith(text, "\n")) {
    return absl::InvalidArgumentError("the text of a note must end with a newline");
  }
  if (signers.empty()) return absl::InvalidArgumentError("a note needs at least one signer");
  SignedNote note{std::string(text), {}};
  for (const NoteSigner* signer : signers) {
    ASSIGN_OR_RETURN(std::string signature, signer->Sign(text));
    note.signatures.push_back({signer->name(), signer->key_id(), std::move(signature)});
  }
  return FormatNote(note);
}

}  // namespace countersign::note
