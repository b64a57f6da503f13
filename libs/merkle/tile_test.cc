#include "libs/merkle/tile.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/merkle/compact_range.h"
#include "libs/merkle/proof.h"
#include "libs/merkle/proof_builder.h"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/matchers.h"

namespace countersign::merkle {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

TEST_CASE("tile paths are grouped by thousands and read back") {
  const std::vector<std::pair<TileId, std::string>> paths = {
      {{0, 0, 256}, "tile/0/000"},
      {{0, 999, 256}, "tile/0/999"},
      {{0, 1000, 256}, "tile/0/x001/000"},
      {{1, 1234067, 256}, "tile/1/x001/x234/067"},
      {{0, 273, 112}, "tile/0/273.p/112"},
      {{2, 0, 1}, "tile/2/000.p/1"},
      {{63, 5, 255}, "tile/63/005.p/255"},
      {{0, UINT64_MAX, 256}, "tile/0/x018/x446/x744/x073/x709/x551/615"},
  };
  for (const auto& [tile, path] : paths) {
    CHECK(TilePath(tile) == path);
    const TileResource resource = RequireOk(ParseTilePath(path));
    CHECK(resource.tile == tile);
    CHECK_FALSE(resource.entries);
  }
  CHECK(EntriesPath(1234067) == "tile/entries/x001/x234/067");
  CHECK(EntriesPath(0, 7) == "tile/entries/000.p/7");
  const TileResource bundle = RequireOk(ParseTilePath("tile/entries/x001/000.p/9"));
  CHECK(bundle.entries);
  CHECK(bundle.tile == TileId{0, 1000, 9});
}

TEST_CASE("a text that is no tile's path is refused") {
  for (const char* path : {"",
                           "tile",
                           "tile/",
                           "tile/0",
                           "tile/0/",
                           "/tile/0/000",
                           "tile/0/000/",
                           "tile//000",
                           "tile/00/000",
                           "tile/01/000",
                           "tile/64/000",
                           "tile/-1/000",
                           "tile/+1/000",
                           "tile/4294967296/000",
                           "tile/0/0",
                           "tile/0/00",
                           "tile/0/0000",
                           "tile/0/x000/000",
                           "tile/0/x001",
                           "tile/0/x001/",
                           "tile/0/001/000",
                           "tile/0/x001/x000",
                           "tile/0/x1/000",
                           "tile/0/X001/000",
                           "tile/0/00a",
                           "tile/0/000.p",
                           "tile/0/000.p/",
                           "tile/0/000.p/0",
                           "tile/0/000.p/00",
                           "tile/0/000.p/01",
                           "tile/0/000.p/256",
                           "tile/0/000.p/1/",
                           "tile/0/000.p/-1",
                           "tile/0/000.p/1.p/1",
                           "tile/0/000.P/1",
                           "tile/0/000?x",
                           "tile/0/ 000",
                           "tile/entries",
                           "tile/entries/",
                           "tile/entries000",
                           "tile/data/000",
                           "tile/0/x018/x446/x744/x073/x709/x551/616",
                           "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
                           "checkpoint"}) {
    CAPTURE(path);
    CHECK_THAT(ParseTilePath(path), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  CHECK_THAT(ParseTilePath(absl::string_view("tile/0/000\0", 11)),
             StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("a tree of 70,000 leaves has the tiles that tlog-tiles gives as its example") {
  CHECK(TileWidthAt(0, 272, 70'000) == 256);
  CHECK(TileWidthAt(0, 273, 70'000) == 112);
  CHECK(TileWidthAt(0, 274, 70'000) == 0);
  CHECK(TileWidthAt(1, 0, 70'000) == 256);
  CHECK(TileWidthAt(1, 1, 70'000) == 17);
  CHECK(TileWidthAt(2, 0, 70'000) == 1);
  CHECK(TileWidthAt(2, 1, 70'000) == 0);
  CHECK(TileWidthAt(3, 0, 70'000) == 0);
  CHECK(TileWidthAt(63, 0, UINT64_MAX) == 0);
  CHECK(TileWidthAt(7, 0, UINT64_MAX) == 255);
}

TEST_CASE("a log writes each tile that has grown") {
  CHECK(NewTiles(0, 0).empty());
  CHECK(NewTiles(256, 256).empty());
  CHECK(NewTiles(0, 256) == std::vector<TileId>{{0, 0, 256}, {1, 0, 1}});
  CHECK(NewTiles(255, 257) == std::vector<TileId>{{0, 0, 256}, {0, 1, 1}, {1, 0, 1}});
  CHECK(NewTiles(257, 258) == std::vector<TileId>{{0, 1, 2}});
  const std::vector<TileId> all = NewTiles(0, 70'000);
  CHECK(all.size() == 273 + 1 + 1 + 1 + 1);
  CHECK(all.back() == TileId{2, 0, 1});
}

TEST_CASE("entry bundles hold any bytes and read back") {
  const std::vector<std::string> entries = {"", "a", std::string(65535, 'z'),
                                            std::string("\0\xff\n", 3)};
  std::string bundle;
  for (const std::string& entry : entries) REQUIRE_THAT(AppendToBundle(entry, &bundle), IsOk());
  CHECK(base::HexEncode(bundle.substr(0, 5)) == "0000000161");
  const auto parsed = RequireOk(ParseBundle(bundle, 4));
  REQUIRE(parsed.size() == entries.size());
  for (size_t i = 0; i < entries.size(); ++i) CHECK(parsed[i] == absl::string_view(entries[i]));
  CHECK_THAT(ParseBundle(bundle, 3), StatusIs(absl::StatusCode::kInvalidArgument, "more than 3"));
  CHECK_THAT(ParseBundle(bundle, 5), StatusIs(absl::StatusCode::kInvalidArgument, "not 5"));
  for (size_t cut : {1, 2, 4}) {
    CHECK_THAT(ParseBundle(bundle.substr(0, bundle.size() - cut), 4),
               StatusIs(absl::StatusCode::kInvalidArgument, "cut short"));
  }
  const std::string before = bundle;
  CHECK_THAT(AppendToBundle(std::string(65536, 'z'), &bundle),
             StatusIs(absl::StatusCode::kInvalidArgument, "65535"));
  CHECK(bundle == before);
}

// A store of tiles as a log would write it, batch by batch.
class TileStore {
 public:
  void Grow(uint64_t new_size) {
    const uint64_t old_size = range_.size();
    while (range_.size() < new_size) {
      range_.Append(LeafHash(std::to_string(range_.size())),
                    [this](const NodeId& node, const Hash& hash) {
                      if (node.level % kTileHeight == 0) {
                        rows_[node.level / kTileHeight] += std::string(base::AsBytes(hash));
                      }
                    });
    }
    for (const TileId& tile : NewTiles(old_size, new_size)) {
      const std::string& row = rows_[tile.level];
      tiles_[TilePath(tile)] =
          row.substr(tile.index * kTileWidth * kHashSize, tile.width * kHashSize);
    }
  }

  NodeReader Reader(uint64_t size) const {
    return [this, size](absl::Span<const NodeId> nodes) -> absl::StatusOr<std::vector<Hash>> {
      std::vector<Hash> hashes;
      for (const NodeId& node : nodes) {
        const TileSlice slice = RequireOk(FindNode(node, size));
        const auto tile = tiles_.find(TilePath(slice.tile));
        INFO(TilePath(slice.tile));
        REQUIRE(tile != tiles_.end());
        REQUIRE(tile->second.size() == slice.tile.width * kHashSize);
        hashes.push_back(RequireOk(NodeFromTile(slice, tile->second)));
      }
      return hashes;
    };
  }

  Hash root() const { return range_.Root(); }

 private:
  CompactRange range_;
  std::map<int, std::string> rows_;
  std::map<std::string, std::string> tiles_;
};

TEST_CASE("roots and proofs made from tiles alone hold at each size a log stopped at") {
  TileStore store;
  uint64_t previous = 0;
  Hash previous_root = EmptyRoot();
  for (uint64_t size : {1, 2, 7, 255, 256, 257, 511, 600, 65'535, 65'536, 65'793, 70'000}) {
    CAPTURE(size);
    store.Grow(size);
    const NodeReader reader = store.Reader(size);
    REQUIRE(RequireOk(BuildRoot(size, reader)) == store.root());
    for (uint64_t index : {uint64_t{0}, size / 3, size / 2, size - 1}) {
      const auto proof = RequireOk(BuildInclusionProof(index, size, reader));
      CHECK_THAT(VerifyInclusion(index, size, LeafHash(std::to_string(index)), proof, store.root()),
                 IsOk());
    }
    const auto proof = RequireOk(BuildConsistencyProof(previous, size, reader));
    CHECK_THAT(VerifyConsistency(previous, size, proof, previous_root, store.root()), IsOk());
    previous = size;
    previous_root = store.root();
  }
}

TEST_CASE("the known root of 257 leaves comes out of its tiles") {
  TileStore store;
  store.Grow(257);
  CHECK(EncodeHash(RequireOk(BuildRoot(257, store.Reader(257)))) ==
        "HtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ=");
}

TEST_CASE("an expanded tile has each of its inner nodes where its row and place say") {
  std::vector<Hash> hashes;
  for (uint32_t i = 0; i < kTileWidth; ++i) hashes.push_back(LeafHash(std::to_string(i)));
  const std::vector<Hash> nodes = ExpandTile(hashes);
  REQUIRE(nodes.size() == 2 * kTileWidth - 2);
  size_t at = 0;
  for (uint32_t span = 1; span < kTileWidth; span *= 2) {
    for (uint32_t begin = 0; begin < kTileWidth; begin += span, ++at) {
      CAPTURE(span, begin);
      REQUIRE(nodes[at] == SubtreeRoot(absl::MakeConstSpan(hashes).subspan(begin, span)));
    }
  }
  CHECK(EncodeHash(NodeHash(nodes.end()[-2], nodes.end()[-1])) ==
        "goUV0DPBnYyQHzfsy4rtkZZncDSG+NL/8c9wQDIcXbE=");
}

TEST_CASE("nodes that are not complete are in no tile") {
  CHECK_THAT(FindNode({0, 5}, 5), StatusIs(absl::StatusCode::kOutOfRange));
  CHECK_THAT(FindNode({1, 2}, 5), StatusIs(absl::StatusCode::kOutOfRange));
  CHECK_THAT(FindNode({64, 0}, UINT64_MAX), StatusIs(absl::StatusCode::kOutOfRange));
  CHECK_THAT(FindNode({-1, 0}, 5), StatusIs(absl::StatusCode::kOutOfRange));
  const TileSlice slice = RequireOk(FindNode({1, 1}, 5));
  CHECK(slice.tile == TileId{0, 0, 5});
  CHECK(slice.begin == 2);
  CHECK(slice.count == 2);
}

TEST_CASE("a tile that is too short or torn yields no node") {
  const TileSlice slice = RequireOk(FindNode({2, 0}, 5));
  CHECK_THAT(NodeFromTile(slice, std::string(4 * 32, 'h')), IsOk());
  CHECK_THAT(NodeFromTile(slice, std::string(3 * 32, 'h')),
             StatusIs(absl::StatusCode::kInvalidArgument, "too few"));
  CHECK_THAT(NodeFromTile(slice, std::string(5 * 32 - 1, 'h')),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(NodeFromTile(slice, ""), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::merkle
