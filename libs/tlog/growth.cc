#include "libs/tlog/growth.h"

#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"

namespace countersign::tlog {
namespace {

constexpr char kPayload[] = "countersign/tlog-fork";
// No note holds it.
constexpr char kSeparator = '\0';

absl::Status ForkError(const SignedCheckpoint& known, const SignedCheckpoint& seen) {
  absl::Status status = absl::DataLossError(absl::StrCat(
      "the log ", seen.checkpoint.origin, " has forked: its checkpoint of ", seen.checkpoint.size,
      " entries does not contain the tree of ", known.checkpoint.size,
      " entries that it signed before; keep both checkpoints, they are the proof"));
  status.SetPayload(
      kPayload, absl::Cord(absl::StrCat(known.note, absl::string_view(&kSeparator, 1), seen.note)));
  return status;
}

absl::Status WentBack(const SignedCheckpoint& known, const SignedCheckpoint& seen,
                      const TileSource& known_source) {
  const absl::StatusOr<std::unique_ptr<VerifiedTiles>> tiles =
      VerifiedTiles::Open(known.checkpoint.size, known.checkpoint.root, {.source = &known_source});
  if (tiles.ok()) {
    const absl::StatusOr<merkle::Hash> root = (*tiles)->RootAt(seen.checkpoint.size);
    if (root.ok() && *root != seen.checkpoint.root) return ForkError(known, seen);
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the log ", seen.checkpoint.origin, " went back from ", known.checkpoint.size, " to ",
      seen.checkpoint.size, " entries; it was rolled back, or a cache in front of it is stale"));
}

// Hands on what was accepted only after Release.
class Gate {
 public:
  using Accept = std::function<absl::Status(const std::string&, absl::string_view)>;

  explicit Gate(Accept next) : next_(std::move(next)) {}

  absl::Status Pass(const std::string& path, absl::string_view bytes) {
    if (open_) return next_(path, bytes);
    held_.push_back({path, std::string(bytes)});
    return absl::OkStatus();
  }

  absl::Status Release() {
    open_ = true;
    for (const Resource& resource : held_) RETURN_IF_ERROR(next_(resource.path, resource.bytes));
    held_.clear();
    return absl::OkStatus();
  }

 private:
  const Accept next_;
  // Changed before the tiles are handed out to more than one thread.
  bool open_ = false;
  std::vector<Resource> held_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<VerifiedTiles>> OpenGrown(
    const std::optional<SignedCheckpoint>& known, const SignedCheckpoint& seen,
    const TileSource& known_source, VerifiedTiles::Options options) {
  if (known.has_value() && known->checkpoint.origin != seen.checkpoint.origin) {
    return absl::InvalidArgumentError(
        absl::StrCat("what was copied so far is of the log ", known->checkpoint.origin,
                     ", this is ", seen.checkpoint.origin, "; use another folder or cursor"));
  }
  if (known.has_value() && seen.checkpoint.size < known->checkpoint.size) {
    return WentBack(*known, seen, known_source);
  }
  // Two roots of one size need no tiles to be told apart.
  if (known.has_value() && seen.checkpoint.size == known->checkpoint.size &&
      seen.checkpoint.root != known->checkpoint.root) {
    return ForkError(*known, seen);
  }
  std::shared_ptr<Gate> gate;
  if (options.accept != nullptr) {
    gate = std::make_shared<Gate>(std::move(options.accept));
    options.accept = [gate](const std::string& path, absl::string_view bytes) {
      return gate->Pass(path, bytes);
    };
  }
  ASSIGN_OR_RETURN(auto tiles, VerifiedTiles::Open(seen.checkpoint.size, seen.checkpoint.root,
                                                   std::move(options)));
  if (known.has_value()) {
    ASSIGN_OR_RETURN(const merkle::Hash root, tiles->RootAt(known->checkpoint.size));
    if (root != known->checkpoint.root) return ForkError(*known, seen);
  }
  if (gate != nullptr) RETURN_IF_ERROR(gate->Release());
  return tiles;
}

std::optional<Fork> ForkOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return std::nullopt;
  const std::vector<std::string> notes = absl::StrSplit(std::string(*payload), kSeparator);
  if (notes.size() != 2) return std::nullopt;
  return Fork{notes[0], notes[1]};
}

}  // namespace countersign::tlog
