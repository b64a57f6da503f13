// How far a follower of a log has come, in a file.
//
//   cursor     = "countersign cursor v1" LF next LF LF checkpoint
//   next       = decimal              ; index of the next entry
//   checkpoint = the signed note of a tree that holds every entry below `next`
#ifndef COUNTERSIGN_LIBS_TLOG_CURSOR_H_
#define COUNTERSIGN_LIBS_TLOG_CURSOR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/tlog/log_trust.h"

namespace countersign::tlog {

struct Cursor {
  uint64_t next = 0;
  SignedCheckpoint checkpoint;
};

std::string FormatCursor(const Cursor& cursor);

// InvalidArgument when it is no cursor, or its checkpoint is not one of the log that `trust` knows.
absl::StatusOr<Cursor> ParseCursor(absl::string_view text, const LogTrust& trust);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_CURSOR_H_
