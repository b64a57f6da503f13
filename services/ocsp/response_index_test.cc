#include "services/ocsp/response_index.h"

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/rcu.h"
#include "libs/pki/ocsp_record.h"

namespace countersign::ocsp {
namespace {

using Verdict = ResponseIndex::Verdict;

// A record that says `version`, in its times and its signatures, several times over.
std::string Record(const std::string& serial, int64_t version, size_t signature_bytes = 70) {
  const std::string signature(signature_bytes, static_cast<char>('a' + version % 26));
  pki::OcspRecord record;
  record.status.serial = serial;
  record.status.this_update = version;
  record.status.next_update = version + 1000;
  record.not_after = 1'000'000;
  record.signer_id = static_cast<uint32_t>(version);
  record.sha1_signature = signature;
  record.sha256_signature = signature;
  return pki::PackOcspRecord(record);
}

// The version of a record, or -1 when it is not one whole record.
int64_t VersionOf(absl::string_view packed) {
  const auto record = pki::UnpackOcspRecord(packed);
  if (!record.ok()) return -1;
  const int64_t version = record->status.this_update;
  if (record->signer_id != version || record->status.next_update != version + 1000) return -1;
  const char letter = static_cast<char>('a' + version % 26);
  for (const char c : record->sha256_signature) {
    if (c != letter) return -1;
  }
  return version;
}

std::string Serial(int64_t number) {
  std::string serial = "\x40";
  for (int shift = 56; shift >= 0; shift -= 8) serial.push_back(static_cast<char>(number >> shift));
  return serial;
}

TEST_CASE("The index holds what a map would hold, through growth, replacement and rewriting") {
  base::Rcu rcu;
  ResponseIndex index(&rcu);
  std::map<std::pair<int64_t, std::string>, std::string> model;
  std::mt19937_64 random(4);
  for (int step = 0; step < 30'000; ++step) {
    const int64_t authority = static_cast<int64_t>(random() % 3) - 1;
    const std::string serial = Serial(static_cast<int64_t>(random() % 10'000));
    const std::string record = Record(serial, step, random() % 200);
    REQUIRE(index.Apply({{authority, record}}) == 0);
    model[{authority, serial}] = record;
    if (step % 10'000 == 9'999) {
      // Drops a third and replaces a third.
      const auto decide = [](int64_t, absl::string_view record, std::string* replacement) {
        const int64_t version = VersionOf(record);
        if (version % 3 == 0) return Verdict::kDrop;
        if (version % 3 == 1) return Verdict::kKeep;
        const auto old = pki::UnpackOcspRecord(record);
        *replacement = Record(std::string(old->status.serial), version + 1'000'000);
        return Verdict::kReplace;
      };
      for (size_t shard = 0; shard < ResponseIndex::kShards; ++shard) index.Rewrite(shard, decide);
      for (auto it = model.begin(); it != model.end();) {
        std::string replacement;
        const Verdict verdict = decide(it->first.first, it->second, &replacement);
        if (verdict == Verdict::kReplace) it->second = replacement;
        it = verdict == Verdict::kDrop ? model.erase(it) : std::next(it);
      }
    }
  }
  CHECK(index.size() == static_cast<int64_t>(model.size()));
  const base::Rcu::ReadLock lock(&rcu);
  for (int64_t authority = -1; authority <= 2; ++authority) {
    for (int64_t number = 0; number < 10'100; ++number) {
      const std::string serial = Serial(number);
      const auto known = model.find({authority, serial});
      const std::string expected = known == model.end() ? "" : known->second;
      if (index.Find(lock, authority, serial) != expected) {
        FAIL("authority " << authority << ", number " << number);
      }
    }
  }
  // A serial number that begins or ends as another is another.
  CHECK(index.Find(lock, 0, "").empty());
  CHECK(index.Find(lock, 0, "\x40").empty());
}

TEST_CASE("Room that is made beforehand changes nothing else") {
  base::Rcu rcu;
  ResponseIndex index(&rcu);
  for (int64_t i = 0; i < 500; ++i) index.Apply({{1, Record(Serial(i), 3)}});
  for (const size_t records : {0u, 100u, 50'000u}) {
    index.Reserve(records);
    CHECK(index.size() == 500);
    const base::Rcu::ReadLock lock(&rcu);
    for (int64_t i = 0; i < 500; ++i) CHECK(VersionOf(index.Find(lock, 1, Serial(i))) == 3);
  }
  const int64_t before = index.memory_bytes();
  for (int64_t i = 500; i < 1000; ++i) index.Apply({{1, Record(Serial(i), 3)}});
  CHECK(index.size() == 1000);
  CHECK(index.memory_bytes() == before);
}

TEST_CASE("Malformed records are counted and leave what is there") {
  base::Rcu rcu;
  ResponseIndex index(&rcu);
  const std::string good = Record(Serial(1), 7);
  CHECK(index.Apply({{1, good}}) == 0);
  std::string other_version = good;
  other_version[0] = 2;
  CHECK(index.Apply({{1, ""},
                     {1, "\x01"},
                     {1, good.substr(0, good.size() - 1)},
                     {1, good + "x"},
                     {1, other_version},
                     {1, Record(Serial(1), 8, 20'000)}}) == 6);
  const base::Rcu::ReadLock lock(&rcu);
  CHECK(VersionOf(index.Find(lock, 1, Serial(1))) == 7);
  CHECK(index.size() == 1);
}

TEST_CASE("What is applied during a rewrite outlives it, new certificates included") {
  base::Rcu rcu;
  ResponseIndex index(&rcu);
  // Enough for each shard to have some.
  constexpr int64_t kCount = 600;
  for (int64_t i = 0; i < kCount; ++i) index.Apply({{1, Record(Serial(i), 1)}});
  int64_t added = 0;
  for (size_t shard = 0; shard < ResponseIndex::kShards; ++shard) {
    bool first = true;
    index.Rewrite(shard, [&](int64_t, absl::string_view record, std::string* replacement) {
      if (first) {
        // In the middle: every certificate is revoked, say, and more come than the table has room
        // for.
        for (int64_t i = 0; i < kCount + added; ++i) index.Apply({{1, Record(Serial(i), 2)}});
        for (int i = 0; i < 60; ++i) index.Apply({{1, Record(Serial(kCount + added++), 2)}});
        first = false;
      }
      *replacement = Record(std::string(pki::UnpackOcspRecord(record)->status.serial), 1);
      return Verdict::kReplace;
    });
    const base::Rcu::ReadLock lock(&rcu);
    for (int64_t i = 0; i < kCount + added; ++i) {
      if (VersionOf(index.Find(lock, 1, Serial(i))) != 2) FAIL("number " << i);
    }
  }
  CHECK(index.size() == kCount + added);
}

TEST_CASE("The earliest half-life is known by shard, and after a rewrite it is exact") {
  base::Rcu rcu;
  ResponseIndex index(&rcu);
  int64_t earliest = INT64_MAX;
  const auto find = [&] {
    earliest = INT64_MAX;
    for (size_t i = 0; i < ResponseIndex::kShards; ++i) {
      earliest = std::min(earliest, index.EarliestHalfLife(i));
    }
    return earliest;
  };
  CHECK(find() == INT64_MAX);
  index.Apply({{1, Record(Serial(1), 5000)}, {1, Record(Serial(2), 6000)}});
  CHECK(find() == 5500);
  index.Apply({{1, Record(Serial(1), 7000)}});
  for (size_t i = 0; i < ResponseIndex::kShards; ++i) {
    index.Rewrite(i, [](int64_t, absl::string_view, std::string*) { return Verdict::kKeep; });
  }
  CHECK(find() == 6500);
  // Not signed: due at once.
  index.Apply({{1, Record(Serial(3), 9000, 0)}});
  CHECK(find() == 0);
}

TEST_CASE("Readers beside writers and rewrites see whole records, none missing, none going back") {
  base::Rcu rcu;
  ResponseIndex index(&rcu);
  constexpr int64_t kSerials = 200;
  for (int64_t i = 0; i < kSerials; ++i) index.Apply({{1, Record(Serial(i), 0)}});
  std::atomic<bool> stop{false};
  std::atomic<int64_t> wrong{0};
  std::atomic<int64_t> reads{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      std::vector<int64_t> last(kSerials, 0);
      while (!stop) {
        for (int64_t i = 0; i < kSerials; ++i) {
          const base::Rcu::ReadLock lock(&rcu);
          const int64_t version = VersionOf(index.Find(lock, 1, Serial(i)));
          if (version < last[static_cast<size_t>(i)]) ++wrong;
          last[static_cast<size_t>(i)] = version;
          ++reads;
        }
      }
    });
  }
  std::thread rewriter([&] {
    for (size_t i = 0; !stop; i = (i + 1) % ResponseIndex::kShards) {
      index.Rewrite(i, [](int64_t, absl::string_view record, std::string* replacement) {
        replacement->assign(record.data(), record.size());
        return Verdict::kReplace;
      });
    }
  });
  // New ones make tables grow at the same time.
  int64_t fresh = kSerials;
  for (int64_t version = 1; version <= 15; ++version) {
    for (int64_t i = 0; i < kSerials; ++i) index.Apply({{1, Record(Serial(i), version)}});
    for (int i = 0; i < 200; ++i) index.Apply({{1, Record(Serial(fresh++), version)}});
  }
  while (reads < 10'000) std::this_thread::yield();
  stop = true;
  for (std::thread& reader : readers) reader.join();
  rewriter.join();
  CHECK(wrong == 0);
  CHECK(index.size() == fresh);
  const base::Rcu::ReadLock lock(&rcu);
  for (int64_t i = 0; i < kSerials; ++i) CHECK(VersionOf(index.Find(lock, 1, Serial(i))) == 15);
}

}  // namespace
}  // namespace countersign::ocsp
