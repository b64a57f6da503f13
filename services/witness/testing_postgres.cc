#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "libs/testing/matchers.h"
#include "libs/testing/postgres_server.h"
#include "services/witness/testing.h"

namespace countersign::witness {

using testing::RequireOk;

std::unique_ptr<storage::Database> OpenDatabase(const std::string& directory) {
  // One server for all tests of a binary, with a database for each folder.
  static const auto server = RequireOk(testing::PostgresServer::Start());
  static std::map<std::string, std::string> names;
  std::string& name = names[directory];
  if (name.empty()) {
    name = RequireOk(server->CreateDatabase(absl::StrCat("witness", names.size())));
  }
  return RequireOk(storage::Database::Open(server->Url(name), {.max_connections = 16}));
}

}  // namespace countersign::witness
