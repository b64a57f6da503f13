#include "services/ledger/edge.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace countersign::ledger {
namespace {

constexpr size_t kWidth = merkle::kTileWidth;

using CloseTile = absl::FunctionRef<absl::Status(const ClosedTile& tile)>;

// Adds to an incomplete tile without filling it, or fills it and returns its root.
merkle::Hash AppendToTile(merkle::CompactRange* tree, absl::Span<const merkle::Hash> leaf_hashes) {
  merkle::Hash root{};
  tree->AppendMany(leaf_hashes,
                   [&root](const merkle::NodeId& first, absl::Span<const merkle::Hash> hashes) {
                     if (first.level == merkle::kTileHeight) root = hashes.front();
                   });
  return root;
}

// Hands tile `index` of `level` out, and every one above that its root fills.
absl::Status Close(Edge* edge, int level, uint64_t index, absl::Span<const merkle::Hash> hashes,
                   merkle::Hash root, CloseTile close) {
  while (true) {
    RETURN_IF_ERROR(close({level, index, hashes, root}));
    edge->levels[static_cast<size_t>(level)].clear();
    ++level;
    if (static_cast<size_t>(level) == edge->levels.size()) edge->levels.emplace_back();
    std::vector<merkle::Hash>& above = edge->levels[static_cast<size_t>(level)];
    above.push_back(root);
    if (above.size() < kWidth) return absl::OkStatus();
    index /= kWidth;
    hashes = above;
    root = merkle::SubtreeRoot(hashes);
  }
}

}  // namespace

absl::Status AppendLeaves(Edge* edge, absl::Span<const merkle::Hash> leaf_hashes, CloseTile close) {
  if (edge->levels.empty() && !leaf_hashes.empty()) edge->levels.emplace_back();
  while (!leaf_hashes.empty()) {
    std::vector<merkle::Hash>& tile = edge->levels[0];
    const uint64_t index = edge->size() / kWidth;
    const absl::Span<const merkle::Hash> added = leaf_hashes.subspan(0, kWidth - tile.size());
    leaf_hashes.remove_prefix(added.size());
    if (added.size() == kWidth) {
      // A whole tile, hashed as one.
      const merkle::Hash root = merkle::SubtreeRoot(added);
      if (!edge->tree.AppendSubtree(merkle::kTileHeight, root)) {
        return absl::InternalError("the log's edge is not where its tiles end");
      }
      RETURN_IF_ERROR(Close(edge, 0, index, added, root, close));
      continue;
    }
    const merkle::Hash root = AppendToTile(&edge->tree, added);
    tile.insert(tile.end(), added.begin(), added.end());
    if (tile.size() == kWidth) RETURN_IF_ERROR(Close(edge, 0, index, tile, root, close));
  }
  return absl::OkStatus();
}

absl::StatusOr<Edge> RebuildEdge(
    uint64_t size,
    absl::FunctionRef<absl::StatusOr<std::vector<merkle::Hash>>(int, uint64_t, uint64_t)> read) {
  Edge edge;
  for (int level = 0; (size >> (merkle::kTileHeight * level)) != 0; ++level) {
    // The incomplete tile at level k + 1 holds the roots of the last full tiles at level k.
    const uint64_t end = size >> (merkle::kTileHeight * level);
    const uint64_t begin = end / kWidth * kWidth;
    std::vector<merkle::Hash>& hashes = edge.levels.emplace_back();
    if (begin != end) {
      ASSIGN_OR_RETURN(hashes, read(level, begin, end));
    }
    if (hashes.size() != end - begin) {
      return absl::InternalError(absl::StrCat("asked for hashes ", begin, " to ", end, " of level ",
                                              level, ", got ", hashes.size()));
    }
  }
  edge.tree = TreeOfFullTiles(edge);
  for (const merkle::Hash& leaf_hash : edge.Level(0)) edge.tree.Append(leaf_hash);
  return edge;
}

merkle::CompactRange TreeOfFullTiles(const Edge& edge) {
  merkle::CompactRange tree;
  for (int level = static_cast<int>(edge.levels.size()) - 1; level > 0; --level) {
    for (const merkle::Hash& root : edge.Level(level)) {
      // From the largest subtrees down, so each stands at a multiple of its size.
      if (!tree.AppendSubtree(merkle::kTileHeight * level, root)) return {};
    }
  }
  return tree;
}

}  // namespace countersign::ledger
