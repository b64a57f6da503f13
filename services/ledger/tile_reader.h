// What a log answers from its full tiles, which never change and are cached, and from its edge.
#ifndef COUNTERSIGN_SERVICES_LEDGER_TILE_READER_H_
#define COUNTERSIGN_SERVICES_LEDGER_TILE_READER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "libs/cache/lru_cache.h"
#include "libs/merkle/hash.h"
#include "libs/merkle/node.h"
#include "libs/merkle/tile.h"
#include "services/ledger/edge.h"
#include "services/ledger/log_store.h"

namespace countersign::ledger {

// Hashes as the bytes that tlog-tiles serves.
absl::string_view HashesAsBytes(absl::Span<const merkle::Hash> hashes);

// The length of the first `count` entries of a bundle; InvalidArgument when it holds fewer.
absl::StatusOr<size_t> BundlePrefix(absl::string_view bundle, uint32_t count);

// Thread-safe.
class TileReader {
 public:
  // The 256 hashes of a full tile, 8,192 bytes; DataLoss when the store does not have them.
  using Load = std::function<absl::StatusOr<std::string>(int level, uint64_t index)>;

  TileReader(uint64_t cache_bytes, Load load);

  // As LogStore's, of the tree that `edge` ends.
  absl::StatusOr<std::vector<merkle::Hash>> ReadNodes(const Edge& edge,
                                                      absl::Span<const merkle::NodeId> nodes) const;
  absl::StatusOr<SharedBytes> ReadTile(const Edge& edge, const merkle::TileId& tile) const;

  // A full tile's 256 hashes and, behind them, its inner nodes row by row up to the top two.
  using ExpandedTile = std::shared_ptr<const std::vector<merkle::Hash>>;
  absl::StatusOr<ExpandedTile> FullTile(int level, uint64_t index) const;

 private:
  using TileKey = std::pair<int, uint64_t>;  // level, index

  const Load load_;
  mutable cache::LruCache<TileKey, ExpandedTile> tiles_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_TILE_READER_H_
