#include "services/ledger/journal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::ledger {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;
using testing::TempDir;

using Found = std::map<uint64_t, std::string>;

absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& directory, Found* found,
                                              uint64_t from = 0, uint64_t segment_bytes = 1 << 20) {
  Journal::Options options;
  options.segment_bytes = segment_bytes;
  options.room_bytes = 0;  // so that a file ends with its last record
  return Journal::Open(directory, options, from, [found](uint64_t index, absl::string_view entry) {
    found->emplace(index, std::string(entry));
    return absl::OkStatus();
  });
}

std::unique_ptr<Journal> OpenEmpty(const std::string& directory, uint64_t segment_bytes = 1 << 20) {
  Found found;
  auto journal = RequireOk(Open(directory, &found, 0, segment_bytes));
  REQUIRE(found.empty());
  return journal;
}

// Everything in the folder.
Found ReadAll(const std::string& directory) {
  Found found;
  RequireOk(Open(directory, &found));
  return found;
}

std::vector<std::string> Segments(const std::string& directory) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

void CopyTo(const std::string& from, const std::string& to) {
  std::filesystem::remove_all(to);
  std::filesystem::copy(from, to);
}

void FlipByte(const std::string& path, size_t offset) {
  std::string bytes = RequireOk(base::ReadFile(path));
  REQUIRE(offset < bytes.size());
  bytes[offset] = static_cast<char>(bytes[offset] ^ 0x40);
  RequireOk(base::WriteFileAtomically(path, bytes));
}

// Makes files of this process end at `bytes`, as a full disk would.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(uint64_t bytes) {
    old_handler_ = signal(SIGXFSZ, SIG_IGN);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &old_limit_) == 0);
    rlimit limit = old_limit_;
    limit.rlim_cur = bytes;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_limit_);
    signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_limit_;
  void (*old_handler_)(int);
};

// Puts `replacement`, which is closed, in the place of this process's descriptor of `path`.
void ReplaceDescriptor(const std::string& path, int replacement) {
  REQUIRE(replacement >= 0);
  int replaced = 0;
  for (const auto& link : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (std::filesystem::read_symlink(link.path(), error) != path) continue;
    REQUIRE(dup2(replacement, std::stoi(link.path().filename().string())) >= 0);
    ++replaced;
  }
  close(replacement);
  REQUIRE(replaced == 1);
}

TEST_CASE("What was appended is replayed in order when the journal is opened again") {
  TempDir dir;
  const std::string longest(65535, 'x');
  {
    auto journal = OpenEmpty(dir.path());
    RequireOk(journal->Append({"a"}));
    RequireOk(journal->Append({"bb", "", longest}));
    CHECK(journal->next_index() == 4);
  }
  Found found;
  auto journal = RequireOk(Open(dir.path(), &found));
  CHECK(found == Found{{0, "a"}, {1, "bb"}, {2, ""}, {3, longest}});
  CHECK(journal->next_index() == 4);
  RequireOk(journal->Append({"c"}));
  journal.reset();
  CHECK(ReadAll(dir.path()).at(4) == "c");
}

TEST_CASE("Replay begins at the index that is asked for, within a record too") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path());
  RequireOk(journal->Append({"a", "b", "c"}));
  RequireOk(journal->Append({"d"}));
  journal.reset();
  for (uint64_t from = 0; from <= 4; ++from) {
    Found found;
    const auto reopened = RequireOk(Open(dir.path(), &found, from));
    CHECK(found.size() == 4 - from);
    CHECK((found.empty() || found.begin()->first == from));
    CHECK(reopened->next_index() == 4);
  }
}

TEST_CASE("An error of the replay function ends the opening with it") {
  TempDir dir;
  RequireOk(OpenEmpty(dir.path())->Append({"a"}));
  const auto opened = Journal::Open(dir.path(), {}, 0, [](uint64_t, absl::string_view) {
    return absl::InternalError("no more");
  });
  CHECK_THAT(opened, StatusIs(StatusCode::kInternal, "no more"));
}

TEST_CASE("A last record cut short at any byte is cut off and all before it stays") {
  TempDir dir;
  const std::string whole = dir.path() + "/whole";
  const std::string torn = dir.path() + "/torn";
  auto journal = OpenEmpty(whole);
  RequireOk(journal->Append({"first"}));
  RequireOk(journal->Append({"second", "third"}));
  const std::string segment = Segments(whole).front();
  const auto before = std::filesystem::file_size(segment);
  RequireOk(journal->Append({"fourth", "fifth"}));
  const auto after = std::filesystem::file_size(segment);
  journal.reset();
  REQUIRE(after > before + 24);

  for (uintmax_t length = before; length < after; ++length) {
    CopyTo(whole, torn);
    std::filesystem::resize_file(Segments(torn).front(), length);
    Found found;
    auto reopened = RequireOk(Open(torn, &found));
    CHECK(found == Found{{0, "first"}, {1, "second"}, {2, "third"}});
    CHECK(std::filesystem::file_size(Segments(torn).front()) == before);
    RequireOk(reopened->Append({"again"}));
    reopened.reset();
    CHECK(ReadAll(torn) == Found{{0, "first"}, {1, "second"}, {2, "third"}, {3, "again"}});
  }
}

TEST_CASE("Room made ahead is no damage, in the last segment and in one that has a successor") {
  TempDir dir;
  const std::string path = dir.path() + "/journal";
  const std::string killed = dir.path() + "/killed";
  Journal::Options options;
  options.room_bytes = 4096;
  options.segment_bytes = 5000;
  const auto ignore = [](uint64_t, absl::string_view) { return absl::OkStatus(); };
  Found expected;
  {
    auto journal = RequireOk(Journal::Open(path, options, 0, ignore));
    for (uint64_t i = 0; i < 100; ++i) {
      const std::string entry = absl::StrCat("entry ", i, std::string(i % 7 == 0 ? 2000 : 50, '.'));
      RequireOk(journal->Append({entry}));
      expected[i] = entry;
    }
    CopyTo(path, killed);  // as SIGKILL would leave it
    const auto tail = RequireOk(base::ReadFile(Segments(killed).back()));
    REQUIRE(tail.size() > 4096);
    REQUIRE(tail.back() == '\0');
  }
  REQUIRE(Segments(killed).size() > 2);
  CHECK(ReadAll(killed) == expected);
  CHECK(ReadAll(path) == expected);
  // What was begun in the room and never finished is cut off with it.
  CopyTo(path, killed);
  const std::string last = Segments(killed).back();
  std::string torn = RequireOk(base::ReadFile(last));
  RequireOk(base::WriteFileAtomically(last, torn + torn.substr(4, 30) + std::string(500, '\0')));
  CHECK(ReadAll(killed) == expected);
  CHECK(RequireOk(base::ReadFile(last)) == torn);
}

TEST_CASE("A journal that ends before what the log is known to have had is left as it is") {
  TempDir dir;
  const std::string path = dir.path() + "/journal";
  {
    auto journal = OpenEmpty(path);
    RequireOk(journal->Append({"first", "second"}));
    RequireOk(journal->Append({"third"}));
  }
  const std::string segment = Segments(path).front();
  std::filesystem::resize_file(segment, std::filesystem::file_size(segment) - 1);
  const std::string before = RequireOk(base::ReadFile(segment));
  Journal::Options options;
  options.must_reach = 3;
  const auto ignore = [](uint64_t, absl::string_view) { return absl::OkStatus(); };
  CHECK_THAT(Journal::Open(path, options, 0, ignore),
             StatusIs(absl::StatusCode::kDataLoss, "ends at index 2"));
  CHECK(RequireOk(base::ReadFile(segment)) == before);
  options.must_reach = 2;
  CHECK_THAT(Journal::Open(path, options, 0, ignore), IsOk());
}

TEST_CASE("A last record whose bytes never reached the disk is cut off") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path());
  RequireOk(journal->Append({"first"}));
  const std::string segment = Segments(dir.path()).front();
  const auto before = std::filesystem::file_size(segment);
  RequireOk(journal->Append({"second"}));
  const auto after = std::filesystem::file_size(segment);
  journal.reset();
  // The length was recorded, the blocks were not: the file reads as zeros there.
  std::filesystem::resize_file(segment, before);
  std::filesystem::resize_file(segment, after);
  CHECK(ReadAll(dir.path()) == Found{{0, "first"}});
}

TEST_CASE("A changed byte in a record with a whole one behind it is data loss") {
  TempDir dir;
  const std::string whole = dir.path() + "/whole";
  const std::string damaged = dir.path() + "/damaged";
  auto journal = OpenEmpty(whole);
  const std::string segment = Segments(whole).front();
  const auto begin = std::filesystem::file_size(segment);
  RequireOk(journal->Append({"first", "second"}));
  const auto end = std::filesystem::file_size(segment);
  RequireOk(journal->Append({"third"}));
  journal.reset();
  for (uintmax_t offset = begin; offset < end; ++offset) {
    CopyTo(whole, damaged);
    const std::string path = Segments(damaged).front();
    FlipByte(path, offset);
    Found found;
    CHECK_THAT(Open(damaged, &found), StatusIs(StatusCode::kDataLoss, path));
    CHECK_THAT(Open(damaged, &found),
               StatusIs(StatusCode::kDataLoss, absl::StrCat("offset ", begin)));
  }
}

TEST_CASE("A changed byte in the last record of a segment that has a successor is data loss") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path(), /*segment_bytes=*/1);
  RequireOk(journal->Append({"first"}));
  RequireOk(journal->Append({"second"}));
  journal.reset();
  const std::vector<std::string> segments = Segments(dir.path());
  REQUIRE(segments.size() == 2);
  FlipByte(segments[0], std::filesystem::file_size(segments[0]) - 1);
  Found found;
  CHECK_THAT(Open(dir.path(), &found), StatusIs(StatusCode::kDataLoss, segments[0]));
}

TEST_CASE("A torn record is no damage, whatever the entries in it look like") {
  TempDir dir;
  // A whole record of another journal, and of this one's own past, as an entry.
  auto other = OpenEmpty(dir.path() + "/other");
  RequireOk(other->Append({"bait"}));
  const std::string bait = RequireOk(base::ReadFile(Segments(dir.path() + "/other").front()));

  const std::string path = dir.path() + "/journal";
  auto journal = OpenEmpty(path);
  RequireOk(journal->Append({"first"}));
  const std::string segment = Segments(path).front();
  RequireOk(journal->Append({bait, "tail"}));
  journal.reset();
  std::filesystem::resize_file(segment, std::filesystem::file_size(segment) - 1);
  CHECK(ReadAll(path) == Found{{0, "first"}});
}

TEST_CASE("A segment begun but without its whole header is begun again") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path(), /*segment_bytes=*/1);
  RequireOk(journal->Append({"first"}));
  RequireOk(journal->Append({"second"}));
  journal.reset();
  const std::string last = Segments(dir.path()).back();
  const std::string header = RequireOk(base::ReadFile(last)).substr(0, 12);
  for (size_t length = 0; length <= header.size(); ++length) {
    RequireOk(base::WriteFileAtomically(last, header.substr(0, length)));
    Found found;
    auto reopened = RequireOk(Open(dir.path(), &found));
    CHECK(found == Found{{0, "first"}});
    RequireOk(reopened->Append({"again"}));
    reopened.reset();
    CHECK(ReadAll(dir.path()) == Found{{0, "first"}, {1, "again"}});
  }
  RequireOk(base::WriteFileAtomically(last, std::string(12, '\0')));
  CHECK(ReadAll(dir.path()) == Found{{0, "first"}});
}

TEST_CASE("A segment that is none is data loss") {
  TempDir dir;
  RequireOk(OpenEmpty(dir.path())->Append({"first"}));
  const std::string segment = Segments(dir.path()).front();
  RequireOk(base::WriteFileAtomically(segment, "something else altogether"));
  Found found;
  CHECK_THAT(Open(dir.path(), &found), StatusIs(StatusCode::kDataLoss, segment));
}

TEST_CASE("A segment is closed when it has grown past its size and a new one begun") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path(), /*segment_bytes=*/100);
  for (int i = 0; i < 20; ++i) RequireOk(journal->Append({absl::StrCat("entry ", i)}));
  journal.reset();
  CHECK(Segments(dir.path()).size() > 3);
  const Found found = ReadAll(dir.path());
  REQUIRE(found.size() == 20);
  CHECK(found.at(0) == "entry 0");
  CHECK(found.at(19) == "entry 19");
}

TEST_CASE("A missing segment in the middle is data loss") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path(), /*segment_bytes=*/1);
  for (const char* entry : {"a", "b", "c"}) RequireOk(journal->Append({entry}));
  journal.reset();
  std::filesystem::remove(Segments(dir.path())[1]);
  Found found;
  CHECK_THAT(Open(dir.path(), &found),
             StatusIs(StatusCode::kDataLoss, "lacks the entries from index 1 to 2"));
}

TEST_CASE("A journal that begins after the wanted index, or has nothing, is data loss") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path() + "/j", /*segment_bytes=*/1);
  for (const char* entry : {"a", "b", "c"}) RequireOk(journal->Append({entry}));
  journal.reset();
  std::filesystem::remove(Segments(dir.path() + "/j")[0]);
  Found found;
  CHECK_THAT(Open(dir.path() + "/j", &found, 0),
             StatusIs(StatusCode::kDataLoss, "begins at index 1"));
  CHECK_THAT(Open(dir.path() + "/j", &found, 1), IsOk());
  CHECK_THAT(Open(dir.path() + "/empty", &found, 1), StatusIs(StatusCode::kDataLoss, "is empty"));
  CHECK_THAT(Open(dir.path() + "/empty", &found, 0), IsOk());
}

TEST_CASE("Dropping deletes the segments below an index but never the last one") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path(), /*segment_bytes=*/1);
  for (const char* entry : {"a", "b", "c", "d"}) RequireOk(journal->Append({entry}));
  REQUIRE(Segments(dir.path()).size() == 4);
  RequireOk(journal->DropBefore(0));
  CHECK(Segments(dir.path()).size() == 4);
  RequireOk(journal->DropBefore(2));
  CHECK(Segments(dir.path()).size() == 2);
  RequireOk(journal->DropBefore(1000));
  CHECK(Segments(dir.path()).size() == 1);
  RequireOk(journal->Append({"e"}));
  journal.reset();
  Found found;
  RequireOk(Open(dir.path(), &found, 3));
  CHECK(found == Found{{3, "d"}, {4, "e"}});
}

TEST_CASE("Dropping keeps a segment that holds one entry at the index") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path(), /*segment_bytes=*/1);
  RequireOk(journal->Append({"a", "b", "c"}));
  RequireOk(journal->Append({"d"}));
  RequireOk(journal->DropBefore(2));
  CHECK(Segments(dir.path()).size() == 2);
  RequireOk(journal->DropBefore(3));
  CHECK(Segments(dir.path()).size() == 1);
}

TEST_CASE("An append that finds the disk full is undone and a later one succeeds") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path());
  RequireOk(journal->Append({"first"}));
  const std::string segment = Segments(dir.path()).front();
  const auto size = std::filesystem::file_size(segment);
  {
    // Room for a part of the record, so that something has to be undone.
    const FileSizeLimit limit(size + 100);
    CHECK_THAT(journal->Append({std::string(1000, 'x')}), StatusIs(StatusCode::kResourceExhausted));
  }
  CHECK(std::filesystem::file_size(segment) == size);
  CHECK(journal->next_index() == 1);
  RequireOk(journal->Append({"second"}));
  journal.reset();
  CHECK(ReadAll(dir.path()) == Found{{0, "first"}, {1, "second"}});
}

TEST_CASE("A new segment that cannot be begun is begun by a later append") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path(), /*segment_bytes=*/1);
  RequireOk(journal->Append({"first"}));
  {
    const FileSizeLimit limit(5);
    CHECK_THAT(journal->Append({"second"}), StatusIs(StatusCode::kResourceExhausted));
  }
  // So it is after a crash right now.
  CopyTo(dir.path(), dir.path() + ".copy");
  CHECK(ReadAll(dir.path() + ".copy") == Found{{0, "first"}});
  std::filesystem::remove_all(dir.path() + ".copy");
  RequireOk(journal->Append({"second"}));
  journal.reset();
  CHECK(ReadAll(dir.path()) == Found{{0, "first"}, {1, "second"}});
}

TEST_CASE("After a failed synchronisation every append is refused until the journal is reopened") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path());
  RequireOk(journal->Append({"first"}));
  // A pipe takes the bytes but cannot be synchronised.
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  ReplaceDescriptor(Segments(dir.path()).front(), ends[1]);
  CHECK_THAT(journal->Append({"second"}), StatusIs(StatusCode::kDataLoss, "restart"));
  CHECK_THAT(journal->Append({"third"}), StatusIs(StatusCode::kDataLoss, "restart"));
  close(ends[0]);
  journal.reset();
  CHECK(ReadAll(dir.path()) == Found{{0, "first"}});
}

TEST_CASE("A failed append that cannot be undone stops the journal") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path());
  ReplaceDescriptor(Segments(dir.path()).front(), open("/dev/full", O_WRONLY));
  CHECK_THAT(journal->Append({"first"}), StatusIs(StatusCode::kDataLoss, "No space left"));
  CHECK_THAT(journal->Append({"first"}), StatusIs(StatusCode::kDataLoss));
}

TEST_CASE("An append costs one synchronisation, whatever it holds, and a new segment two") {
  TempDir dir;
  auto journal = OpenEmpty(dir.path(), /*segment_bytes=*/2000);
  uint64_t before = journal->synchronisations();
  RequireOk(journal->Append({"a"}));
  CHECK(journal->synchronisations() == before + 1);
  RequireOk(journal->Append({"b", "c", std::string(2000, 'd')}));
  CHECK(journal->synchronisations() == before + 2);
  RequireOk(journal->Append({"e"}));
  CHECK(journal->synchronisations() == before + 5);
  CHECK(Segments(dir.path()).size() == 2);
}

}  // namespace
}  // namespace countersign::ledger
