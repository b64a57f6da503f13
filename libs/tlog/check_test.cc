#include "libs/tlog/check.h"

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/merkle/reference_tree.h"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/tlog/folder_source.h"
#include "libs/tlog/model_log.h"

namespace countersign::tlog {
namespace {

using testing::RequireOk;

CheckReport CheckFolder(const std::string& folder, const ModelLog& log) {
  return RequireOk(Check(FolderSource(folder), {.trust = log.trust()}));
}

// A folder that holds a log, and can be damaged and mended.
class Damaged {
 public:
  Damaged(const ModelLog& log, uint64_t size) : log_(log), files_(log.PublicFiles(size)) {
    WriteFiles(dir_.path(), files_);
    for (const auto& [path, bytes] : files_) paths_.push_back(path);
  }

  const Files& files() const { return files_; }
  const std::vector<std::string>& paths() const { return paths_; }
  const std::string& folder() const { return dir_.path(); }

  void Write(const std::string& path, const std::string& bytes) {
    WriteFiles(dir_.path(), {{path, bytes}});
  }
  void Remove(const std::string& path) {
    REQUIRE(std::filesystem::remove(dir_.path() + "/" + path));
  }
  void Mend(const std::string& path) { Write(path, files_.at(path)); }

  // The damage that is found. Fails the test case when there is none.
  Damage Found() const {
    const CheckReport report = CheckFolder(dir_.path(), log_);
    REQUIRE(report.damage.has_value());
    return *report.damage;
  }

 private:
  const ModelLog& log_;
  const Files files_;
  std::vector<std::string> paths_;
  testing::TempDir dir_;
};

TEST_CASE("The model's roots are the reference tree's") {
  const ModelLog log(300);
  for (uint64_t size : {0, 1, 2, 255, 256, 257, 300}) {
    merkle::Entries entries;
    for (uint64_t i = 0; i < size; ++i) entries.push_back(log.entry(i));
    CHECK(log.Root(size) == merkle::ReferenceRoot(entries));
  }
}

TEST_CASE("A log without damage is clean, whatever its size") {
  const ModelLog log(70000);
  for (uint64_t size : {0, 1, 255, 256, 257, 511, 512, 65535, 65536, 65537, 65793, 70000}) {
    testing::TempDir dir;
    WriteFiles(dir.path(), log.PublicFiles(size));
    uint64_t done = 0;
    const CheckReport report =
        RequireOk(Check(FolderSource(dir.path()),
                        {.trust = log.trust(), .progress = [&](uint64_t entries, uint64_t total) {
                           CHECK(entries > done);
                           CHECK(total == size);
                           done = entries;
                         }}));
    CAPTURE(size, report.damage.has_value() ? Describe(*report.damage) : "");
    CHECK_FALSE(report.damage.has_value());
    REQUIRE(report.checkpoint.has_value());
    CHECK(report.checkpoint->checkpoint.size == size);
    CHECK(done == size);
  }
}

TEST_CASE("Every byte that is changed is found, in the file that has it and at its place") {
  const uint64_t size = GENERATE(66000, 700, 1);
  const ModelLog log(size);
  Damaged damaged(log, size);
  std::mt19937 random(static_cast<uint32_t>(size));
  for (int round = 0; round < (size > 1000 ? 150 : 300); ++round) {
    const std::string& path = damaged.paths()[random() % damaged.paths().size()];
    std::string bytes = damaged.files().at(path);
    const size_t offset = random() % bytes.size();
    bytes[offset] = static_cast<char>(bytes[offset] ^ (1 << random() % 8));
    damaged.Write(path, bytes);
    const Damage found = damaged.Found();
    CAPTURE(path, offset, Describe(found));
    CHECK(found.path == path);
    if (absl::StartsWith(path, "tile/entries/")) {
      CHECK((found.kind == DamageKind::kWrongHash || found.kind == DamageKind::kMalformed));
    } else if (path != "checkpoint") {
      CHECK(found.kind == DamageKind::kWrongHash);
      CHECK(found.position == offset / 32);
      const std::string& whole = damaged.files().at(path);
      const auto hash = RequireOk(merkle::ToHash(whole.substr(offset / 32 * 32, 32)));
      CHECK(found.expected == merkle::EncodeHash(hash));
    }
    damaged.Mend(path);
  }
}

TEST_CASE("A file that is gone, cut, longer or exchanged for another is found and named") {
  const uint64_t size = GENERATE(65793, 600);
  const ModelLog log(size);
  Damaged damaged(log, size);
  std::mt19937 random(7);
  std::set<std::string> chosen = {damaged.paths().front()};
  for (int i = 0; i < 25; ++i) chosen.insert(damaged.paths()[random() % damaged.paths().size()]);
  for (const std::string& path : damaged.paths()) {
    if (!absl::StartsWith(path, "tile/entries/") && !absl::StartsWith(path, "tile/0/")) {
      chosen.insert(path);
    }
  }
  for (const std::string& path : chosen) {
    const std::string& whole = damaged.files().at(path);
    const bool hashes = path != "checkpoint" && !absl::StartsWith(path, "tile/entries/");
    CAPTURE(path);

    damaged.Remove(path);
    CHECK(damaged.Found().kind == DamageKind::kMissing);
    CHECK(damaged.Found().path == path);

    damaged.Write(path, whole.substr(0, random() % whole.size()));
    CHECK(damaged.Found().path == path);
    if (hashes) CHECK(damaged.Found().kind == DamageKind::kShort);

    damaged.Write(path, "");
    CHECK(damaged.Found().path == path);

    damaged.Write(path, whole + std::string(1 + random() % 40, 'x'));
    CHECK(damaged.Found().path == path);
    if (hashes) CHECK(damaged.Found().kind == DamageKind::kLong);

    const std::string& other = damaged.paths()[random() % damaged.paths().size()];
    if (other != path && damaged.files().at(other) != whole) {
      damaged.Write(path, damaged.files().at(other));
      damaged.Write(other, whole);
      const Damage found = damaged.Found();
      CAPTURE(other, Describe(found));
      CHECK((found.path == path || found.path == other));
      damaged.Mend(other);
    }
    damaged.Mend(path);
  }
  CHECK_FALSE(CheckFolder(damaged.folder(), log).damage.has_value());
}

TEST_CASE("Of several damages the first is told") {
  const ModelLog log(66000);
  Damaged damaged(log, 66000);
  for (const char* path : {"tile/entries/200", "tile/0/100", "tile/entries/007", "tile/0/250"}) {
    damaged.Remove(path);
  }
  for (int round = 0; round < 10; ++round) CHECK(damaged.Found().path == "tile/entries/007");
}

TEST_CASE("A checkpoint whose root is another, and one that another key signed, are found") {
  const ModelLog log(600);
  const ModelLog other(600, "other ");
  Damaged damaged(log, 600);
  damaged.Write("checkpoint", other.Checkpoint(600));
  Damage found = damaged.Found();
  CHECK(found.kind == DamageKind::kRoot);
  CHECK(found.path == "checkpoint");
  CHECK(found.expected == merkle::EncodeHash(log.Root(600)));
  CHECK(found.found == merkle::EncodeHash(other.Root(600)));

  const auto impostor = note::TestLogSigner(ModelLog::kOrigin, 'I');
  found =
      *RequireOk(Check(FolderSource(damaged.folder()), {.trust = LogTrust(impostor->verifier())}))
           .damage;
  CHECK(found.kind == DamageKind::kSignature);
  CHECK(found.path == "checkpoint");
}

TEST_CASE("Tiles and entries that were rewritten together are found by the tile above them") {
  const ModelLog log(1000);
  const ModelLog forged(1000, "forged ");
  Damaged damaged(log, 1000);
  for (const char* path : {"tile/0/001", "tile/entries/001"}) {
    damaged.Write(path, forged.PublicFiles(1000).at(path));
  }
  const Damage found = damaged.Found();
  CHECK(found.kind == DamageKind::kWrongHash);
  CHECK(found.path == "tile/0/001");
  CHECK_FALSE(found.position.has_value());
}

TEST_CASE("Without a key the tree is checked and nothing is said about who signed it") {
  const ModelLog log(10);
  testing::TempDir dir;
  WriteFiles(dir.path(), log.PublicFiles(10));
  const CheckReport report = RequireOk(Check(FolderSource(dir.path()), {}));
  CHECK_FALSE(report.damage.has_value());
  CHECK_FALSE(LogTrust().verifies());
}

TEST_CASE("With a policy the checkpoint needs its quorum") {
  const ModelLog log(300);
  const auto witness = note::TestWitnessSigner("witness.example");
  const note::Policy policy = RequireOk(note::Policy::Parse(
      absl::StrCat("log ", log.signer().vkey(), "\nwitness w ", witness->vkey(), "\nquorum w\n")));
  Damaged damaged(log, 300);
  const CheckOptions options{.trust = LogTrust(policy)};
  const auto alone = RequireOk(Check(FolderSource(damaged.folder()), options));
  REQUIRE(alone.damage.has_value());
  CHECK(alone.damage->kind == DamageKind::kQuorum);
  damaged.Write("checkpoint", log.Checkpoint(300, witness.get()));
  CHECK_FALSE(RequireOk(Check(FolderSource(damaged.folder()), options)).damage.has_value());
}

TEST_CASE("A log that has grown since its checkpoint was read is checked up to there") {
  const ModelLog log(66000);
  for (uint64_t size : {300, 65700}) {
    // Its partial tiles are gone, the full ones that replaced them are there.
    testing::TempDir dir;
    Files files = log.PublicFiles(66000);
    files["checkpoint"] = log.Checkpoint(size);
    for (const auto& [path, bytes] : log.PublicFiles(size)) {
      if (absl::StartsWith(path, "tile/1/") || absl::StartsWith(path, "tile/2/")) {
        files.emplace(path, bytes);
      }
    }
    WriteFiles(dir.path(), files);
    const CheckReport report = CheckFolder(dir.path(), log);
    CAPTURE(size, report.damage.has_value() ? Describe(*report.damage) : "");
    CHECK_FALSE(report.damage.has_value());
  }
}

TEST_CASE("A file as large as no log has one is not read") {
  const ModelLog log(1);
  Damaged damaged(log, 1);
  std::filesystem::resize_file(damaged.folder() + "/tile/0/000.p/1", uint64_t{1} << 40);
  CHECK(damaged.Found().kind == DamageKind::kLong);
}

}  // namespace
}  // namespace countersign::tlog
