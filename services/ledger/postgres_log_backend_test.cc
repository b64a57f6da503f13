#include "services/ledger/postgres_log_backend.h"

#include <filesystem>
#include <future>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/ledger/fake_log_backend.h"
#include "services/ledger/log_registry.h"
#include "services/ledger/postgres_testing.h"

namespace countersign::ledger {
namespace {

using absl::StatusCode;
using testing::Eventually;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kMain[] = "tenants/default/logs/main";
constexpr char kOrigin[] = "log.example";
const LogName kOther{"acme", "releases"};

// A ledger's part of a shared database: its own connections and its own folder.
struct Replica {
  Replica(const std::string& url, const std::string& directory) {
    PostgresLogBackend::Options options;
    options.store.database = Connect(url);
    options.kek_path = directory + "/kek";
    LogRegistry::Options registry = fakes.Options(kMain, kOrigin);
    registry.follow_interval = absl::Milliseconds(5);
    logs = RequireOk(
        LogRegistry::Open(registry, RequireOk(PostgresLogBackend::Open(std::move(options)))));
  }

  FakeLogs fakes;  // for their cosigners
  std::unique_ptr<LogRegistry> logs;
};

absl::StatusOr<uint64_t> Append(const Log& log, const std::string& entry) {
  std::promise<absl::StatusOr<uint64_t>> index;
  log.ledger->Append({entry}, Ledger::Level::kIntegrated, absl::InfiniteFuture(),
                     [&](absl::StatusOr<Ledger::Appended> answer) {
                       if (answer.ok()) {
                         index.set_value(answer->placements[0].index);
                       } else {
                         index.set_value(answer.status());
                       }
                     });
  return index.get_future().get();
}

TEST_CASE("Two ledgers of one database have the same logs, keys and entries") {
  const std::string url = TestServer().Url(NewDatabase());
  testing::TempDir first_dir;
  testing::TempDir second_dir;
  Replica first(url, first_dir.path());
  RequireOk(Append(first.logs->main_log(), "a").status());
  std::filesystem::copy(first_dir.path() + "/kek", second_dir.path() + "/kek");
  Replica second(url, second_dir.path());
  CHECK(first.logs->main_log().identity.vkey == second.logs->main_log().identity.vkey);
  CHECK(RequireOk(Append(second.logs->main_log(), "b")) == 1);
  CHECK(RequireOk(Append(first.logs->main_log(), "c")) == 2);
  CHECK(RequireOk(Append(first.logs->main_log(), "b")) == 1);

  // One that either makes, the other finds.
  const Log* made = RequireOk(second.logs->Create(kOther, "", ""));
  CHECK(RequireOk(Append(*made, "first of the other")) == 0);
  REQUIRE(Eventually([&] { return first.logs->Find(kOther.ToString()).ok(); }));
  const Log* found = RequireOk(first.logs->Find(kOther.ToString()));
  CHECK(found->identity.vkey == made->identity.vkey);
  CHECK(found->identity.policy_text == made->identity.policy_text);
  CHECK(RequireOk(Append(*found, "second of the other")) == 1);
  CHECK_THAT(first.logs->Create({"acme", "more"}, made->identity.origin, ""),
             StatusIs(StatusCode::kAlreadyExists, made->identity.origin));
  // Frozen for one, frozen for all.
  RequireOk(found->ledger->Freeze());
  CHECK(Eventually([&] { return made->ledger->frozen(); }));
  CHECK_THAT(Append(*made, "third"), StatusIs(StatusCode::kFailedPrecondition, "frozen"));
}

TEST_CASE("Two ledgers that make one log at once make one") {
  const std::string url = TestServer().Url(NewDatabase());
  testing::TempDir dir;
  Replica first(url, dir.path());
  Replica second(url, dir.path());
  for (const char* id : {"a", "b", "c", "d"}) {
    auto other = std::async(std::launch::async,
                            [&] { return second.logs->Create({"race", id}, "", ""); });
    const Log* one = RequireOk(first.logs->Create({"race", id}, "", ""));
    const Log* two = RequireOk(other.get());
    CHECK(one->identity.vkey == two->identity.vkey);
  }
}

TEST_CASE("Without the KEK that sealed its logs' keys a ledger does not start") {
  const std::string url = TestServer().Url(NewDatabase());
  testing::TempDir dir;
  testing::TempDir empty;
  testing::TempDir wrong;
  Replica first(url, dir.path());
  const auto open = [&](const std::string& directory) {
    PostgresLogBackend::Options options;
    options.store.database = Connect(url);
    options.kek_path = directory + "/kek";
    FakeLogs fakes;
    return LogRegistry::Open(fakes.Options(kMain, kOrigin),
                             RequireOk(PostgresLogBackend::Open(std::move(options))))
        .status();
  };
  CHECK_THAT(open(empty.path()), StatusIs(StatusCode::kFailedPrecondition, "kek is missing"));
  CHECK_FALSE(base::FileExists(empty.path() + "/kek"));
  RequireOk(crypto::Kek::LoadOrCreate(wrong.path() + "/kek").status());
  CHECK_THAT(open(wrong.path()), StatusIs(StatusCode::kFailedPrecondition, kMain));
  CHECK_THAT(open(dir.path()), testing::IsOk());
}

}  // namespace
}  // namespace countersign::ledger
