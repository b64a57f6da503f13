#include "libs/tlog/mirror.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/note/signed_note.h"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/tlog/folder_scan.h"
#include "libs/tlog/folder_source.h"
#include "libs/tlog/growth.h"
#include "libs/tlog/model_log.h"

namespace {

std::atomic<int> failing_fdatasyncs{0};

}  // namespace

// Stands before the C library's, so that a disk can fail to take what was written.
extern "C" int fdatasync(int fd) {
  if (failing_fdatasyncs.load() > 0) {
    --failing_fdatasyncs;
    errno = EIO;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

namespace countersign::tlog {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

// A model log as a source, at a size that can be changed; it counts what is read.
class ModelSource : public TileSource {
 public:
  ModelSource(const ModelLog& log, uint64_t size) : log_(&log) { Publish(size); }

  const std::string& name() const override { return name_; }
  void Publish(uint64_t size) { files_ = log_->PublicFiles(size); }
  void Replace(const std::string& path, const std::string& bytes) { files_[path] = bytes; }
  const Files& files() const { return files_; }
  int reads() const { return reads_; }

 private:
  absl::StatusOr<std::string> Fetch(const std::string& path) const override {
    ++reads_;
    const auto found = files_.find(path);
    if (found == files_.end()) return absl::NotFoundError(path);
    return found->second;
  }

  const ModelLog* log_;
  const std::string name_ = "model";
  Files files_;
  mutable std::atomic<int> reads_{0};
};

std::unique_ptr<Mirror> OpenMirror(const std::string& folder, const ModelLog& log,
                                   const TileSource& source) {
  return RequireOk(
      Mirror::Open({.folder = folder, .source = &source, .trust = log.trust(), .fetches = 3}));
}

void CheckClean(const std::string& folder, const ModelLog& log, uint64_t size) {
  const CheckReport report = RequireOk(Check(FolderSource(folder), {.trust = log.trust()}));
  CAPTURE(report.damage.has_value() ? Describe(*report.damage) : "");
  CHECK_FALSE(report.damage.has_value());
  REQUIRE(report.checkpoint.has_value());
  CHECK(report.checkpoint->checkpoint.size == size);
}

TEST_CASE("A mirror is the source's files, byte by byte, whatever the sizes it was made at") {
  const ModelLog log(66200);
  testing::TempDir dir;
  ModelSource source(log, 0);
  for (uint64_t size : {0, 1, 255, 256, 257, 512, 700, 65536, 65537, 66200}) {
    source.Publish(size);
    uint64_t copied = 0;
    const auto mirror = RequireOk(Mirror::Open({.folder = dir.path() + "/mirror",
                                                .source = &source,
                                                .trust = log.trust(),
                                                .progress = [&](uint64_t done, uint64_t total) {
                                                  CHECK(done <= total);
                                                  copied = done;
                                                }}));
    const uint64_t before =
        mirror->checkpoint().has_value() ? mirror->checkpoint()->checkpoint.size : 0;
    CHECK(RequireOk(mirror->Update()));
    CHECK(copied == size - before);
    CHECK_FALSE(RequireOk(mirror->Update()));
    CheckClean(dir.path() + "/mirror", log, size);
  }
  testing::TempDir once;
  RequireOk(OpenMirror(once.path(), log, source)->Update());
  CHECK(ReadFiles(once.path()) == source.files());
}

TEST_CASE("A source that has only full tiles left still gives the partial ones") {
  const ModelLog log(600);
  ModelSource source(log, 600);
  const Files expected = log.PublicFiles(300);
  for (const char* path : {"checkpoint", "tile/1/000.p/1"}) source.Replace(path, expected.at(path));
  testing::TempDir dir;
  RequireOk(OpenMirror(dir.path(), log, source)->Update());
  CHECK(ReadFiles(dir.path()) == expected);
}

TEST_CASE("A mirror that was killed between any two changes goes on and ends as the source") {
  const ModelLog log(1100);
  // The log is 300 when it is first copied, and 1,100 then; the copying is killed at each change.
  for (const uint64_t first : {0, 300}) {
    bool killed = true;
    // From nothing it is much the same; every third change is enough.
    for (int survived = 0; killed; survived += first == 0 ? 3 : 1) {
      testing::TempDir dir;
      ModelSource source(log, 1100);
      if (first > 0) WriteFiles(dir.path(), log.PublicFiles(first));
      Files expected = source.files();
      // Of the earlier checkpoint; its tile is not full yet.
      if (first > 0) expected.insert(*log.PublicFiles(first).find("tile/1/000.p/1"));
      const pid_t child = fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        std::atomic<int> changes{0};
        const auto mirror = Mirror::Open({.folder = dir.path(),
                                          .source = &source,
                                          .trust = log.trust(),
                                          .fetches = 2,
                                          .before_change = [&](absl::string_view) {
                                            if (changes++ == survived) _exit(9);
                                          }});
        _exit(mirror.ok() && (*mirror)->Update().ok() ? 0 : 1);
      }
      int status = 0;
      REQUIRE(waitpid(child, &status, 0) == child);
      CAPTURE(first, survived, status);
      REQUIRE(WIFEXITED(status));
      REQUIRE((WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0));
      killed = WEXITSTATUS(status) == 9;
      // What it left is the old log, whole; or, after the last change, the new one.
      const bool has_checkpoint = base::FileExists(dir.path() + "/checkpoint");
      if (first > 0) REQUIRE(has_checkpoint);
      if (has_checkpoint) CheckClean(dir.path(), log, killed ? first : 1100);
      RequireOk(OpenMirror(dir.path(), log, source)->Update());
      REQUIRE(ReadFiles(dir.path()) == expected);
      REQUIRE((killed || survived > 10));
    }
  }
}

TEST_CASE("What a killed mirror had copied is not fetched again, but for what is damaged") {
  const ModelLog log(1100);
  ModelSource source(log, 1100);
  testing::TempDir dir;
  Files files = source.files();
  files.erase("checkpoint");
  files["tile/0/001"][77] ^= 1;
  files["tile/entries/002"].resize(100);
  files["tile/1/000.p/4"] = "";
  files["checkpoint.tmp.12.3"] = "half";
  files[".countersign-staging/0"] = "half";
  WriteFiles(dir.path(), files);
  RequireOk(OpenMirror(dir.path(), log, source)->Update());
  CHECK(ReadFiles(dir.path()) == source.files());
  CHECK(source.reads() == 4);  // those and the checkpoint
}

TEST_CASE("A file that did not reach the disk is not put in place") {
  const ModelLog log(10);
  ModelSource source(log, 10);
  testing::TempDir dir;
  const auto mirror = OpenMirror(dir.path(), log, source);
  failing_fdatasyncs = 2;
  CHECK_THAT(mirror->Update().status(), StatusIs(absl::StatusCode::kUnavailable, "synchronise"));
  failing_fdatasyncs = 0;
  for (const auto& [path, bytes] : ReadFiles(dir.path())) {
    CAPTURE(path);
    CHECK(absl::StartsWith(path, kStagingFolder));
  }
  CHECK(RequireOk(mirror->Update()));
  CHECK(ReadFiles(dir.path()) == source.files());
}

TEST_CASE("Nothing is touched in a folder that is no mirror of the log") {
  const ModelLog log(10);
  ModelSource source(log, 10);
  const auto other = note::TestLogSigner("log.example/other", 'O');
  const std::string foreign = RequireOk(note::SignNote(
      note::FormatCheckpoint({"log.example/other", 10, log.Root(10)}), {other.get()}));
  const Files leftovers = {{".countersign-staging/0", "x"}, {"checkpoint.tmp.1.2", "x"}};
  for (const auto& [path, bytes] : Files{{"letter", "x"}, {"checkpoint", foreign}}) {
    CAPTURE(path);
    testing::TempDir dir;
    Files files = leftovers;
    files[path] = bytes;
    WriteFiles(dir.path(), files);
    CHECK_THAT(
        Mirror::Open({.folder = dir.path(), .source = &source, .trust = log.trust()}).status(),
        StatusIs(absl::StatusCode::kFailedPrecondition, "something else"));
    CHECK(ReadFiles(dir.path()) == files);
  }
}

TEST_CASE("A checkpoint has a limit of its own") {
  const ModelLog log(10);
  ModelSource source(log, 10);
  source.Replace("checkpoint", std::string(kMaxCheckpointBytes + 1, 'x'));
  const absl::Status status = source.ReadCheckpoint().status();
  REQUIRE(DamageOf(status).has_value());
  CHECK(DamageOf(status)->kind == DamageKind::kLong);
  testing::TempDir dir;
  WriteFiles(dir.path(), source.files());
  CHECK(DamageOf(FolderSource(dir.path()).ReadCheckpoint().status()).has_value());
}

TEST_CASE("A mirror refuses a fork, with both checkpoints, and changes nothing") {
  const ModelLog log(700);
  const ModelLog forked(900, "forked ", 290);
  ModelSource source(log, 600);
  testing::TempDir dir;
  const auto mirror = OpenMirror(dir.path(), log, source);
  RequireOk(mirror->Update());
  const Files before = ReadFiles(dir.path());
  for (uint64_t size : {300, 600, 605, 900}) {
    ModelSource other(forked, size);
    for (const auto& [path, bytes] : other.files()) source.Replace(path, bytes);
    const absl::Status status = mirror->Update().status();
    CAPTURE(size);
    CHECK_THAT(status, StatusIs(absl::StatusCode::kDataLoss, "has forked"));
    const auto fork = ForkOf(status);
    REQUIRE(fork.has_value());
    CHECK(fork->known == log.Checkpoint(600));
    CHECK(fork->seen == forked.Checkpoint(size));
    Files after = ReadFiles(dir.path());
    CHECK(after == before);
  }
  // It goes on when the log comes to its senses.
  source.Publish(700);
  CHECK_THAT(mirror->Update(), IsOk());
  CheckClean(dir.path(), log, 700);
}

TEST_CASE("A mirror never goes back") {
  const ModelLog log(700);
  ModelSource source(log, 700);
  testing::TempDir dir;
  const auto mirror = OpenMirror(dir.path(), log, source);
  RequireOk(mirror->Update());
  for (uint64_t size : {699, 256, 0}) {
    source.Publish(size);
    CHECK_THAT(mirror->Update(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          absl::StrCat("went back from 700 to ", size)));
  }
  CheckClean(dir.path(), log, 700);
}

TEST_CASE("Nothing that is not the log's is put in place") {
  const ModelLog log(700);
  const auto impostor = note::TestLogSigner(ModelLog::kOrigin, 'I');
  for (const char* path : {"tile/0/001", "tile/entries/001", "tile/0/002.p/188",
                           "tile/entries/002.p/188", "tile/1/000.p/2", "checkpoint"}) {
    CAPTURE(path);
    ModelSource source(log, 300);
    testing::TempDir dir;
    const auto mirror = OpenMirror(dir.path(), log, source);
    RequireOk(mirror->Update());
    source.Publish(700);
    std::string bytes = source.files().at(path);
    bytes[bytes.size() / 2] ^= 4;
    if (absl::string_view(path) == "checkpoint") {
      const note::Checkpoint forged{ModelLog::kOrigin, 700, log.Root(700)};
      bytes = RequireOk(note::SignNote(note::FormatCheckpoint(forged), {impostor.get()}));
    }
    source.Replace(path, bytes);
    const absl::Status status = mirror->Update().status();
    CHECK_THAT(status, StatusIs(absl::StatusCode::kDataLoss));
    CHECK(DamageOf(status).has_value());
    for (const auto& [placed, contents] : ReadFiles(dir.path())) {
      CAPTURE(placed);
      CHECK(contents != bytes);
    }
    CheckClean(dir.path(), log, 300);
  }
}

TEST_CASE("With a policy, a checkpoint without its quorum is not taken") {
  const ModelLog log(300);
  const auto witness = note::TestWitnessSigner("witness.example");
  const note::Policy policy = RequireOk(note::Policy::Parse(
      absl::StrCat("log ", log.signer().vkey(), "\nwitness w ", witness->vkey(), "\nquorum w\n")));
  ModelSource source(log, 300);
  testing::TempDir dir;
  const auto mirror =
      RequireOk(Mirror::Open({.folder = dir.path(), .source = &source, .trust = LogTrust(policy)}));
  const absl::Status status = mirror->Update().status();
  REQUIRE(DamageOf(status).has_value());
  CHECK(DamageOf(status)->kind == DamageKind::kQuorum);
  source.Replace("checkpoint", log.Checkpoint(300, witness.get()));
  CHECK_THAT(mirror->Update(), IsOk());
  CHECK(RequireOk(base::ReadFile(dir.path() + "/checkpoint")) ==
        log.Checkpoint(300, witness.get()));
}

TEST_CASE("A folder is one mirror's, of one log") {
  const ModelLog log(10);
  ModelSource source(log, 10);
  testing::TempDir dir;
  auto mirror = OpenMirror(dir.path(), log, source);
  RequireOk(mirror->Update());
  const Mirror::Options options{.folder = dir.path(), .source = &source, .trust = log.trust()};
  CHECK_THAT(Mirror::Open(options).status(),
             StatusIs(absl::StatusCode::kFailedPrecondition, "another mirror"));
  mirror = nullptr;
  const auto other = note::TestLogSigner("log.example/other", 'O');
  Mirror::Options others = options;
  others.trust = LogTrust(other->verifier());
  CHECK_THAT(Mirror::Open(others).status(),
             StatusIs(absl::StatusCode::kFailedPrecondition, "something else"));
  Mirror::Options untrusting = options;
  untrusting.trust = LogTrust();
  CHECK_THAT(Mirror::Open(untrusting).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("A scan tells leftovers, strangers, what is ahead, and damage of earlier partial tiles") {
  const ModelLog log(700);
  const auto checkpoint = RequireOk(note::ParseSignedCheckpoint(log.Checkpoint(600)));
  testing::TempDir dir;
  WriteFiles(dir.path(), log.PublicFiles(600));
  FolderScan scan = RequireOk(ScanFolder(dir.path(), checkpoint));
  CHECK(scan.unknown.count + scan.ahead.count + scan.leftovers.count == 0);
  CHECK_FALSE(scan.damage.has_value());

  Files more = log.PublicFiles(300);  // earlier partial tiles
  more.erase("checkpoint");
  for (const auto& [path, bytes] : log.PublicFiles(700)) {
    if (path != "checkpoint") more.emplace(path, bytes);  // later ones
  }
  more["tile/0/000.tmp.12.3"] = "half";
  more[".countersign-staging/7"] = "half";
  more["tile/readme"] = "stray";
  more["tile/0/0000"] = "stray";
  WriteFiles(dir.path(), more);
  scan = RequireOk(ScanFolder(dir.path(), checkpoint));
  CHECK(scan.unknown.count == 2);
  CHECK(scan.ahead.count == 2);
  CHECK(absl::StrContains(scan.ahead.first, "002.p/188"));
  CHECK(scan.leftovers.count == 2);
  CHECK_FALSE(scan.damage.has_value());

  for (const char* path : {"tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1"}) {
    Files damaged = {{path, more.at(path)}};
    damaged[path][5] ^= 1;
    WriteFiles(dir.path(), damaged);
    scan = RequireOk(ScanFolder(dir.path(), checkpoint));
    REQUIRE(scan.damage.has_value());
    CHECK(scan.damage->path == path);
    WriteFiles(dir.path(), {{path, more.at(path) + "x"}});
    CHECK(RequireOk(ScanFolder(dir.path(), checkpoint)).damage->kind == DamageKind::kLong);
    WriteFiles(dir.path(), {{path, more.at(path)}});
  }
}

}  // namespace
}  // namespace countersign::tlog
