#include "libs/storage/postgres_sql.h"

#include <string>
#include <utility>

#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::storage {
namespace {

using absl::StatusCode;
using testing::RequireOk;
using testing::StatusIs;

TEST_CASE("The highest parameter counts, and only where it is one") {
  const auto [sql, expected] = GENERATE(table<std::string, size_t>({
      {"SELECT 1", 0},
      {"SELECT $2, $1, $2", 2},
      {"SELECT $12", 12},
      {"SELECT $1::bytea", 1},
      {"SELECT '$3', $1", 1},
      {"SELECT 'it''s $3', $1", 1},
      {"SELECT 'a\\', $1, '$3'", 1},
      {"SELECT E'a\\'$3', e'\\'$4', $1", 1},
      {"SELECT \"$3\" FROM \"t\"\"$4\" WHERE a = $1", 1},
      {"SELECT $1 -- $3\n, $2", 2},
      {"SELECT $1 -- $3", 1},
      {"SELECT $1 /* $3 /* $4 */ $5 */, $2", 2},
      {"SELECT $$ $3 $$, $1", 1},
      {"SELECT $a$ $3 $$ $4 $a$, $1", 1},
      {"SELECT a$3 FROM t WHERE b = $1", 1},
      {"SELECT a-$1 FROM t", 1},
      {"SELECT a/$1*$2 FROM t", 2},
      {" \n SELECT $1 ; -- no more\n;", 1},
      {"SELECT ';' || $1", 1},
      {"SELECT 'never closed $3", 0},
      {"SELECT /* never closed $3", 0},
      {"SELECT $$ never closed $3", 0},
  }));
  CAPTURE(sql);
  CHECK(RequireOk(CountParameters(sql)) == expected);
}

TEST_CASE("None and several statements are told apart from one") {
  const std::string sql =
      GENERATE("", " \n", ";", "-- nothing", "/* nothing */ ;", "SELECT 1; SELECT 2",
               "SELECT 1;;SELECT 2", "SELECT 'a'; -- b\n 'c'");
  CAPTURE(sql);
  CHECK_THAT(CountParameters(sql), StatusIs(StatusCode::kInvalidArgument, "one statement"));
}

TEST_CASE("Parameters with names, or with numbers that cannot be, are refused") {
  CHECK_THAT(CountParameters("SELECT $name"), StatusIs(StatusCode::kInvalidArgument, "$1"));
  CHECK_THAT(CountParameters("SELECT $"), StatusIs(StatusCode::kInvalidArgument, "$1"));
  CHECK_THAT(CountParameters("SELECT $0"), StatusIs(StatusCode::kInvalidArgument, "$1"));
  CHECK_THAT(CountParameters("SELECT $65536"), StatusIs(StatusCode::kInvalidArgument, "$65535"));
  CHECK_THAT(CountParameters("SELECT $99999999999999999999999"),
             StatusIs(StatusCode::kInvalidArgument, "$65535"));
}

}  // namespace
}  // namespace countersign::storage
