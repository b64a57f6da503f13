#include "services/ledger/file_log_store.h"

#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/merkle/proof.h"
#include "libs/merkle/proof_builder.h"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::ledger {
namespace {

const absl::Time kTime = absl::FromUnixSeconds(1700000000);

using absl::StatusCode;
using merkle::Entries;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;
using testing::TempDir;

FileLogStore::Options OptionsFor(const std::string& directory) {
  FileLogStore::Options options;
  options.directory = directory;
  return options;
}

// Settles at every few kilobytes, in segments of a few records.
FileLogStore::Options RestlessOptionsFor(const std::string& directory) {
  FileLogStore::Options options = OptionsFor(directory);
  options.settle_bytes = 4096;
  options.journal_segment_bytes = 2048;
  return options;
}

absl::StatusOr<std::vector<LogStore::Placement>> Sequence(FileLogStore* store,
                                                          const Entries& entries) {
  std::vector<LogStore::NewEntry> batch;
  for (const std::string& entry : entries) batch.push_back({merkle::LeafHash(entry), entry});
  return store->Sequence(batch);
}

TreeHead Grow(FileLogStore* store, const Entries& entries) {
  RequireOk(Sequence(store, entries));
  return RequireOk(store->Integrate());
}

merkle::NodeReader ReaderOf(const FileLogStore& store) {
  return [&store](absl::Span<const merkle::NodeId> nodes) { return store.ReadNodes(nodes); };
}

std::string Framed(const Entries& entries) {
  std::string bundle;
  for (const std::string& entry : entries) {
    base::AppendU16(&bundle, static_cast<uint16_t>(entry.size()));
    bundle += entry;
  }
  return bundle;
}

// The bytes of a tile as tlog-tiles defines them: hash i is
// MTH(D[(index * 256 + i) * 256^level : (index * 256 + i + 1) * 256^level]).
std::string SpecTile(const Entries& log, int level, uint64_t index, uint32_t width) {
  std::string tile;
  const size_t span = size_t{1} << (8 * level);
  for (uint64_t i = index * 256; i < index * 256 + width; ++i) {
    absl::StrAppend(
        &tile, base::AsBytes(merkle::ReferenceRoot(merkle::Slice(log, i * span, (i + 1) * span))));
  }
  return tile;
}

uint64_t SettledSize(const std::string& directory) {
  const auto state = base::ReadFile(directory + "/state");
  return state.ok() ? std::stoull(state->substr(state->find('\n') + 1)) : 0;
}

size_t JournalSegments(const std::string& directory) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& file :
       std::filesystem::directory_iterator(directory + "/journal")) {
    ++count;
  }
  return count;
}

// Every tile and bundle of the tree, in every width, and on disk those of `published`.
void CheckTiles(const FileLogStore& store, const std::string& directory, const Entries& log,
                uint64_t published) {
  const auto on_disk = [&](const std::string& path) {
    return base::ReadFile(directory + "/public/" + path).value_or("not there");
  };
  for (int level = 0; (log.size() >> (8 * level)) != 0; ++level) {
    const uint64_t count = log.size() >> (8 * level);
    for (uint64_t index = 0; index * 256 < count; ++index) {
      const auto width = static_cast<uint32_t>(std::min<uint64_t>(256, count - index * 256));
      const std::string tile = SpecTile(log, level, index, width);
      for (uint32_t w = 1; w <= width; ++w) {
        const auto read = store.ReadTile({level, index, w});
        if (!read.ok() || **read != tile.substr(0, 32 * w)) {
          FAIL(merkle::TilePath({level, index, w}) << ": " << read.status());
        }
      }
      if (width == 256) REQUIRE(on_disk(merkle::TilePath({level, index})) == tile);
      const auto then = static_cast<uint32_t>((published >> (8 * level)) % 256);
      if (then != 0 && (published >> (8 * level)) / 256 == index && width != 256) {
        REQUIRE(on_disk(merkle::TilePath({level, index, then})) == tile.substr(0, 32 * then));
      }
    }
    CHECK_THAT(store.ReadTile({level, count / 256, static_cast<uint32_t>(count % 256) + 1}),
               StatusIs(StatusCode::kNotFound));
  }
  for (uint64_t index = 0; index * 256 < log.size(); ++index) {
    const size_t end = std::min<size_t>(log.size(), (index + 1) * 256);
    const auto width = static_cast<uint32_t>(end - index * 256);
    for (uint32_t w = 1; w <= width; ++w) {
      const auto bundle = store.ReadEntryBundle(index, w);
      if (!bundle.ok() || **bundle != Framed(merkle::Slice(log, index * 256, index * 256 + w))) {
        FAIL(merkle::EntriesPath(index, w) << ": " << bundle.status());
      }
    }
    if (width == 256) {
      REQUIRE(on_disk(merkle::EntriesPath(index)) == Framed(merkle::Slice(log, index * 256, end)));
    } else if (published % 256 != 0 && published / 256 == index) {
      REQUIRE(on_disk(merkle::EntriesPath(index, published % 256)) ==
              Framed(merkle::Slice(log, index * 256, published)));
    }
  }
  CHECK_THAT(store.ReadEntryBundle(log.size() / 256, log.size() % 256 + 1),
             StatusIs(StatusCode::kNotFound));
}

TEST_CASE("The log agrees with a naive tree through random batches, duplicates and restarts") {
  const uint32_t seed = GENERATE(1u, 2u, 3u);
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&](uint32_t end) { return random() % end; };

  TempDir dir;
  FileLogStore::Options options = RestlessOptionsFor(dir.path());
  if (seed % 2 == 0) options.tile_cache_bytes = 0;
  auto store = RequireOk(FileLogStore::Open(options));
  Entries log;                             // in order of their index
  std::map<std::string, uint64_t> places;  // the same by entry
  size_t integrated = 0;
  std::string checkpoint;
  uint64_t published = 0;
  uint64_t settled = 0;

  for (int step = 0; step < 45; ++step) {
    Entries batch;
    for (uint32_t i = below(120); i > 0; --i) {
      const uint32_t kind = below(10);
      if (kind == 0 && !log.empty()) {
        batch.push_back(log[below(static_cast<uint32_t>(log.size()))]);
      } else if (kind == 1 && !batch.empty()) {
        batch.push_back(batch[below(static_cast<uint32_t>(batch.size()))]);
      } else {
        batch.push_back(absl::StrCat("entry ", random(), std::string(below(60), '.')));
      }
    }
    const auto placements = RequireOk(Sequence(store.get(), batch));
    REQUIRE(placements.size() == batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      const auto [place, is_new] = places.emplace(batch[i], log.size());
      if (is_new) log.push_back(batch[i]);
      REQUIRE(placements[i].index == place->second);
      REQUIRE(placements[i].duplicate == !is_new);
      REQUIRE(RequireOk(store->Find(merkle::LeafHash(batch[i]))) == place->second);
    }
    REQUIRE(RequireOk(store->Find(merkle::LeafHash("never appended"))) == std::nullopt);

    if (below(3) != 0) {
      const TreeHead head = RequireOk(store->Integrate());
      integrated = log.size();
      REQUIRE(head.size == integrated);
      REQUIRE(head.root == merkle::ReferenceRoot(log));
      if (below(2) == 0) {
        checkpoint = absl::StrCat("checkpoint of ", head.size, " at ", step);
        RequireOk(store->Publish(head, checkpoint, kTime));
        published = head.size;
      }
    }
    if (below(6) == 0) {
      store.reset();
      REQUIRE(SettledSize(dir.path()) >= settled);
      settled = SettledSize(dir.path());
      store = RequireOk(FileLogStore::Open(options));
      integrated = log.size();  // opening integrates
    }
    REQUIRE(*store->PublishedCheckpoint() == checkpoint);

    for (int i = 0; i < 4 && integrated > 0; ++i) {
      const uint64_t size = 1 + below(static_cast<uint32_t>(integrated));
      const uint64_t index = below(static_cast<uint32_t>(size));
      const auto inclusion = RequireOk(merkle::BuildInclusionProof(index, size, ReaderOf(*store)));
      const Entries then = merkle::Slice(log, 0, size);
      REQUIRE(inclusion == merkle::ReferencePath(index, then));
      const auto consistency =
          RequireOk(merkle::BuildConsistencyProof(size, integrated, ReaderOf(*store)));
      REQUIRE_THAT(
          merkle::VerifyConsistency(size, integrated, consistency, merkle::ReferenceRoot(then),
                                    merkle::ReferenceRoot(merkle::Slice(log, 0, integrated))),
          IsOk());
    }
  }
  REQUIRE(log.size() > 1200);
  const TreeHead head = RequireOk(store->Integrate());
  CheckTiles(*store, dir.path(), log, published);
  RequireOk(store->Publish(head, "last", kTime));
  CheckTiles(*store, dir.path(), log, log.size());
  // Many times settle_bytes were integrated.
  CHECK(Eventually([&] { return SettledSize(dir.path()) > 0; }));
  // Replay from the mark writes the same tiles again.
  store.reset();
  store = RequireOk(FileLogStore::Open(options));
  CHECK(RequireOk(store->Integrate()) == head);
  CheckTiles(*store, dir.path(), log, log.size());
}

TEST_CASE("At 70,000 entries the folder has the tiles that tlog-tiles names") {
  TempDir dir;
  FileLogStore::Options options = OptionsFor(dir.path());
  options.settle_bytes = 40'000;  // a batch is longer
  auto store = RequireOk(FileLogStore::Open(options));
  const Entries log = merkle::NumberedEntries(70'000);
  TreeHead head;
  for (size_t begin = 0; begin < log.size(); begin += 7000) {
    head = Grow(store.get(), merkle::Slice(log, begin, begin + 7000));
  }
  RequireOk(store->Publish(head, "checkpoint", kTime));
  CHECK(head.root == merkle::ReferenceRoot(log));

  std::set<std::string> files;
  const std::string base = dir.path() + "/public/";
  for (const auto& file : std::filesystem::recursive_directory_iterator(base)) {
    if (file.is_regular_file()) files.insert(file.path().string().substr(base.size()));
  }
  std::set<std::string> expected = {"checkpoint",     "tile/0/273.p/112",
                                    "tile/1/000",     "tile/1/001.p/17",
                                    "tile/2/000.p/1", "tile/entries/273.p/112"};
  for (uint64_t i = 0; i < 273; ++i) {
    expected.insert(merkle::TilePath({0, i}));
    expected.insert(merkle::EntriesPath(i));
  }
  CHECK(files == expected);
  const auto read = [&](const std::string& path) { return RequireOk(base::ReadFile(base + path)); };
  CHECK(read("tile/0/272") == SpecTile(log, 0, 272, 256));
  CHECK(read("tile/0/273.p/112") == SpecTile(log, 0, 273, 112));
  CHECK(read("tile/1/000") == SpecTile(log, 1, 0, 256));
  CHECK(read("tile/1/001.p/17") == SpecTile(log, 1, 1, 17));
  CHECK(read("tile/2/000.p/1") == SpecTile(log, 2, 0, 1));

  // Opened from its settled mark, the tree is the same one.
  CHECK(Eventually([&] { return SettledSize(dir.path()) > 65'536; }));
  store.reset();
  store = RequireOk(FileLogStore::Open(options));
  CHECK(RequireOk(store->Integrate()) == head);
  for (const uint64_t index : {0, 255, 256, 65'535, 65'536, 69'887, 69'999}) {
    const auto proof = RequireOk(merkle::BuildInclusionProof(index, head.size, ReaderOf(*store)));
    CHECK_THAT(
        merkle::VerifyInclusion(index, head.size, merkle::LeafHash(log[index]), proof, head.root),
        IsOk());
  }
}

TEST_CASE("Partial tiles go when the full one is there") {
  TempDir dir;
  auto store = RequireOk(FileLogStore::Open(OptionsFor(dir.path())));
  const Entries log = merkle::NumberedEntries(256);
  RequireOk(store->Publish(Grow(store.get(), merkle::Slice(log, 0, 100)), "a", kTime));
  const std::string partial = dir.path() + "/public/tile/0/000.p/100";
  const std::string entries = dir.path() + "/public/tile/entries/000.p/100";
  CHECK(base::FileExists(partial));
  CHECK(base::FileExists(entries));
  Grow(store.get(), merkle::Slice(log, 100, 256));
  CHECK_FALSE(base::FileExists(partial));
  CHECK_FALSE(base::FileExists(entries));
  CHECK(base::FileExists(dir.path() + "/public/tile/0/000"));
}

TEST_CASE("A checkpoint older than the tree can still be published") {
  TempDir dir;
  auto store = RequireOk(FileLogStore::Open(OptionsFor(dir.path())));
  const Entries log = merkle::NumberedEntries(600);
  const TreeHead early = Grow(store.get(), merkle::Slice(log, 0, 300));
  Grow(store.get(), merkle::Slice(log, 300, 310));
  RequireOk(store->Publish(early, "early", kTime));
  CHECK(RequireOk(base::ReadFile(dir.path() + "/public/tile/0/001.p/44")) ==
        SpecTile(log, 0, 1, 44));
  // Its last tile has filled since: readers are to ask for the full one.
  Grow(store.get(), merkle::Slice(log, 310, 600));
  RequireOk(store->Publish(early, "early again", kTime));
  CHECK_FALSE(base::FileExists(dir.path() + "/public/tile/0/001.p/44"));
  CHECK(*store->PublishedCheckpoint() == "early again");
}

TEST_CASE("Settling moves the mark to full tiles and drops the journal below it") {
  TempDir dir;
  FileLogStore::Options options = RestlessOptionsFor(dir.path());
  auto store = RequireOk(FileLogStore::Open(options));
  const Entries log = merkle::NumberedEntries(1000);
  for (size_t i = 0; i < log.size(); i += 20) {
    RequireOk(Sequence(store.get(), merkle::Slice(log, i, i + 20)));
  }
  const size_t segments = JournalSegments(dir.path());
  REQUIRE(segments > 2);
  CHECK(SettledSize(dir.path()) == 0);  // nothing is integrated
  const TreeHead head = RequireOk(store->Integrate());
  CHECK(Eventually([&] { return JournalSegments(dir.path()) < segments; }));
  CHECK(SettledSize(dir.path()) == 768);
  store.reset();
  store = RequireOk(FileLogStore::Open(options));
  CHECK(RequireOk(store->Integrate()) == head);
}

TEST_CASE("A folder is open once at a time") {
  TempDir dir;
  auto store = RequireOk(FileLogStore::Open(OptionsFor(dir.path())));
  CHECK_THAT(FileLogStore::Open(OptionsFor(dir.path())),
             StatusIs(StatusCode::kFailedPrecondition, dir.path()));
  store.reset();
  CHECK_THAT(FileLogStore::Open(OptionsFor(dir.path())), IsOk());
}

// A log of 600 entries of 64 bytes in `directory`, settled at 512.
Entries MakeSettledLog(const std::string& directory) {
  Entries log;
  for (int i = 0; i < 600; ++i) log.push_back(absl::StrCat(i, std::string(60, '-')));
  FileLogStore::Options options = OptionsFor(directory);
  options.settle_bytes = 30'000;
  options.journal_segment_bytes = 2048;
  auto store = RequireOk(FileLogStore::Open(options));
  for (size_t i = 0; i < 520; i += 20)
    RequireOk(Sequence(store.get(), merkle::Slice(log, i, i + 20)));
  RequireOk(store->Integrate());
  REQUIRE(Eventually([&] { return JournalSegments(directory) == 1; }));
  REQUIRE(SettledSize(directory) == 512);
  RequireOk(store->Publish(Grow(store.get(), merkle::Slice(log, 520, 600)), "checkpoint", kTime));
  return log;
}

void FlipByte(const std::string& path, size_t offset) {
  std::string bytes = RequireOk(base::ReadFile(path));
  REQUIRE(offset < bytes.size());
  bytes[offset] = static_cast<char>(bytes[offset] ^ 1);
  RequireOk(base::WriteFileAtomically(path, bytes));
}

std::string OnlyFileIn(const std::string& directory) {
  return std::filesystem::directory_iterator(directory)->path().string();
}

TEST_CASE("A folder that lacks something it must hold is data loss, and the file is named") {
  TempDir dir;
  const std::string path = dir.path() + "/log";
  MakeSettledLog(path);
  const auto check = [&](const std::string& named) {
    CHECK_THAT(FileLogStore::Open(OptionsFor(path)), StatusIs(StatusCode::kDataLoss, named));
  };
  SECTION("unharmed, it opens") { CHECK_THAT(FileLogStore::Open(OptionsFor(path)), IsOk()); }
  SECTION("state file removed") {
    std::filesystem::remove(path + "/state");
    check(path + "/journal");
  }
  SECTION("state file not one") {
    RequireOk(base::WriteFileAtomically(path + "/state", "countersign ledger state v1\n512\n"));
    check(path + "/state");
  }
  SECTION("state file with a size that is no multiple of 256") {
    std::string state = RequireOk(base::ReadFile(path + "/state"));
    state.replace(state.find("512"), 3, "511");
    RequireOk(base::WriteFileAtomically(path + "/state", state));
    check(path + "/state");
  }
  SECTION("state file of an earlier time") {
    std::string state = RequireOk(base::ReadFile(path + "/state"));
    state.replace(state.find("512"), 3, "256");
    RequireOk(base::WriteFileAtomically(path + "/state", state));
    check(path + "/public/tile");
  }
  SECTION("tile removed") {
    std::filesystem::remove(path + "/public/tile/0/001");
    check(path + "/public/tile/0/001");
  }
  SECTION("tile cut short") {
    std::filesystem::resize_file(path + "/public/tile/0/000", 8191);
    check(path + "/public/tile/0/000");
  }
  SECTION("tile altered") {
    FlipByte(path + "/public/tile/0/000", 4000);
    check(path + "/public/tile");
  }
  SECTION("journal emptied") {
    std::filesystem::remove(OnlyFileIn(path + "/journal"));
    check(path + "/journal");
  }
  SECTION("journal cut back to below the mark") {
    std::filesystem::remove_all(path + "/dedup");
    std::filesystem::resize_file(OnlyFileIn(path + "/journal"), 12);
    check(path + "/journal");
  }
  SECTION("journal cut back to below what the deduplication index knows") {
    const std::string segment = OnlyFileIn(path + "/journal");
    std::filesystem::resize_file(segment, std::filesystem::file_size(segment) - 1);
    check(path + "/journal");
  }
}

TEST_CASE("A bundle or tile missing later is data loss for its readers alone") {
  TempDir dir;
  MakeSettledLog(dir.path());
  auto store = RequireOk(FileLogStore::Open(OptionsFor(dir.path())));
  const std::string bundle = dir.path() + "/public/tile/entries/000";
  std::filesystem::remove(bundle);
  CHECK_THAT(store->ReadEntryBundle(0, 256), StatusIs(StatusCode::kDataLoss, bundle));
  CHECK_THAT(store->ReadEntryBundle(0, 7), StatusIs(StatusCode::kDataLoss, bundle));
  CHECK_THAT(store->ReadEntryBundle(1, 256), IsOk());
  const std::string cut = dir.path() + "/public/tile/entries/001";
  store.reset();
  store = RequireOk(FileLogStore::Open(OptionsFor(dir.path())));
  std::filesystem::resize_file(cut, 100);
  CHECK_THAT(store->ReadEntryBundle(1, 255), StatusIs(StatusCode::kDataLoss, cut));
}

TEST_CASE("A deleted deduplication index is rebuilt and duplicates are still found") {
  TempDir dir;
  const Entries log = MakeSettledLog(dir.path());
  std::filesystem::remove_all(dir.path() + "/dedup");
  auto store = RequireOk(FileLogStore::Open(OptionsFor(dir.path())));
  const auto placements = RequireOk(Sequence(store.get(), log));
  for (size_t i = 0; i < log.size(); ++i) {
    REQUIRE(placements[i].duplicate);
    REQUIRE(placements[i].index == i);
  }
  CHECK(RequireOk(store->Integrate()).size == log.size());
}

TEST_CASE("Without deduplication there is no index by hash") {
  TempDir dir;
  FileLogStore::Options options = OptionsFor(dir.path());
  options.deduplicate = false;
  auto store = RequireOk(FileLogStore::Open(options));
  Grow(store.get(), {"a", "a"});
  CHECK_THAT(store->Find(merkle::LeafHash("a")), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_CASE("Integration that finds the disk full goes on when there is room again") {
  TempDir dir;
  FileLogStore::Options options = OptionsFor(dir.path());
  options.deduplicate = false;
  auto store = RequireOk(FileLogStore::Open(options));
  const Entries log = merkle::NumberedEntries(700);
  const TreeHead early = Grow(store.get(), merkle::Slice(log, 0, 10));
  RequireOk(Sequence(store.get(), merkle::Slice(log, 10, 300)));
  void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  rlimit limit = old_limit;
  limit.rlim_cur = 8000;  // less than a full tile
  REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  const auto failed = store->Integrate();
  const auto proof = merkle::BuildInclusionProof(9, 10, ReaderOf(*store));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  signal(SIGXFSZ, old_handler);
  CHECK_THAT(failed, StatusIs(StatusCode::kResourceExhausted));
  CHECK_THAT(merkle::VerifyInclusion(9, 10, merkle::LeafHash(log[9]), RequireOk(proof), early.root),
             IsOk());

  RequireOk(Sequence(store.get(), merkle::Slice(log, 300, 700)));
  CHECK(RequireOk(store->Integrate()).size == 300);
  const TreeHead head = RequireOk(store->Integrate());
  CHECK(head == TreeHead{700, merkle::ReferenceRoot(log)});
  CheckTiles(*store, dir.path(), log, 0);
}

TEST_CASE("Partial tiles of earlier checkpoints that a power cut tore are made good") {
  TempDir dir;
  const Entries log = merkle::NumberedEntries(300);
  const std::string tile = dir.path() + "/public/tile/0/001.p/";
  const std::string bundle = dir.path() + "/public/tile/entries/001.p/";
  std::string whole;
  {
    auto store = RequireOk(FileLogStore::Open(OptionsFor(dir.path())));
    RequireOk(store->Publish(Grow(store.get(), merkle::Slice(log, 0, 270)), "early", kTime));
    whole = RequireOk(base::ReadFile(bundle + "14"));
    RequireOk(store->Publish(Grow(store.get(), merkle::Slice(log, 270, 300)), "late", kTime));
  }
  std::filesystem::resize_file(bundle + "14", 0);
  std::filesystem::resize_file(tile + "14", 100);
  RequireOk(base::WriteFileAtomically(tile + "44.tmp.7.1", "unfinished"));
  RequireOk(base::WriteFileAtomically(tile + "200", "of entries that were never acknowledged"));
  auto store = RequireOk(FileLogStore::Open(OptionsFor(dir.path())));
  CHECK(RequireOk(base::ReadFile(bundle + "14")) == whole);
  CHECK(RequireOk(base::ReadFile(tile + "14")) == *RequireOk(store->ReadTile({0, 1, 14})));
  CHECK(base::FileExists(tile + "44"));
  CHECK_FALSE(base::FileExists(tile + "44.tmp.7.1"));
  CHECK_FALSE(base::FileExists(tile + "200"));
}

}  // namespace
}  // namespace countersign::ledger
