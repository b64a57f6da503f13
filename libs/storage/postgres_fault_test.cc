// Servers that restart, connections that are cut, pools that run dry, replicas that stop.
#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/storage/database.h"
#include "libs/storage/testing.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/postgres_server.h"

namespace countersign::storage {
namespace {

using absl::StatusCode;
using testing::Eventually;
using testing::IsOk;
using testing::PostgresServer;
using testing::PostgresShutdown;
using testing::RequireOk;
using testing::StatusIs;

// The server of this binary, with an empty table t (id BIGINT PRIMARY KEY) in its database "test".
PostgresServer* FreshServer() {
  PostgresServer* const server = &TestServer();
  RequireOk(server->Execute("DROP TABLE IF EXISTS t; CREATE TABLE t (id BIGINT PRIMARY KEY)"));
  return server;
}

std::string CountOf(const PostgresServer& server) {
  return RequireOk(server.Execute("SELECT COUNT(*) FROM t"));
}

// How many clients the server has, this question's own not counted.
int Clients(const PostgresServer& server) {
  return std::stoi(
      RequireOk(server.Execute("SELECT COUNT(*) FROM pg_stat_activity WHERE "
                               "datname = 'test' AND pid <> pg_backend_pid()")));
}

int64_t PidOf(Database& database) {
  return RequireOk(database.Query("SELECT pg_backend_pid()"))[0].Int(0);
}

// Fills the pool: so many connections, all open at once.
void OpenConnections(Database& database, int count) {
  if (count == 0) return;
  REQUIRE_THAT(database.InSnapshot([&](Transaction& snapshot) -> absl::Status {
    RequireOk(snapshot.Query("SELECT 1"));
    OpenConnections(database, count - 1);
    return absl::OkStatus();
  }),
               IsOk());
}

TEST_CASE("A restart between transactions is noticed by none, one within by its body alone") {
  PostgresServer* const server = FreshServer();
  const auto database = RequireOk(Database::Open(server->Url()));
  for (const PostgresShutdown mode : {PostgresShutdown::kFast, PostgresShutdown::kImmediate}) {
    OpenConnections(*database, 4);
    REQUIRE_THAT(server->Restart(mode), IsOk());
    int runs = 0;
    CHECK_THAT(database->InTransaction([&](Transaction& transaction) {
      ++runs;
      return transaction.Run("INSERT INTO t VALUES (1)").status();
    }),
               IsOk());
    CHECK(runs == 1);
    runs = 0;
    CHECK_THAT(database->InTransaction([&](Transaction& transaction) -> absl::Status {
      RequireOk(transaction.Run("INSERT INTO t VALUES (2)"));
      if (++runs > 1) return absl::OkStatus();
      RequireOk(server->Restart(mode));
      CHECK_THAT(transaction.Run("INSERT INTO t VALUES (3)"), StatusIs(StatusCode::kUnavailable));
      CHECK_THAT(transaction.BulkInsert("t", {"id"}, {Row({4})}),
                 StatusIs(StatusCode::kFailedPrecondition, "failed already"));
      return absl::OkStatus();
    }),
               IsOk());
    CHECK(runs == 2);
    CHECK(CountOf(*server) == "2");
    RequireOk(server->Execute("TRUNCATE t"));
  }
}

TEST_CASE("A cut connection costs a transaction one more run, wherever it is cut before COMMIT") {
  PostgresServer* const server = FreshServer();
  const auto database = RequireOk(Database::Open(server->Url(), {.max_connections = 1}));
  const int place = GENERATE(0, 1, 2, 3, 4);
  Rows rows;
  for (int64_t id = 10; id < 20000; ++id) rows.push_back(Row({id}));
  int runs = 0;
  CHECK_THAT(database->InTransaction([&](Transaction& transaction) -> absl::Status {
    ++runs;
    const auto cut = [&](int here) {
      if (runs == 1 && here == place) RequireOk(server->TerminateConnections());
    };
    cut(0);
    absl::Status status = transaction.Run("INSERT INTO t VALUES (1)").status();
    cut(1);
    if (status.ok()) {
      status = transaction.Pipeline({{"INSERT INTO t VALUES (2)", {}}, {"SELECT 1", {}}}).status();
    }
    cut(2);
    if (status.ok()) status = transaction.BulkInsert("t", {"id"}, rows).status();
    cut(3);
    if (status.ok()) status = transaction.RunScript("INSERT INTO t VALUES (3); SELECT 1");
    cut(4);
    if (status.ok()) status = transaction.Run("INSERT INTO t VALUES (4)").status();
    CHECK(status.ok() == (runs > 1));
    return status;
  }),
             IsOk());
  CHECK(runs == 2);
  CHECK(CountOf(*server) == "19994");
}

TEST_CASE("A connection lost at COMMIT leaves it open what happened, and nothing is repeated") {
  // One backend is stopped before it commits, by a check that waits for a lock; the other after, by
  // a standby that never comes.
  const bool committed = GENERATE(false, true);
  PostgresServer* const server = FreshServer();
  const auto database = RequireOk(Database::Open(server->Url()));
  RequireOk(server->Execute(
      committed ? "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
                : "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS "
                  "'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END'; "
                  "CREATE CONSTRAINT TRIGGER stop AFTER INSERT ON t "
                  "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stop()"));
  RequireOk(server->Execute("SELECT pg_reload_conf()"));
  REQUIRE(Eventually([&] {
    return RequireOk(server->Execute("SHOW synchronous_standby_names")) ==
           (committed ? "nobody" : "");
  }));
  const std::string waiting = committed ? "SyncRep" : "advisory";
  std::atomic<int> runs{0};
  absl::Status result;
  std::thread writer;
  REQUIRE_THAT(database->InSnapshot([&](Transaction& snapshot) -> absl::Status {
    RequireOk(snapshot.Query("SELECT pg_advisory_xact_lock(1)"));
    writer = std::thread([&] {
      result = database->InTransaction([&](Transaction& transaction) {
        ++runs;
        return transaction.Run("INSERT INTO t VALUES (1)").status();
      });
    });
    CHECK(Eventually([&] {
      return RequireOk(server->Execute(
                 absl::StrCat("SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                              "query = 'COMMIT' AND wait_event = '",
                              waiting, "'"))) == "1";
    }));
    writer.join();
    return absl::OkStatus();
  }),
               IsOk());
  CHECK_THAT(result, StatusIs(StatusCode::kUnavailable, "may or may not have happened"));
  CHECK(runs == 1);
  CHECK(CountOf(*server) == (committed ? "1" : "0"));
  RequireOk(server->Execute("ALTER SYSTEM RESET synchronous_standby_names"));
  RequireOk(server->Execute("SELECT pg_reload_conf()"));
  RequireOk(server->Execute("DROP FUNCTION IF EXISTS stop CASCADE"));
  REQUIRE(Eventually(
      [&] { return RequireOk(server->Execute("SHOW synchronous_standby_names")).empty(); }));
}

TEST_CASE("A server that stays away is waited for, then said to be away") {
  PostgresServer* const server = FreshServer();
  const auto database =
      RequireOk(Database::Open(server->Url(), {.connect_timeout = absl::Milliseconds(300)}));
  RequireOk(server->Stop());
  CHECK_THAT(database->Run("INSERT INTO t VALUES (1)"),
             StatusIs(StatusCode::kUnavailable, "cannot connect"));
  CHECK_THAT(database->Query("SELECT 1"), StatusIs(StatusCode::kUnavailable, "cannot connect"));
  CHECK_THAT(Database::Open(server->Url()), StatusIs(StatusCode::kUnavailable, "cannot connect"));
  RequireOk(server->StartAgain());
  CHECK_THAT(database->Run("INSERT INTO t VALUES (1)"), IsOk());
}

TEST_CASE("A server that comes back within the time to connect is noticed by nobody") {
  PostgresServer* const server = FreshServer();
  std::atomic<bool> asked{false};
  DatabaseOptions options;
  options.connect_timeout = absl::Minutes(2);
  options.sleep = [&](absl::Duration) {
    asked = true;
    asked.notify_all();
    std::this_thread::yield();
  };
  const auto database = RequireOk(Database::Open(server->Url(), options));
  RequireOk(server->Stop(PostgresShutdown::kImmediate));
  absl::Status result;
  std::thread writer([&] { result = database->Run("INSERT INTO t VALUES (1)").status(); });
  asked.wait(false);
  RequireOk(server->StartAgain());
  writer.join();
  CHECK_THAT(result, IsOk());
  CHECK(CountOf(*server) == "1");
}

TEST_CASE("A read-only server refuses writes by that name") {
  PostgresServer* const server = FreshServer();
  const auto database =
      RequireOk(Database::Open(server->Url() + "&options=-cdefault_transaction_read_only%3Don"));
  CHECK_THAT(database->Run("INSERT INTO t VALUES (1)"),
             StatusIs(StatusCode::kPermissionDenied, "read-only"));
  CHECK_THAT(database->Query("SELECT COUNT(*) FROM t"), IsOk());
}

TEST_CASE("A pool opens no more than it may, hands on what is free, and says when none is") {
  PostgresServer* const server = FreshServer();
  const auto database = RequireOk(
      Database::Open(server->Url(), {.max_connections = 3, .connect_timeout = absl::Minutes(1)}));
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  std::atomic<int> most{0};
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        if (!database->Query("SELECT 1").ok()) ++failed;
        most = std::max(most.load(), database->pool_stats().in_use);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
  CHECK(most <= 3);
  CHECK(Clients(*server) <= 3);
  CHECK(database->pool_stats().in_use == 0);

  const auto hurried = RequireOk(Database::Open(
      server->Url(), {.max_connections = 2, .connect_timeout = absl::Milliseconds(50)}));
  REQUIRE_THAT(hurried->InSnapshot([&](Transaction&) -> absl::Status {
    return hurried->InSnapshot([&](Transaction&) -> absl::Status {
      CHECK(hurried->pool_stats().in_use == 2);
      CHECK_THAT(hurried->Query("SELECT 1"),
                 StatusIs(StatusCode::kResourceExhausted, "all 2 connections"));
      return absl::OkStatus();
    });
  }),
               IsOk());
  CHECK_THAT(hurried->Query("SELECT 1"), IsOk());
}

TEST_CASE("Where the server has no connection left, those of the pool are waited for") {
  PostgresServer* const server = FreshServer();
  RequireOk(server->Execute("CREATE ROLE app LOGIN CONNECTION LIMIT 3"));
  const std::string url = absl::StrCat("postgresql://app@/test?host=", server->SocketFolder());
  const auto database =
      RequireOk(Database::Open(url, {.connect_timeout = absl::Milliseconds(200)}));
  REQUIRE_THAT(database->InSnapshot([&](Transaction& one) -> absl::Status {
    return database->InSnapshot([&](Transaction& two) -> absl::Status {
      return database->InSnapshot([&](Transaction& three) -> absl::Status {
        RequireOk(one.Query("SELECT 1"));
        RequireOk(two.Query("SELECT 1"));
        RequireOk(three.Query("SELECT 1"));
        CHECK_THAT(database->Query("SELECT 1"),
                   StatusIs(StatusCode::kResourceExhausted, "too many connections"));
        return absl::OkStatus();
      });
    });
  }),
               IsOk());
  database->Close();
  REQUIRE(Eventually([&] { return Clients(*server) == 0; }));
  const auto patient = RequireOk(Database::Open(url, {.connect_timeout = absl::Minutes(1)}));
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) {
        if (!patient->Query("SELECT 1").ok()) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
}

TEST_CASE("Resting connections are closed down to the minimum, old ones are replaced") {
  PostgresServer* const server = FreshServer();
  {
    const auto database = RequireOk(Database::Open(
        server->Url(),
        {.min_connections = 2, .max_connections = 6, .idle_timeout = absl::Milliseconds(20)}));
    OpenConnections(*database, 6);
    CHECK(Eventually([&] { return Clients(*server) == 2; }));
    CHECK(database->pool_stats().idle == 2);
  }
  CHECK(Eventually([&] { return Clients(*server) == 0; }));
  const auto young =
      RequireOk(Database::Open(server->Url(), {.max_lifetime = absl::ZeroDuration()}));
  CHECK(PidOf(*young) != PidOf(*young));
  const auto old = RequireOk(Database::Open(server->Url()));
  CHECK(PidOf(*old) == PidOf(*old));
}

TEST_CASE("A connection that was ended while it rested is not used, whether it is asked or not") {
  PostgresServer* const server = FreshServer();
  const absl::Duration check_after = GENERATE(absl::ZeroDuration(), absl::Hours(1));
  const auto database = RequireOk(Database::Open(server->Url(), {.check_after = check_after}));
  OpenConnections(*database, 3);
  const int64_t before = PidOf(*database);
  CHECK(PidOf(*database) == before);
  RequireOk(server->TerminateConnections());
  int runs = 0;
  CHECK_THAT(database->InTransaction([&](Transaction& transaction) {
    ++runs;
    return transaction.Query("SELECT 1").status();
  }),
             IsOk());
  CHECK(runs == 1);
  CHECK(PidOf(*database) != before);
}

TEST_CASE("After a connection that does not answer no other that has rested is asked") {
  PostgresServer* const server = FreshServer();
  const auto database = RequireOk(Database::Open(
      server->Url(), {.check_after = absl::ZeroDuration(), .connect_timeout = absl::Seconds(2)}));
  OpenConnections(*database, 3);
  const auto pid = static_cast<pid_t>(PidOf(*database));  // of the one that is used next
  REQUIRE(kill(pid, SIGSTOP) == 0);
  const int64_t opened = PidOf(*database);
  REQUIRE(kill(pid, SIGCONT) == 0);
  CHECK(database->pool_stats().idle == 1);
  CHECK(Eventually([&] { return Clients(*server) == 1; }));
  CHECK(PidOf(*database) == opened);
}

TEST_CASE("Close waits for what runs, and refuses who waits") {
  PostgresServer* const server = FreshServer();
  const auto database = RequireOk(
      Database::Open(server->Url(), {.max_connections = 1, .connect_timeout = absl::Minutes(2)}));
  std::thread closer;
  std::thread waiter;
  absl::Status refused;
  CHECK_THAT(database->InTransaction([&](Transaction& transaction) -> absl::Status {
    RequireOk(transaction.Run("INSERT INTO t VALUES (1)"));
    waiter = std::thread([&] { refused = database->Run("INSERT INTO t VALUES (2)").status(); });
    CHECK(Eventually([&] { return database->pool_stats().waiting == 1; }));
    closer = std::thread([&] { database->Close(); });
    waiter.join();
    return transaction.Run("INSERT INTO t VALUES (3)").status();
  }),
             IsOk());
  closer.join();
  CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition, "closed"));
  CHECK(CountOf(*server) == "2");
}

TEST_CASE("Snapshots that may lag come from the replicas in turn, and from the primary without") {
  PostgresServer* const primary = FreshServer();
  auto replica = RequireOk(primary->StartReplica());
  auto second = RequireOk(primary->StartReplica());
  const auto database =
      RequireOk(Database::Open(primary->Url(), {.replicas = {replica->Url(), second->Url()}}));
  RequireOk(database->Run("INSERT INTO t VALUES (1)"));
  RequireOk(replica->CatchUp(*primary));
  RequireOk(second->CatchUp(*primary));
  // Which server answered is known by its socket's folder.
  const auto answered_by = [&](Freshness freshness) {
    std::string folder;
    const absl::Status status = database->InSnapshot(
        [&](Transaction& snapshot) -> absl::Status {
          const auto rows =
              snapshot.Pipeline({{"SELECT current_setting('unix_socket_directories')", {}},
                                 {"SELECT COUNT(*) FROM t", {}}});
          if (!rows.ok()) return rows.status();
          CHECK((*rows)[1][0].Int(0) == 1);
          folder = (*rows)[0][0].Text(0);
          return absl::OkStatus();
        },
        freshness);
    CHECK_THAT(status, IsOk());
    return folder;
  };
  CHECK(answered_by(Freshness::kLatest) == primary->SocketFolder());
  const std::string first = answered_by(Freshness::kReplica);
  CHECK(first != primary->SocketFolder());
  CHECK(answered_by(Freshness::kReplica) != primary->SocketFolder());
  CHECK(answered_by(Freshness::kReplica) == first);
  CHECK_THAT(database->InSnapshot(
                 [](Transaction& snapshot) {
                   return snapshot.Query("INSERT INTO t VALUES (2) RETURNING id").status();
                 },
                 Freshness::kReplica),
             StatusIs(StatusCode::kPermissionDenied));

  RequireOk(replica->Stop());
  for (int i = 0; i < 4; ++i) CHECK(answered_by(Freshness::kReplica) == second->SocketFolder());
  // In the middle of a snapshot too.
  int runs = 0;
  CHECK_THAT(database->InSnapshot(
                 [&](Transaction& snapshot) -> absl::Status {
                   RequireOk(snapshot.Query("SELECT 1"));
                   if (++runs == 1) RequireOk(second->Stop(PostgresShutdown::kImmediate));
                   return snapshot.Query("SELECT 2").status();
                 },
                 Freshness::kReplica),
             IsOk());
  CHECK(runs == 2);
  CHECK(answered_by(Freshness::kReplica) == primary->SocketFolder());
}

}  // namespace
}  // namespace countersign::storage
