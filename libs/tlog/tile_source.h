// Where a C2SP tlog-tiles log is read from.
#ifndef COUNTERSIGN_LIBS_TLOG_TILE_SOURCE_H_
#define COUNTERSIGN_LIBS_TLOG_TILE_SOURCE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/merkle/tile.h"

namespace countersign::tlog {

// No tile or entry bundle is larger: 256 entries of 65,535 bytes and their lengths.
inline constexpr size_t kMaxResourceBytes = 256 * (65535 + 2);
// And no checkpoint: room for as many signatures as a note may have, of any algorithm in use.
inline constexpr size_t kMaxCheckpointBytes = 256 * 1024;

// What was read, and its path below the log's prefix ("tile/0/000").
struct Resource {
  std::string path;
  std::string bytes;
};

// A log's public files, wherever they are. Nothing read is verified. Thread-safe.
class TileSource {
 public:
  virtual ~TileSource() = default;

  // The log's prefix, a folder or a URL, for messages.
  virtual const std::string& name() const = 0;

  // Errors of all three: NotFound when the log has no such file; DataLoss with a Damage for one
  // larger than MaxBytesOf its path; else the source could not be asked.
  absl::StatusOr<std::string> ReadCheckpoint() const;

  // A partial tile or bundle that is gone is cut from the full one, as tlog-tiles allows: the path
  // is then that of the full one. One too short or malformed to be cut is returned as it is.
  absl::StatusOr<Resource> ReadTile(const merkle::TileId& tile) const;
  absl::StatusOr<Resource> ReadEntryBundle(uint64_t index, uint32_t width) const;

 private:
  // The bytes at `path` below the prefix, without any coding of the transport.
  virtual absl::StatusOr<std::string> Fetch(const std::string& path) const = 0;

  absl::StatusOr<Resource> FetchEither(std::string partial, std::string full) const;
};

// The most that the file at `path` below a log's prefix may have.
size_t MaxBytesOf(absl::string_view path);

// Kind kLong when `bytes` is more than that.
absl::Status CheckResourceSize(const std::string& path, uint64_t bytes);

// The length of the first `count` framed entries of a bundle; its own length when it holds fewer.
size_t BundlePrefixBytes(absl::string_view bundle, uint32_t count);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_TILE_SOURCE_H_
