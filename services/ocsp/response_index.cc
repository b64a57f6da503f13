#include "services/ocsp/response_index.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>

#include "absl/hash/hash.h"
#include "libs/pki/ocsp_record.h"

namespace countersign::ocsp {
namespace {

constexpr int kMinChunkBits = 16;  // 64 KiB
constexpr int kMaxChunkBits = 24;  // 16 MiB
constexpr size_t kEntryHeader = sizeof(int64_t) + sizeof(uint16_t);
constexpr size_t kMaxRecordBytes = 16 * 1024;
// With two P-256 signatures and a serial number of 16 bytes.
constexpr size_t kTypicalEntryBytes = 220;
constexpr size_t kMinSlots = 64;
constexpr size_t kMinChunks = 4;
constexpr int kPlaceBits = 48;
constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;
// Of the packed form: where the serial number and its length are.
constexpr size_t kSerialLengthAt = 2;
constexpr size_t kSerialAt = 3;

size_t HashOf(int64_t authority_id, absl::string_view serial) {
  return absl::HashOf(authority_id, serial);
}

// The highest bits choose the shard, those below are the slot's tag, the lowest choose the slot.
size_t ShardOf(size_t hash) { return hash >> 58; }
uint64_t TagOf(size_t hash) { return (uint64_t{hash} << 6) & ~kPlaceMask; }
static_assert(ResponseIndex::kShards == 64 && sizeof(size_t) == 8);

// The serial number of a record that was checked before.
absl::string_view SerialOf(absl::string_view record) {
  return record.substr(kSerialAt, static_cast<uint8_t>(record[kSerialLengthAt]));
}

int64_t HalfLife(const pki::OcspRecord& record) {
  // Not signed: at once.
  if (record.sha1_signature.empty() || record.sha256_signature.empty()) return 0;
  return record.status.this_update + (record.status.next_update - record.status.this_update) / 2;
}

// Zeroed memory straight from the system, which gets it back at once: an allocator would keep a
// replaced generation's for the thread that made it. Throws std::bad_alloc, as operator new does.
char* MapPages(size_t bytes) {
  void* const pages =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char*>(pages);
}

}  // namespace

class ResponseIndex::Generation {
 public:
  struct Entry {
    int64_t authority_id = 0;
    absl::string_view record;
  };
  enum class Outcome { kAdded, kReplaced, kFull };

  // Room for `records` records of `bytes` bytes in all, and as many again.
  Generation(size_t records, size_t bytes) {
    size_t slots = kMinSlots;
    while (slots < records * 3) slots *= 2;
    mask_ = slots - 1;
    // Zero bytes are empty slots.
    static_assert(sizeof(std::atomic<uint64_t>) == sizeof(uint64_t) &&
                  std::atomic<uint64_t>::is_always_lock_free);
    slots_ = reinterpret_cast<std::atomic<uint64_t>*>(MapPages(slots * sizeof(uint64_t)));
    // A sixteenth: few pieces, of which the last one is not half empty.
    while (chunk_bits_ < kMaxChunkBits && chunk_bytes() < bytes / 16) ++chunk_bits_;
    max_chunks_ = std::max(kMinChunks, 2 * bytes / chunk_bytes() + 2);
    chunks_ = std::make_unique<std::atomic<char*>[]>(max_chunks_);
  }
  ~Generation() {
    for (size_t i = 0; i < chunk_count_; ++i) {
      munmap(chunks_[i].load(std::memory_order_relaxed), chunk_bytes());
    }
    munmap(slots_, (mask_ + 1) * sizeof(uint64_t));
  }
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  std::optional<Entry> Find(size_t hash, int64_t authority_id, absl::string_view serial) const {
    for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
      const uint64_t slot = slots_[i].load(std::memory_order_acquire);
      if (slot == 0) return std::nullopt;
      if ((slot & ~kPlaceMask) != TagOf(hash)) continue;
      const Entry entry = At(slot);
      if (entry.authority_id == authority_id && SerialOf(entry.record) == serial) return entry;
    }
  }

  // For the writer.
  Outcome Put(size_t hash, int64_t authority_id, absl::string_view record) {
    const absl::string_view serial = SerialOf(record);
    size_t i = hash & mask_;
    uint64_t slot = 0;
    while ((slot = slots_[i].load(std::memory_order_relaxed)) != 0) {
      if ((slot & ~kPlaceMask) == TagOf(hash)) {
        const Entry entry = At(slot);
        if (entry.authority_id == authority_id && SerialOf(entry.record) == serial) {
          const uint64_t place = Append(authority_id, record);
          if (place == 0) return Outcome::kFull;
          live_bytes_ += record.size();
          live_bytes_ -= entry.record.size();
          slots_[i].store(TagOf(hash) | place, std::memory_order_release);
          return Outcome::kReplaced;
        }
      }
      i = (i + 1) & mask_;
    }
    // A reader's probe ends at an empty slot, so that there have to be some.
    if ((count_ + 1) * 3 > (mask_ + 1) * 2) return Outcome::kFull;
    const uint64_t place = Append(authority_id, record);
    if (place == 0) return Outcome::kFull;
    ++count_;
    live_bytes_ += record.size() + kEntryHeader;
    slots_[i].store(TagOf(hash) | place, std::memory_order_release);
    return Outcome::kAdded;
  }

  // How many records it can hold.
  size_t room() const { return (mask_ + 1) * 2 / 3; }

  // Calls `visit` for every entry; safe beside a writer.
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (size_t i = 0; i <= mask_; ++i) {
      const uint64_t slot = slots_[i].load(std::memory_order_acquire);
      if (slot != 0) visit(At(slot));
    }
  }

  // For the writer.
  size_t count() const { return count_; }
  size_t live_bytes() const { return live_bytes_; }
  size_t memory_bytes() const {
    return (mask_ + 1) * sizeof(uint64_t) + max_chunks_ * sizeof(char*) +
           chunk_count_ * chunk_bytes();
  }

 private:
  size_t chunk_bytes() const { return size_t{1} << chunk_bits_; }

  Entry At(uint64_t slot) const {
    const uint64_t place = (slot & kPlaceMask) - 1;
    const char* at = chunks_[place >> chunk_bits_].load(std::memory_order_acquire) +
                     (place & (chunk_bytes() - 1));
    Entry entry;
    uint16_t size = 0;
    std::memcpy(&entry.authority_id, at, sizeof(entry.authority_id));
    std::memcpy(&size, at + sizeof(entry.authority_id), sizeof(size));
    entry.record = absl::string_view(at + kEntryHeader, size);
    return entry;
  }

  // Where the entry was put, plus one; 0 when there is no room.
  uint64_t Append(int64_t authority_id, absl::string_view record) {
    const size_t size = kEntryHeader + record.size();
    if (chunk_count_ == 0 || used_ + size > chunk_bytes()) {
      if (chunk_count_ == max_chunks_) return 0;
      chunks_[chunk_count_++].store(MapPages(chunk_bytes()), std::memory_order_release);
      used_ = 0;
    }
    char* at = chunks_[chunk_count_ - 1].load(std::memory_order_relaxed) + used_;
    const auto record_size = static_cast<uint16_t>(record.size());
    std::memcpy(at, &authority_id, sizeof(authority_id));
    std::memcpy(at + sizeof(authority_id), &record_size, sizeof(record_size));
    std::memcpy(at + kEntryHeader, record.data(), record.size());
    const uint64_t place = (chunk_count_ - 1) * chunk_bytes() + used_ + 1;
    used_ += size;
    return place;
  }

  size_t mask_ = 0;
  // 0, or tag and place.
  std::atomic<uint64_t>* slots_ = nullptr;
  std::unique_ptr<std::atomic<char*>[]> chunks_;
  size_t max_chunks_ = 0;
  int chunk_bits_ = kMinChunkBits;
  // The writer's.
  size_t chunk_count_ = 0;
  size_t used_ = 0;
  size_t count_ = 0;
  size_t live_bytes_ = 0;
};

void ResponseIndex::Copy(const Generation& from, Generation* to) {
  from.ForEach([&](const Generation::Entry& entry) {
    (void)to->Put(HashOf(entry.authority_id, SerialOf(entry.record)), entry.authority_id,
                  entry.record);
  });
}

ResponseIndex::ResponseIndex(base::Rcu* rcu) : rcu_(rcu) {
  for (Shard& shard : shards_) {
    base::MutexLock lock(&shard.mutex);
    Swap(&shard, std::make_shared<Generation>(0, 0));
  }
}

ResponseIndex::~ResponseIndex() = default;

absl::string_view ResponseIndex::Find(const base::Rcu::ReadLock& lock, int64_t authority_id,
                                      absl::string_view serial) const {
  const size_t hash = HashOf(authority_id, serial);
  const auto entry = shards_[ShardOf(hash)].current.load()->Find(hash, authority_id, serial);
  return entry.has_value() ? entry->record : absl::string_view();
}

std::shared_ptr<ResponseIndex::Generation> ResponseIndex::Swap(Shard* shard,
                                                               std::shared_ptr<Generation> fresh) {
  shard->size = static_cast<int64_t>(fresh->count());
  shard->memory_bytes = static_cast<int64_t>(fresh->memory_bytes());
  shard->current.store(fresh.get());
  return std::exchange(shard->owned, std::move(fresh));
}

void ResponseIndex::Reserve(size_t records) {
  // Shards differ in size by a few per cent.
  const size_t each = records / kShards + records / kShards / 16;
  std::vector<std::shared_ptr<Generation>> replaced;
  for (Shard& shard : shards_) {
    base::MutexLock lock(&shard.mutex);
    const Generation& old = *shard.owned;
    if (old.room() >= each) continue;
    auto fresh = std::make_shared<Generation>(
        each, std::max(each * kTypicalEntryBytes, old.live_bytes() + kMaxRecordBytes));
    Copy(old, fresh.get());
    replaced.push_back(Swap(&shard, std::move(fresh)));
  }
  if (!replaced.empty()) rcu_->Synchronize();
}

bool ResponseIndex::Put(Shard* shard, size_t hash, const Change& change,
                        std::shared_ptr<Generation>* replaced) {
  const auto unpacked = pki::UnpackOcspRecord(change.record);
  if (!unpacked.ok()) return false;
  if (shard->owned->Put(hash, change.authority_id, change.record) == Generation::Outcome::kFull) {
    const Generation& old = *shard->owned;
    auto fresh = std::make_shared<Generation>(old.count() + 1,
                                              old.live_bytes() + kEntryHeader + kMaxRecordBytes);
    Copy(old, fresh.get());
    (void)fresh->Put(hash, change.authority_id, change.record);
    *replaced = Swap(shard, std::move(fresh));
  }
  shard->size = static_cast<int64_t>(shard->owned->count());
  shard->memory_bytes = static_cast<int64_t>(shard->owned->memory_bytes());
  shard->earliest_half_life = std::min(shard->earliest_half_life.load(), HalfLife(*unpacked));
  return true;
}

int64_t ResponseIndex::Apply(absl::Span<const Change> changes) {
  int64_t malformed = 0;
  for (const Change& change : changes) {
    if (change.record.size() < kSerialAt || change.record.size() > kMaxRecordBytes) {
      ++malformed;
      continue;
    }
    const size_t hash = HashOf(change.authority_id, SerialOf(change.record));
    Shard& shard = shards_[ShardOf(hash)];
    std::shared_ptr<Generation> replaced;
    {
      base::MutexLock lock(&shard.mutex);
      if (!Put(&shard, hash, change, &replaced)) {
        ++malformed;
      } else if (shard.rewriting) {
        shard.meanwhile.emplace_back(change.authority_id, std::string(change.record));
      }
    }
    if (replaced != nullptr) rcu_->Synchronize();
  }
  return malformed;
}

void ResponseIndex::Rewrite(size_t number, Decide decide) {
  Shard& shard = shards_[number];
  base::MutexLock one_at_a_time(&shard.rewrite_mutex);
  std::shared_ptr<Generation> old;
  std::shared_ptr<Generation> fresh;
  {
    base::MutexLock lock(&shard.mutex);
    shard.rewriting = true;
    old = shard.owned;
    fresh = std::make_shared<Generation>(old->count(), old->live_bytes());
  }
  int64_t earliest = INT64_MAX;
  const auto put = [&](int64_t authority_id, absl::string_view record) {
    const size_t hash = HashOf(authority_id, SerialOf(record));
    if (fresh->Put(hash, authority_id, record) == Generation::Outcome::kFull) {
      auto larger = std::make_shared<Generation>(
          fresh->count() + 1, fresh->live_bytes() + kEntryHeader + kMaxRecordBytes);
      Copy(*fresh, larger.get());
      fresh = std::move(larger);
      (void)fresh->Put(hash, authority_id, record);
    }
    if (const auto unpacked = pki::UnpackOcspRecord(record); unpacked.ok()) {
      earliest = std::min(earliest, HalfLife(*unpacked));
    }
  };
  std::string replacement;
  old->ForEach([&](const Generation::Entry& entry) {
    replacement.clear();
    switch (decide(entry.authority_id, entry.record, &replacement)) {
      case Verdict::kKeep:
        put(entry.authority_id, entry.record);
        break;
      case Verdict::kReplace:
        put(entry.authority_id, replacement);
        break;
      case Verdict::kDrop:
        break;
    }
  });
  std::shared_ptr<Generation> replaced;
  {
    base::MutexLock lock(&shard.mutex);
    for (const auto& [authority_id, record] : shard.meanwhile) put(authority_id, record);
    shard.meanwhile = {};
    shard.rewriting = false;
    shard.earliest_half_life = earliest;
    replaced = Swap(&shard, std::move(fresh));
  }
  rcu_->Synchronize();
}

int64_t ResponseIndex::EarliestHalfLife(size_t shard) const {
  return shards_[shard].earliest_half_life;
}

int64_t ResponseIndex::size() const {
  int64_t sum = 0;
  for (const Shard& shard : shards_) sum += shard.size;
  return sum;
}

int64_t ResponseIndex::memory_bytes() const {
  int64_t sum = 0;
  for (const Shard& shard : shards_) sum += shard.memory_bytes;
  return sum;
}

}  // namespace countersign::ocsp
