#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/merkle/tile.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace merkle = countersign::merkle;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto parsed = merkle::ParseTilePath(input);
  if (!parsed.ok()) return 0;
  const merkle::TileId& tile = parsed->tile;
  Holds((parsed->entries ? merkle::EntriesPath(tile.index, tile.width) : merkle::TilePath(tile)) ==
            input,
        "a tile has one path");
  Holds(tile.width >= 1 && tile.width <= merkle::kTileWidth, "a tile holds 1 to 256 hashes");
  Holds(tile.level >= 0 && tile.level <= merkle::kMaxTileLevel, "a tile is on level 0 to 63");
  return 0;
}
