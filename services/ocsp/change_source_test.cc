#include "services/ocsp/change_source.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/mutex.h"
#include "libs/storage/testing.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/postgres_server.h"
#include "services/ocsp/testing.h"

namespace countersign::ocsp {
namespace {

using absl::StatusCode;
using storage::EmptyDatabase;
using storage::Engine;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

// A record that is not signed but says which version it is.
StoredRecord Unsigned(int64_t authority_id, int64_t number, int64_t version) {
  StoredRecord stored{authority_id, TestSerial(number), ""};
  pki::OcspRecord record;
  record.status.serial = stored.serial;
  record.status.this_update = version;
  record.not_after = absl::ToUnixSeconds(absl::Now() + absl::Hours(1000));
  stored.record = pki::PackOcspRecord(record);
  return stored;
}

class Fixture {
 public:
  explicit Fixture(Engine engine) : empty_(engine), writer_(empty_.Open()) {}

  storage::Database& writer() { return *writer_; }
  const std::string& url() const { return empty_.url(); }

  // Polls seldom: what is not asked for does not come.
  void Start(absl::Duration interval = absl::Hours(1)) {
    source = std::make_unique<ChangeSource>(
        ChangeSource::Options{.open = [this] { return storage::Database::Open(url()); },
                              .kek = &TestKek(),
                              .responses = &responses,
                              .interval = interval,
                              .max_back_off = absl::Milliseconds(100),
                              .on_query =
                                  [this](absl::string_view type, absl::Duration) {
                                    if (on_query) on_query(type);
                                  }});
  }

  absl::StatusOr<int64_t> Refresh(int64_t change_number = 0) {
    base::Mutex mutex;
    base::CondVar changed;
    bool done = false;
    absl::StatusOr<int64_t> result;
    source->Refresh(change_number, [&](absl::StatusOr<int64_t> number) {
      base::MutexLock lock(&mutex);
      result = std::move(number);
      done = true;
      changed.NotifyAll();
    });
    base::MutexLock lock(&mutex);
    changed.Wait(&mutex, [&] { return done; });
    return result;
  }

  int64_t Store(const std::vector<StoredRecord>& records) {
    return RequireOk(StoreRecords(writer(), records));
  }

  // The version of a certificate's record in memory; -1 without one.
  int64_t VersionOf(int64_t authority_id, int64_t number) const {
    const base::Rcu::ReadLock lock(&responses.rcu());
    const auto record =
        pki::UnpackOcspRecord(responses.index().Find(lock, authority_id, TestSerial(number)));
    return record.ok() ? record->status.this_update : -1;
  }

  Responses responses;
  std::function<void(absl::string_view)> on_query;

 private:
  const EmptyDatabase empty_;
  const std::unique_ptr<storage::Database> writer_;

 public:
  std::unique_ptr<ChangeSource> source;
};

TEST_CASE("Everything is there after the start, and every change after a refresh") {
  Fixture fixture(GENERATE(Engine::kSqlite, Engine::kPostgres));
  CreateTables(fixture.writer());
  TestAuthority authority(1, "issuing", absl::Now());
  StoreAuthority(fixture.writer(), authority);
  std::vector<StoredRecord> records;
  for (int64_t i = 0; i < 3000; ++i) records.push_back(Unsigned(1, i, 1));
  // Long expired: not even taken in.
  pki::OcspRecord expired = RequireOk(pki::UnpackOcspRecord(records[0].record));
  const std::string expired_serial = TestSerial(9999);
  expired.status.serial = expired_serial;
  expired.not_after = 1'000'000'000;
  records.push_back({1, expired_serial, pki::PackOcspRecord(expired)});
  CHECK(fixture.Store(records) == 3001);

  fixture.Start();
  CHECK(RequireOk(fixture.Refresh()) == 3001);
  CHECK(fixture.responses.loaded());
  CHECK(fixture.responses.index().size() == 3000);
  CHECK(fixture.responses.change_number() == 3001);
  const auto directory = fixture.responses.directory();
  const Authority* found = directory->FindByName("tenants/default/authorities/issuing");
  REQUIRE(found != nullptr);
  CHECK(found->signers.size() == 1);
  CHECK(found->signers[0]->key.has_value());
  CHECK(found->lifetime == 4 * 24 * 3600);

  // Exactly one page, several, and a little.
  for (const int64_t count : {2000, 4500, 1}) {
    std::vector<StoredRecord> changes;
    for (int64_t i = 0; i < count; ++i) changes.push_back(Unsigned(1, i, count));
    const int64_t last = fixture.Store(changes);
    CHECK(RequireOk(fixture.Refresh(last)) == last);
    CHECK(fixture.VersionOf(1, 0) == count);
    CHECK(fixture.VersionOf(1, count - 1) == count);
  }
  CHECK(fixture.responses.index().size() == 4500);
}

TEST_CASE("A new authority is known before its certificates are, and a new signer is noticed") {
  Fixture fixture(GENERATE(Engine::kSqlite, Engine::kPostgres));
  CreateTables(fixture.writer());
  fixture.Start();
  CHECK(RequireOk(fixture.Refresh()) == 0);
  CHECK(fixture.responses.directory()->authorities().empty());

  TestAuthority authority(5, "late", absl::Now());
  StoreAuthority(fixture.writer(), authority);
  const int64_t number = fixture.Store({Unsigned(5, 1, 1)});
  CHECK_THAT(fixture.Refresh(number), IsOk());
  const auto before = fixture.responses.directory();
  REQUIRE(before->FindById(5) != nullptr);
  CHECK(fixture.VersionOf(5, 1) == 1);

  authority.AddSigner(77, absl::Now() - absl::Hours(1), absl::Now() + absl::Hours(100));
  sign::v1::AuthoritySettings settings;
  settings.set_ocsp_nonces(true);
  settings.mutable_ocsp_lifetime()->set_seconds(1000);
  authority.row.settings = settings.SerializeAsString();
  StoreAuthority(fixture.writer(), authority);
  CHECK_THAT(fixture.Refresh(), IsOk());
  const auto after = fixture.responses.directory();
  CHECK(after->FindById(5)->nonces);
  CHECK(after->FindById(5)->lifetime == 1000);
  REQUIRE(after->FindById(5)->signers.size() == 2);
  // What has not changed is not opened again.
  CHECK(after->FindById(5)->signers[0] == before->FindById(5)->signers[0]);
}

TEST_CASE("Those who wait at the same time share a query, and idle polls are one query each") {
  Fixture fixture(GENERATE(Engine::kSqlite, Engine::kPostgres));
  CreateTables(fixture.writer());
  fixture.Start();
  CHECK_THAT(fixture.Refresh(), IsOk());
  const int64_t before = fixture.source->queries();
  CHECK_THAT(fixture.Refresh(), IsOk());
  CHECK(fixture.source->queries() == before + 1);

  // While a query is under way, fifty ask.
  base::Mutex mutex;
  base::CondVar changed;
  bool held = false;
  bool go_on = false;
  std::atomic<int> answered{0};
  fixture.on_query = [&](absl::string_view) {
    base::MutexLock lock(&mutex);
    held = true;
    changed.NotifyAll();
    changed.Wait(&mutex, [&] { return go_on; });
  };
  const auto count = [&](absl::StatusOr<int64_t> number) { answered += number.ok() ? 1 : 1000; };
  fixture.source->Refresh(0, count);
  {
    base::MutexLock lock(&mutex);
    changed.Wait(&mutex, [&] { return held; });
  }
  for (int i = 0; i < 50; ++i) fixture.source->Refresh(0, count);
  {
    base::MutexLock lock(&mutex);
    go_on = true;
    changed.NotifyAll();
  }
  CHECK(Eventually([&] { return answered >= 51; }));
  CHECK(answered == 51);
  CHECK(fixture.source->queries() == before + 3);
}

TEST_CASE("Unasked, changes are found by polling") {
  Fixture fixture(GENERATE(Engine::kSqlite, Engine::kPostgres));
  CreateTables(fixture.writer());
  fixture.Start(absl::Milliseconds(5));
  CHECK_THAT(fixture.Refresh(), IsOk());
  fixture.Store({Unsigned(1, 1, 42)});
  CHECK(Eventually([&] { return fixture.VersionOf(1, 1) == 42; }));
}

TEST_CASE("A change that the database does not hold is refused, and nothing stays awaited") {
  Fixture fixture(Engine::kSqlite);
  CreateTables(fixture.writer());
  fixture.Start();
  CHECK_THAT(fixture.Refresh(), IsOk());
  CHECK_THAT(fixture.Refresh(1000), StatusIs(StatusCode::kOutOfRange, "number 0"));
  CHECK(fixture.responses.Fresh(absl::Now()));
}

TEST_CASE("It waits for a database that is not there, or whose tables are not") {
  Fixture fixture(GENERATE(Engine::kSqlite, Engine::kPostgres));
  std::atomic<bool> there{false};
  fixture.source = std::make_unique<ChangeSource>(
      ChangeSource::Options{.open = [&]() -> absl::StatusOr<std::unique_ptr<storage::Database>> {
                              if (!there) return absl::NotFoundError("not there");
                              return storage::Database::Open(fixture.url());
                            },
                            .kek = &TestKek(),
                            .responses = &fixture.responses,
                            .max_back_off = absl::Milliseconds(20)});
  CHECK_THAT(fixture.Refresh(), StatusIs(StatusCode::kUnavailable, "not there"));
  there = true;
  CHECK_THAT(fixture.Refresh(), StatusIs(StatusCode::kUnavailable, "ocsp_head"));
  CHECK_FALSE(fixture.responses.loaded());
  CreateTables(fixture.writer());
  CHECK(Eventually([&] { return fixture.responses.loaded(); }));
  CHECK(fixture.source->failures() >= 2);
}

TEST_CASE("No change is missed, however writers and readers interleave") {
  Fixture fixture(GENERATE(Engine::kSqlite, Engine::kPostgres));
  CreateTables(fixture.writer());
  fixture.Start(absl::ZeroDuration());
  constexpr int64_t kWriters = 4;
  constexpr int64_t kRounds = 60;
  std::atomic<int> failed{0};
  std::vector<std::thread> writers;
  for (int64_t w = 0; w < kWriters; ++w) {
    writers.emplace_back([&, w] {
      for (int64_t round = 1; round <= kRounds; ++round) {
        // Each has one certificate that changes always, and new ones.
        const std::vector<StoredRecord> records = {Unsigned(1, w, round),
                                                   Unsigned(1, 1000 * (w + 1) + round, 1)};
        if (!StoreRecords(fixture.writer(), records).ok()) ++failed;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  REQUIRE(failed == 0);
  CHECK(RequireOk(fixture.Refresh()) == kWriters * kRounds * 2);
  for (int64_t w = 0; w < kWriters; ++w) {
    CHECK(fixture.VersionOf(1, w) == kRounds);
    for (int64_t round = 1; round <= kRounds; ++round) {
      CHECK(fixture.VersionOf(1, 1000 * (w + 1) + round) == 1);
    }
  }
}

TEST_CASE("A database that went back to an older state is read anew, and nothing is forgotten") {
  Fixture fixture(Engine::kSqlite);
  CreateTables(fixture.writer());
  fixture.Store({Unsigned(1, 1, 1), Unsigned(1, 2, 1), Unsigned(1, 3, 1)});
  fixture.Start();
  CHECK(RequireOk(fixture.Refresh()) == 3);
  RequireOk(fixture.writer().Run("DELETE FROM ocsp_records WHERE change_number > 1"));
  RequireOk(fixture.writer().Run("UPDATE ocsp_head SET change_number = 1"));
  CHECK(RequireOk(fixture.Refresh()) == 1);
  CHECK(fixture.VersionOf(1, 3) == 1);
  CHECK(fixture.Store({Unsigned(1, 2, 7)}) == 2);
  CHECK(RequireOk(fixture.Refresh(2)) == 2);
  CHECK(fixture.VersionOf(1, 2) == 7);
}

TEST_CASE("A server that is restarted is read again by itself, and what was read stays") {
  const auto server = RequireOk(testing::PostgresServer::Start());
  const auto writer = RequireOk(storage::Database::Open(server->Url()));
  CreateTables(*writer);
  TestAuthority authority(1, "issuing", absl::Now());
  StoreAuthority(*writer, authority);
  const std::vector<StoredRecord> first = {Unsigned(1, 1, 1)};
  RequireOk(StoreRecords(*writer, first));

  Responses responses;
  std::atomic<int> failures{0};
  ChangeSource source({.open =
                           [&] {
                             return storage::Database::Open(
                                 server->Url(),
                                 {.connect_timeout = absl::Milliseconds(200), .max_attempts = 1});
                           },
                       .kek = &TestKek(),
                       .responses = &responses,
                       .interval = absl::Milliseconds(20)});
  REQUIRE(Eventually([&] { return responses.loaded(); }));
  for (const auto mode :
       {testing::PostgresShutdown::kFast, testing::PostgresShutdown::kImmediate}) {
    RequireOk(server->Stop(mode));
    const int64_t before = source.failures();
    REQUIRE(Eventually([&] { return source.failures() > before + 1; }));
    source.Refresh(0, [&](absl::StatusOr<int64_t> number) {
      if (absl::IsUnavailable(number.status())) ++failures;
    });
    CHECK(responses.index().size() == 1);
    CHECK(responses.directory()->authorities().size() == 1);
    REQUIRE(Eventually([&] { return failures > 0; }));
    failures = 0;
    RequireOk(server->StartAgain());
    const int64_t version = mode == testing::PostgresShutdown::kFast ? 2 : 3;
    const std::vector<StoredRecord> changed = {Unsigned(1, 1, version)};
    RequireOk(StoreRecords(*writer, changed));
    CHECK(Eventually([&] {
      const base::Rcu::ReadLock lock(&responses.rcu());
      return pki::UnpackOcspRecord(responses.index().Find(lock, 1, TestSerial(1)))
                 ->status.this_update == version;
    }));
    CHECK(Eventually([&] { return responses.Fresh(absl::Now()); }));
  }
}

TEST_CASE("Who waits when it ends is answered") {
  Fixture fixture(Engine::kSqlite);
  // Never answers in time: there are no tables.
  fixture.Start();
  std::atomic<int> unavailable{0};
  for (int i = 0; i < 100; ++i) {
    fixture.source->Refresh(0, [&](absl::StatusOr<int64_t> number) {
      if (absl::IsUnavailable(number.status())) ++unavailable;
    });
  }
  fixture.source.reset();
  CHECK(unavailable == 100);
}

}  // namespace
}  // namespace countersign::ocsp
