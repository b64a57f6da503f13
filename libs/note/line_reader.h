// Lines and lists of hashes, as tlog-proof and tlog-witness write them.
#ifndef COUNTERSIGN_LIBS_NOTE_LINE_READER_H_
#define COUNTERSIGN_LIBS_NOTE_LINE_READER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/merkle/hash.h"

namespace countersign::note {

// Takes the first line off `*text`; `*line` is without its newline. False when no newline is left.
bool ReadLine(absl::string_view* text, absl::string_view* line);

// Takes lines of one base64 hash each, up to and with an empty line, off `*text`. InvalidArgument
// for another line, for more than `max` hashes, and when the empty line is missing.
absl::StatusOr<std::vector<merkle::Hash>> ReadHashLines(size_t max, absl::string_view* text);

// The inverse of ReadHashLines.
void AppendHashLines(absl::Span<const merkle::Hash> hashes, std::string* text);

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_LINE_READER_H_
