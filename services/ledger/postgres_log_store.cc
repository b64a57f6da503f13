#include "services/ledger/postgres_log_store.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "services/ledger/postgres_statements.h"

namespace countersign::ledger {
namespace {

using storage::Freshness;
using storage::Row;
using storage::Rows;
using storage::Statement;
using storage::Transaction;
using storage::Value;

constexpr uint32_t kWidth = merkle::kTileWidth;
// A log that others have grown by more than this, or that was not known at all, is read from its
// tiles.
constexpr int64_t kMaxCatchUp = 65536;
// How far the clock may be ahead of the database's. No entry is older than the one before it, so
// that one from the future would put all later ones in its month.
constexpr absl::Duration kMaxClockLead = absl::Minutes(5);
constexpr absl::Duration kFirstPause = absl::Milliseconds(20);
constexpr absl::Duration kLongestPause = absl::Milliseconds(500);

absl::StatusOr<std::vector<merkle::Hash>> Unpack(absl::string_view packed) {
  if (packed.size() % sizeof(merkle::Hash) != 0) {
    return absl::InternalError("packed hashes are no multiple of 32 bytes");
  }
  std::vector<merkle::Hash> hashes(packed.size() / sizeof(merkle::Hash));
  std::copy(packed.begin(), packed.end(), reinterpret_cast<char*>(hashes.data()));
  return hashes;
}

absl::Status Frozen() {
  return absl::FailedPreconditionError("the log is frozen: it takes no more entries");
}

// Whether the same call may succeed once the database is back, or whoever holds a lock is done.
bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status);
}

// How a try at appending ends.
enum class End { kCommit, kNothingNew, kNoPartition, kClockAhead, kFrozen };

// The pauses between tries until `timeout` has passed.
class Patience {
 public:
  explicit Patience(absl::Duration timeout) : give_up_(absl::Now() + timeout) {}

  // False when it is time to give up.
  bool Pause() {
    if (absl::Now() + pause_ > give_up_) return false;
    absl::SleepFor(pause_);
    pause_ = std::min(2 * pause_, kLongestPause);
    return true;
  }

 private:
  const absl::Time give_up_;
  absl::Duration pause_ = kFirstPause;
};

}  // namespace

struct PostgresLogStore::Batch {
  std::vector<const NewEntry*> entries;
  absl::flat_hash_map<merkle::Hash, size_t> by_hash;  // empty without deduplication
  std::vector<size_t> places;                         // of what Sequence was given, in `entries`
  Value packed_hashes;
};

struct PostgresLogStore::Attempt {
  std::vector<std::optional<uint64_t>> known;  // by entry of the batch: its index in the log
  // The rest, in order, which get the indexes from before.edge->size() on.
  std::vector<size_t> fresh;
  std::vector<merkle::Hash> fresh_hashes;
  Tip before;
  Tip after;
  // When `fresh` is to have been appended.
  absl::Time time;
  absl::Duration clock_lead;  // over the database's
  End end = End::kCommit;
  bool committing = false;

  // Ends the transaction without a commit.
  absl::Status Finish(End without_commit) {
    end = without_commit;
    return absl::CancelledError("there is nothing to commit");
  }
};

PostgresLogStore::PostgresLogStore(const Options& options)
    : options_(options),
      database_(*options.database),
      tip_({std::make_shared<const Edge>()}),
      integrated_(tip_.edge),
      checkpoint_(std::make_shared<const std::string>()),
      tiles_(options.tile_cache_bytes / 2,
             [this](int level, uint64_t index) { return LoadTile(level, index); }),
      bundles_({.capacity = options.tile_cache_bytes / 2, .shards = 4}) {}

absl::StatusOr<std::unique_ptr<PostgresLogStore>> PostgresLogStore::Open(const Options& options) {
  RETURN_IF_ERROR(CreateLedgerSchema(*options.database));
  std::unique_ptr<PostgresLogStore> store(new PostgresLogStore(options));
  RETURN_IF_ERROR(store->FindLog());
  ASSIGN_OR_RETURN(store->partitioned_,
                   MakePartitions(*options.database, options.tablespaces, options.clock->Now()));
  RETURN_IF_ERROR(store->Integrate().status());
  return store;
}

absl::Status PostgresLogStore::FindLog() {
  constexpr absl::string_view kSelect = "SELECT log_id, origin FROM ledger_logs WHERE name = $1";
  const Value name = Value::Text(options_.name);
  ASSIGN_OR_RETURN(Rows rows, database_.Query(kSelect, {name}));
  if (rows.empty()) {
    RETURN_IF_ERROR(
        database_
            .Run("INSERT INTO ledger_logs (name, origin, create_time) "
                 "VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                 {name, Value::Text(options_.origin), absl::ToUnixMicros(options_.clock->Now())})
            .status());
    ASSIGN_OR_RETURN(rows, database_.Query(kSelect, {name}));
    if (rows.empty()) {
      return absl::AlreadyExistsError(absl::StrCat("another log of the database has the origin ",
                                                   options_.origin, " already"));
    }
  }
  if (rows[0].Text(1) != options_.origin) {
    return absl::FailedPreconditionError(absl::StrCat(options_.name, " has the origin ",
                                                      rows[0].Text(1), " in the database, not ",
                                                      options_.origin));
  }
  log_id_ = rows[0].Int(0);
  return absl::OkStatus();
}

absl::Status PostgresLogStore::Damaged(absl::string_view what) const {
  return absl::DataLossError(
      absl::StrCat("the database of ", options_.name, " ", what, ": restore it as it was"));
}

absl::Status PostgresLogStore::OlderCopy(const Head& head, uint64_t size) const {
  return Damaged(absl::StrCat("has ", head.tree.size,
                              " entries by table ledger_logs, where it had ", size,
                              " before; it is not to go on from an older copy"));
}

absl::StatusOr<PostgresLogStore::Head> PostgresLogStore::ParseHead(const Rows& rows) const {
  if (rows.empty()) return Damaged("has no row for it in table ledger_logs");
  Head head;
  head.tree.size = static_cast<uint64_t>(rows[0].Int(0));
  const absl::StatusOr<merkle::Hash> root = merkle::ToHash(rows[0].Bytes(1));
  if (!root.ok()) return Damaged("has a root in table ledger_logs that is none");
  head.tree.root = *root;
  head.last_timestamp = rows[0].Int(2);
  head.frozen = rows[0].Int(3) != 0;
  return head;
}

PostgresLogStore::Tip PostgresLogStore::tip() const {
  base::MutexLock lock(&mutex_);
  return tip_;
}

void PostgresLogStore::Adopt(const Tip& tip) {
  base::MutexLock lock(&mutex_);
  if (tip.edge->size() > tip_.edge->size()) tip_ = tip;
}

void PostgresLogStore::AdoptPublished(const Row& row) {
  const auto size = static_cast<uint64_t>(row.Int(4));
  base::MutexLock lock(&mutex_);
  if (row.IsNull(6) || size < published_size_) return;
  published_size_ = size;
  publish_time_ = absl::FromUnixMicros(row.Int(5));
  if (*checkpoint_ != row.Bytes(6)) checkpoint_ = std::make_shared<const std::string>(row.Bytes(6));
}

absl::StatusOr<Edge> PostgresLogStore::ReadEdge(Transaction& transaction, uint64_t size) const {
  return RebuildEdge(
      size,
      [&](int level, uint64_t begin, uint64_t end) -> absl::StatusOr<std::vector<merkle::Hash>> {
        Rows rows;
        if (level == 0) {
          ASSIGN_OR_RETURN(rows, transaction.Query(sql::kEntryHashes, {log_id_, begin, end}));
        } else {
          ASSIGN_OR_RETURN(rows,
                           transaction.Query(sql::kTileRoots, {log_id_, level - 1, begin, end}));
        }
        ASSIGN_OR_RETURN(std::vector<merkle::Hash> hashes, Unpack(rows[0].Bytes(0)));
        if (hashes.size() == end - begin) return hashes;
        return Damaged(level == 0 ? absl::StrCat("lacks entries between ", begin, " and ", end,
                                                 " in table ledger_entries")
                                  : absl::StrCat("lacks tiles of level ", level - 1, " between ",
                                                 begin, " and ", end, " in table ledger_tiles"));
      });
}

int64_t PostgresLogStore::MaxCatchUp(const Tip& known) {
  return known.edge->size() == 0 ? 0 : kMaxCatchUp;
}

std::array<Value, 4> PostgresLogStore::NewHashesSince(const Tip& known) const {
  return {log_id_, known.edge->size(), known.last_timestamp, MaxCatchUp(known) + 1};
}

absl::StatusOr<PostgresLogStore::Tip> PostgresLogStore::CatchUp(Transaction& transaction,
                                                                const Tip& known, const Head& head,
                                                                const Row& new_hashes) const {
  const uint64_t size = known.edge->size();
  if (head.tree.size < size) return OlderCopy(head, size);
  Tip caught{known.edge, head.last_timestamp};
  if (new_hashes.Int(0) > MaxCatchUp(known)) {
    ASSIGN_OR_RETURN(Edge edge, ReadEdge(transaction, head.tree.size));
    caught.edge = std::make_shared<const Edge>(std::move(edge));
  } else if (head.tree.size != size) {
    ASSIGN_OR_RETURN(const std::vector<merkle::Hash> leaf_hashes, Unpack(new_hashes.Bytes(1)));
    if (leaf_hashes.size() != head.tree.size - size) {
      return Damaged(absl::StrCat("lacks entries between ", size, " and ", head.tree.size,
                                  " in table ledger_entries"));
    }
    auto edge = std::make_shared<Edge>(*known.edge);
    // Whoever appended them has written their tiles.
    RETURN_IF_ERROR(
        AppendLeaves(edge.get(), leaf_hashes, [](const ClosedTile&) { return absl::OkStatus(); }));
    caught.edge = std::move(edge);
  }
  if (caught.edge->tree.Root() != head.tree.root) {
    return Damaged(
        absl::StrCat("has entries and tiles that do not give the root in table "
                     "ledger_logs for size ",
                     head.tree.size));
  }
  return caught;
}

absl::Status PostgresLogStore::Refresh() {
  // Read before the snapshot is taken, which is therefore no older.
  const Tip known = tip();
  Tip caught;
  std::optional<Row> row;
  RETURN_IF_ERROR(database_.InSnapshot([&](Transaction& transaction) -> absl::Status {
    const std::array<Value, 1> id = {log_id_};
    const std::array<Value, 4> since = NewHashesSince(known);
    ASSIGN_OR_RETURN(const std::vector<Rows> results,
                     transaction.Pipeline({{sql::kAwaitMoves, {}},
                                           {sql::kByIndex, {}},
                                           {sql::kReadHead, id},
                                           {sql::kNewHashes, since}}));
    ASSIGN_OR_RETURN(const Head head, ParseHead(results[2]));
    row = results[2][0];
    ASSIGN_OR_RETURN(caught, CatchUp(transaction, known, head, results[3][0]));
    return absl::OkStatus();
  }));
  if (row->Int(3) != 0) frozen_ = true;
  Adopt(caught);
  AdoptPublished(*row);
  return absl::OkStatus();
}

absl::StatusOr<TreeHead> PostgresLogStore::Integrate() {
  const absl::Time now = options_.clock->Now();
  const bool news = tip().edge->size() > integrated()->size();
  if (!news || now - refreshed_ > options_.refresh_interval || now < refreshed_) {
    const absl::Status status = Refresh();
    if (status.ok()) {
      refreshed_ = now;
    } else if (!news || absl::IsDataLoss(status)) {
      return status;
    }
  }
  base::MutexLock lock(&mutex_);
  integrated_ = tip_.edge;
  return TreeHead{integrated_->size(), integrated_->tree.Root()};
}

absl::StatusOr<std::vector<LogStore::Placement>> PostgresLogStore::Sequence(
    absl::Span<const NewEntry> entries) {
  if (frozen_) return Frozen();
  if (entries.empty()) return std::vector<Placement>();
  const Batch batch = MakeBatch(entries);
  Patience patience(options_.retry_timeout);
  while (true) {
    Attempt attempt;
    absl::Status status = database_.InTransaction(
        [&](Transaction& transaction) { return Append(transaction, batch, &attempt); },
        storage::Isolation::kReadCommitted);
    switch (attempt.end) {
      case End::kCommit:
        break;
      case End::kNothingNew:
        Adopt(attempt.before);
        return Placements(batch, attempt);
      case End::kFrozen:
        frozen_ = true;
        return Frozen();
      case End::kClockAhead:
        return absl::UnavailableError(
            absl::StrCat("nothing was appended: this ledger's clock is ",
                         absl::FormatDuration(absl::Trunc(attempt.clock_lead, absl::Seconds(1))),
                         " ahead of the database's; set them right, as by NTP"));
      case End::kNoPartition: {
        ASSIGN_OR_RETURN(partitioned_,
                         MakePartitions(database_, options_.tablespaces, attempt.time));
        continue;
      }
    }
    while (absl::IsUnavailable(status) && attempt.committing) {
      const absl::StatusOr<bool> committed = IsCommitted(attempt);
      if (committed.ok()) {
        if (*committed) status = absl::OkStatus();
        break;
      }
      if (!MayPass(committed.status())) return committed.status();
      if (!patience.Pause()) {
        return absl::UnavailableError(
            absl::StrCat("the database went away while ", attempt.fresh.size(),
                         " entries were committed: they may or may not be in the log; append them "
                         "again (",
                         status.message(), ")"));
      }
    }
    if (status.ok()) {
      ++synchronisations_;
      Adopt(attempt.after);
      return Placements(batch, attempt);
    }
    if (!MayPass(status)) return status;
    if (!patience.Pause()) {
      return absl::UnavailableError(absl::StrCat("nothing was appended: ", status.message()));
    }
  }
}

PostgresLogStore::Batch PostgresLogStore::MakeBatch(absl::Span<const NewEntry> entries) const {
  Batch batch;
  batch.entries.reserve(entries.size());
  batch.places.reserve(entries.size());
  if (options_.deduplicate) batch.by_hash.reserve(entries.size());
  for (const NewEntry& entry : entries) {
    size_t place = batch.entries.size();
    if (options_.deduplicate) place = batch.by_hash.emplace(entry.leaf_hash, place).first->second;
    if (place == batch.entries.size()) batch.entries.push_back(&entry);
    batch.places.push_back(place);
  }
  std::string packed;
  packed.reserve(batch.entries.size() * sizeof(merkle::Hash));
  for (const NewEntry* entry : batch.entries) {
    const absl::string_view hash = base::AsBytes(entry->leaf_hash);
    packed.append(hash.data(), hash.size());
  }
  batch.packed_hashes = Value::Bytes(packed);
  return batch;
}

std::vector<LogStore::Placement> PostgresLogStore::Placements(const Batch& batch,
                                                              const Attempt& attempt) {
  std::vector<Placement> by_entry(batch.entries.size());
  for (size_t i = 0; i < by_entry.size(); ++i) {
    if (attempt.known[i].has_value()) by_entry[i] = {*attempt.known[i], true};
  }
  uint64_t next = attempt.before.edge->size();
  for (const size_t i : attempt.fresh) by_entry[i] = {next++, false};
  std::vector<Placement> placements;
  placements.reserve(batch.places.size());
  for (const size_t place : batch.places) {
    placements.push_back(by_entry[place]);
    by_entry[place].duplicate = true;  // from the second time on
  }
  return placements;
}

absl::Status PostgresLogStore::Append(Transaction& transaction, const Batch& batch,
                                      Attempt* attempt) const {
  *attempt = Attempt();
  attempt->known.resize(batch.entries.size());
  const Tip known = tip();

  // The look-up comes before the lock, so that others need not wait for it: what they append
  // meanwhile is among the new hashes.
  const std::array<Value, 3> look_up = {batch.packed_hashes, batch.entries.size(), log_id_};
  const std::array<Value, 1> id = {log_id_};
  const std::array<Value, 4> since = NewHashesSince(known);
  std::vector<Statement> statements = {
      {sql::kByIndex, {}}, {sql::kDurably, {}}, {sql::kLockHead, id}, {sql::kNewHashes, since}};
  if (options_.deduplicate) {
    statements.insert(statements.begin() + 2, Statement{sql::kFindDuplicates, look_up});
  }
  ASSIGN_OR_RETURN(const std::vector<Rows> results, transaction.Pipeline(statements));
  const auto note_known = [&](const Rows& duplicates) {
    for (const Row& row : duplicates) {
      std::optional<uint64_t>& index = attempt->known[static_cast<size_t>(row.Int(0))];
      const auto found = static_cast<uint64_t>(row.Int(1));
      // More than one where deduplication was off before.
      index = index.has_value() ? std::min(*index, found) : found;
    }
  };
  if (options_.deduplicate) note_known(results[2]);
  const Rows& locked = results[results.size() - 2];
  ASSIGN_OR_RETURN(const Head head, ParseHead(locked));
  if (head.frozen) return attempt->Finish(End::kFrozen);
  const Row& new_hashes = results.back()[0];
  ASSIGN_OR_RETURN(attempt->before, CatchUp(transaction, known, head, new_hashes));

  if (options_.deduplicate && head.tree.size != known.edge->size()) {
    if (new_hashes.Int(0) > MaxCatchUp(known)) {
      ASSIGN_OR_RETURN(const Rows duplicates, transaction.Query(sql::kFindDuplicates, look_up));
      note_known(duplicates);
    } else {
      ASSIGN_OR_RETURN(const std::vector<merkle::Hash> hashes, Unpack(new_hashes.Bytes(1)));
      for (size_t i = 0; i < hashes.size(); ++i) {
        const auto it = batch.by_hash.find(hashes[i]);
        if (it == batch.by_hash.end() || attempt->known[it->second].has_value()) continue;
        attempt->known[it->second] = known.edge->size() + i;
      }
    }
  }
  for (size_t i = 0; i < batch.entries.size(); ++i) {
    if (attempt->known[i].has_value()) continue;
    attempt->fresh.push_back(i);
    attempt->fresh_hashes.push_back(batch.entries[i]->leaf_hash);
  }
  if (attempt->fresh.empty()) return attempt->Finish(End::kNothingNew);
  const absl::Time now = options_.clock->Now();
  attempt->clock_lead = now - absl::FromUnixMicros(locked[0].Int(4));
  if (attempt->clock_lead > kMaxClockLead) return attempt->Finish(End::kClockAhead);
  // Never before the newest entry, so that the months' partitions hold runs of indexes.
  attempt->after.last_timestamp = std::max(absl::ToUnixMicros(now), head.last_timestamp);
  attempt->time = absl::FromUnixMicros(attempt->after.last_timestamp);
  if (!partitioned_.Contains(attempt->time)) return attempt->Finish(End::kNoPartition);
  return Insert(transaction, batch, attempt);
}

absl::Status PostgresLogStore::Insert(Transaction& transaction, const Batch& batch,
                                      Attempt* attempt) const {
  const int64_t timestamp = attempt->after.last_timestamp;
  std::vector<Row> rows;
  rows.reserve(attempt->fresh.size());
  uint64_t index = attempt->before.edge->size();
  for (const size_t i : attempt->fresh) {
    const NewEntry& entry = *batch.entries[i];
    std::vector<Value> values;
    values.reserve(5);
    values.push_back(log_id_);
    values.push_back(index++);
    values.push_back(timestamp);
    values.push_back(Value::Bytes(base::AsBytes(entry.leaf_hash)));
    values.push_back(Value::Bytes(entry.bytes));
    rows.emplace_back(std::move(values));
  }
  static const std::vector<std::string>* const columns =
      new std::vector<std::string>{"log_id", "sequence_number", "timestamp", "entry_hash", "entry"};
  RETURN_IF_ERROR(transaction.BulkInsert("ledger_entries", *columns, rows).status());

  auto after = std::make_shared<Edge>(*attempt->before.edge);
  std::vector<std::vector<Value>> params;
  RETURN_IF_ERROR(AppendLeaves(after.get(), attempt->fresh_hashes, [&](const ClosedTile& tile) {
    params.push_back({log_id_, tile.level, tile.index, Value::Bytes(base::AsBytes(tile.root)),
                      Value::Bytes(HashesAsBytes(tile.hashes))});
    return absl::OkStatus();
  }));
  params.push_back(
      {log_id_, after->size(), Value::Bytes(base::AsBytes(after->tree.Root())), timestamp});
  attempt->after.edge = std::move(after);
  std::vector<Statement> statements;
  statements.reserve(params.size());
  for (const std::vector<Value>& values : params) {
    statements.push_back({values.size() == 5 ? sql::kInsertTile : sql::kMoveHead, values});
  }
  RETURN_IF_ERROR(transaction.Pipeline(statements).status());
  attempt->committing = true;
  return absl::OkStatus();
}

absl::StatusOr<bool> PostgresLogStore::IsCommitted(const Attempt& attempt) const {
  const uint64_t begin = attempt.before.edge->size();
  const uint64_t end = attempt.after.edge->size();
  bool committed = false;
  // It commits, though all it did was to lock: what it has seen is then wherever OK has to mean
  // that it is, on a synchronous replica too.
  RETURN_IF_ERROR(database_.InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        const std::array<Value, 1> id = {log_id_};
        // Another ledger may have got the same entries, and their indexes, instead.
        const std::array<Value, 4> range = {log_id_, begin, end, attempt.after.last_timestamp};
        // The lock is free once the server is done with the transaction whose end was not heard of.
        ASSIGN_OR_RETURN(const std::vector<Rows> results,
                         transaction.Pipeline({{sql::kByIndex, {}},
                                               {sql::kDurably, {}},
                                               {sql::kLockHead, id},
                                               {sql::kHashesAppendedAt, range}}));
        const Row& found = results[3][0];
        committed = !found.IsNull(0) && found.Bytes(0) == HashesAsBytes(attempt.fresh_hashes);
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted));
  return committed;
}

absl::Status PostgresLogStore::Freeze() {
  RETURN_IF_ERROR(database_.InTransaction(
      [&](Transaction& transaction) {
        const std::array<Value, 1> id = {log_id_};
        return transaction.Pipeline({{sql::kDurably, {}}, {sql::kFreeze, id}}).status();
      },
      storage::Isolation::kReadCommitted));
  ++synchronisations_;
  frozen_ = true;
  return absl::OkStatus();
}

absl::Status PostgresLogStore::Publish(const TreeHead& head, absl::string_view checkpoint,
                                       absl::Time time) {
  std::optional<Row> row;
  RETURN_IF_ERROR(database_.InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        const std::array<Value, 4> publish = {log_id_, head.size, absl::ToUnixMicros(time),
                                              Value::Bytes(checkpoint)};
        const std::array<Value, 1> id = {log_id_};
        ASSIGN_OR_RETURN(const std::vector<Rows> results,
                         transaction.Pipeline({{sql::kByIndex, {}},
                                               {sql::kDurably, {}},
                                               {sql::kPublish, publish},
                                               {sql::kReadHead, id}}));
        ASSIGN_OR_RETURN(const Head now, ParseHead(results[3]));
        if (now.tree.size < head.size) return OlderCopy(now, head.size);
        row = results[3][0];
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted));
  ++synchronisations_;
  AdoptPublished(*row);
  return absl::OkStatus();
}

SharedBytes PostgresLogStore::PublishedCheckpoint() const {
  base::MutexLock lock(&mutex_);
  return checkpoint_;
}

absl::Time PostgresLogStore::PublishTime() const {
  base::MutexLock lock(&mutex_);
  return publish_time_;
}

std::shared_ptr<const Edge> PostgresLogStore::integrated() const {
  base::MutexLock lock(&mutex_);
  return integrated_;
}

absl::StatusOr<Rows> PostgresLogStore::ReadImmutable(absl::string_view statement,
                                                     storage::Params params, size_t count) const {
  Rows rows;
  // A replica may not have them yet, the primary has.
  for (const Freshness freshness : {Freshness::kReplica, Freshness::kLatest}) {
    const absl::Status status = database_.InSnapshot(
        [&](Transaction& transaction) -> absl::Status {
          ASSIGN_OR_RETURN(std::vector<Rows> results,
                           transaction.Pipeline(
                               {{sql::kAwaitMoves, {}}, {sql::kByIndex, {}}, {statement, params}}));
          rows = std::move(results[2]);
          return absl::OkStatus();
        },
        freshness);
    if (status.ok() && rows.size() >= count) break;
    if (freshness == Freshness::kLatest) RETURN_IF_ERROR(status);
  }
  return rows;
}

absl::StatusOr<std::optional<uint64_t>> PostgresLogStore::Find(
    const merkle::Hash& leaf_hash) const {
  ASSIGN_OR_RETURN(const Rows rows,
                   ReadImmutable(sql::kFind, {log_id_, Value::Bytes(base::AsBytes(leaf_hash))}, 1));
  std::optional<uint64_t> lowest;
  for (const Row& row : rows) {
    const auto index = static_cast<uint64_t>(row.Int(0));
    if (!lowest.has_value() || index < *lowest) lowest = index;
  }
  return lowest;
}

absl::StatusOr<std::vector<merkle::Hash>> PostgresLogStore::ReadNodes(
    absl::Span<const merkle::NodeId> nodes) const {
  return tiles_.ReadNodes(*integrated(), nodes);
}

absl::StatusOr<SharedBytes> PostgresLogStore::ReadTile(const merkle::TileId& tile) const {
  return tiles_.ReadTile(*integrated(), tile);
}

absl::StatusOr<std::string> PostgresLogStore::LoadTile(int level, uint64_t index) const {
  ASSIGN_OR_RETURN(Rows rows, ReadImmutable(sql::kReadTile, {log_id_, level, index}, 1));
  if (rows.empty() || rows[0].Bytes(0).size() != kWidth * sizeof(merkle::Hash)) {
    return Damaged(
        absl::StrCat("lacks tile ", index, " of level ", level, " in table ledger_tiles"));
  }
  return std::move(rows[0][0]).AsString();
}

absl::StatusOr<PostgresLogStore::Bundle> PostgresLogStore::LoadEntries(uint64_t begin,
                                                                       uint32_t count) const {
  ASSIGN_OR_RETURN(const Rows rows,
                   ReadImmutable(sql::kReadEntries, {log_id_, begin, begin + count}, count));
  if (rows.size() != count) {
    return Damaged(absl::StrCat("lacks entries between ", begin, " and ", begin + count,
                                " in table ledger_entries"));
  }
  std::string bundle;
  for (const Row& row : rows) RETURN_IF_ERROR(merkle::AppendToBundle(row.Bytes(0), &bundle));
  return Bundle{std::make_shared<const std::string>(std::move(bundle)), count};
}

absl::StatusOr<SharedBytes> PostgresLogStore::ReadEntryBundle(uint64_t bundle,
                                                              uint32_t width) const {
  const uint64_t size = integrated()->size();
  const uint64_t begin = bundle * kWidth;
  if (bundle > size / kWidth || width > size - begin) {
    return absl::NotFoundError(absl::StrCat("the log of size ", size, " has no ",
                                            merkle::EntriesPath(bundle, width), " yet"));
  }
  std::optional<Bundle> read = bundles_.Get(bundle);
  if (!read.has_value() || read->width < width) {
    ASSIGN_OR_RETURN(
        read, LoadEntries(begin, static_cast<uint32_t>(std::min<uint64_t>(kWidth, size - begin))));
    bundles_.Put(bundle, *read, read->bytes->size());
  }
  if (read->width == width) return read->bytes;
  ASSIGN_OR_RETURN(const size_t length, BundlePrefix(*read->bytes, width));
  return std::make_shared<const std::string>(read->bytes->substr(0, length));
}

}  // namespace countersign::ledger
