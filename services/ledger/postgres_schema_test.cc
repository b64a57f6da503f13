#include "services/ledger/postgres_schema.h"

#include <thread>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/merkle/hash.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/ledger/postgres_testing.h"

namespace countersign::ledger {
namespace {

using absl::StatusCode;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

absl::Time Day(int year, int month, int day) {
  return absl::FromCivil(absl::CivilDay(year, month, day), absl::UTCTimeZone());
}

// A database with the ledger's tables and no partition.
struct Schema {
  const std::string name = NewDatabase();
  const std::shared_ptr<storage::Database> database = Connect(TestServer().Url(name));

  Schema() { RequireOk(CreateLedgerSchema(*database)); }

  std::string Execute(const std::string& sql) const {
    return RequireOk(TestServer().Execute(sql, name));
  }
  // What a query of one text column returns, in lines.
  std::string Lines(const std::string& sql) const {
    return Execute("SELECT COALESCE(string_agg(line, E'\\n'), '') FROM (" + sql + ") AS l(line)");
  }
  std::string Partitions() const {
    return Lines(
        "SELECT c.relname || ' ' || pg_get_expr(c.relpartbound, c.oid) || ' ' || "
        "COALESCE(t.spcname, '-') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace "
        "WHERE i.inhparent = 'ledger_entries'::regclass ORDER BY 1");
  }
  // Where the indexes and the table for long values of a partition are.
  std::string PlacesOf(const std::string& partition) const {
    return Lines(
        "SELECT DISTINCT COALESCE(t.spcname, '-') FROM pg_class p "
        "LEFT JOIN pg_index i ON i.indrelid = p.oid "
        "JOIN pg_class c ON c.oid IN (p.oid, p.reltoastrelid, i.indexrelid) "
        "LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE p.relname = '" +
        partition + "'");
  }
  std::string IndexesOf(const std::string& partition) const {
    return Lines(
        "SELECT am.amname || ' ' || pg_get_indexdef(i.indexrelid, 1, false) || "
        "CASE WHEN h.inhparent IS NULL THEN ' alone' ELSE '' END "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam "
        "LEFT JOIN pg_inherits h ON h.inhrelid = i.indexrelid "
        "WHERE i.indrelid = '" +
        partition + "'::regclass ORDER BY 1");
  }
  void Insert(int64_t index, absl::Time time) const {
    RequireOk(database->Run(
        "INSERT INTO ledger_entries VALUES (1, $1, $2, $3, $4)",
        {index, absl::ToUnixMicros(time), storage::Value::Bytes(std::string(32, 'h')),
         storage::Value::Bytes(std::string(5000, 'e'))}));
  }
};

TEST_CASE("Partitions are made for this month and the next two, and only once") {
  const Schema schema;
  auto made = RequireOk(MakePartitions(*schema.database, {}, Day(2026, 11, 30)));
  CHECK(made.begin == Day(2026, 11, 1));
  CHECK(made.end == Day(2027, 2, 1));
  CHECK(made.Contains(Day(2026, 11, 1)));
  CHECK_FALSE(made.Contains(Day(2027, 2, 1)));
  const std::string expected =
      "ledger_entries_202611 FOR VALUES FROM ('1793491200000000') TO ('1796083200000000') -\n"
      "ledger_entries_202612 FOR VALUES FROM ('1796083200000000') TO ('1798761600000000') -\n"
      "ledger_entries_202701 FOR VALUES FROM ('1798761600000000') TO ('1801440000000000') -";
  CHECK(schema.Partitions() == expected);
  RequireOk(MakePartitions(*schema.database, {}, Day(2026, 11, 1)));
  CHECK(schema.Partitions() == expected);
  for (const char* partition : {"ledger_entries_202611", "ledger_entries_202701"}) {
    CHECK(schema.IndexesOf(partition) == "btree \"timestamp\"\nbtree log_id\nhash entry_hash");
  }
  // Years later there is a gap, which nobody needs.
  RequireOk(MakePartitions(*schema.database, {}, Day(2030, 1, 15)));
  CHECK(schema.Lines("SELECT count(*)::text FROM pg_inherits "
                     "WHERE inhparent = 'ledger_entries'::regclass") == "6");
}

TEST_CASE("Many processes may make the schema and its partitions at once") {
  const std::string name = NewDatabase();
  std::vector<std::thread> processes;
  std::vector<absl::Status> results(6);
  for (absl::Status& result : results) {
    processes.emplace_back([&name, &result] {
      auto database = storage::Database::Open(TestServer().Url(name));
      result = database.status();
      if (result.ok()) result = CreateLedgerSchema(**database);
      if (result.ok()) result = MakePartitions(**database, {}, Day(2026, 11, 30)).status();
    });
  }
  for (std::thread& process : processes) process.join();
  for (const absl::Status& result : results) CHECK_THAT(result, IsOk());
  CHECK(RequireOk(TestServer().Execute("SELECT count(*)::text FROM pg_inherits "
                                       "WHERE inhparent = 'ledger_entries'::regclass",
                                       name)) == "3");
}

TEST_CASE("Months move to the tablespace of their age with all they hold") {
  const Schema schema;
  const Tablespaces places{
      .hot = NewTablespace("hot1"), .warm = NewTablespace("warm1"), .cold = NewTablespace("cold1")};
  for (int month = 1; month <= 6; ++month) {
    RequireOk(MakePartitions(*schema.database, places, Day(2026, month, 1)));
    schema.Insert(month, Day(2026, month, 28));
  }
  CHECK(schema.PlacesOf("ledger_entries_202601") == "hot1");
  const std::string rows =
      "SELECT sequence_number::text || md5(entry) FROM ledger_entries ORDER BY 1";
  const std::string before = schema.Lines(rows);
  // Ended 29, 60 and 90 days ago, and more.
  RequireOk(MovePartitions(*schema.database, places, Day(2026, 5, 30)));
  CHECK(schema.PlacesOf("ledger_entries_202601") == "cold1");
  CHECK(schema.PlacesOf("ledger_entries_202602") == "cold1");
  CHECK(schema.PlacesOf("ledger_entries_202603") == "warm1");
  CHECK(schema.PlacesOf("ledger_entries_202604") == "hot1");
  CHECK(schema.PlacesOf("ledger_entries_202605") == "hot1");
  RequireOk(MovePartitions(*schema.database, places, Day(2026, 8, 1)));
  CHECK(schema.PlacesOf("ledger_entries_202603") == "cold1");
  CHECK(schema.PlacesOf("ledger_entries_202604") == "cold1");
  CHECK(schema.PlacesOf("ledger_entries_202606") == "warm1");
  CHECK(schema.PlacesOf("ledger_entries_202607") == "hot1");
  CHECK(schema.Lines(rows) == before);
  CHECK(schema.IndexesOf("ledger_entries_202603") ==
        "btree \"timestamp\"\nbtree log_id\nhash entry_hash");
  CHECK(schema.Lines("SELECT conname FROM pg_constraint WHERE conname = 'bounds'") == "");
  CHECK(schema.Lines("SELECT relname FROM pg_class WHERE relname LIKE '%moving'") == "");
  // Entries still find their place, and the key still holds.
  CHECK_THAT(schema.database->Run("INSERT INTO ledger_entries VALUES (1, 3, $1, '', '')",
                                  {absl::ToUnixMicros(Day(2026, 3, 28))}),
             StatusIs(StatusCode::kAlreadyExists));
  schema.Insert(33, Day(2026, 3, 29));
  CHECK(schema.Lines("SELECT sequence_number::text FROM ledger_entries_202603 ORDER BY 1") ==
        "3\n33");
}

TEST_CASE("Months may move to the database's own tablespace, and are moved there once") {
  const Schema schema;
  const std::string hot = NewTablespace("hot3");
  RequireOk(MakePartitions(*schema.database, {}, Day(2026, 1, 1)));
  RequireOk(MakePartitions(*schema.database, {.hot = hot}, Day(2026, 4, 1)));
  schema.Insert(1, Day(2026, 1, 28));
  schema.Insert(4, Day(2026, 4, 28));
  const std::string files =
      "SELECT relname || relfilenode FROM pg_class WHERE relname = 'ledger_entries_202601'";
  const std::string before = schema.Lines(files);
  RequireOk(MovePartitions(*schema.database, {.cold = "pg_default"}, Day(2030, 1, 1)));
  CHECK(schema.Lines(files) == before);
  CHECK(schema.PlacesOf("ledger_entries_202604") == "-");
  CHECK(schema.Lines("SELECT sequence_number::text FROM ledger_entries ORDER BY 1") == "1\n4");
}

TEST_CASE("Without names for them months stay, and a name that is none is refused") {
  const Schema schema;
  RequireOk(MakePartitions(*schema.database, {}, Day(2026, 1, 1)));
  CHECK_THAT(MovePartitions(*schema.database, {}, Day(2030, 1, 1)), IsOk());
  CHECK(schema.PlacesOf("ledger_entries_202601") == "-");
  CHECK_THAT(MovePartitions(*schema.database, {.cold = "nowhere"}, Day(2030, 1, 1)),
             StatusIs(StatusCode::kNotFound, "nowhere"));
  CHECK_THAT(MovePartitions(*schema.database, {.cold = "a\"; DROP"}, Day(2030, 1, 1)),
             StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(MakePartitions(*schema.database, {.hot = "a b"}, Day(2030, 1, 1)),
             StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("Upkeep makes and moves months as the clock goes on") {
  const Schema schema;
  base::ManualClock clock(Day(2026, 1, 15));
  const Tablespaces places{.cold = NewTablespace("cold2")};
  const PostgresUpkeep upkeep({.database = schema.database,
                               .tablespaces = places,
                               .interval = absl::Milliseconds(5),
                               .retry = absl::Milliseconds(5),
                               .clock = &clock});
  const PostgresUpkeep another({.database = Connect(TestServer().Url(schema.name)),
                                .tablespaces = places,
                                .interval = absl::Milliseconds(5),
                                .retry = absl::Milliseconds(5),
                                .clock = &clock});
  const auto count = [&] {
    return schema.Lines("SELECT count(*)::text FROM pg_inherits i JOIN pg_class c "
                        "ON c.oid = i.inhrelid WHERE inhparent = 'ledger_entries'::regclass");
  };
  CHECK(Eventually([&] { return count() == "3"; }));
  clock.Set(Day(2026, 5, 15));
  CHECK(Eventually([&] { return count() == "6"; }));
  CHECK(Eventually([&] { return schema.PlacesOf("ledger_entries_202601") == "cold2"; }));
  CHECK(schema.PlacesOf("ledger_entries_202603") == "-");
}

TEST_CASE("A database of another engine has no ledger") {
  const testing::TempDir dir;
  const auto database = Connect("sqlite:" + dir.path() + "/db");
  CHECK_THAT(CreateLedgerSchema(*database), StatusIs(StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace countersign::ledger
