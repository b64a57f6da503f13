#include "libs/tlog/cursor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace countersign::tlog {
namespace {

constexpr absl::string_view kHeader = "countersign cursor v1\n";

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("not a cursor: ", why));
}

}  // namespace

std::string FormatCursor(const Cursor& cursor) {
  return absl::StrCat(kHeader, cursor.next, "\n\n", cursor.checkpoint.note);
}

absl::StatusOr<Cursor> ParseCursor(absl::string_view text, const LogTrust& trust) {
  if (!absl::ConsumePrefix(&text, kHeader)) return Malformed("its first line is another");
  const size_t end = text.find("\n\n");
  if (end == absl::string_view::npos) return Malformed("it is cut short");
  const absl::StatusOr<uint64_t> next = note::ParseSize(text.substr(0, end));
  if (!next.ok()) return Malformed(next.status().message());
  absl::StatusOr<SignedCheckpoint> checkpoint = trust.OpenKnown(text.substr(end + 2));
  if (!checkpoint.ok()) return Malformed(checkpoint.status().message());
  if (*next > checkpoint->checkpoint.size) {
    return Malformed(
        absl::StrCat("it is at entry ", *next, " of a log that had ", checkpoint->checkpoint.size));
  }
  return Cursor{*next, *std::move(checkpoint)};
}

}  // namespace countersign::tlog
