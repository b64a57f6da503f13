#include "libs/tlog/ordered_parallel.h"

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"
#include "libs/tlog/damage.h"

namespace countersign::tlog {
namespace {

using testing::IsOk;
using testing::StatusIs;

TEST_CASE("Results are taken in order, and not too many are made ahead") {
  base::ThreadPool pool(4);
  std::atomic<uint64_t> taken{100};
  std::atomic<bool> too_far{false};
  std::vector<uint64_t> results;
  CHECK_THAT(OrderedParallel<uint64_t>(
                 &pool, 100, 5000, 7,
                 [&](uint64_t i) -> absl::StatusOr<uint64_t> {
                   if (i >= taken + 8) too_far = true;
                   return 2 * i;
                 },
                 [&](uint64_t i, uint64_t result) {
                   CHECK(result == 2 * i);
                   results.push_back(i);
                   taken = i + 1;
                   return absl::OkStatus();
                 }),
             IsOk());
  REQUIRE(results.size() == 4900);
  for (size_t i = 0; i < results.size(); ++i) REQUIRE(results[i] == 100 + i);
  CHECK_FALSE(too_far);
}

TEST_CASE("The error is the one that a loop would meet, and then nothing goes on") {
  base::ThreadPool pool(4);
  for (uint64_t failing = 0; failing < 200; failing += 7) {
    std::atomic<int> running{0};
    uint64_t taken = 0;
    const absl::Status status = OrderedParallel<int>(
        &pool, 0, 1000, 16,
        [&](uint64_t i) -> absl::StatusOr<int> {
          ++running;
          // Later ones fail too, and at once.
          absl::StatusOr<int> result = 1;
          if (i >= failing) result = absl::DataLossError(absl::StrCat("item ", i));
          --running;
          return result;
        },
        [&](uint64_t i, int) {
          CHECK(i == taken++);
          return absl::OkStatus();
        });
    CHECK(running == 0);
    CHECK_THAT(status, StatusIs(absl::StatusCode::kDataLoss, absl::StrCat("item ", failing)));
    CHECK(taken == failing);
  }
  CHECK_THAT(
      OrderedParallel<int>(
          &pool, 0, 100, 4, [](uint64_t) { return absl::StatusOr<int>(1); },
          [](uint64_t i, int) { return i < 50 ? absl::OkStatus() : absl::AbortedError("enough"); }),
      StatusIs(absl::StatusCode::kAborted, "enough"));
}

TEST_CASE("A damage travels in a status unchanged") {
  const Damage damage{DamageKind::kWrongHash,         "tile/1/000.p/17", 3, "expected", "found",
                      std::string("any\0thing\n", 10)};
  const auto read = DamageOf(DamageError(damage));
  REQUIRE(read.has_value());
  CHECK(read->kind == damage.kind);
  CHECK(read->path == damage.path);
  CHECK(read->position == damage.position);
  CHECK(read->expected == damage.expected);
  CHECK(read->found == damage.found);
  CHECK(read->detail == damage.detail);
  CHECK_FALSE(DamageOf(DamageError({DamageKind::kMissing, "checkpoint"}))->position.has_value());
  CHECK_FALSE(DamageOf(absl::DataLossError("another")).has_value());
}

}  // namespace
}  // namespace countersign::tlog
