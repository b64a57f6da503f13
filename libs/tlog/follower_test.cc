#include "libs/tlog/follower.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/tlog/folder_source.h"
#include "libs/tlog/growth.h"
#include "libs/tlog/model_log.h"

namespace countersign::tlog {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

// Takes entries and the cursor behind them.
struct Sink {
  std::vector<std::string> entries;
  Cursor cursor;

  absl::Status operator()(const EntryBatch& batch) {
    CHECK(batch.leaf_hashes.size() == batch.entries.size());
    for (size_t i = 0; i < batch.entries.size(); ++i) {
      CHECK(batch.leaf_hashes[i] == merkle::LeafHash(batch.entries[i]));
      entries.emplace_back(batch.entries[i]);
    }
    CHECK(batch.after.next == batch.first + batch.entries.size());
    cursor = batch.after;
    return absl::OkStatus();
  }
};

std::vector<std::string> Entries(const ModelLog& log, uint64_t begin, uint64_t end) {
  std::vector<std::string> entries;
  for (uint64_t i = begin; i < end; ++i) entries.push_back(log.entry(i));
  return entries;
}

TEST_CASE("Entries come once, in order, as the log grows") {
  const ModelLog log(66000);
  testing::TempDir dir;
  const FolderSource source(dir.path());
  Follower follower({.source = &source, .trust = log.trust()});
  Sink sink;
  for (uint64_t size : {0, 0, 1, 255, 255, 256, 700, 66000}) {
    WriteFiles(dir.path(), log.PublicFiles(size));
    CHECK(RequireOk(follower.Advance()) == size);
    REQUIRE_THAT(follower.Deliver(std::ref(sink)), IsOk());
    CHECK(follower.next() == size);
  }
  CHECK(sink.entries == Entries(log, 0, 66000));
}

TEST_CASE("A follower goes on from its cursor, also from the middle of a checkpoint's tree") {
  const ModelLog log(3000);
  testing::TempDir dir;
  const FolderSource source(dir.path());
  WriteFiles(dir.path(), log.PublicFiles(2000));
  Sink first;
  {
    Follower follower({.source = &source, .trust = log.trust()});
    RequireOk(follower.Advance());
    // The reader goes away after a thousand entries.
    CHECK_THAT(follower.Deliver([&](const EntryBatch& batch) {
      if (batch.first >= 1024) return absl::AbortedError("closed");
      return first(batch);
    }),
               StatusIs(absl::StatusCode::kAborted));
    CHECK(follower.next() == 1024);
  }
  CHECK(first.cursor.next == 1024);
  CHECK(first.cursor.checkpoint.checkpoint.size == 2000);
  WriteFiles(dir.path(), log.PublicFiles(3000));
  const std::string text = FormatCursor(first.cursor);
  Follower again({.source = &source, .trust = log.trust()},
                 RequireOk(ParseCursor(text, log.trust())));
  RequireOk(again.Advance());
  Sink second;
  REQUIRE_THAT(again.Deliver(std::ref(second)), IsOk());
  CHECK(second.entries == Entries(log, 1024, 3000));
}

TEST_CASE("A follower may begin anywhere, also ahead of the log") {
  const ModelLog log(600);
  testing::TempDir dir;
  const FolderSource source(dir.path());
  Follower follower({.source = &source, .trust = log.trust()});
  follower.SkipTo(520);
  Sink sink;
  for (uint64_t size : {300, 519, 520, 523, 600}) {
    WriteFiles(dir.path(), log.PublicFiles(size));
    RequireOk(follower.Advance());
    REQUIRE_THAT(follower.Deliver(std::ref(sink)), IsOk());
  }
  CHECK(sink.entries == Entries(log, 520, 600));
}

TEST_CASE("A fork is told from the cursor's checkpoint, and nothing of it is handed out") {
  const ModelLog log(600);
  const ModelLog forked(900, "forked ", 100);
  testing::TempDir dir;
  const FolderSource source(dir.path());
  const Cursor cursor{400, {{ModelLog::kOrigin, 600, log.Root(600)}, log.Checkpoint(600)}};
  for (uint64_t size : {600, 601, 900}) {
    WriteFiles(dir.path(), forked.PublicFiles(size));
    Follower follower({.source = &source, .trust = log.trust()}, cursor);
    const absl::Status status = follower.Advance().status();
    CHECK_THAT(status, StatusIs(absl::StatusCode::kDataLoss, "has forked"));
    REQUIRE(ForkOf(status).has_value());
    CHECK(ForkOf(status)->known == log.Checkpoint(600));
    CHECK(ForkOf(status)->seen == forked.Checkpoint(size));
    Sink sink;
    CHECK_THAT(follower.Deliver(std::ref(sink)), IsOk());
    CHECK(sink.entries.empty());
  }
}

TEST_CASE("A checkpoint that went back is refused, and the next good one taken") {
  const ModelLog log(700);
  testing::TempDir dir;
  const FolderSource source(dir.path());
  WriteFiles(dir.path(), log.PublicFiles(600));
  Follower follower({.source = &source, .trust = log.trust()});
  RequireOk(follower.Advance());
  WriteFiles(dir.path(), {{"checkpoint", log.Checkpoint(500)}});
  CHECK_THAT(follower.Advance(), StatusIs(absl::StatusCode::kFailedPrecondition, "went back"));
  Sink sink;
  REQUIRE_THAT(follower.Deliver(std::ref(sink)), IsOk());
  CHECK(sink.entries.size() == 600);
  WriteFiles(dir.path(), log.PublicFiles(700));
  CHECK(RequireOk(follower.Advance()) == 700);
}

TEST_CASE("A damaged entry is not handed out, those before it are") {
  const ModelLog log(600);
  testing::TempDir dir;
  const FolderSource source(dir.path());
  Files files = log.PublicFiles(600);
  files["tile/entries/001"][10] ^= 1;
  WriteFiles(dir.path(), files);
  Follower follower({.source = &source, .trust = log.trust()});
  RequireOk(follower.Advance());
  Sink sink;
  CHECK_THAT(follower.Deliver(std::ref(sink)),
             StatusIs(absl::StatusCode::kDataLoss, "tile/entries/001"));
  CHECK(sink.entries == Entries(log, 0, 256));
  CHECK(follower.next() == 256);
}

TEST_CASE("A cursor is read back as it was written, and anything else refused") {
  const ModelLog log(20);
  const Cursor cursor{7, {{ModelLog::kOrigin, 20, log.Root(20)}, log.Checkpoint(20)}};
  const std::string text = FormatCursor(cursor);
  const Cursor read = RequireOk(ParseCursor(text, log.trust()));
  CHECK(read.next == 7);
  CHECK(read.checkpoint.note == cursor.checkpoint.note);
  CHECK(read.checkpoint.checkpoint == cursor.checkpoint.checkpoint);

  for (size_t cut = 0; cut < text.size(); ++cut) {
    CAPTURE(cut);
    CHECK_THAT(ParseCursor(text.substr(0, cut), log.trust()).status(),
               StatusIs(absl::StatusCode::kInvalidArgument, "not a cursor"));
  }
  // But for the next index, which is nobody's secret, every byte is checked.
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = static_cast<char>(changed[i] ^ 0x40);
    CAPTURE(i);
    CHECK_FALSE(ParseCursor(changed, log.trust()).ok());
  }
  for (const char* next : {"", "-1", "07", "7 ", "0x7", "21", "99999999999999999999"}) {
    CAPTURE(next);
    CHECK_FALSE(ParseCursor(absl::StrReplaceAll(text, {{"\n7\n", absl::StrCat("\n", next, "\n")}}),
                            log.trust())
                    .ok());
  }
  const auto other = note::TestLogSigner("log.example/other", 'O');
  CHECK_FALSE(ParseCursor(text, LogTrust(other->verifier())).ok());
}

}  // namespace
}  // namespace countersign::tlog
