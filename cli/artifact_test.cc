#include "cli/artifact.h"

#include <unistd.h>

#include <string>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::cli {
namespace {

using crypto::DigestAlgorithm;
using testing::RequireOk;
using testing::StatusIs;

TEST_CASE("A file's digest is that of its bytes, whatever its length") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/file";
  for (size_t size : {size_t{0}, size_t{1}, (size_t{1} << 20) - 1, size_t{1} << 20,
                      (size_t{1} << 20) + 1, size_t{3} << 20}) {
    CAPTURE(size);
    const std::string contents(size, 'c');
    RequireOk(base::WriteFileAtomically(path, contents));
    for (DigestAlgorithm algorithm :
         {DigestAlgorithm::kSha256, DigestAlgorithm::kSha384, DigestAlgorithm::kSha512}) {
      CHECK(RequireOk(DigestFile(path, algorithm)) == crypto::Digest(algorithm, contents));
    }
  }
}

TEST_CASE("A file of two gigabytes is read as a stream") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/sparse";
  RequireOk(base::WriteFileAtomically(path, ""));
  const off_t size = (off_t{2} << 30) + 1;
  REQUIRE(truncate(path.c_str(), size) == 0);
  // SHA-256 of 2^31 + 1 zero bytes, by sha256sum.
  CHECK(base::HexEncode(RequireOk(DigestFile(path, DigestAlgorithm::kSha256))) ==
        "b8030a8ab89280935633d8d991da3d9907c0f12e8b6fc3bfc515f4d440872b6e");
}

TEST_CASE("What cannot be read is named") {
  testing::TempDir dir;
  const std::string missing = dir.path() + "/missing";
  CHECK_THAT(DigestFile(missing, DigestAlgorithm::kSha256),
             StatusIs(absl::StatusCode::kNotFound, missing));
  CHECK_THAT(DigestFile(dir.path(), DigestAlgorithm::kSha256),
             StatusIs(absl::StatusCode::kInvalidArgument, dir.path() + " is a folder"));
}

}  // namespace
}  // namespace countersign::cli
