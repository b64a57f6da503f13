#include "services/sign/certificates/certificate_queries.h"

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "catch2/catch.hpp"
#include "libs/base/mutex.h"
#include "services/sign/certificates/certificate_store_testing.h"

namespace countersign::sign {
namespace {

using storage::Engine;
using storage::Rows;
using storage::Transaction;
using storage::Value;
using testing::IsOk;
using testing::RequireOk;

constexpr int kRows = 10000;

std::string Literal(const Value& value) {
  switch (value.type()) {
    case Value::Type::kInt:
      return absl::StrCat(value.AsInt());
    case Value::Type::kText:
      return absl::StrCat("'", value.AsString(), "'");
    case Value::Type::kBytes:
      return absl::StrCat("'\\x", base::HexEncode(value.AsString()), "'");
    case Value::Type::kNull:
      break;
  }
  return "NULL";
}

std::string TypeOf(const Value& value) {
  switch (value.type()) {
    case Value::Type::kInt:
      return "BIGINT";
    case Value::Type::kBytes:
      return "BYTEA";
    default:
      return "TEXT";
  }
}

std::string Joined(const Rows& rows, size_t column) {
  return absl::StrJoin(rows, "\n", [column](std::string* out, const storage::Row& row) {
    out->append(row.Text(column));
  });
}

// How the database would run `query` now; with `generic`, whatever the values are.
std::string PlanOf(storage::Database& database, const InventoryStatement& query, bool reads,
                   bool generic) {
  static int prepared = 0;
  const std::string name = absl::StrCat("query", ++prepared);
  std::string plan;
  // Ends without a commit, and so without its settings.
  const auto look = [&](Transaction& transaction) -> absl::Status {
    if (database.engine() == Engine::kSqlite) {
      const Rows rows =
          RequireOk(transaction.Query("EXPLAIN QUERY PLAN " + query.sql, query.params));
      plan = Joined(rows, 3);
      return absl::CancelledError("only looking");
    }
    std::vector<std::string> types;
    std::vector<std::string> values;
    for (const Value& value : query.params) {
      types.push_back(TypeOf(value));
      values.push_back(Literal(value));
    }
    RequireOk(transaction.RunScript(absl::StrCat(
        reads ? ByIndexSettings(query.sorts) : "SELECT 1", "; SET LOCAL plan_cache_mode = force_",
        generic ? "generic" : "custom", "_plan; PREPARE ", name, " (", absl::StrJoin(types, ", "),
        ") AS ", query.sql)));
    plan = Joined(RequireOk(transaction.Query(absl::StrCat("EXPLAIN EXECUTE ", name, " (",
                                                           absl::StrJoin(values, ", "), ")"))),
                  0);
    return absl::CancelledError("only looking");
  };
  CHECK(absl::IsCancelled(database.InTransaction(look)));
  return plan;
}

struct Case {
  std::string name;
  std::function<void(v1::CertificateFilter&)> set;
  std::string index;  // that the plan names
};

TEST_CASE("Every query of the inventory reads an index, by itself and together with others") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const bool sqlite = inventory.empty.engine() == Engine::kSqlite;
  const absl::Time now = inventory.clock.Now();
  {
    base::Mutex mutex;
    base::CondVar changed;
    int answered = 0;
    for (int i = 0; i < kRows; ++i) {
      inventory.store->Insert(MakeCertificate(i, now), [&](const auto& result) {
        base::MutexLock lock(&mutex);
        if (!result.ok()) FAIL_CHECK(result.status());
        ++answered;
        changed.NotifyAll();
      });
    }
    base::MutexLock lock(&mutex);
    changed.Wait(&mutex, [&] { return answered == kRows; });
  }
  const bool analyzed = GENERATE(false, true);
  if (analyzed) REQUIRE_THAT(inventory.database->Run("ANALYZE"), IsOk());

  const std::string digest(64, 'a');
  const std::vector<Case> cases = {
      {"all", [](auto&) {}, "certificates_by_expiry"},
      {"not_after",
       [&](auto& f) {
         f.mutable_expires_from()->set_seconds(absl::ToUnixSeconds(now));
         f.mutable_expires_before()->set_seconds(absl::ToUnixSeconds(now) + 7776000);
       },
       "certificates_by_expiry"},
      {"fingerprint", [&](auto& f) { f.set_fingerprint_sha256(digest); },
       "certificates_by_fingerprint"},
      {"key", [&](auto& f) { f.set_key_fingerprint(digest); }, "certificates_by_key"},
      {"host name", [](auto& f) { f.set_host_name("host-5.example.com"); },
       sqlite ? "certificate_host_names" : "certificates_by_host_name"},
      {"owner", [](auto& f) { f.set_owner_team("team-5"); }, "certificates_by_owner"},
      {"environment", [](auto& f) { f.set_environment("production"); },
       "certificates_by_environment"},
      {"owner and environment",
       [](auto& f) {
         f.set_owner_team("team-5");
         f.set_environment("production");
       },
       "certificates_by_"},
      {"active", [](auto& f) { f.add_statuses(v1::CERTIFICATE_STATUS_ACTIVE); },
       "certificates_by_"},
      {"on hold", [](auto& f) { f.add_statuses(v1::CERTIFICATE_STATUS_ON_HOLD); },
       "certificates_by_status"},
      {"revoked", [](auto& f) { f.add_statuses(v1::CERTIFICATE_STATUS_REVOKED); },
       "certificates_revoked_by_expiry"},
      {"status and not_after",
       [&](auto& f) {
         f.add_statuses(v1::CERTIFICATE_STATUS_ON_HOLD);
         f.mutable_expires_before()->set_seconds(absl::ToUnixSeconds(now) + 7776000);
       },
       "certificates_by_status"},
      {"statuses",
       [](auto& f) {
         f.add_statuses(v1::CERTIFICATE_STATUS_ACTIVE);
         f.add_statuses(v1::CERTIFICATE_STATUS_RETIRED);
       },
       "certificates_by_expiry"},
      {"authority", [](auto& f) { f.set_authority(kTestAuthority); }, "certificates_by_authority"},
      {"serial", [](auto& f) { f.set_serial_number("abcdef"); },
       "certificates_of_others_by_serial"},
      {"host name, owner and status",
       [](auto& f) {
         f.set_host_name("host-5.example.com");
         f.set_owner_team("team-5");
         f.add_statuses(v1::CERTIFICATE_STATUS_ACTIVE);
       },
       sqlite ? "certificate_host_names" : "certificates_by_host_name"},
      {"fingerprint, owner, status and not_after",
       [&](auto& f) {
         f.set_fingerprint_sha256(digest);
         f.set_owner_team("team-5");
         f.add_statuses(v1::CERTIFICATE_STATUS_ACTIVE);
         f.mutable_expires_from()->set_seconds(absl::ToUnixSeconds(now));
       },
       "certificates_by_fingerprint"},
  };
  const PageEnd after{absl::ToUnixMicros(now + absl::Hours(24 * 90)), "4000"};
  v1::BulkUpdateCertificatesRequest update;
  update.set_owner_team("new");
  for (const Case& one : cases) {
    v1::CertificateFilter filter;
    one.set(filter);
    CertificateSelection selection{"default", &filter, std::nullopt};
    if (!filter.authority().empty()) selection.authority_id = 1;
    for (const bool generic : {false, true}) {
      for (const bool further : {false, true}) {
        const InventoryStatement query = RequireOk(
            ListQuery(inventory.empty.engine(), selection,
                      further ? std::optional<PageEnd>(after) : std::nullopt, 101, false));
        const std::string plan = PlanOf(*inventory.database, query, /*reads=*/true, generic);
        INFO(one.name << (further ? ", further page" : "") << ":\n" << plan);
        CHECK(absl::StrContains(plan, one.index));
        CHECK_FALSE(absl::StrContains(plan, "Seq Scan"));
        CHECK_FALSE(absl::StrContains(plan, "SCAN certificate"));
        // A page that comes in the order of an index is not sorted.
        if (!query.sorts) {
          CHECK_FALSE(absl::StrContains(plan, "Sort"));
          CHECK_FALSE(absl::StrContains(plan, "TEMP B-TREE"));
        }
      }
    }
    if (!analyzed || sqlite) continue;
    // An update reads all that it changes: only a filter for few rows has to go by an index.
    const InventoryStatement query =
        RequireOk(BulkUpdateQuery(inventory.empty.engine(), selection, update, now));
    if (!query.sorts && one.name != "owner and environment") continue;
    const std::string plan = PlanOf(*inventory.database, query, /*reads=*/false, false);
    INFO(one.name << ", update:\n" << plan);
    CHECK_FALSE(absl::StrContains(plan, "Seq Scan"));
  }
}

}  // namespace
}  // namespace countersign::sign
