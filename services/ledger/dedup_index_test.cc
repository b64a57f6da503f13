#include "services/ledger/dedup_index.h"

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::ledger {
namespace {

using testing::RequireOk;
using testing::TempDir;

std::vector<merkle::Hash> Hashes(uint64_t count) {
  std::vector<merkle::Hash> hashes;
  for (uint64_t i = 0; i < count; ++i) hashes.push_back(merkle::LeafHash(absl::StrCat(i)));
  return hashes;
}

void Fill(DedupIndex* index, uint64_t count) {
  std::vector<DedupIndex::Item> items;
  for (const merkle::Hash& hash : Hashes(count)) items.push_back({hash, items.size()});
  RequireOk(index->Insert(items, count));
  RequireOk(index->Flush());
}

std::string TheManifest(const std::string& folder) {
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (absl::StrContains(file.path().string(), "/MANIFEST-")) return file.path().string();
  }
  FAIL("no manifest in " << folder);
  return "";
}

TEST_CASE("What was flushed is found again") {
  TempDir dir;
  Fill(RequireOk(DedupIndex::Open(dir.path())).get(), 100);
  const auto index = RequireOk(DedupIndex::Open(dir.path()));
  CHECK(index->replay_from() == 100);
  const auto found = RequireOk(index->Find(Hashes(101)));
  for (uint64_t i = 0; i < 100; ++i) REQUIRE(found[i] == i);
  CHECK_FALSE(found[100].has_value());
}

TEST_CASE("A manifest that a power cut has torn costs the index but not the start") {
  TempDir dir;
  Fill(RequireOk(DedupIndex::Open(dir.path())).get(), 100);
  // In the middle of its records, as a sector that never reached the disk.
  const std::string path = TheManifest(dir.path());
  std::string manifest = RequireOk(base::ReadFile(path));
  for (size_t i = manifest.size() / 2; i < manifest.size() - 8; ++i) manifest[i] = '\0';
  RequireOk(base::WriteFileAtomically(path, manifest));

  const auto index = RequireOk(DedupIndex::Open(dir.path()));
  CHECK(index->replay_from() == 0);
  CHECK_FALSE(RequireOk(index->Find(Hashes(1)))[0].has_value());
  Fill(index.get(), 100);
  CHECK(RequireOk(index->Find(Hashes(100)))[99] == 99);
}

}  // namespace
}  // namespace countersign::ledger
