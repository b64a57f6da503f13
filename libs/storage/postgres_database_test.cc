// What PostgreSQL adds to the contract that database_test.cc checks on both engines.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/storage/database.h"
#include "libs/storage/testing.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"

namespace countersign::storage {
namespace {

using absl::StatusCode;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

// Inserts `rows` in a transaction of their own.
absl::StatusOr<int64_t> Insert(Database& database, const std::vector<std::string>& columns,
                               const Rows& rows, OnConflict on_conflict = OnConflict::kFail) {
  int64_t inserted = 0;
  const absl::Status status = database.InTransaction([&](Transaction& transaction) -> absl::Status {
    const auto result = transaction.BulkInsert("t", columns, rows, on_conflict);
    if (result.ok()) inserted = *result;
    return result.status();
  });
  if (!status.ok()) return status;
  return inserted;
}

int64_t IntOf(Database& database, const std::string& sql) {
  return RequireOk(database.Query(sql))[0].Int(0);
}

// How many connections the test's database has from the server's point of view.
int64_t ServerConnections(Database& database) {
  return IntOf(database,
               "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database()");
}

TEST_CASE("A hundred thousand rows are copied as they are, extremes included") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT, b BYTEA, s TEXT)"),
               IsOk());
  Rows rows;
  rows.push_back(
      Row({INT64_MIN, INT64_MAX, Value::Bytes(std::string(300000, '\0')), Value::Text("grüße")}));
  rows.push_back(Row({INT64_MAX, INT64_MIN, Value::Bytes(""), Value::Text("")}));
  rows.push_back(Row({-1, Value::Null(), Value::Null(), Value::Null()}));
  for (int64_t i = 0; i < 100000; ++i) {
    rows.push_back(Row({i, -i, Value::Bytes(std::string(32, static_cast<char>(i))),
                        Value::Text(absl::StrCat(i))}));
  }
  CHECK(RequireOk(Insert(*database, {"id", "n", "b", "s"}, rows)) ==
        static_cast<int64_t>(rows.size()));
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

TEST_CASE("A copy that fails leaves nothing, and the connection goes on") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open({.max_connections = 1});
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, s TEXT)"), IsOk());
  Rows rows;
  for (int64_t i = 0; i < 20000; ++i) rows.push_back(Row({i, Value::Text(std::string(50, 'x'))}));
  rows.push_back(Row({5, Value::Text("secret")}));
  const absl::Status taken = Insert(*database, {"id", "s"}, rows).status();
  CHECK_THAT(taken, StatusIs(StatusCode::kAlreadyExists, "t_pkey"));
  CHECK_FALSE(absl::StrContains(taken.message(), "secret"));
  rows.back() = Row({Value::Text("20000"), Value::Text("x")});
  CHECK_THAT(Insert(*database, {"id", "s"}, rows),
             StatusIs(StatusCode::kInvalidArgument, "column id is bigint"));
  rows.back() = Row({20000});
  CHECK_THAT(Insert(*database, {"id", "s"}, rows),
             StatusIs(StatusCode::kInvalidArgument, "takes 2 values a row, not 1"));
  rows.back() = Row({20000, Value::Text("x\xff")});
  CHECK_THAT(Insert(*database, {"id", "s"}, rows), StatusIs(StatusCode::kInvalidArgument, "byte"));
  CHECK_THAT(Insert(*database, {"id", "missing"}, rows),
             StatusIs(StatusCode::kInternal, "missing"));
  CHECK(IntOf(*database, "SELECT COUNT(*) FROM t") == 0);
  rows.pop_back();
  CHECK(RequireOk(Insert(*database, {"id", "s"}, rows)) == 20000);
  CHECK(ServerConnections(*database) == 1);
}

TEST_CASE("A copy of which the server leaves something out fails as a whole") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  RequireOk(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)"));
  RequireOk(
      database->Run("CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS "
                    "'BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END'"));
  RequireOk(
      database->Run("CREATE TRIGGER leave_out BEFORE INSERT ON t "
                    "FOR EACH ROW EXECUTE FUNCTION leave_out()"));
  CHECK_THAT(Insert(*database, {"id"}, {Row({1}), Row({2}), Row({3})}),
             StatusIs(StatusCode::kInternal, "of 3 rows 2"));
  CHECK(IntOf(*database, "SELECT COUNT(*) FROM t") == 0);
  CHECK(RequireOk(Insert(*database, {"id"}, {Row({1}), Row({3})})) == 2);
}

TEST_CASE("A bulk insert fills narrower columns, and refuses what does not fit them") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (i INTEGER, s SMALLINT, b BOOLEAN, v VARCHAR(5), "
                             "n NUMERIC)"),
               IsOk());
  const auto on_conflict = GENERATE(OnConflict::kFail, OnConflict::kSkip);
  const auto insert = [&](const char* column, Value value) {
    return Insert(*database, {column}, {Row({std::move(value)})}, on_conflict).status();
  };
  CHECK_THAT(insert("i", INT32_MIN), IsOk());
  CHECK_THAT(insert("i", int64_t{INT32_MAX} + 1), StatusIs(StatusCode::kInvalidArgument, "range"));
  CHECK_THAT(insert("s", INT16_MAX), IsOk());
  CHECK_THAT(insert("s", INT16_MIN - 1), StatusIs(StatusCode::kInvalidArgument, "range"));
  CHECK_THAT(insert("b", 1), IsOk());
  CHECK_THAT(insert("b", 2), StatusIs(StatusCode::kInvalidArgument, "column b, boolean"));
  CHECK_THAT(insert("v", Value::Text("12345")), IsOk());
  CHECK_THAT(insert("v", Value::Text("123456")), StatusIs(StatusCode::kInvalidArgument, "long"));
  CHECK_THAT(insert("v", Value::Bytes("1234")), StatusIs(StatusCode::kInvalidArgument, "varchar"));
  CHECK_THAT(insert("n", 1), StatusIs(StatusCode::kInvalidArgument, "column n is numeric"));
  const Rows rows = RequireOk(database->Query("SELECT MIN(i), MIN(s), bool_or(b), MIN(v) FROM t"));
  CHECK(rows[0].Int(0) == INT32_MIN);
  CHECK(rows[0].Int(1) == INT16_MAX);
  CHECK(rows[0].Int(2) == 1);
  CHECK(rows[0].Text(3) == "12345");
}

TEST_CASE("Skipping goes through any number of rows, also those that repeat among themselves") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, b BYTEA, s TEXT)"), IsOk());
  REQUIRE_THAT(database->Run("INSERT INTO t VALUES (7, 'first', NULL)"), IsOk());
  Rows rows;
  for (int64_t i = 0; i < 50000; ++i) {
    rows.push_back(Row({i % 45000, Value::Bytes(absl::StrCat("\\", i)),
                        i % 2 == 0 ? Value::Null() : Value::Text("\"{,}")}));
  }
  CHECK(RequireOk(Insert(*database, {"id", "b", "s"}, rows, OnConflict::kSkip)) == 44999);
  CHECK(RequireOk(Insert(*database, {"id", "b", "s"}, rows, OnConflict::kSkip)) == 0);
  const Rows read =
      RequireOk(database->Query("SELECT b, s FROM t WHERE id IN (3, 4, 7) "
                                "ORDER BY id"));
  REQUIRE(read.size() == 3);
  CHECK(read[0].Bytes(0) == "\\3");
  CHECK(read[0].Text(1) == "\"{,}");
  CHECK(read[1].IsNull(1));
  CHECK(read[2].Bytes(0) == "first");
}

TEST_CASE("Types that a value cannot hold are refused by name") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  CHECK_THAT(database->Query("SELECT 1, 0.5"),
             StatusIs(StatusCode::kInvalidArgument, "column 2 is numeric; cast it"));
  CHECK_THAT(database->Query("SELECT now()"),
             StatusIs(StatusCode::kInvalidArgument, "timestamptz"));
  CHECK_THAT(database->Query("SELECT '1.2.3.4'::inet"),
             StatusIs(StatusCode::kInvalidArgument, "OID 869"));
  const Rows rows = RequireOk(database->Query(
      "SELECT 1::smallint, -2, true, 'v'::varchar, 'n'::name, 'c', pg_advisory_xact_lock(1)"));
  CHECK(rows[0].Int(0) == 1);
  CHECK(rows[0].Int(1) == -2);
  CHECK(rows[0].Int(2) == 1);
  CHECK(rows[0].Text(3) == "v");
  CHECK(rows[0].Text(4) == "n");
  CHECK(rows[0].Text(5) == "c");
  CHECK(rows[0].IsNull(6));
}

TEST_CASE("One statement takes parameters of different kinds, and null for any of them") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open({.max_connections = 1});
  for (int round = 0; round < 2; ++round) {
    for (const Value& value : {Value::Null(), Value(5), Value::Text("t"), Value::Bytes("b")}) {
      CHECK(RequireOk(database->Query("SELECT $1", {value}))[0][0] == value);
    }
  }
  // Null has found one that was prepared before.
  CHECK(IntOf(*database,
              "SELECT COUNT(*) FROM pg_prepared_statements "
              "WHERE statement = 'SELECT $1'") == 4);
}

TEST_CASE("A connection keeps a bounded number of prepared statements") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open({.max_connections = 1});
  const std::string count = "SELECT COUNT(*) FROM pg_prepared_statements";
  for (int i = 0; i < 400; ++i) {
    const std::string sql = absl::StrCat("SELECT ", i);
    REQUIRE(IntOf(*database, sql) == i);
    // Used all along, so never among the oldest.
    if (i % 100 == 0) REQUIRE(IntOf(*database, count) <= 257);
  }
  CHECK(IntOf(*database, count) >= 200);
  CHECK(IntOf(*database, count) <= 257);
  // One pipeline with more than are kept, and all of them again.
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) texts.push_back(absl::StrCat("SELECT ", i, " + $1"));
  const std::vector<Value> one = {1};
  std::vector<Statement> statements;
  for (const std::string& text : texts) statements.push_back({text, one});
  for (int round = 0; round < 2; ++round) {
    REQUIRE_THAT(database->InTransaction([&](Transaction& transaction) -> absl::Status {
      const auto results = RequireOk(transaction.Pipeline(statements));
      REQUIRE(results.size() == 300);
      for (size_t i = 0; i < 300; ++i) {
        REQUIRE(results[i][0].Int(0) == static_cast<int64_t>(i) + 1);
      }
      return absl::OkStatus();
    }),
                 IsOk());
  }
  CHECK(IntOf(*database, count) <= 257);
}

TEST_CASE("A statement that was prepared before its table changed is prepared anew") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open({.max_connections = 1});
  REQUIRE_THAT(database->Run("CREATE TABLE t (a BIGINT)"), IsOk());
  REQUIRE_THAT(database->Run("INSERT INTO t VALUES (1)"), IsOk());
  CHECK(RequireOk(database->Query("SELECT * FROM t"))[0].size() == 1);
  REQUIRE_THAT(database->Run("ALTER TABLE t ADD COLUMN b TEXT"), IsOk());
  CHECK(RequireOk(database->Query("SELECT * FROM t"))[0].size() == 2);
}

TEST_CASE("A pipeline returns the rows of each statement, or the first failure and no change") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open({.max_connections = 1});
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)"), IsOk());
  const std::vector<Value> one = {1};
  const std::vector<Value> two = {2};
  CHECK_THAT(database->InTransaction([&](Transaction& transaction) -> absl::Status {
    CHECK(RequireOk(transaction.Pipeline({})).empty());
    const auto results =
        RequireOk(transaction.Pipeline({{"INSERT INTO t VALUES ($1)", one},
                                        {"INSERT INTO t VALUES ($1)", two},
                                        {"SELECT id FROM t ORDER BY id", {}},
                                        {"DELETE FROM t WHERE id = $1 RETURNING id", one}}));
    REQUIRE(results.size() == 4);
    CHECK(results[0].empty());
    REQUIRE(results[2].size() == 2);
    CHECK(results[2][1].Int(0) == 2);
    CHECK(results[3].size() == 1);
    return absl::OkStatus();
  }),
             IsOk());
  int runs = 0;
  CHECK_THAT(database->InTransaction([&](Transaction& transaction) -> absl::Status {
    ++runs;
    CHECK_THAT(transaction.Pipeline({{"INSERT INTO t VALUES ($1)", one},
                                     {"INSERT INTO t VALUES ($1)", two},
                                     {"SELECT never_prepared FROM missing", {}},
                                     {"INSERT INTO t VALUES (3)", {}}}),
               StatusIs(StatusCode::kAlreadyExists, "t_pkey"));
    CHECK_THAT(transaction.Query("SELECT 1"),
               StatusIs(StatusCode::kFailedPrecondition, "failed already"));
    return absl::OkStatus();
  }),
             StatusIs(StatusCode::kAlreadyExists));
  CHECK(runs == 1);
  CHECK(IntOf(*database, "SELECT SUM(id)::bigint FROM t") == 2);
  // What the failure cut off can be used.
  CHECK(RequireOk(database->Run("INSERT INTO t VALUES (3)")) == 1);
  CHECK(ServerConnections(*database) == 1);
}

TEST_CASE("Large parameters and large results pass through one pipeline") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  const std::string large(8 << 20, 'x');
  const std::vector<Value> value = {Value::Bytes(large)};
  REQUIRE_THAT(database->InSnapshot([&](Transaction& snapshot) -> absl::Status {
    const std::vector<Statement> statements(6, Statement{"SELECT $1", value});
    for (const Rows& rows : RequireOk(snapshot.Pipeline(statements))) {
      REQUIRE(rows[0].Bytes(0) == large);
    }
    return absl::OkStatus();
  }),
               IsOk());
}

TEST_CASE("Serialisation conflicts are run again until they succeed") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE counter (n BIGINT)"), IsOk());
  REQUIRE_THAT(database->Run("INSERT INTO counter VALUES (0)"), IsOk());
  std::atomic<int> runs{0};
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 40; ++i) {
        const absl::Status status =
            database->InTransaction([&](Transaction& transaction) -> absl::Status {
              ++runs;
              const auto rows = transaction.Query("SELECT n FROM counter");
              if (!rows.ok()) return rows.status();
              return transaction.Run("UPDATE counter SET n = $1", {(*rows)[0].Int(0) + 1}).status();
            });
        if (!status.ok()) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
  CHECK(IntOf(*database, "SELECT n FROM counter") == 320);
  CHECK(runs > 320);
}

TEST_CASE("Read committed waits for a row's lock and goes on with the newest row, run once") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE head (n BIGINT)"), IsOk());
  REQUIRE_THAT(database->Run("INSERT INTO head VALUES (1)"), IsOk());
  int runs = 0;
  absl::Status result;
  std::thread waiter;
  REQUIRE_THAT(database->InTransaction([&](Transaction& transaction) -> absl::Status {
    RequireOk(transaction.Query("SELECT n FROM head FOR UPDATE"));
    waiter = std::thread([&] {
      result = database->InTransaction(
          [&](Transaction& other) -> absl::Status {
            ++runs;
            const auto rows = other.Query("SELECT n FROM head FOR UPDATE");
            if (!rows.ok()) return rows.status();
            return other.Run("UPDATE head SET n = $1", {(*rows)[0].Int(0) * 10}).status();
          },
          Isolation::kReadCommitted);
    });
    CHECK(Eventually([&] {
      return RequireOk(TestServer().Execute(
                 "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")) == "1";
    }));
    return transaction.Run("UPDATE head SET n = 5").status();
  }),
               IsOk());
  waiter.join();
  CHECK_THAT(result, IsOk());
  CHECK(runs == 1);
  CHECK(IntOf(*database, "SELECT n FROM head") == 50);
}

TEST_CASE("What a URL or a role says against durability and limits is overruled") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = RequireOk(Database::Open(
      empty.url() +
      "&application_name=ledger&options=-csynchronous_commit%3Doff%20-cstatement_timeout%3D1"));
  const auto setting = [&](const char* name) {
    return RequireOk(database->Query("SELECT current_setting($1)", {Value::Text(name)}))[0].Text(0);
  };
  CHECK(setting("synchronous_commit") == "on");
  CHECK(setting("statement_timeout") == "0");
  CHECK(setting("lock_timeout") == "5s");
  CHECK(setting("application_name") == "ledger");
  CHECK(setting("client_encoding") == "UTF8");
}

TEST_CASE("Data and passwords stay out of error messages") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  for (const char* sql :
       {"SELECT CAST($1 AS BIGINT)", "SELECT CAST($1 AS DATE)", "SELECT CAST($1 AS JSONB)",
        "SELECT convert_from(decode($1 || 'ff', 'hex'), 'UTF8')", "SELECT CAST($1 AS SMALLINT)"}) {
    CAPTURE(sql);
    for (const char* value :
         {"sesame", "\"sesame\" sesame", "5e5a3e5e5a3e", "[99999999999999999999"}) {
      const absl::Status status = database->Query(sql, {Value::Text(value)}).status();
      CHECK_THAT(status, StatusIs(StatusCode::kInvalidArgument));
      CHECK_FALSE(absl::StrContains(status.message(), "sesame"));
      CHECK_FALSE(absl::StrContains(status.message(), "5e5a"));
      CHECK_FALSE(absl::StrContains(status.message(), "999"));
    }
  }
  CHECK_THAT(database->Query("SELECT 1 / $1", {0}),
             StatusIs(StatusCode::kInvalidArgument, "division by zero"));
  for (const char* url :
       {"postgresql://user:se@same@/db", "postgresql://user:sesame/word@127.0.0.1/db",
        "postgresql://user:sesame/db", "postgresql:///db?sesame", "postgresql:///db?pass=sesame",
        "postgresql:user:sesame@h/db", "host=h password=sesame", "postgresql:///%zzsesame"}) {
    const absl::Status status = Database::Open(url).status();
    CAPTURE(url);
    CHECK_THAT(status, StatusIs(StatusCode::kInvalidArgument, "postgresql://"));
    CHECK_FALSE(absl::StrContains(status.message(), "same"));
    CHECK_THAT(Database::Open(empty.url(), {.replicas = {url}}),
               StatusIs(StatusCode::kInvalidArgument));
  }
  const absl::Status missing =
      Database::Open(TestServer().Url("nowhere") + "&password=sesame").status();
  CHECK_THAT(missing, StatusIs(StatusCode::kNotFound, "\"nowhere\" does not exist"));
  CHECK_THAT(missing, StatusIs(StatusCode::kNotFound, "create it first"));
}

TEST_CASE("A wrong password is a refusal that does not repeat it, and a right one passes") {
  const EmptyDatabase empty(Engine::kPostgres);
  auto& server = TestServer();
  RequireOk(server.Execute("CREATE ROLE locked LOGIN PASSWORD 'right-password'"));
  const std::string rules = RequireOk(server.Execute("SHOW hba_file"));
  const auto set_rules = [&](const std::string& first) {
    RequireOk(server.Execute(absl::StrCat("COPY (SELECT unnest(ARRAY['", first,
                                          "', 'local all all trust'])) TO '", rules, "'")));
    RequireOk(server.Execute("SELECT pg_reload_conf()"));
  };
  set_rules("local all locked scram-sha-256");
  const auto open = [&](const std::string& password) {
    return Database::Open(
        absl::StrCat("postgresql://locked", password, "@/", "test?host=", server.SocketFolder()));
  };
  // The server takes the new rules a moment later.
  REQUIRE(Eventually([&] { return !open(":wrong-password").ok(); }));
  const absl::Status wrong = open(":wrong-password").status();
  CHECK_THAT(wrong, StatusIs(StatusCode::kPermissionDenied, "password authentication failed"));
  CHECK_FALSE(absl::StrContains(wrong.message(), "wrong-password"));
  CHECK_THAT(open(""), StatusIs(StatusCode::kPermissionDenied, "no password"));
  CHECK_THAT(open(":right-password"), IsOk());
  set_rules("");
}

TEST_CASE("Deleted rows can be cleared away, though not from within a transaction") {
  const EmptyDatabase empty(Engine::kPostgres);
  const auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (s TEXT)"), IsOk());
  REQUIRE_THAT(database->Run("INSERT INTO t SELECT 'x' FROM generate_series(1, 1000)"), IsOk());
  REQUIRE_THAT(database->Run("DELETE FROM t"), IsOk());
  CHECK(IntOf(*database, "SELECT pg_relation_size('t')") > 0);
  CHECK_THAT(database->EraseDeleted(), IsOk());
  CHECK(IntOf(*database, "SELECT pg_relation_size('t')") == 0);
  CHECK_THAT(database->InTransaction([&](Transaction&) { return database->EraseDeleted(); }),
             StatusIs(StatusCode::kFailedPrecondition, "inside a transaction"));
}

}  // namespace
}  // namespace countersign::storage
