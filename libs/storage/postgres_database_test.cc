#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/mutex.h"
#include "libs/storage/database.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/postgres_server.h"

namespace countersign::storage {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::PostgresServer;
using testing::RequireOk;
using testing::StatusIs;

// One for the whole binary; each test case has a database of its own.
PostgresServer& Server() {
  static const std::unique_ptr<PostgresServer> server =
      RequireOk(PostgresServer::Start({.settings = {"max_connections=50"}}));
  return *server;
}

std::string NewDatabase() {
  static int made = 0;
  return Server().Url(RequireOk(Server().CreateDatabase(absl::StrCat("t", ++made))));
}

TEST_CASE("A hundred thousand rows are copied as they are, extremes included") {
  const auto database = RequireOk(Database::Open(NewDatabase()));
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT, b BYTEA, s TEXT)"),
               IsOk());
  Rows rows;
  rows.push_back(Row({INT64_MIN, INT64_MAX, Value::Bytes(std::string(300000, '\0')),
                      Value::Text("grüße")}));
  rows.push_back(Row({INT64_MAX, INT64_MIN, Value::Bytes(""), Value::Text("")}));
  rows.push_back(Row({-1, Value::Null(), Value::Null(), Value::Null()}));
  for (int64_t i = 0; i < 100000; ++i) {
    rows.push_back(Row({i, -i, Value::Bytes(std::string(32, static_cast<char>(i))),
                        Value::Text(absl::StrCat(i))}));
  }
  REQUIRE_THAT(database->InTransaction([&](Transaction& transaction) -> absl::Status {
    const auto inserted = transaction.BulkInsert("t", {"id", "n", "b", "s"}, rows);
    CHECK_THAT(inserted, IsOk());
    CHECK(inserted.value_or(0) == static_cast<int64_t>(rows.size()));
    return inserted.status();
  }),
               IsOk());
  const Rows read = RequireOk(database->Query("SELECT id, n, b, s FROM t"));
  REQUIRE(read.size() == rows.size());
  size_t different = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t column = 0; column < 4; ++column) {
      if (!(read[i][column] == rows[i][column])) ++different;
    }
  }
  CHECK(different == 0);
}

}  // namespace
}  // namespace countersign::storage
