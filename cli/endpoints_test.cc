#include "cli/endpoints.h"

#include <string>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::cli {
namespace {

using testing::RequireOk;
using testing::StatusIs;

TEST_CASE("The addresses that `up` wrote replace the usual ones") {
  testing::TempDir dir;
  CHECK(RequireOk(LoadEndpoints(dir.path())).sign == "127.0.0.1:7101");
  CHECK(RequireOk(LoadEndpoints(dir.path())).yubikey_agent == "127.0.0.1:7120");
  RequireOk(base::WriteFileAtomically(dir.path() + "/endpoints.json",
                                      R"({"pid":1,"sign":"127.0.0.1:1","ledger":"127.0.0.1:3",
          "ocsp":"127.0.0.1:7","yubikey_agent":"127.0.0.1:20","witnesses":[{"grpc":"127.0.0.1:4","vkey":"w"},{"grpc":"127.0.0.1:5"}]})"));
  const Endpoints endpoints = RequireOk(LoadEndpoints(dir.path()));
  CHECK(endpoints.sign == "127.0.0.1:1");
  CHECK(endpoints.verify == "127.0.0.1:7102");
  CHECK(endpoints.ledger == "127.0.0.1:3");
  CHECK(endpoints.ocsp == "127.0.0.1:7");
  CHECK(endpoints.yubikey_agent == "127.0.0.1:20");
  CHECK(endpoints.witnesses == std::vector<std::string>{"127.0.0.1:4", "127.0.0.1:5"});
}

TEST_CASE("A damaged endpoints.json is named") {
  testing::TempDir dir;
  for (const char* text : {"", "[]", R"({"witnesses":[1]})"}) {
    RequireOk(base::WriteFileAtomically(dir.path() + "/endpoints.json", text));
    CHECK_THAT(LoadEndpoints(dir.path()),
               StatusIs(absl::StatusCode::kInvalidArgument, dir.path() + "/endpoints.json"));
  }
}

TEST_CASE("A flag changes one service, and the first witness flag the whole list") {
  Endpoints endpoints;
  int witnesses = 0;
  RequireOk(ApplyEndpoint("sign=host:1", &witnesses, &endpoints));
  RequireOk(ApplyEndpoint("ocsp=host:2", &witnesses, &endpoints));
  RequireOk(ApplyEndpoint("yubikey-agent=host:3", &witnesses, &endpoints));
  RequireOk(ApplyEndpoint("witness=a:1", &witnesses, &endpoints));
  RequireOk(ApplyEndpoint("witness=b:1", &witnesses, &endpoints));
  CHECK(endpoints.sign == "host:1");
  CHECK(endpoints.ocsp == "host:2");
  CHECK(endpoints.yubikey_agent == "host:3");
  CHECK(endpoints.witnesses == std::vector<std::string>{"a:1", "b:1"});
  for (const char* wrong : {"", "sign", "sign=", "sign=host", "host:1", "mint=h:1"}) {
    CAPTURE(wrong);
    CHECK_THAT(ApplyEndpoint(wrong, &witnesses, &endpoints),
               StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace countersign::cli
