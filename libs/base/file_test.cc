#include "libs/base/file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/testing/temp_dir.h"

namespace countersign::base {
namespace {

TEST_CASE("A durable write replaces the whole file and sets its mode") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/file";
  REQUIRE(WriteFileDurably(path, "first", 0600).ok());
  REQUIRE(WriteFileDurably(path, std::string("se\0cond", 7), 0600).ok());
  CHECK(*ReadFile(path) == std::string("se\0cond", 7));
  struct stat info;
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("What a crashed process of the same id left behind is in nobody's way") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/file";
  for (int i = 0; i < 1000; ++i) {
    const std::string left = path + ".tmp." + std::to_string(getpid()) + "." + std::to_string(i);
    REQUIRE(WriteFileAtomically(left, "left").ok());
  }
  REQUIRE(WriteFileDurably(path, "new").ok());
  CHECK(*ReadFile(path) == "new");
}

TEST_CASE("A write that fails half-way leaves the old file and no other") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/file";
  REQUIRE(WriteFileDurably(path, "old").ok());

  struct rlimit before;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small { 1000, before.rlim_max };
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const absl::Status status = WriteFileDurably(path, std::string(5000, 'x'));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, old_handler);

  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(*ReadFile(path) == "old");
  CHECK(dir.List() == std::vector<std::string>{"file"});
}

TEST_CASE("Reading says what is wrong with the path") {
  testing::TempDir dir;
  CHECK(ReadFile(dir.path() + "/none").status().code() == absl::StatusCode::kNotFound);
  CHECK(ReadFile(dir.path()).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(ReadFile(dir.path() + "/none").status().message()),
             Catch::Contains(dir.path() + "/none"));
}

TEST_CASE("Folders are made with their parents, and a file in the way is named") {
  testing::TempDir dir;
  REQUIRE(EnsureDirectory(dir.path() + "/a/b/c/").ok());
  REQUIRE(EnsureDirectory(dir.path() + "/a/b/c").ok());
  REQUIRE(WriteFileAtomically(dir.path() + "/a/f", "").ok());
  const absl::Status status = EnsureDirectory(dir.path() + "/a/f");
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK_FALSE(EnsureDirectory(dir.path() + "/a/f/g").ok());
}

TEST_CASE("A folder has one holder at a time, and the second learns who it is") {
  testing::TempDir dir;
  {
    const auto first = DirectoryLock::Acquire(dir.path());
    REQUIRE(first.ok());
    const auto second = DirectoryLock::Acquire(dir.path());
    CHECK(second.status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK_THAT(std::string(second.status().message()), Catch::Contains(dir.path()));
    CHECK_THAT(std::string(second.status().message()), Catch::Contains(std::to_string(getpid())));
  }
  CHECK(DirectoryLock::Acquire(dir.path()).ok());
}

}  // namespace
}  // namespace countersign::base
