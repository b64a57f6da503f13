#include "libs/storage/testing.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/testing/matchers.h"

namespace countersign::storage {

testing::PostgresServer& TestServer() {
  static const std::unique_ptr<testing::PostgresServer> server =
      testing::RequireOk(testing::PostgresServer::Start());
  return *server;
}

EmptyDatabase::EmptyDatabase(Engine engine) : engine_(engine) {
  if (engine == Engine::kSqlite) {
    url_ = absl::StrCat("sqlite:", dir_.path(), "/db");
    return;
  }
  static int made = 0;
  url_ = TestServer().Url(
      testing::RequireOk(TestServer().CreateDatabase(absl::StrCat("empty", ++made))));
}

std::unique_ptr<Database> EmptyDatabase::Open(DatabaseOptions options) const {
  return testing::RequireOk(Database::Open(url_, std::move(options)));
}

}  // namespace countersign::storage
