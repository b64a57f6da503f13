// The body of a request for a cosignature: POST /add-checkpoint (C2SP tlog-witness).
//
//   old <size>\n  (<base64 hash>\n)*  \n  <signed checkpoint>
#ifndef COUNTERSIGN_LIBS_NOTE_ADD_CHECKPOINT_H_
#define COUNTERSIGN_LIBS_NOTE_ADD_CHECKPOINT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/merkle/hash.h"

namespace countersign::note {

inline constexpr size_t kMaxAddCheckpointHashes = 63;

// Content-Type of a witness's 409 answer, whose body is the size it stands at and a newline.
inline constexpr absl::string_view kTlogSizeContentType = "text/x.tlog.size";

struct AddCheckpointRequest {
  uint64_t old_size = 0;            // what the witness cosigned last; 0 when nothing
  std::vector<merkle::Hash> proof;  // consistency from old_size to the checkpoint
  std::string checkpoint;           // the signed note, verbatim; not parsed here
};

// InvalidArgument when the lines in front of the checkpoint are malformed or too many.
absl::StatusOr<AddCheckpointRequest> ParseAddCheckpoint(absl::string_view body);

// The body, the inverse of ParseAddCheckpoint.
std::string FormatAddCheckpoint(const AddCheckpointRequest& request);

// The size in a 409 answer's body. InvalidArgument when that is malformed.
absl::StatusOr<uint64_t> ParseTlogSize(absl::string_view body);

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_ADD_CHECKPOINT_H_
