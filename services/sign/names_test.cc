#include "services/sign/names.h"

#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

const auto kInvalid = StatusIs(absl::StatusCode::kInvalidArgument);

TEST_CASE("Names of keys and versions survive parsing") {
  for (const char* name : {"tenants/default/keys/release", "tenants/a-1/keys/k/versions/1",
                           "tenants/9/keys/a-b-c/versions/2147483648"}) {
    CHECK(RequireOk(ParseKeyName("name", name, Want::kKeyOrVersion)).ToString() == name);
  }
  CHECK(RequireOk(ParseKeyName("name", "tenants/t/keys/k/versions/12", Want::kVersion)) ==
        KeyName{"t", "k", 12});
  CHECK(RequireOk(ParseTenantName("parent", "tenants/default")) == "default");
}

TEST_CASE("Each name has one spelling") {
  for (const char* name : {"",
                           "keys/k",
                           "tenants/t",
                           "tenants/t/keys",
                           "tenants/t/keys/",
                           "tenants//keys/k",
                           "tenants/t/keys/k/",
                           "/tenants/t/keys/k",
                           "tenants/t/keys/K",
                           "tenants/t/keys/1k",
                           "tenants/t/keys/k_k",
                           "tenants/T/keys/k",
                           "tenants/t/keys/k/versions/",
                           "tenants/t/keys/k/versions/0",
                           "tenants/t/keys/k/versions/01",
                           "tenants/t/keys/k/versions/-1",
                           "tenants/t/keys/k/versions/+1",
                           "tenants/t/keys/k/versions/1x",
                           "tenants/t/keys/k/versions/99999999999999999999",
                           "tenants/t/keys/k/versions/1/x",
                           "tenants/t/logs/k",
                           "tenants/t/keys/k/revisions/1"}) {
    INFO(name);
    CHECK_THAT(ParseKeyName("name", name, Want::kKeyOrVersion), kInvalid);
  }
  CHECK_THAT(ParseKeyName("name", "tenants/t/keys/k", Want::kVersion), kInvalid);
  CHECK_THAT(ParseKeyName("name", "tenants/t/keys/k/versions/1", Want::kKey), kInvalid);
  CHECK_THAT(ParseTenantName("parent", "default"), kInvalid);
  CHECK_THAT(ParseTenantName("parent", "tenants/a/b"), kInvalid);
  CHECK(ValidKeyId(std::string(63, 'k')));
  CHECK_FALSE(ValidKeyId(std::string(64, 'k')));
}

TEST_CASE("Request ids are UUIDs") {
  CHECK(ValidRequestId("123e4567-e89b-42d3-a456-426614174000"));
  CHECK(ValidRequestId("123E4567-E89B-42D3-A456-426614174000"));
  for (const char* id :
       {"", "123e4567e89b42d3a456426614174000", "123e4567-e89b-42d3-a456-42661417400",
        "123e4567-e89b-42d3-a456-42661417400g", "123e4567-e89b-42d3-a4560426614174000"}) {
    CHECK_FALSE(ValidRequestId(id));
  }
}

TEST_CASE("A page token works for the list that answered it, and for no other") {
  const std::string token = MakePageToken("tenants/a", "key-7");
  CHECK(RequireOk(ParsePageToken("tenants/a", token)) == "key-7");
  CHECK(RequireOk(ParsePageToken("tenants/a", "")).empty());
  CHECK_THAT(ParsePageToken("tenants/b", token), kInvalid);
  CHECK_THAT(ParsePageToken("tenants/a", "xyz"), kInvalid);
  CHECK_THAT(ParsePageToken("tenants/a", token.substr(0, 16)), kInvalid);
}

TEST_CASE("Page sizes are bounded") {
  CHECK(RequireOk(PageSize(0)) == 100);
  CHECK(RequireOk(PageSize(7)) == 7);
  CHECK(RequireOk(PageSize(5000)) == 1000);
  CHECK_THAT(PageSize(-1), kInvalid);
}

}  // namespace
}  // namespace countersign::sign
