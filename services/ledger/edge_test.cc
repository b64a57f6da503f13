#include "services/ledger/edge.h"

#include <map>
#include <random>
#include <utility>

#include "catch2/catch.hpp"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/matchers.h"

namespace countersign::ledger {
namespace {

using merkle::Entries;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

std::vector<merkle::Hash> LeafHashes(const Entries& entries) {
  std::vector<merkle::Hash> hashes;
  for (const std::string& entry : entries) hashes.push_back(merkle::LeafHash(entry));
  return hashes;
}

TEST_CASE("An edge grown in any steps closes the tiles of tlog-tiles and can be rebuilt") {
  const uint32_t seed = GENERATE(1u, 2u, 3u, 4u);
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const Entries log = merkle::NumberedEntries(66'000);
  const std::vector<merkle::Hash> leaves = LeafHashes(log);

  Edge edge;
  std::map<std::pair<int, uint64_t>, merkle::Hash> roots;  // of closed tiles
  const auto close = [&](const ClosedTile& tile) -> absl::Status {
    REQUIRE(tile.hashes.size() == 256);
    for (uint64_t i = 0; i < 256; ++i) {
      const uint64_t child = tile.index * 256 + i;
      REQUIRE(tile.hashes[i] ==
              (tile.level == 0 ? leaves[child] : roots.at({tile.level - 1, child})));
    }
    REQUIRE(roots.emplace(std::pair(tile.level, tile.index), tile.root).second);
    return absl::OkStatus();
  };
  const auto read = [&](int level, uint64_t begin,
                        uint64_t end) -> absl::StatusOr<std::vector<merkle::Hash>> {
    std::vector<merkle::Hash> hashes;
    for (uint64_t i = begin; i < end; ++i) {
      hashes.push_back(level == 0 ? leaves[i] : roots.at({level - 1, i}));
    }
    return hashes;
  };
  // Steps within a tile, to its end, over several, and whole tiles alone.
  while (edge.size() < leaves.size()) {
    size_t step = 1 + random() % (seed == 1 ? 300 : 20'000);
    if (random() % 3 == 0) step = 256 - edge.size() % 256;
    if (random() % 3 == 0) step = 256 * (1 + random() % 40);
    const auto added = absl::MakeConstSpan(leaves).subspan(edge.size(), step);
    RequireOk(AppendLeaves(&edge, added, close));
    const Edge rebuilt = RequireOk(RebuildEdge(edge.size(), read));
    REQUIRE(rebuilt.levels == edge.levels);
    REQUIRE(rebuilt.size() == edge.size());
    REQUIRE(rebuilt.tree.nodes() == edge.tree.nodes());
  }
  CHECK(edge.tree.Root() == merkle::ReferenceRoot(log));
  CHECK(roots.size() == 257 + 1);
  CHECK(roots.at({1, 0}) == merkle::ReferenceRoot(merkle::Slice(log, 0, 65'536)));
}

TEST_CASE("What cannot be read or written is the failure of the edge") {
  const std::vector<merkle::Hash> leaves = LeafHashes(merkle::NumberedEntries(300));
  Edge edge;
  CHECK_THAT(
      AppendLeaves(&edge, leaves, [](const ClosedTile&) { return absl::DataLossError("full"); }),
      StatusIs(absl::StatusCode::kDataLoss, "full"));
  const auto fail = [](int, uint64_t, uint64_t) -> absl::StatusOr<std::vector<merkle::Hash>> {
    return absl::NotFoundError("no tile");
  };
  CHECK_THAT(RebuildEdge(300, fail), StatusIs(absl::StatusCode::kNotFound, "no tile"));
  CHECK_THAT(RebuildEdge(0, fail), IsOk());
  const auto too_few = [](int, uint64_t, uint64_t) -> absl::StatusOr<std::vector<merkle::Hash>> {
    return std::vector<merkle::Hash>(3);
  };
  CHECK_THAT(RebuildEdge(300, too_few), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace countersign::ledger
