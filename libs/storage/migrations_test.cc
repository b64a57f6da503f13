#include "libs/storage/migrations.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/storage/testing.h"
#include "libs/testing/matchers.h"

namespace countersign::storage {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

const Migration kFirst{
    1, "keys",
    "CREATE TABLE keys (id BIGINT PRIMARY KEY); -- and more\nINSERT INTO keys VALUES (7);"};
const Migration kSecond{2, "owner", "ALTER TABLE keys ADD COLUMN owner TEXT",
                        "CREATE INDEX keys_owner ON keys (owner)"};

TEST_CASE("Migrations are applied in order, each once") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(Migrate(*database, {kFirst}), IsOk());
  REQUIRE_THAT(Migrate(*database, {kFirst, kSecond}), IsOk());
  REQUIRE_THAT(Migrate(*database, {kFirst, kSecond}), IsOk());
  const Rows rows = RequireOk(database->Query("SELECT id, owner FROM keys"));
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].Int(0) == 7);
  CHECK(rows[0].IsNull(1));
  const Rows applied =
      RequireOk(database->Query("SELECT version, name FROM schema_migrations ORDER BY version"));
  REQUIRE(applied.size() == 2);
  CHECK(applied[1].Int(0) == 2);
  CHECK(applied[1].Text(1) == "owner");
}

TEST_CASE("A migration that fails half-way leaves nothing of itself") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  const Migration broken{2, "broken",
                         "CREATE TABLE half (id BIGINT); INSERT INTO missing VALUES (1)"};
  CHECK_THAT(Migrate(*database, {kFirst, broken}),
             StatusIs(StatusCode::kInternal, "migration 2 (broken)"));
  CHECK_THAT(database->Query("SELECT * FROM half"), StatusIs(StatusCode::kInternal));
  CHECK_THAT(Migrate(*database, {kFirst, kSecond}), IsOk());
}

TEST_CASE("A database of a newer or another program is refused") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(Migrate(*database, {kFirst, kSecond}), IsOk());
  CHECK_THAT(Migrate(*database, {kFirst}), StatusIs(StatusCode::kFailedPrecondition, "newer"));
  const Migration other{1, "certificates", "SELECT 1"};
  CHECK_THAT(Migrate(*database, {other, kSecond}),
             StatusIs(StatusCode::kFailedPrecondition, "another program"));
}

TEST_CASE("Gaps in the numbers are refused before anything is run") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  CHECK_THAT(Migrate(*database, {kSecond}), StatusIs(StatusCode::kInvalidArgument, "numbered 2"));
  CHECK_THAT(database->Query("SELECT * FROM schema_migrations"), StatusIs(StatusCode::kInternal));
}

TEST_CASE("Several programs may migrate one database at the same time") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  std::vector<std::unique_ptr<Database>> databases;
  for (int i = 0; i < 4; ++i) databases.push_back(empty.Open());
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (auto& database : databases) {
    threads.emplace_back([&failed, &database] {
      if (!Migrate(*database, {kFirst, kSecond}).ok()) ++failed;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
  CHECK(RequireOk(databases[0]->Query("SELECT COUNT(*) FROM keys"))[0].Int(0) == 1);
}

}  // namespace
}  // namespace countersign::storage
