// What every LogStore promises, on each that there is.
#include "services/ledger/log_store.h"

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/merkle/proof.h"
#include "libs/merkle/proof_builder.h"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/ledger/file_log_store.h"
#include "services/ledger/postgres_testing.h"

namespace countersign::ledger {
namespace {

using absl::StatusCode;
using merkle::Entries;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

const absl::Time kTime = absl::FromUnixSeconds(1700000000);

struct StoreOptions {
  bool deduplicate = true;
  uint64_t tile_cache_bytes = 128 << 20;
};

// Where a log stays while its store is closed.
class Home {
 public:
  virtual ~Home() = default;
  virtual std::unique_ptr<LogStore> Open(const StoreOptions& options = {}) = 0;
};

class FileHome : public Home {
 public:
  // Settles at every few kilobytes, in segments of a few records.
  std::unique_ptr<LogStore> Open(const StoreOptions& options) override {
    return RequireOk(FileLogStore::Open({.directory = dir_.path(),
                                         .deduplicate = options.deduplicate,
                                         .settle_bytes = 4096,
                                         .journal_segment_bytes = 2048,
                                         .tile_cache_bytes = options.tile_cache_bytes}));
  }

 private:
  testing::TempDir dir_;
};

class PostgresHome : public Home {
 public:
  std::unique_ptr<LogStore> Open(const StoreOptions& options) override {
    PostgresLogStore::Options postgres = OptionsFor(Connect(url_));
    postgres.deduplicate = options.deduplicate;
    postgres.tile_cache_bytes = options.tile_cache_bytes;
    return RequireOk(PostgresLogStore::Open(postgres));
  }

 private:
  const std::string url_ = TestServer().Url(NewDatabase());
};

std::unique_ptr<Home> AnyHome() {
  const std::string kind = GENERATE(as<std::string>(), "file", "postgres");
  if (kind == "file") return std::make_unique<FileHome>();
  return std::make_unique<PostgresHome>();
}

absl::StatusOr<std::vector<LogStore::Placement>> Sequence(LogStore* store, const Entries& entries) {
  std::vector<LogStore::NewEntry> batch;
  for (const std::string& entry : entries) batch.push_back({merkle::LeafHash(entry), entry});
  return store->Sequence(batch);
}

TreeHead Grow(LogStore* store, const Entries& entries) {
  RequireOk(Sequence(store, entries));
  return RequireOk(store->Integrate());
}

merkle::NodeReader ReaderOf(const LogStore& store) {
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

// Every tile and bundle of the tree, in every width, as tlog-tiles defines them: hash i is
// MTH(D[(index * 256 + i) * 256^level : (index * 256 + i + 1) * 256^level]).
void CheckTiles(const LogStore& store, const Entries& log) {
  for (int level = 0; (log.size() >> (8 * level)) != 0; ++level) {
    const uint64_t count = log.size() >> (8 * level);
    const size_t span = size_t{1} << (8 * level);
    for (uint64_t index = 0; index * 256 < count; ++index) {
      const auto width = static_cast<uint32_t>(std::min<uint64_t>(256, count - index * 256));
      std::string tile;
      for (uint64_t i = index * 256; i < index * 256 + width; ++i) {
        absl::StrAppend(
            &tile,
            base::AsBytes(merkle::ReferenceRoot(merkle::Slice(log, i * span, (i + 1) * span))));
        const auto w = static_cast<uint32_t>(i % 256 + 1);
        const auto read = store.ReadTile({level, index, w});
        if (!read.ok() || **read != tile) {
          FAIL(merkle::TilePath({level, index, w}) << ": " << read.status());
        }
      }
    }
    CHECK_THAT(store.ReadTile({level, count / 256, static_cast<uint32_t>(count % 256) + 1}),
               StatusIs(StatusCode::kNotFound));
  }
  for (uint64_t index = 0; index * 256 < log.size(); ++index) {
    const auto width = static_cast<uint32_t>(std::min<size_t>(256, log.size() - index * 256));
    for (uint32_t w = 1; w <= width; ++w) {
      const auto bundle = store.ReadEntryBundle(index, w);
      if (!bundle.ok() || **bundle != Framed(merkle::Slice(log, index * 256, index * 256 + w))) {
        FAIL(merkle::EntriesPath(index, w) << ": " << bundle.status());
      }
    }
  }
  CHECK_THAT(store.ReadEntryBundle(log.size() / 256, log.size() % 256 + 1),
             StatusIs(StatusCode::kNotFound));
  CHECK_THAT(store.ReadEntryBundle(log.size() / 256 + 1, 1), StatusIs(StatusCode::kNotFound));
}

TEST_CASE("The log agrees with a naive tree through random batches, duplicates and restarts") {
  const uint32_t seed = GENERATE(1u, 2u);
  const auto home = AnyHome();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&](uint64_t end) { return random() % end; };
  StoreOptions options;
  if (seed == 2) options.tile_cache_bytes = 0;
  auto store = home->Open(options);
  Entries log;                             // in order of their index
  std::map<std::string, uint64_t> places;  // the same by entry
  size_t integrated = 0;
  std::string checkpoint;
  absl::Time publish_time = absl::InfinitePast();

  for (int step = 0; step < 45; ++step) {
    Entries batch;
    for (uint64_t i = below(120); i > 0; --i) {
      const uint64_t kind = below(10);
      if (kind == 0 && !log.empty()) {
        batch.push_back(log[below(log.size())]);
      } else if (kind == 1 && !batch.empty()) {
        batch.push_back(batch[below(batch.size())]);
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
      if (i % 8 == 0) {
        REQUIRE(RequireOk(store->Find(merkle::LeafHash(batch[i]))) == place->second);
      }
    }
    REQUIRE(RequireOk(store->Find(merkle::LeafHash("never appended"))) == std::nullopt);

    if (below(3) != 0) {
      const TreeHead head = RequireOk(store->Integrate());
      integrated = log.size();
      REQUIRE(head.size == integrated);
      REQUIRE(head.root == merkle::ReferenceRoot(log));
      if (below(2) == 0) {
        checkpoint = absl::StrCat("checkpoint of ", head.size, " at ", step);
        publish_time = kTime + absl::Seconds(step);
        RequireOk(store->Publish(head, checkpoint, publish_time));
      }
    }
    if (below(6) == 0) {
      store.reset();
      store = home->Open(options);
      integrated = log.size();  // opening integrates
    }
    REQUIRE(*store->PublishedCheckpoint() == checkpoint);
    REQUIRE(store->PublishTime() == publish_time);

    for (int i = 0; i < 4 && integrated > 0; ++i) {
      const uint64_t size = 1 + below(integrated);
      const uint64_t index = below(size);
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
  CheckTiles(*store, log);
  store.reset();
  store = home->Open(options);
  CHECK(RequireOk(store->Integrate()) == head);
  CheckTiles(*store, log);
}

TEST_CASE("The published known answers come out") {
  const auto home = AnyHome();
  auto store = home->Open();
  CHECK(merkle::EncodeHash(RequireOk(store->Integrate()).root) ==
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
  const std::map<size_t, std::string> roots = {
      {1, "2zQm6HgGjSjSabbIcXIyLOU3K2V1bQeJAB00g19gHAM="},
      {2, "ywCYnZSlacCmeK4EK2Pc1GJduWRAUX83put5duok7Us="},
      {3, "cl1SMNto9VdHDcNfHYhlgTrNfrsHrRUndBQd7LrnEyc="},
      {7, "o+I7Msy2v5bQktFl2KpUbgmCnejwOw6JV1gdHha5K98="},
      {256, "goUV0DPBnYyQHzfsy4rtkZZncDSG+NL/8c9wQDIcXbE="},
      {257, "HtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ="},
  };
  const Entries log = merkle::NumberedEntries(257);
  for (size_t i = 0; i < log.size(); ++i) {
    const TreeHead head = Grow(store.get(), {log[i]});
    const auto known = roots.find(head.size);
    if (known != roots.end()) CHECK(merkle::EncodeHash(head.root) == known->second);
  }
  const auto proof = RequireOk(merkle::BuildConsistencyProof(3, 7, ReaderOf(*store)));
  REQUIRE(proof.size() == 4);
  CHECK(merkle::EncodeHash(proof[0]) == "+mHj3sNDlYn0eEyJO/Mh0AhPBMVyx68raOPzNgo1tIY=");
  CHECK(merkle::EncodeHash(proof[1]) == "kGxdJIXK5yIHOkMPTQT+F2dQdZLO8iZimurbhaLskJ0=");
  CHECK(merkle::EncodeHash(proof[2]) == "ywCYnZSlacCmeK4EK2Pc1GJduWRAUX83put5duok7Us=");
  CHECK(merkle::EncodeHash(proof[3]) == "lz8IOVfHNZ+xlDrPnmaJvKbKXqcZfYCKrTwUSYaJ7+A=");
}

TEST_CASE("Tiles of levels that no log reaches are not found") {
  const auto home = AnyHome();
  auto store = home->Open();
  Grow(store.get(), merkle::NumberedEntries(300));
  for (int level = 2; level <= 63; ++level) {
    CHECK_THAT(store->ReadTile({level, 0, 256}), StatusIs(StatusCode::kNotFound));
    CHECK_THAT(store->ReadTile({level, 0, 1}), StatusIs(StatusCode::kNotFound));
  }
  for (int level = 9; level <= 63; ++level) {
    CHECK_THAT(store->ReadNodes({{level, 0}}), StatusIs(StatusCode::kOutOfRange));
  }
  CHECK_THAT(store->ReadNodes({{8, 1}}), StatusIs(StatusCode::kOutOfRange));
  CHECK_THAT(store->ReadNodes({{0, 300}}), StatusIs(StatusCode::kOutOfRange));
  CHECK_THAT(store->ReadNodes({{0, 299}}), IsOk());
}

TEST_CASE("Readers see whole trees while the log grows") {
  const auto home = AnyHome();
  auto store = home->Open();
  constexpr size_t kBatches = 60;
  const Entries log = merkle::NumberedEntries(kBatches * 50);
  std::vector<merkle::Hash> roots;  // by batch
  for (size_t i = 1; i <= kBatches; ++i) {
    roots.push_back(merkle::ReferenceRoot(merkle::Slice(log, 0, i * 50)));
  }
  std::atomic<size_t> integrated{0};  // batches
  std::atomic<size_t> wrong{0};
  std::vector<std::thread> readers;
  for (uint32_t r = 0; r < 2; ++r) {
    readers.emplace_back([&, r] {
      std::mt19937 random(r);
      while (integrated < kBatches) {
        const size_t batches = integrated;
        if (batches == 0) continue;
        const uint64_t size = batches * 50;
        const uint64_t index = random() % size;
        const auto proof = merkle::BuildInclusionProof(index, size, ReaderOf(*store));
        if (!proof.ok() || !merkle::VerifyInclusion(index, size, merkle::LeafHash(log[index]),
                                                    *proof, roots[batches - 1])
                                .ok()) {
          ++wrong;
        }
        const uint32_t width = index / 256 < size / 256 ? 256 : size % 256;
        const auto bundle = store->ReadEntryBundle(index / 256, width);
        if (!bundle.ok() || !absl::StartsWith(**bundle, Framed({log[index / 256 * 256]}))) ++wrong;
        if (!store->ReadTile({0, index / 256, width}).ok()) ++wrong;
        if (store->Find(merkle::LeafHash(log[index])).value_or(std::nullopt) != index) ++wrong;
      }
    });
  }
  std::thread integrator([&] {
    uint64_t size = 0;
    while (size < log.size()) {
      const TreeHead head = store->Integrate().value();
      if (head.size == size) continue;
      size = head.size;
      if (!store->Publish(head, absl::StrCat(size), kTime).ok()) ++wrong;
      integrated = size / 50;
    }
  });
  for (size_t i = 0; i < kBatches; ++i) {
    if (!Sequence(store.get(), merkle::Slice(log, i * 50, (i + 1) * 50)).ok()) ++wrong;
  }
  integrator.join();
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == 0);
  CHECK(RequireOk(store->Integrate()).root == roots.back());
}

TEST_CASE("Without deduplication every entry gets an index of its own") {
  const auto home = AnyHome();
  auto store = home->Open({.deduplicate = false});
  const auto placements = RequireOk(Sequence(store.get(), {"a", "a", "b"}));
  CHECK(placements[1].index == 1);
  CHECK_FALSE(placements[1].duplicate);
  CHECK(RequireOk(store->Integrate()).root == merkle::ReferenceRoot({"a", "a", "b"}));
}

TEST_CASE("Entries sequenced but never integrated are in the tree of the next start") {
  const auto home = AnyHome();
  {
    auto store = home->Open();
    RequireOk(Sequence(store.get(), {"a", "b"}));
    RequireOk(Sequence(store.get(), {"c"}));
  }
  auto store = home->Open();
  CHECK(RequireOk(store->Integrate()) == TreeHead{3, merkle::ReferenceRoot({"a", "b", "c"})});
}

TEST_CASE("A batch of duplicates alone costs no synchronisation, any other one") {
  const auto home = AnyHome();
  auto store = home->Open();
  const uint64_t before = store->synchronisations();
  RequireOk(Sequence(store.get(), {"a", "b", "a"}));
  CHECK(store->synchronisations() == before + 1);
  RequireOk(Sequence(store.get(), {"b", "a"}));
  CHECK(store->synchronisations() == before + 1);
  RequireOk(Sequence(store.get(), {}));
  CHECK(store->synchronisations() == before + 1);
}

TEST_CASE("A frozen log keeps what it has and takes nothing more") {
  const auto home = AnyHome();
  auto store = home->Open();
  CHECK_FALSE(store->frozen());
  const TreeHead head = Grow(store.get(), {"a", "b"});
  RequireOk(store->Freeze());
  RequireOk(store->Freeze());
  for (int i = 0; i < 2; ++i) {
    CHECK(store->frozen());
    CHECK_THAT(Sequence(store.get(), {"c"}), StatusIs(StatusCode::kFailedPrecondition, "frozen"));
    CHECK(RequireOk(store->Integrate()) == head);
    RequireOk(store->Publish(head, "the last", kTime));
    store.reset();
    store = home->Open();
  }
}

TEST_CASE("Entries of any size come back as they are") {
  const auto home = AnyHome();
  auto store = home->Open();
  Entries log;
  for (const size_t size : {1, 127, 2000, 8192, 65535}) {
    log.push_back(std::string(size, '\0'));
    log.push_back(std::string(size, '\xff'));
  }
  CHECK(Grow(store.get(), log).root == merkle::ReferenceRoot(log));
  CHECK(*RequireOk(store->ReadEntryBundle(0, 10)) == Framed(log));
}

}  // namespace
}  // namespace countersign::ledger
