#include "libs/note/line_reader.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace countersign::note {

bool ReadLine(absl::string_view* text, absl::string_view* line) {
  const size_t end = text->find('\n');
  if (end == absl::string_view::npos) return false;
  *line = text->substr(0, end);
  text->remove_prefix(end + 1);
  return true;
}

absl::StatusOr<std::vector<merkle::Hash>> ReadHashLines(size_t max, absl::string_view* text) {
  std::vector<merkle::Hash> hashes;
  absl::string_view line;
  while (ReadLine(text, &line)) {
    if (line.empty()) return hashes;
    if (hashes.size() == max) {
      return absl::InvalidArgumentError(absl::StrCat("a proof has at most ", max, " hashes"));
    }
    const absl::StatusOr<merkle::Hash> hash = merkle::DecodeHash(line);
    if (!hash.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", hashes.size() + 1,
                                                     " of the proof is not canonical base64 of "
                                                     "32 bytes"));
    }
    hashes.push_back(*hash);
  }
  return absl::InvalidArgumentError("no empty line ends the proof");
}

void AppendHashLines(absl::Span<const merkle::Hash> hashes, std::string* text) {
  for (const merkle::Hash& hash : hashes) absl::StrAppend(text, merkle::EncodeHash(hash), "\n");
  text->push_back('\n');
}

}  // namespace countersign::note
