#include "services/yubikey-agent/card_secrets.h"

#include <sys/stat.h>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;
using countersign::testing::TempDir;
using Form = CardSecrets::Form;

std::string Text(const std::optional<crypto::SecretBytes>& secret) {
  REQUIRE(secret.has_value());
  return std::string(secret->Expose(crypto::SecretAccess::Grant()));
}

TEST_CASE("A card's secret is found by its serial number, in text or in hex") {
  TempDir dir;
  const std::string path = dir.path() + "/pins";
  RequireOk(base::WriteFileAtomically(path, "# PINs\n\n11 123456\n 22\t 6162 \n", 0600));
  const CardSecrets pins(path, Form::kText);
  CHECK(Text(RequireOk(pins.Find(11))) == "123456");
  CHECK(Text(RequireOk(pins.Find(22))) == "6162");
  CHECK_FALSE(RequireOk(pins.Find(33)).has_value());
  CHECK(Text(RequireOk(CardSecrets(path, Form::kHex).Find(22))) == "ab");
  CHECK_FALSE(RequireOk(CardSecrets("", Form::kHex).Find(22)).has_value());
}

TEST_CASE("A file that others may read, or that is malformed, is refused without a word of it") {
  TempDir dir;
  const std::string path = dir.path() + "/pins";
  RequireOk(base::WriteFileAtomically(path, "11 123456\nsecret\n", 0600));
  const absl::Status malformed = CardSecrets(path, Form::kText).Check();
  CHECK_THAT(malformed, StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK(malformed.message().find("line 2") != std::string::npos);
  CHECK(malformed.message().find("secret\n") == std::string::npos);
  RequireOk(base::WriteFileAtomically(path, "11 12345x\n", 0600));
  CHECK_THAT(CardSecrets(path, Form::kText).Check(), IsOk());
  CHECK_THAT(CardSecrets(path, Form::kHex).Check(), StatusIs(absl::StatusCode::kInvalidArgument));
  REQUIRE(chmod(path.c_str(), 0640) == 0);
  CHECK_THAT(CardSecrets(path, Form::kText).Check(),
             StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace countersign::yubikey
