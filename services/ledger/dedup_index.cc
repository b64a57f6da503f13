#include "services/ledger/dedup_index.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"

namespace countersign::ledger {
namespace {

// Shorter than any leaf hash, so that no entry can take its place.
constexpr char kNextIndexKey[] = "next";

rocksdb::Slice AsSlice(const merkle::Hash& hash) {
  return rocksdb::Slice(reinterpret_cast<const char*>(hash.data()), hash.size());
}

absl::Status ToStatus(const rocksdb::Status& status, absl::string_view what) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = absl::StrCat("deduplication index: ", what, ": ", status.ToString());
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(message);
  if (status.IsCorruption()) {
    return absl::DataLossError(
        absl::StrCat(message, "; delete its folder and the next start rebuilds it"));
  }
  return absl::UnavailableError(message);
}

absl::StatusOr<uint64_t> ParseIndex(absl::string_view value) {
  uint64_t index;
  base::ByteReader reader(value);
  if (!reader.ReadU64(&index) || !reader.empty()) {
    return absl::DataLossError("deduplication index: a value is malformed");
  }
  return index;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DedupIndex>> DedupIndex::Open(const std::string& directory) {
  rocksdb::Options options;
  options.create_if_missing = true;
  // Hashes are random, so compaction merges everything it touches: it is done rarely, on few large
  // files, and a filter in memory (10 bits a key) answers 99 % of "is it new?" without reading
  // them.
  options.level0_file_num_compaction_trigger = 8;
  options.max_bytes_for_level_base = 512 << 20;
  options.write_buffer_size = 64 << 20;
  options.max_write_buffer_number = 3;
  options.target_file_size_base = 64 << 20;
  options.compression = rocksdb::kNoCompression;  // hashes do not compress
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  options.keep_log_file_num = 2;
  options.info_log_level = rocksdb::WARN_LEVEL;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
  table.block_cache = rocksdb::NewLRUCache(128 << 20);
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));

  rocksdb::DB* raw = nullptr;
  rocksdb::Status opened = rocksdb::DB::Open(options, directory, &raw);
  if (opened.IsCorruption()) {
    // A power cut can tear a record of its manifest. Nothing is lost with the index: every index is
    // derived anew.
    base::Log(base::Severity::kWarning, "the deduplication index is damaged: making it anew",
              {{"folder", directory}, {"error", opened.ToString()}});
    RETURN_IF_ERROR(ToStatus(rocksdb::DestroyDB(directory, options), "delete " + directory));
    opened = rocksdb::DB::Open(options, directory, &raw);
  }
  RETURN_IF_ERROR(ToStatus(opened, "open " + directory));
  std::unique_ptr<rocksdb::DB> db(raw);

  uint64_t replay_from = 0;
  std::string value;
  const rocksdb::Status found = db->Get(rocksdb::ReadOptions(), kNextIndexKey, &value);
  if (found.ok()) {
    ASSIGN_OR_RETURN(replay_from, ParseIndex(value));
  } else if (!found.IsNotFound()) {
    return ToStatus(found, "read");
  }
  return std::unique_ptr<DedupIndex>(new DedupIndex(std::move(db), replay_from));
}

DedupIndex::DedupIndex(std::unique_ptr<rocksdb::DB> db, uint64_t replay_from)
    : db_(std::move(db)), replay_from_(replay_from) {}

DedupIndex::~DedupIndex() = default;

absl::StatusOr<std::vector<std::optional<uint64_t>>> DedupIndex::Find(
    absl::Span<const merkle::Hash> leaf_hashes) const {
  std::vector<std::optional<uint64_t>> indexes(leaf_hashes.size());
  std::vector<rocksdb::Slice> keys;
  keys.reserve(leaf_hashes.size());
  for (const merkle::Hash& hash : leaf_hashes) keys.push_back(AsSlice(hash));
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  db_->MultiGet(rocksdb::ReadOptions(), db_->DefaultColumnFamily(), keys.size(), keys.data(),
                values.data(), statuses.data());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    RETURN_IF_ERROR(ToStatus(statuses[i], "look up"));
    ASSIGN_OR_RETURN(indexes[i], ParseIndex(absl::string_view(values[i].data(), values[i].size())));
  }
  return indexes;
}

absl::Status DedupIndex::Insert(absl::Span<const Item> items, uint64_t next_index) {
  rocksdb::WriteBatch batch;
  std::string value;
  for (const Item& item : items) {
    value.clear();
    base::AppendU64(&value, item.index);
    batch.Put(AsSlice(item.leaf_hash), value);
  }
  value.clear();
  base::AppendU64(&value, next_index);
  batch.Put(kNextIndexKey, value);
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return ToStatus(db_->Write(options, &batch), "insert");
}

absl::Status DedupIndex::Flush() { return ToStatus(db_->Flush(rocksdb::FlushOptions()), "flush"); }

}  // namespace countersign::ledger
