#include "libs/tlog/check.h"

#include <algorithm>
#include <array>
#include <string>
#include <thread>
#include <utility>

#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/merkle/tile.h"
#include "libs/tlog/ordered_parallel.h"
#include "libs/tlog/verified_tiles.h"

namespace countersign::tlog {
namespace {

using merkle::Hash;
using merkle::kTileWidth;
using merkle::TileId;

constexpr size_t kWindowPerThread = 4;

// What hash `position` of a tile should be by what lies below it: the entry there, or the tile.
// nullopt when that cannot be read.
std::optional<Hash> FromBelow(const TileSource& source, const TileId& tile, uint32_t position) {
  const uint64_t below = tile.index * kTileWidth + position;
  Resource resource;
  const absl::StatusOr<Hashes> hashes = ReadTileHashes(source, {tile.level - 1, below}, &resource);
  if (!hashes.ok()) return std::nullopt;
  return merkle::SubtreeRoot(*hashes);
}

// The hashes of `tile` as what lies below makes them; where that cannot be read, as in `hashes`.
Hashes AllFromBelow(const TileSource& source, const TileId& tile, const Hashes& hashes) {
  Hashes derived = hashes;
  if (tile.level == 0) {
    const absl::StatusOr<Resource> bundle = source.ReadEntryBundle(tile.index, tile.width);
    if (!bundle.ok()) return derived;
    std::vector<absl::string_view> entries;
    absl::StatusOr<Hashes> leaves = BundleLeafHashes(*bundle, tile.width, &entries);
    return leaves.ok() ? *std::move(leaves) : derived;
  }
  for (uint32_t i = 0; i < tile.width; ++i) {
    derived[i] = FromBelow(source, tile, i).value_or(hashes[i]);
  }
  return derived;
}

// The first hash of `tile` that is not what lies below it.
std::optional<Damage> FirstDifference(const std::string& path, const Hashes& hashes,
                                      const Hashes& derived) {
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (hashes[i] == derived[i]) continue;
    return Damage{DamageKind::kWrongHash,        path, i, merkle::EncodeHash(derived[i]),
                  merkle::EncodeHash(hashes[i]), ""};
  }
  return std::nullopt;
}

// Which hash of a full tile that does not fit the one above it is wrong.
Damage LocateInTile(const TileSource& source, Damage damage) {
  const auto resource = merkle::ParseTilePath(damage.path);
  if (damage.kind != DamageKind::kWrongHash || damage.position.has_value() || !resource.ok() ||
      resource->entries) {
    return damage;
  }
  Resource read;
  const absl::StatusOr<Hashes> hashes = ReadTileHashes(source, resource->tile, &read);
  if (!hashes.ok()) return damage;
  return FirstDifference(damage.path, *hashes, AllFromBelow(source, resource->tile, *hashes))
      .value_or(damage);
}

// Which tile of the right edge is to blame when they do not fold to the root together: the one that
// does not have what lies below it.
Damage LocateInEdge(const TileSource& source, uint64_t size, const Hash& root, Damage damage) {
  std::array<Hashes, 8> derived_edge;
  std::optional<Damage> first;
  for (const TileId& tile : EdgeTiles(size)) {
    Resource resource;
    const absl::StatusOr<Hashes> hashes = ReadTileHashes(source, tile, &resource);
    if (!hashes.ok()) return damage;
    Hashes& derived = derived_edge[static_cast<size_t>(tile.level)];
    derived = AllFromBelow(source, tile, *hashes);
    const std::optional<Damage> difference = FirstDifference(resource.path, *hashes, derived);
    if (difference.has_value() && !first.has_value()) first = difference;
  }
  // With the derived hashes it must be the signed tree; otherwise what lies below is no better.
  if (first.has_value() && EdgeRoot(size, derived_edge) != root) {
    first->detail = "what lies below it does not lead to the checkpoint's root either";
  }
  return first.value_or(damage);
}

absl::Status CheckTree(const TileSource& source, const note::Checkpoint& checkpoint,
                       const CheckOptions& options) {
  ASSIGN_OR_RETURN(const auto tiles,
                   VerifiedTiles::Open(checkpoint.size, checkpoint.root, {.source = &source}));
  const int threads = options.threads > 0
                          ? options.threads
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  base::ThreadPool pool(threads);
  // What is read is not kept: the window holds results, not entries.
  return OrderedParallel<uint32_t>(
      &pool, 0, tiles->bundles(), kWindowPerThread * static_cast<size_t>(threads),
      [&](uint64_t index) -> absl::StatusOr<uint32_t> {
        ASSIGN_OR_RETURN(const auto bundle, tiles->Bundle(index));
        return static_cast<uint32_t>(bundle->entries.size());
      },
      [&](uint64_t index, uint32_t entries) {
        if (options.progress) options.progress(index * kTileWidth + entries, checkpoint.size);
        return absl::OkStatus();
      });
}

}  // namespace

absl::StatusOr<CheckReport> Check(const TileSource& source, const CheckOptions& options) {
  CheckReport report;
  const absl::StatusOr<std::string> note = source.ReadCheckpoint();
  if (absl::IsNotFound(note.status())) {
    report.damage = {
        DamageKind::kMissing, "checkpoint", {}, "", "", std::string(note.status().message())};
    return report;
  }
  absl::Status status = note.status();
  if (status.ok()) {
    absl::StatusOr<SignedCheckpoint> checkpoint = options.trust.Open(*note);
    status = checkpoint.status();
    if (checkpoint.ok()) {
      report.checkpoint = *std::move(checkpoint);
      status = CheckTree(source, report.checkpoint->checkpoint, options);
    }
  }
  if (status.ok()) return report;
  report.damage = DamageOf(status);
  if (!report.damage.has_value()) return status;
  if (report.damage->kind == DamageKind::kRoot) {
    report.damage = LocateInEdge(source, report.checkpoint->checkpoint.size,
                                 report.checkpoint->checkpoint.root, *report.damage);
  } else {
    report.damage = LocateInTile(source, *std::move(report.damage));
  }
  return report;
}

}  // namespace countersign::tlog
