// The tiles and entries of one tree, each believed only when the tree's root says so.
#ifndef COUNTERSIGN_LIBS_TLOG_VERIFIED_TILES_H_
#define COUNTERSIGN_LIBS_TLOG_VERIFIED_TILES_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/base/mutex.h"
#include "libs/merkle/hash.h"
#include "libs/merkle/node.h"
#include "libs/merkle/tile.h"
#include "libs/tlog/tile_source.h"

namespace countersign::tlog {

using Hashes = std::vector<merkle::Hash>;

// A bundle and what it holds. Stays where it was made.
struct VerifiedBundle {
  VerifiedBundle() = default;
  VerifiedBundle(const VerifiedBundle&) = delete;
  VerifiedBundle& operator=(const VerifiedBundle&) = delete;

  Resource resource;
  std::vector<absl::string_view> entries;  // views into the resource's bytes
  std::shared_ptr<const Hashes> leaf_hashes;
};

// Reads from the root down: the right edge's tiles must fold to the root, every other tile to its
// hash in the tile above it, and an entry must hash to its leaf. So a wrong file is known for wrong
// whatever else is wrong, and nothing is handed out that is not the tree's.
//
// Thread-safe. Holds a few tiles a level, whatever the tree's size.
class VerifiedTiles {
 public:
  struct Options {
    const TileSource* source = nullptr;  // must outlive this object
    // Tried first, and believed no more than the source: what is not there or is not the tree's is
    // read from the source. May be null.
    const TileSource* nearer = nullptr;
    // Told of each verified file that came from the source, on any thread, under the path that it
    // has in this tree. Its error is the reader's. May be empty.
    std::function<absl::Status(const std::string& path, absl::string_view bytes)> accept;
  };

  // Reads the right edge of the tree of `size` leaves. Errors of this and of the readers: those of
  // the source, but DataLoss with a Damage for a missing file and for one that is not the tree's.
  static absl::StatusOr<std::unique_ptr<VerifiedTiles>> Open(uint64_t size,
                                                             const merkle::Hash& root,
                                                             Options options);

  uint64_t size() const { return size_; }
  // How many bundles the tree has.
  uint64_t bundles() const { return (size_ + merkle::kTileWidth - 1) / merkle::kTileWidth; }

  // The hashes of a tile, as many as it has in this tree. OutOfRange when it has none.
  absl::StatusOr<std::shared_ptr<const Hashes>> Tile(int level, uint64_t index);

  // The bundle's entries, and their leaf hashes: those of tile (0, index).
  absl::StatusOr<std::shared_ptr<const VerifiedBundle>> Bundle(uint64_t index);

  // The root of the tree when it had `size` leaves, at most size().
  absl::StatusOr<merkle::Hash> RootAt(uint64_t size);

 private:
  using TilePtr = std::shared_ptr<const Hashes>;

  struct Level {
    base::Mutex mutex;  // held while a tile is read, so that it is read once
    // The last few full tiles, the latest first.
    std::vector<std::pair<uint64_t, TilePtr>> recent ABSL_GUARDED_BY(mutex);
  };

  VerifiedTiles(uint64_t size, const merkle::Hash& root, Options options)
      : size_(size), root_(root), options_(std::move(options)) {}

  absl::Status OpenEdge();
  absl::StatusOr<std::array<Hashes, 8>> ReadEdge(const TileSource* nearer,
                                                 std::vector<Resource>* from_source) const;
  absl::StatusOr<TilePtr> ReadFullTile(int level, uint64_t index);
  absl::StatusOr<std::shared_ptr<const VerifiedBundle>> ReadBundle(const TileSource& source,
                                                                   uint64_t index,
                                                                   const TilePtr& leaf_hashes);

  const uint64_t size_;
  const merkle::Hash root_;
  const Options options_;
  std::array<TilePtr, 8> edge_;  // the partial tile of each level; null where there is none
  std::array<Level, 8> levels_;
};

// The tile's hashes. DataLoss with a Damage unless the source has it in that length.
absl::StatusOr<Hashes> ReadTileHashes(const TileSource& source, const merkle::TileId& tile,
                                      Resource* resource);

// The leaf hashes of a bundle. DataLoss with a Damage (kMalformed) unless it holds `width` entries.
absl::StatusOr<Hashes> BundleLeafHashes(const Resource& bundle, uint32_t width,
                                        std::vector<absl::string_view>* entries);

// The root of the tree of `size` leaves by the hashes of its right edge's tiles, one a level (empty
// where the level has none), all of their widths in that tree.
merkle::Hash EdgeRoot(uint64_t size, const std::array<Hashes, 8>& edge);

// The right edge's tiles: one each level that has a partial one.
std::vector<merkle::TileId> EdgeTiles(uint64_t size);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_VERIFIED_TILES_H_
