#include "services/ledger/postgres_log_store.h"

#include <atomic>
#include <map>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/manual_clock.h"
#include "libs/merkle/proof.h"
#include "libs/merkle/proof_builder.h"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "services/ledger/postgres_statements.h"
#include "services/ledger/postgres_testing.h"

namespace countersign::ledger {
namespace {

using absl::StatusCode;
using merkle::Entries;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

const absl::Time kTime = absl::FromUnixSeconds(1700000000);

using Placements = std::vector<LogStore::Placement>;

absl::StatusOr<Placements> Sequence(LogStore* store, const Entries& entries) {
  std::vector<LogStore::NewEntry> batch;
  for (const std::string& entry : entries) batch.push_back({merkle::LeafHash(entry), entry});
  return store->Sequence(batch);
}

TreeHead Grow(LogStore* store, const Entries& entries) {
  RequireOk(Sequence(store, entries));
  return RequireOk(store->Integrate());
}

// All entries of the integrated log.
Entries ReadAll(const LogStore& store, uint64_t size) {
  Entries log;
  for (uint64_t begin = 0; begin < size; begin += 256) {
    const auto width = static_cast<uint32_t>(std::min<uint64_t>(256, size - begin));
    const SharedBytes bundle = RequireOk(store.ReadEntryBundle(begin / 256, width));
    for (const absl::string_view entry : RequireOk(merkle::ParseBundle(*bundle, width))) {
      log.emplace_back(entry);
    }
  }
  return log;
}

// One log in an empty database.
struct TestLog {
  const std::string name = NewDatabase();
  const std::string url = TestServer().Url(name);

  // With connections of its own, as another process has.
  std::unique_ptr<PostgresLogStore> Open() const {
    return RequireOk(PostgresLogStore::Open(OptionsFor(Connect(url))));
  }
  std::string Execute(const std::string& sql) const {
    return RequireOk(TestServer().Execute(sql, name));
  }
};

TEST_CASE("Several stores append to one log without a fork, a gap or a repetition") {
  const TestLog log;
  constexpr int kStores = 3;
  constexpr int kBatches = 40;
  constexpr uint32_t kDistinct = 3000;  // that the stores choose from
  std::vector<std::unique_ptr<PostgresLogStore>> stores;
  for (int i = 0; i < kStores; ++i) stores.push_back(log.Open());

  std::vector<std::map<std::string, uint64_t>> answers(kStores);
  std::atomic<int> wrong{0};
  std::atomic<int> fresh{0};
  std::atomic<int> running{kStores};
  std::vector<std::thread> threads;
  for (int i = 0; i < kStores; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(static_cast<uint32_t>(i));
      auto& mine = answers[static_cast<size_t>(i)];
      for (int b = 0; b < kBatches; ++b) {
        Entries batch;
        for (uint32_t n = 1 + random() % 100; n > 0; --n) {
          batch.push_back(absl::StrCat("entry ", random() % kDistinct));
        }
        const auto placements = Sequence(stores[static_cast<size_t>(i)].get(), batch);
        if (!placements.ok()) {
          ++wrong;
          continue;
        }
        for (size_t n = 0; n < batch.size(); ++n) {
          const auto [it, is_new] = mine.emplace(batch[n], (*placements)[n].index);
          if (it->second != (*placements)[n].index) ++wrong;
          if (!is_new && !(*placements)[n].duplicate) ++wrong;
          if (!(*placements)[n].duplicate) ++fresh;
        }
      }
      --running;
    });
    // Its integrator, which sees a tree that only grows, each the beginning of the next.
    threads.emplace_back([&, i] {
      PostgresLogStore& store = *stores[static_cast<size_t>(i)];
      TreeHead last;
      while (running > 0) {
        const auto head = store.Integrate();
        if (!head.ok() || head->size < last.size) {
          ++wrong;
          continue;
        }
        const auto proof = merkle::BuildConsistencyProof(
            last.size, head->size,
            [&](absl::Span<const merkle::NodeId> nodes) { return store.ReadNodes(nodes); });
        if (!proof.ok() ||
            !merkle::VerifyConsistency(last.size, head->size, *proof, last.root, head->root).ok()) {
          ++wrong;
        }
        last = *head;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);

  const TreeHead head = RequireOk(stores[0]->Integrate());
  for (const auto& store : stores) CHECK(RequireOk(store->Integrate()) == head);
  const Entries all = ReadAll(*stores[1], head.size);
  CHECK(merkle::ReferenceRoot(all) == head.root);
  CHECK(static_cast<uint64_t>(fresh) == head.size);
  std::map<std::string, uint64_t> places;
  for (size_t i = 0; i < all.size(); ++i) REQUIRE(places.emplace(all[i], i).second);
  for (const auto& mine : answers) {
    for (const auto& [entry, index] : mine) REQUIRE(places.at(entry) == index);
  }
  CHECK(log.Execute("SELECT count(*)::text FROM ledger_entries") == absl::StrCat(head.size));
  CHECK(RequireOk(log.Open()->Integrate()) == head);
}

TEST_CASE("A store that is far behind finds every duplicate that others appended") {
  const TestLog log;
  auto ahead = log.Open();
  auto behind = log.Open();
  Grow(behind.get(), {"first"});
  Entries all = {"first"};
  const Entries more = merkle::NumberedEntries(66'000);
  all.insert(all.end(), more.begin(), more.end());
  for (size_t begin = 0; begin < more.size(); begin += 11'000) {
    RequireOk(Sequence(ahead.get(), merkle::Slice(more, begin, begin + 11'000)));
  }
  const auto placements = RequireOk(Sequence(behind.get(), {"0", "new", "65999", "first"}));
  CHECK(placements[0].index == 1);
  CHECK(placements[0].duplicate);
  CHECK(placements[1].index == 66'001);
  CHECK_FALSE(placements[1].duplicate);
  CHECK(placements[2].index == 66'000);
  CHECK(placements[3].index == 0);
  all.push_back("new");
  const TreeHead head{66'002, merkle::ReferenceRoot(all)};
  CHECK(RequireOk(behind->Integrate()) == head);
  CHECK(RequireOk(ahead->Integrate()) == head);
  const auto proof = RequireOk(merkle::BuildInclusionProof(
      40'000, head.size, [&](auto nodes) { return behind->ReadNodes(nodes); }));
  CHECK_THAT(
      merkle::VerifyInclusion(40'000, head.size, merkle::LeafHash(all[40'000]), proof, head.root),
      IsOk());
}

TEST_CASE("Logs of one database do not mix") {
  const TestLog log;
  const auto database = Connect(log.url);
  PostgresLogStore::Options options = OptionsFor(database);
  auto first = RequireOk(PostgresLogStore::Open(options));
  options.name = "tenants/other/logs/main";
  CHECK_THAT(PostgresLogStore::Open(options), StatusIs(StatusCode::kAlreadyExists));
  options.origin = "log.example/other";
  auto second = RequireOk(PostgresLogStore::Open(options));
  Grow(first.get(), {"a", "b"});
  const auto placements = RequireOk(Sequence(second.get(), {"b", "c"}));
  CHECK(placements[0].index == 0);
  CHECK_FALSE(placements[0].duplicate);
  CHECK(RequireOk(second->Integrate()) == TreeHead{2, merkle::ReferenceRoot({"b", "c"})});
  CHECK(RequireOk(second->Find(merkle::LeafHash("a"))) == std::nullopt);
  RequireOk(second->Freeze());
  CHECK_THAT(Sequence(first.get(), {"c"}), IsOk());
  options.origin = "log.example/third";
  CHECK_THAT(PostgresLogStore::Open(options),
             StatusIs(StatusCode::kFailedPrecondition, "log.example/other"));
}

TEST_CASE("What one ledger publishes or freezes the others see, and nothing smaller after it") {
  const TestLog log;
  auto first = log.Open();
  auto second = log.Open();
  const TreeHead small = Grow(first.get(), {"a", "b"});
  const TreeHead large = Grow(second.get(), {"c", "d"});
  CHECK(large.size == 4);
  CHECK(*first->PublishedCheckpoint() == "");
  CHECK(first->PublishTime() == absl::InfinitePast());
  RequireOk(second->Publish(large, "large", kTime));
  RequireOk(first->Publish(small, "small", kTime + absl::Hours(1)));
  CHECK(*first->PublishedCheckpoint() == "large");
  CHECK(first->PublishTime() == kTime);
  RequireOk(first->Publish(large, "large again", kTime + absl::Hours(2)));
  RequireOk(second->Integrate());
  CHECK(*second->PublishedCheckpoint() == "large again");
  CHECK(second->PublishTime() == kTime + absl::Hours(2));
  CHECK(*log.Open()->PublishedCheckpoint() == "large again");

  RequireOk(first->Freeze());
  CHECK_FALSE(second->frozen());
  SECTION("seen by integrating") {
    RequireOk(second->Integrate());
    CHECK(second->frozen());
  }
  SECTION("and by appending") {
    CHECK_THAT(Sequence(second.get(), {"e"}), StatusIs(StatusCode::kFailedPrecondition, "frozen"));
    CHECK(second->frozen());
  }
}

TEST_CASE("Entries go to the partition of their month, and time never goes back") {
  const TestLog log;
  base::ManualClock clock(
      absl::FromCivil(absl::CivilMinute(2022, 1, 31, 23, 59), absl::UTCTimeZone()));
  PostgresLogStore::Options options = OptionsFor(Connect(log.url));
  options.clock = &clock;
  auto store = RequireOk(PostgresLogStore::Open(options));
  Entries all;
  for (int month = 0; month < 9; ++month) {
    const auto batch = Entries{absl::StrCat("a", month), absl::StrCat("b", month)};
    all.insert(all.end(), batch.begin(), batch.end());
    Grow(store.get(), batch);
    clock.Set(absl::FromCivil(absl::CivilMonth(2022, 1) + month + 1, absl::UTCTimeZone()));
    if (month == 3) clock.Advance(-absl::Hours(24 * 70));
    if (month == 5) clock.Advance(absl::Hours(24 * 365 * 3));  // past all partitions
  }
  CHECK(log.Execute("SELECT count(*)::text FROM ledger_entries_202201") == "2");
  CHECK(log.Execute("SELECT count(*)::text FROM ledger_entries_202204") == "4");
  CHECK(log.Execute("SELECT count(*)::text FROM ledger_entries_202506") == "6");
  CHECK(log.Execute("SELECT count(*)::text FROM ledger_entries a JOIN ledger_entries b "
                    "ON a.sequence_number < b.sequence_number AND a.timestamp > b.timestamp") ==
        "0");
  const TreeHead head = RequireOk(store->Integrate());
  CHECK(head.root == merkle::ReferenceRoot(all));
  CHECK(ReadAll(*store, head.size) == all);
  // Duplicates are found in every month.
  const auto placements = RequireOk(Sequence(store.get(), all));
  for (size_t i = 0; i < all.size(); ++i) {
    CHECK(placements[i].index == i);
    CHECK(placements[i].duplicate);
  }
  CHECK(RequireOk(log.Open()->Integrate()) == head);
}

TEST_CASE("A ledger whose clock is far ahead of the database's appends nothing and says why") {
  const TestLog log;
  base::ManualClock clock(absl::Now() + absl::Minutes(4));
  PostgresLogStore::Options options = OptionsFor(Connect(log.url));
  options.clock = &clock;
  auto store = RequireOk(PostgresLogStore::Open(options));
  RequireOk(Sequence(store.get(), {"a"}));
  clock.Advance(absl::Hours(24 * 365));
  CHECK_THAT(Sequence(store.get(), {"b"}), StatusIs(StatusCode::kUnavailable, "ahead"));
  CHECK(RequireOk(Sequence(store.get(), {"a"}))[0].duplicate);
  CHECK(RequireOk(log.Open()->Integrate()).size == 1);
  CHECK_THAT(Sequence(log.Open().get(), {"b"}), IsOk());
}

TEST_CASE("A database that lacks something it must hold is data loss, and the table is named") {
  const TestLog log;
  Grow(log.Open().get(), merkle::NumberedEntries(600));
  const auto check = [&](const std::string& sql, const std::string& named) {
    log.Execute(sql);
    CHECK_THAT(PostgresLogStore::Open(OptionsFor(Connect(log.url))),
               StatusIs(StatusCode::kDataLoss, named));
  };
  SECTION("unharmed, it opens") { log.Open(); }
  SECTION("tile removed") {
    check("DELETE FROM ledger_tiles WHERE tile_index = 1",
          "lacks tiles of level 0 between 0 and 2 in table ledger_tiles");
  }
  SECTION("a tile's root altered") {
    check("UPDATE ledger_tiles SET root = sha256(root) WHERE tile_index = 1", "ledger_logs");
  }
  SECTION("entry removed") {
    check("DELETE FROM ledger_entries WHERE sequence_number = 550",
          "lacks entries between 512 and 600 in table ledger_entries");
  }
  SECTION("an entry's hash altered") {
    check("UPDATE ledger_entries SET entry_hash = sha256(entry_hash) WHERE sequence_number = 550",
          "ledger_logs");
  }
  SECTION("the head's root altered") {
    check("UPDATE ledger_logs SET root = sha256(root)", "ledger_logs");
  }
  SECTION("the head's root none") { check("UPDATE ledger_logs SET root = ''", "ledger_logs"); }
  SECTION("the head of an earlier time") {
    check("UPDATE ledger_logs SET size = 599", "ledger_logs");
  }
}

TEST_CASE("A row missing later is data loss for its readers alone") {
  const TestLog log;
  auto store = log.Open();
  Grow(store.get(), merkle::NumberedEntries(600));
  log.Execute("DELETE FROM ledger_entries WHERE sequence_number = 3");
  log.Execute("DELETE FROM ledger_tiles WHERE tile_index = 0");
  CHECK_THAT(store->ReadEntryBundle(0, 256), StatusIs(StatusCode::kDataLoss, "ledger_entries"));
  CHECK_THAT(store->ReadTile({0, 0, 256}), StatusIs(StatusCode::kDataLoss, "ledger_tiles"));
  CHECK_THAT(store->ReadNodes({{1, 0}}), StatusIs(StatusCode::kDataLoss, "ledger_tiles"));
  CHECK_THAT(store->ReadEntryBundle(1, 256), IsOk());
  CHECK_THAT(store->ReadTile({0, 1, 256}), IsOk());
}

TEST_CASE("A store does not go on from an older copy of its database, or from another history") {
  const TestLog log;
  auto store = log.Open();
  const merkle::Hash early = Grow(store.get(), {"a", "b"}).root;
  Grow(store.get(), {"c"});
  SECTION("older") {
    log.Execute(absl::StrCat("UPDATE ledger_logs SET size = 2, root = '\\x",
                             base::HexEncode(base::AsBytes(early)), "'"));
    log.Execute("DELETE FROM ledger_entries WHERE sequence_number = 2");
  }
  SECTION("as long but another") { log.Execute("UPDATE ledger_logs SET root = sha256(root)"); }
  SECTION("gone") { log.Execute("DELETE FROM ledger_logs"); }
  CHECK_THAT(Sequence(store.get(), {"d"}), StatusIs(StatusCode::kDataLoss, "ledger_logs"));
  CHECK_THAT(store->Integrate(), StatusIs(StatusCode::kDataLoss));
}

TEST_CASE("An older copy of the database takes no checkpoint of what it lacks") {
  const TestLog log;
  auto store = log.Open();
  const TreeHead early = Grow(store.get(), {"a", "b"});
  const TreeHead head = Grow(store.get(), {"c"});
  RequireOk(store->Publish(early, "early", kTime));
  log.Execute(absl::StrCat("UPDATE ledger_logs SET size = 2, root = '\\x",
                           base::HexEncode(base::AsBytes(early.root)), "'"));
  CHECK_THAT(store->Publish(head, "newer", kTime), StatusIs(StatusCode::kDataLoss, "older copy"));
  CHECK(log.Execute("SELECT convert_from(checkpoint, 'UTF8') FROM ledger_logs") == "early");
  CHECK(*store->PublishedCheckpoint() == "early");
}

// How many connections to the log's database wait, for what pg_stat_activity calls `event`.
int Waiting(const TestLog& log, const std::string& event) {
  return std::stoi(
      log.Execute(absl::StrCat("SELECT count(*)::text FROM pg_stat_activity WHERE datname = '",
                               log.name, "' AND wait_event = '", event, "'")));
}

// While it exists, transactions that come to where `stop()` is called wait there.
class Stopped {
 public:
  explicit Stopped(const TestLog& log) : database_(Connect(log.url)) {
    holder_ = std::thread([this] {
      RequireOk(database_->InSnapshot([this](storage::Transaction& snapshot) -> absl::Status {
        RequireOk(snapshot.Query("SELECT pg_advisory_xact_lock(1)"));
        held_ = true;
        held_.notify_all();
        release_.wait(false);
        return absl::OkStatus();
      }));
    });
    held_.wait(false);
  }
  ~Stopped() {
    release_ = true;
    release_.notify_all();
    holder_.join();
  }

  static std::string Function(const std::string& returns) {
    return absl::StrCat("CREATE FUNCTION stop() RETURNS ", returns, " LANGUAGE plpgsql AS ",
                        "'BEGIN PERFORM pg_advisory_xact_lock_shared(1); ",
                        returns == "trigger" ? "RETURN NULL; " : "", "END'");
  }

 private:
  const std::shared_ptr<storage::Database> database_;
  std::atomic<bool> held_{false};
  std::atomic<bool> release_{false};
  std::thread holder_;
};

TEST_CASE("Readers that wait while a month moves then find all that it holds") {
  const TestLog log;
  base::ManualClock clock(absl::FromCivil(absl::CivilMonth(2022, 1), absl::UTCTimeZone()));
  storage::DatabaseOptions patient;
  patient.busy_timeout = absl::Minutes(1);
  PostgresLogStore::Options options = OptionsFor(Connect(log.url, patient));
  options.clock = &clock;
  auto store = RequireOk(PostgresLogStore::Open(options));
  const TreeHead head = Grow(store.get(), merkle::NumberedEntries(300));
  // The mover stops when it has dropped the old table.
  log.Execute(Stopped::Function("event_trigger"));
  log.Execute("CREATE EVENT TRIGGER stop ON sql_drop EXECUTE FUNCTION stop()");

  absl::Status moved;
  absl::StatusOr<std::optional<uint64_t>> found;
  absl::StatusOr<SharedBytes> bundle;
  absl::StatusOr<std::unique_ptr<PostgresLogStore>> opened;
  std::vector<std::thread> threads;
  {
    const Stopped stopped(log);
    const Tablespaces places{.cold = NewTablespace("cold_read")};
    threads.emplace_back([&, places] {
      moved = MovePartitions(*options.database, places, clock.Now() + absl::Hours(24 * 125));
    });
    CHECK(Eventually([&] { return Waiting(log, "advisory") == 1; }));
    threads.emplace_back([&] { found = store->Find(merkle::LeafHash("7")); });
    threads.emplace_back([&] { bundle = store->ReadEntryBundle(0, 256); });
    threads.emplace_back([&] { opened = PostgresLogStore::Open(options); });
    CHECK(Eventually([&] { return Waiting(log, "relation") == 3; }));
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_THAT(moved, IsOk());
  CHECK(RequireOk(std::move(found)) == 7u);
  CHECK_THAT(bundle, IsOk());
  CHECK(RequireOk(RequireOk(std::move(opened))->Integrate()) == head);
}

TEST_CASE("Entries that another ledger committed are not taken for those of a lost commit") {
  const TestLog log;
  storage::DatabaseOptions patient;
  patient.busy_timeout = absl::Minutes(1);
  auto first = RequireOk(PostgresLogStore::Open(OptionsFor(Connect(log.url, patient))));
  auto second = RequireOk(PostgresLogStore::Open(OptionsFor(Connect(log.url, patient))));
  log.Execute(Stopped::Function("trigger"));
  log.Execute(
      "CREATE CONSTRAINT TRIGGER stop AFTER UPDATE ON ledger_logs "
      "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stop()");
  absl::StatusOr<Placements> lost;
  absl::StatusOr<Placements> kept;
  std::vector<std::thread> threads;
  {
    const Stopped stopped(log);
    threads.emplace_back([&] { lost = Sequence(first.get(), {"same"}); });
    CHECK(Eventually([&] { return Waiting(log, "advisory") == 1; }));
    threads.emplace_back([&] { kept = Sequence(second.get(), {"same"}); });
    CHECK(Eventually([&] { return Waiting(log, "transactionid") == 1; }));
    // The second gets the head that the first held when its connection was cut.
    log.Execute(
        "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity "
        "WHERE query = 'COMMIT' AND wait_event = 'advisory'");
    CHECK(Eventually(
        [&] { return Waiting(log, "advisory") == 1 && Waiting(log, "transactionid") == 1; }));
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(RequireOk(kept)[0].duplicate);
  CHECK(RequireOk(lost)[0].duplicate);
  CHECK(RequireOk(lost)[0].index == 0);
  CHECK(RequireOk(first->Integrate()).size == 1);
}

TEST_CASE("Connections that are cut at any time cost nobody an entry") {
  const TestLog log;
  auto store = log.Open();
  std::atomic<bool> done{false};
  std::atomic<int> cuts{0};
  std::thread cutter([&] {
    const std::string cut = absl::StrCat(
        "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = '",
        log.name,
        "' AND (state = 'idle in transaction' OR query LIKE 'COMMIT%' OR query LIKE 'COPY%')");
    while (!done) {
      const auto count = TestServer().Execute(cut);
      if (count.ok() && *count != "0") ++cuts;
    }
  });
  Entries all;
  std::mt19937 random(7);
  int failures = 0;
  for (int batch = 0; batch < 40 || (cuts < 20 && batch < 5000); ++batch) {
    Entries entries;
    for (uint32_t i = 1 + random() % 300; i > 0; --i) {
      entries.push_back(absl::StrCat("entry ", all.size() + entries.size()));
    }
    const auto placements = Sequence(store.get(), entries);
    // None, unless the connections were cut for ten seconds on end.
    if (!placements.ok()) ++failures;
    if (!placements.ok()) continue;
    for (size_t i = 0; i < entries.size(); ++i) {
      REQUIRE((*placements)[i].index == all.size() + i);
      REQUIRE_FALSE((*placements)[i].duplicate);
    }
    all.insert(all.end(), entries.begin(), entries.end());
  }
  done = true;
  cutter.join();
  CHECK(failures == 0);
  CHECK(cuts >= 20);
  const TreeHead head = RequireOk(store->Integrate());
  CHECK(head == TreeHead{all.size(), merkle::ReferenceRoot(all)});
  CHECK(RequireOk(log.Open()->Integrate()) == head);
}

// Holds back the end of every commit, which has happened on the server's own disk, until it is
// destroyed: as a synchronous replica does that has gone.
class CommitsHeldBack {
 public:
  CommitsHeldBack() { Set("'nobody'"); }
  ~CommitsHeldBack() { Set("DEFAULT"); }

 private:
  static void Set(const std::string& standbys) {
    RequireOk(TestServer().Execute("ALTER SYSTEM SET synchronous_standby_names = " + standbys));
    RequireOk(TestServer().Execute("SELECT pg_reload_conf()"));
  }
};

TEST_CASE("A commit that happened though nobody heard of it is found, and waits for replicas") {
  const TestLog log;
  auto store = log.Open();
  const TreeHead head = Grow(store.get(), {"a"});
  absl::StatusOr<Placements> placements;
  std::atomic<bool> answered{false};
  std::thread caller;
  {
    const CommitsHeldBack held;
    caller = std::thread([&] {
      placements = Sequence(store.get(), {"b", "c", "b", "a"});
      answered = true;
    });
    std::string cut;
    CHECK(Eventually([&] {
      cut = log.Execute(
          "SELECT COALESCE(min(pid), 0)::text FROM pg_stat_activity "
          "WHERE wait_event = 'SyncRep'");
      return cut != "0";
    }));
    log.Execute(absl::StrCat("SELECT pg_terminate_backend(", cut, ")::text"));
    // Whoever looks whether it happened waits as it did.
    CHECK(Eventually([&] {
      return answered || log.Execute(absl::StrCat("SELECT count(*)::text FROM pg_stat_activity "
                                                  "WHERE wait_event = 'SyncRep' AND pid <> ",
                                                  cut)) == "1";
    }));
    CHECK_FALSE(answered);
  }
  caller.join();
  RequireOk(placements.status());
  CHECK((*placements)[0].index == 1);
  CHECK_FALSE((*placements)[0].duplicate);
  CHECK((*placements)[1].index == 2);
  CHECK((*placements)[2].duplicate);
  CHECK((*placements)[3].index == 0);
  CHECK(RequireOk(store->Integrate()).size == head.size + 2);
  CHECK(log.Execute("SELECT count(*)::text FROM ledger_entries") == "3");
}

TEST_CASE("What replicas do not have yet the primary answers, and what they have they do") {
  const auto primary = RequireOk(testing::PostgresServer::Start());
  const auto replica = RequireOk(primary->StartReplica());
  storage::DatabaseOptions options;
  options.replicas = {replica->Url()};
  auto store = RequireOk(PostgresLogStore::Open(OptionsFor(Connect(primary->Url(), options))));
  const Entries log = merkle::NumberedEntries(1000);
  Grow(store.get(), merkle::Slice(log, 0, 600));
  RequireOk(replica->CatchUp(*primary));
  RequireOk(replica->Execute("SELECT pg_wal_replay_pause()"));
  const TreeHead head = Grow(store.get(), merkle::Slice(log, 600, 1000));
  CHECK(head.root == merkle::ReferenceRoot(log));
  CHECK(RequireOk(store->Find(merkle::LeafHash("999"))) == 999u);
  CHECK_THAT(store->ReadEntryBundle(3, 232), IsOk());
  CHECK_THAT(store->ReadTile({0, 2, 256}), IsOk());
  // Not read before, and not from the primary either.
  RequireOk(primary->Stop());
  CHECK_THAT(store->ReadEntryBundle(0, 256), IsOk());
  CHECK_THAT(store->ReadTile({0, 1, 256}), IsOk());
  CHECK(RequireOk(store->Find(merkle::LeafHash("599"))) == 599u);
  RequireOk(primary->StartAgain());
  RequireOk(replica->Stop());
  CHECK(ReadAll(*store, head.size) == log);
}

TEST_CASE("Look-ups go by an index, whatever the statistics and however plans are kept") {
  const TestLog log;
  base::ManualClock clock(absl::FromCivil(absl::CivilDay(2026, 1, 1), absl::UTCTimeZone()));
  PostgresLogStore::Options options = OptionsFor(Connect(log.url));
  options.clock = &clock;
  auto store = RequireOk(PostgresLogStore::Open(options));
  // Statistics of an empty month, then a full one; the third stays empty.
  log.Execute("ALTER TABLE ledger_entries_202601 SET (autovacuum_enabled = off)");
  log.Execute("ALTER TABLE ledger_entries_202602 SET (autovacuum_enabled = off)");
  log.Execute("ALTER TABLE ledger_tiles SET (autovacuum_enabled = off)");
  log.Execute("ANALYZE");
  log.Execute(
      "INSERT INTO ledger_entries SELECT 1, i, CASE WHEN i < 50000 THEN 1767225600000000 "
      "ELSE 1769904000000000 END, sha256(i::text::bytea), 'e' FROM generate_series(0, 99999) AS i");
  log.Execute("INSERT INTO ledger_tiles SELECT 1, 0, i, '', '' FROM generate_series(0, 999) AS i");

  const std::string packed = log.Execute(
      "SELECT string_agg(encode(sha256(i::text::bytea), 'hex'), '') "
      "FROM generate_series(0, 999) AS i");
  const std::vector<std::tuple<std::string, std::string, std::string, std::string>> statements = {
      {"duplicates", std::string(sql::kFindDuplicates), "BYTEA, BIGINT, BIGINT",
       absl::StrCat("'\\x", packed, "', 1000, 1")},
      {"find", std::string(sql::kFind), "BIGINT, BYTEA", "1, sha256('7')"},
      {"new_hashes", std::string(sql::kNewHashes), "BIGINT, BIGINT, BIGINT, BIGINT",
       "1, 99000, 1769904000000000, 65537"},
      {"entry_hashes", std::string(sql::kEntryHashes), "BIGINT, BIGINT, BIGINT", "1, 768, 1000"},
      {"appended", std::string(sql::kHashesAppendedAt), "BIGINT, BIGINT, BIGINT, BIGINT",
       "1, 99000, 99010, 1769904000000000"},
      {"entries", std::string(sql::kReadEntries), "BIGINT, BIGINT, BIGINT", "1, 768, 1024"},
      {"roots", std::string(sql::kTileRoots), "BIGINT, BIGINT, BIGINT, BIGINT", "1, 0, 512, 700"},
      {"tile", std::string(sql::kReadTile), "BIGINT, BIGINT, BIGINT", "1, 0, 17"},
  };
  const std::string mode = GENERATE("force_generic_plan", "force_custom_plan");
  for (const auto& [name, statement, types, values] : statements) {
    const std::string plan = log.Execute(
        absl::StrCat("BEGIN; ", sql::kByIndex, "; SET LOCAL plan_cache_mode = ", mode, "; PREPARE ",
                     name, " (", types, ") AS ", statement,
                     "; EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE ", name, "(", values, ")"));
    INFO(mode << " " << name << ": " << plan);
    CHECK(absl::StrContains(plan, "Index"));
    CHECK_FALSE(absl::StrContains(plan, "Seq Scan"));
    CHECK_FALSE(absl::StrContains(plan, "Hash Join"));
    if (name == "duplicates" || name == "find") {
      CHECK(absl::StrContains(plan, "ledger_entries_202602_entry_hash_idx"));
    }
    if (name == "new_hashes") {
      // Months that ended before are left out.
      CHECK_FALSE(absl::StrContains(plan, "ledger_entries_202601_pkey"));
    }
  }
}

}  // namespace
}  // namespace countersign::ledger
