#include "cli/output_files.h"

#include <sys/stat.h>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::cli {
namespace {

using testing::RequireOk;
using testing::StatusIs;

uint32_t Mode(const std::string& path) {
  struct stat info = {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777;
}

TEST_CASE("All files are written, each with its mode") {
  testing::TempDir dir;
  const std::string a = dir.path() + "/a";
  const std::string b = dir.path() + "/b";
  RequireOk(base::WriteFileAtomically(a, "old"));
  RequireOk(WriteFilesDurably({{a, "new"}, {b, "secret", 0600}}));
  CHECK(RequireOk(base::ReadFile(a)) == "new");
  CHECK(RequireOk(base::ReadFile(b)) == "secret");
  CHECK(Mode(b) == 0600);
}

TEST_CASE("When one cannot be written, none is, and what was there stays") {
  testing::TempDir dir;
  const std::string a = dir.path() + "/a";
  RequireOk(base::WriteFileAtomically(a, "old"));
  CHECK_THAT(WriteFilesDurably({{a, "new"}, {dir.path() + "/no/folder", "x"}}),
             StatusIs(absl::StatusCode::kNotFound));
  CHECK_THAT(WriteFilesDurably({{a, "new"}, {dir.path(), "x"}}),
             StatusIs(absl::StatusCode::kFailedPrecondition, "is a folder"));
  CHECK_THAT(WriteFilesDurably({{a, "new"}, {a, "newer"}}),
             StatusIs(absl::StatusCode::kInvalidArgument, "two files"));
  CHECK(RequireOk(base::ReadFile(a)) == "old");
  CHECK(base::FileExists(a));
  CHECK(WriteFilesDurably({}).ok());
}

}  // namespace
}  // namespace countersign::cli
