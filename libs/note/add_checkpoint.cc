#include "libs/note/add_checkpoint.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/note/checkpoint.h"
#include "libs/note/line_reader.h"

namespace countersign::note {
namespace {

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("malformed add-checkpoint body: ", why));
}

}  // namespace

absl::StatusOr<AddCheckpointRequest> ParseAddCheckpoint(absl::string_view body) {
  AddCheckpointRequest request;
  absl::string_view line;
  if (!ReadLine(&body, &line) || !absl::ConsumePrefix(&line, "old ")) {
    return Malformed("it does not begin with a line: old <size>");
  }
  const absl::StatusOr<uint64_t> old_size = ParseSize(line);
  if (!old_size.ok()) {
    return Malformed(absl::StrCat("its old size is ", old_size.status().message()));
  }
  request.old_size = *old_size;
  absl::StatusOr<std::vector<merkle::Hash>> proof = ReadHashLines(kMaxAddCheckpointHashes, &body);
  if (!proof.ok()) return Malformed(proof.status().message());
  request.proof = *std::move(proof);
  request.checkpoint = std::string(body);
  return request;
}

std::string FormatAddCheckpoint(const AddCheckpointRequest& request) {
  std::string body = absl::StrCat("old ", request.old_size, "\n");
  AppendHashLines(request.proof, &body);
  return body + request.checkpoint;
}

absl::StatusOr<uint64_t> ParseTlogSize(absl::string_view body) {
  if (!absl::ConsumeSuffix(&body, "\n")) return Malformed("the size has no newline");
  return ParseSize(body);
}

}  // namespace countersign::note
