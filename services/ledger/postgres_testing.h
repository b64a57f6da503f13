// PostgreSQL for the ledger's tests.
#ifndef COUNTERSIGN_SERVICES_LEDGER_POSTGRES_TESTING_H_
#define COUNTERSIGN_SERVICES_LEDGER_POSTGRES_TESTING_H_

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "libs/storage/database.h"
#include "libs/testing/matchers.h"
#include "libs/testing/postgres_server.h"
#include "services/ledger/postgres_log_store.h"

namespace countersign::ledger {

// The server of this test binary, started when first asked for (on the main thread).
inline testing::PostgresServer& TestServer() {
  static const std::unique_ptr<testing::PostgresServer> server =
      testing::RequireOk(testing::PostgresServer::Start());
  return *server;
}

// The name of a new, empty database on it.
inline std::string NewDatabase() {
  static int made = 0;
  return testing::RequireOk(TestServer().CreateDatabase(absl::StrCat("ledger", ++made)));
}

// A tablespace in a folder of the server's own user; returns `name`.
inline std::string NewTablespace(const std::string& name) {
  // CREATE TABLESPACE stands alone, and wants an empty folder.
  const std::string folder = absl::StrCat(TestServer().SocketFolder(), "/", name);
  testing::RequireOk(
      TestServer().Execute(absl::StrCat("COPY (SELECT 1) TO PROGRAM 'cat && mkdir ", folder, "'")));
  testing::RequireOk(
      TestServer().Execute(absl::StrCat("CREATE TABLESPACE ", name, " LOCATION '", folder, "'")));
  return name;
}

// A pool of connections of its own, as another process has.
inline std::shared_ptr<storage::Database> Connect(const std::string& url,
                                                  storage::DatabaseOptions options = {}) {
  return testing::RequireOk(storage::Database::Open(url, std::move(options)));
}

inline PostgresLogStore::Options OptionsFor(std::shared_ptr<storage::Database> database) {
  PostgresLogStore::Options options;
  options.database = std::move(database);
  options.name = "tenants/default/logs/main";
  options.origin = "log.example/main";
  return options;
}

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_POSTGRES_TESTING_H_
