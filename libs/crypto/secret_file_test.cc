#include "libs/crypto/secret_file.h"

#include <sys/stat.h>

#include <string>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::crypto {
namespace {

using testing::RequireOk;

TEST_CASE(
    "A secret's file is read whole, when it is its owner's alone and no larger than it may be") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/secret";
  RequireOk(base::WriteFileAtomically(path, "12345678", 0600));
  CHECK(RequireOk(ReadSecretFile(path, "the secret", 8)).Expose(SecretAccess::Grant()) ==
        "12345678");
  CHECK_THAT(ReadSecretFile(path, "the secret", 7).status(),
             testing::StatusIs(absl::StatusCode::kInvalidArgument));
  for (const mode_t mode : {0640, 0604, 0620}) {
    REQUIRE(chmod(path.c_str(), mode) == 0);
    CHECK_THAT(ReadSecretFile(path, "the secret", 8).status(),
               testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  CHECK_THAT(ReadSecretFile(dir.path() + "/none", "the secret", 8).status(),
             testing::StatusIs(absl::StatusCode::kNotFound));
  CHECK_FALSE(ReadSecretFile(dir.path(), "the secret", 8).ok());
}

}  // namespace
}  // namespace countersign::crypto
