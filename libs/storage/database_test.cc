#include "libs/storage/database.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/storage/testing.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::storage {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

int64_t CountOf(Database& database, const std::string& table) {
  return RequireOk(database.Query("SELECT COUNT(*) FROM " + table))[0].Int(0);
}

// A table t with one row, to be fought for.
void MakeRow(Database& database) {
  REQUIRE_THAT(database.Run("CREATE TABLE t (id BIGINT PRIMARY KEY, n BIGINT)"), IsOk());
  REQUIRE_THAT(database.Run("INSERT INTO t VALUES (1, 0)"), IsOk());
}

TEST_CASE("Every kind of value comes back as it went in") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, v BYTEA)"), IsOk());
  const std::string zeros("a\0b\0", 4);
  const std::vector<Value> values = {
      Value::Null(),
      Value(0),
      Value(INT64_MIN),
      Value(INT64_MAX),
      Value::Text(""),
      Value::Text("grüße"),
      Value::Text("1234"),
      Value::Bytes(""),
      Value::Bytes("1234"),
      Value::Bytes(absl::string_view(zeros.data(), zeros.size())),
      Value::Bytes("\xff\xfe"),
      Value::Bytes(std::string(100000, 'x')),
  };
  for (size_t i = 0; i < values.size(); ++i) {
    // A BYTEA column keeps bytes and null as they are; text and numbers go through a plain result.
    const Rows direct = RequireOk(database->Query("SELECT $1", {values[i]}));
    CHECK(direct[0][0] == values[i]);
    if (values[i].type() != Value::Type::kBytes) continue;
    REQUIRE_THAT(
        database->Run("INSERT INTO t VALUES ($1, $2)", {static_cast<int64_t>(i), values[i]}),
        IsOk());
    const Rows stored =
        RequireOk(database->Query("SELECT v FROM t WHERE id = $1", {static_cast<int64_t>(i)}));
    REQUIRE(stored.size() == 1);
    CHECK(stored[0][0] == values[i]);
  }
}

TEST_CASE("A scan gives every row as a query does, in order, beside other statements") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT, b BYTEA, s TEXT)"), IsOk());
  REQUIRE_THAT(database->InTransaction([](Transaction& transaction) {
    std::vector<Row> rows;
    for (int64_t i = 0; i < 3000; ++i) {
      rows.emplace_back(std::vector<Value>{
          i % 7 == 0 ? Value(INT64_MIN + i) : Value(i),
          i % 5 == 0 ? Value::Null() : Value::Bytes(std::string(static_cast<size_t>(i) % 9, '\0')),
          i == 1000 ? Value::Text(std::string(300'000, 'x')) : Value::Text("grüße")});
    }
    return transaction.BulkInsert("t", {"id", "b", "s"}, rows).status();
  }),
               IsOk());
  const absl::string_view sql = "SELECT id, b, s FROM t ORDER BY id";
  const Rows expected = RequireOk(database->Query(sql));
  size_t at = 0;
  bool same = true;
  const auto compare = [&](const RowView& row) {
    const Row& other = expected[at++];
    same = same && row.size() == 3 && row.Int(0) == other.Int(0) &&
           row.IsNull(1) == other.IsNull(1) && row.Bytes(1) == other.Bytes(1) &&
           row.Bytes(2) == other.Text(2);
    return absl::OkStatus();
  };
  REQUIRE_THAT(database->InSnapshot([&](Transaction& transaction) -> absl::Status {
    // Also as the first statement of a transaction, and after one.
    for (int i = 0; i < 2; ++i) {
      at = 0;
      const absl::Status scanned = transaction.Scan(sql, compare);
      if (!scanned.ok()) return scanned;
      CHECK(at == expected.size());
      if (const auto rows = transaction.Query("SELECT COUNT(*) FROM t"); !rows.ok()) {
        return rows.status();
      }
    }
    return absl::OkStatus();
  }),
               IsOk());
  CHECK(same);
}

TEST_CASE(
    "A scan ends at the callback's failure, which is the transaction's, and leaves the rest") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT)"), IsOk());
  for (int i = 0; i < 3; ++i) {
    REQUIRE_THAT(database->Run("INSERT INTO t VALUES ($1)", {i}), IsOk());
  }
  int rows = 0;
  const auto scan = [&](absl::string_view sql) {
    return database->InSnapshot([&](Transaction& transaction) {
      rows = 0;
      return transaction.Scan(sql, [&](const RowView&) {
        return ++rows == 2 ? absl::DataLossError("enough") : absl::OkStatus();
      });
    });
  };
  CHECK_THAT(scan("SELECT id FROM t"), StatusIs(StatusCode::kDataLoss, "enough"));
  CHECK(rows == 2);
  CHECK_THAT(scan("SELECT id FROM t WHERE id < 1"), IsOk());
  CHECK(rows == 1);
  CHECK_THAT(scan("SELECT id FROM nothing"), StatusIs(StatusCode::kInternal, "nothing"));
  CHECK_THAT(scan("SELECT id FROM t WHERE id = $1"), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(database->Query("SELECT id FROM t"), IsOk());
}

TEST_CASE("Text with an embedded zero keeps its whole length, or is refused") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (v TEXT)"), IsOk());
  const std::string text("left\0right", 10);
  if (empty.engine() == Engine::kPostgres) {
    CHECK_THAT(database->Run("INSERT INTO t VALUES ($1)", {Value::Text(text)}),
               StatusIs(StatusCode::kInvalidArgument, "zero bytes"));
    return;
  }
  REQUIRE_THAT(database->Run("INSERT INTO t VALUES ($1)", {Value::Text(text)}), IsOk());
  const Rows rows = RequireOk(database->Query("SELECT v FROM t"));
  CHECK(rows[0][0].type() == Value::Type::kText);
  CHECK(rows[0].Text(0) == text);
}

TEST_CASE("Parameters are bound by their number, whatever the order they stand in") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  const Rows rows = RequireOk(database->Query("SELECT $2, $1, $2", {1, 2}));
  CHECK(rows[0].Int(0) == 2);
  CHECK(rows[0].Int(1) == 1);
  CHECK(rows[0].Int(2) == 2);
}

TEST_CASE("A wrong number of parameters is refused, and so are other ways to write them") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  CHECK_THAT(database->Query("SELECT $1, $2", {1}),
             StatusIs(StatusCode::kInvalidArgument, "takes 2 parameters, not 1"));
  CHECK_THAT(database->Query("SELECT 1", {1}),
             StatusIs(StatusCode::kInvalidArgument, "takes 0 parameters, not 1"));
  CHECK_THAT(database->Query("SELECT ?", {1}), StatusIs(StatusCode::kInvalidArgument, "$1"));
  CHECK_THAT(database->Query("SELECT $name", {1}), StatusIs(StatusCode::kInvalidArgument, "$1"));
}

TEST_CASE("A statement is one statement, and a bad one says why") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  CHECK_THAT(database->Run("SELECT 1; SELECT 2"), StatusIs(StatusCode::kInvalidArgument, "one"));
  CHECK_THAT(database->Run(""), StatusIs(StatusCode::kInvalidArgument, "one"));
  CHECK_THAT(database->Run("SELEKT 1"), StatusIs(StatusCode::kInternal, "SELEKT"));
  CHECK_THAT(database->Query("SELECT * FROM missing"), StatusIs(StatusCode::kInternal, "missing"));
  CHECK_THAT(database->Query("SELECT CAST(0.5 AS REAL)"),
             StatusIs(StatusCode::kInvalidArgument, "floating"));
}

TEST_CASE("Run counts the rows that it changed") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  CHECK(RequireOk(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)")) == 0);
  CHECK(RequireOk(database->Run("INSERT INTO t VALUES (1), (2), (3)")) == 3);
  CHECK(RequireOk(database->Run("DELETE FROM t WHERE id > $1", {1})) == 2);
  CHECK(RequireOk(database->Run("DELETE FROM t WHERE id > $1", {1})) == 0);
  CHECK(RequireOk(database->Run("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING")) == 0);
}

TEST_CASE("Constraint failures have statuses of their own") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, u TEXT NOT NULL UNIQUE, "
                             "n BIGINT CHECK (n > 0))"),
               IsOk());
  REQUIRE_THAT(database->Run("INSERT INTO t VALUES (1, 'secret', 1)"), IsOk());
  const absl::StatusOr<int64_t> taken =
      database->Run("INSERT INTO t VALUES (2, $1, 1)", {Value::Text("secret")});
  CHECK_THAT(taken, StatusIs(StatusCode::kAlreadyExists,
                             empty.engine() == Engine::kSqlite ? "t.u" : "\"t_u_key\""));
  CHECK(std::string(taken.status().message()).find("secret") == std::string::npos);
  CHECK_THAT(database->Run("INSERT INTO t VALUES (1, 'b', 1)"),
             StatusIs(StatusCode::kAlreadyExists));
  CHECK_THAT(database->Run("INSERT INTO t VALUES (2, NULL, 1)"),
             StatusIs(StatusCode::kFailedPrecondition));
  CHECK_THAT(database->Run("INSERT INTO t VALUES (2, 'b', 0)"),
             StatusIs(StatusCode::kFailedPrecondition));
}

TEST_CASE("A transaction that fails leaves nothing behind") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)"), IsOk());
  CHECK_THAT(database->InTransaction([](Transaction& transaction) -> absl::Status {
    REQUIRE_THAT(transaction.Run("INSERT INTO t VALUES (1)"), IsOk());
    CHECK(RequireOk(transaction.Query("SELECT id FROM t")).size() == 1);
    return absl::NotFoundError("changed my mind");
  }),
             StatusIs(StatusCode::kNotFound, "changed my mind"));
  CHECK(CountOf(*database, "t") == 0);
}

TEST_CASE("A failed statement fails its transaction, even where its error is passed over") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)"), IsOk());
  CHECK_THAT(database->InTransaction([](Transaction& transaction) -> absl::Status {
    REQUIRE_THAT(transaction.Run("INSERT INTO t VALUES (1)"), IsOk());
    CHECK_THAT(transaction.Run("INSERT INTO t VALUES (1)"), StatusIs(StatusCode::kAlreadyExists));
    CHECK_THAT(transaction.Run("INSERT INTO t VALUES (2)"),
               StatusIs(StatusCode::kFailedPrecondition, "failed already"));
    return absl::OkStatus();
  }),
             StatusIs(StatusCode::kAlreadyExists));
  CHECK(CountOf(*database, "t") == 0);
  CHECK_THAT(database->Run("INSERT INTO t VALUES (1)"), IsOk());
}

TEST_CASE("A bulk insert counts what it inserted, and skips taken keys when asked to") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)"), IsOk());
  Rows rows;
  for (int64_t i = 0; i < 1000; ++i) rows.push_back(Row({i, Value::Text(std::to_string(i))}));
  const auto insert = [&](OnConflict on_conflict) {
    int64_t inserted = -1;
    const absl::Status status =
        database->InTransaction([&](Transaction& transaction) -> absl::Status {
          const auto result = transaction.BulkInsert("t", {"id", "v"}, rows, on_conflict);
          if (result.ok()) inserted = *result;
          return result.status();
        });
    return std::make_pair(status, inserted);
  };
  CHECK(insert(OnConflict::kFail).second == 1000);
  CHECK(CountOf(*database, "t") == 1000);
  CHECK(RequireOk(database->Query("SELECT v FROM t WHERE id = 999"))[0].Text(0) == "999");
  rows.push_back(Row({5000, Value::Null()}));
  CHECK_THAT(insert(OnConflict::kFail).first, StatusIs(StatusCode::kAlreadyExists));
  CHECK(CountOf(*database, "t") == 1000);
  CHECK(insert(OnConflict::kSkip).second == 1);
  CHECK(CountOf(*database, "t") == 1001);
}

TEST_CASE("A snapshot does not see what commits beside it, and cannot write") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)"), IsOk());
  CHECK_THAT(database->InSnapshot([&](Transaction& snapshot) -> absl::Status {
    CHECK(RequireOk(snapshot.Query("SELECT COUNT(*) FROM t"))[0].Int(0) == 0);
    CHECK_THAT(database->Run("INSERT INTO t VALUES (1)"), IsOk());
    CHECK(RequireOk(snapshot.Query("SELECT COUNT(*) FROM t"))[0].Int(0) == 0);
    return absl::OkStatus();
  }),
             IsOk());
  CHECK(CountOf(*database, "t") == 1);
  CHECK_THAT(database->Query("INSERT INTO t VALUES (2) RETURNING id"),
             StatusIs(StatusCode::kPermissionDenied));
  CHECK(CountOf(*database, "t") == 1);
}

TEST_CASE("A database used inside its own transaction says so instead of waiting for itself") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  CHECK_THAT(
      database->InTransaction([&](Transaction&) { return database->Run("SELECT 1").status(); }),
      StatusIs(StatusCode::kFailedPrecondition, "inside a transaction"));
  CHECK_THAT(
      database->InTransaction([&](Transaction&) { return database->Query("SELECT 1").status(); }),
      StatusIs(StatusCode::kFailedPrecondition, "inside a transaction"));
}

TEST_CASE("Another program's lock is waited for between attempts, then reported") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto holder = empty.Open();
  MakeRow(*holder);
  std::vector<absl::Duration> slept;
  DatabaseOptions options;
  options.busy_timeout = absl::ZeroDuration();
  options.max_attempts = 4;
  options.sleep = [&](absl::Duration delay) { slept.push_back(delay); };
  auto database = empty.Open(options);
  REQUIRE_THAT(holder->InTransaction([&](Transaction& transaction) -> absl::Status {
    RequireOk(transaction.Run("UPDATE t SET n = 1 WHERE id = 1"));
    CHECK_THAT(database->Run("UPDATE t SET n = 2 WHERE id = 1"),
               StatusIs(StatusCode::kAborted, "lock"));
    return absl::OkStatus();
  }),
               IsOk());
  CHECK(RequireOk(database->Query("SELECT n FROM t"))[0].Int(0) == 1);
  REQUIRE(slept.size() == 3);
  CHECK(slept[0] >= absl::Milliseconds(1));
  CHECK(slept[2] <= absl::Milliseconds(8));
  CHECK(slept[2] > slept[0]);
  CHECK_THAT(database->Run("UPDATE t SET n = 2 WHERE id = 1"), IsOk());
}

TEST_CASE("A lock that goes away between attempts is taken") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto holder = empty.Open();
  MakeRow(*holder);
  std::thread waiter;
  std::atomic<bool> release{false};
  std::atomic<bool> waited{false};
  DatabaseOptions options;
  options.busy_timeout = absl::ZeroDuration();
  options.max_attempts = 1000000;
  options.sleep = [&](absl::Duration) {
    waited = true;
    release = true;
    release.notify_all();
    std::this_thread::yield();
  };
  auto database = empty.Open(options);
  absl::Status result = absl::UnknownError("not run");
  REQUIRE_THAT(holder->InTransaction([&](Transaction& transaction) -> absl::Status {
    RequireOk(transaction.Run("UPDATE t SET n = 1 WHERE id = 1"));
    waiter =
        std::thread([&] { result = database->Run("UPDATE t SET n = 2 WHERE id = 1").status(); });
    release.wait(false);
    return absl::OkStatus();
  }),
               IsOk());
  waiter.join();
  CHECK_THAT(result, IsOk());
  CHECK(waited);
  CHECK(RequireOk(holder->Query("SELECT n FROM t"))[0].Int(0) == 2);
}

TEST_CASE("Transactions of many threads are serial, and failures among them undo only themselves") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE counter (n BIGINT)"), IsOk());
  REQUIRE_THAT(database->Run("INSERT INTO counter VALUES (0)"), IsOk());
  REQUIRE_THAT(database->Run("CREATE TABLE seen (n BIGINT PRIMARY KEY)"), IsOk());
  constexpr int kThreads = 8;
  constexpr int kRounds = 60;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const int kind = (i + t) % 4;
        const absl::Status status =
            database->InTransaction([&](Transaction& transaction) -> absl::Status {
              const auto rows = transaction.Query("SELECT n FROM counter");
              if (!rows.ok()) return rows.status();
              const int64_t next = (*rows)[0].Int(0) + 1;
              auto run = transaction.Run("UPDATE counter SET n = $1", {next});
              if (run.ok()) run = transaction.Run("INSERT INTO seen VALUES ($1)", {next});
              if (!run.ok()) return run.status();
              // One in four gives up, one in four breaks a constraint.
              if (kind == 1) return absl::CancelledError("given up");
              if (kind == 3)
                return transaction.Run("INSERT INTO seen VALUES ($1)", {next}).status();
              return absl::OkStatus();
            });
        const StatusCode expected = kind == 1   ? StatusCode::kCancelled
                                    : kind == 3 ? StatusCode::kAlreadyExists
                                                : StatusCode::kOk;
        if (status.code() != expected) ++wrong;
        const auto rows = database->Query("SELECT (SELECT n FROM counter), COUNT(*) FROM seen");
        if (!rows.ok() || (*rows)[0].Int(0) != (*rows)[0].Int(1)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(RequireOk(database->Query("SELECT n FROM counter"))[0].Int(0) == kThreads * kRounds / 2);
}

TEST_CASE("A statement that ends the transaction behind its back is an error and changes nothing") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)"), IsOk());
  CHECK_THAT(database->InTransaction([](Transaction& transaction) {
    RequireOk(transaction.Run("INSERT INTO t VALUES (1)").status());
    return transaction.Run("ROLLBACK").status();
  }),
             StatusIs(StatusCode::kInternal, "ended the transaction"));
  CHECK(CountOf(*database, "t") == 0);
}

TEST_CASE("What was deleted is in no file once it is erased, which waits for readers") {
  testing::TempDir dir;
  const std::string url = "sqlite:" + dir.path() + "/data.db";
  const auto database = RequireOk(Database::Open(url, {.busy_timeout = absl::ZeroDuration()}));
  REQUIRE_THAT(database->Run("CREATE TABLE t (secret TEXT NOT NULL)"), IsOk());
  REQUIRE_THAT(database->Run("INSERT INTO t VALUES ('twenty-two characters')"), IsOk());
  const auto found = [&] {
    std::string all;
    for (const std::string& name : dir.List()) {
      all += RequireOk(base::ReadFile(dir.path() + "/" + name));
    }
    return all.find("twenty-two characters") != std::string::npos;
  };
  {
    const auto other = RequireOk(Database::Open(url));
    CHECK_THAT(other->InSnapshot([&](Transaction& snapshot) -> absl::Status {
      RequireOk(snapshot.Query("SELECT secret FROM t"));
      CHECK_THAT(database->Run("DELETE FROM t"), IsOk());
      CHECK_THAT(database->EraseDeleted(), StatusIs(StatusCode::kAborted, "try again"));
      return absl::OkStatus();
    }),
               IsOk());
  }
  REQUIRE(found());
  CHECK_THAT(database->EraseDeleted(), IsOk());
  CHECK_FALSE(found());
  CHECK_THAT(database->InTransaction([&](Transaction&) { return database->EraseDeleted(); }),
             StatusIs(StatusCode::kFailedPrecondition, "inside a transaction"));
}

TEST_CASE("A closed database refuses everything and can be opened again") {
  const EmptyDatabase empty(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto database = empty.Open();
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)"), IsOk());
  database->Close();
  database->Close();
  CHECK_THAT(database->Run("SELECT 1"), StatusIs(StatusCode::kFailedPrecondition, "closed"));
  CHECK_THAT(database->Query("SELECT 1"), StatusIs(StatusCode::kFailedPrecondition, "closed"));
  auto again = empty.Open();
  CHECK(CountOf(*again, "t") == 0);
}

TEST_CASE("A URL that names no database is refused") {
  CHECK_THAT(Database::Open("mysql://localhost"),
             StatusIs(StatusCode::kInvalidArgument, "sqlite:"));
  CHECK_THAT(Database::Open("sqlite:"), StatusIs(StatusCode::kInvalidArgument));
  testing::TempDir dir;
  CHECK_THAT(Database::Open("sqlite:" + dir.path() + "/no/such/db"),
             StatusIs(StatusCode::kNotFound, "/no/such/db"));
}

}  // namespace
}  // namespace countersign::storage
