// Empty databases of both engines, for the tests of what holds on each.
#ifndef COUNTERSIGN_LIBS_STORAGE_TESTING_H_
#define COUNTERSIGN_LIBS_STORAGE_TESTING_H_

#include <memory>
#include <string>

#include "libs/storage/database.h"
#include "libs/testing/postgres_server.h"
#include "libs/testing/temp_dir.h"

namespace countersign::storage {

// The PostgreSQL server of this test binary, started when first asked for (on the main thread).
testing::PostgresServer& TestServer();

// An empty database, which can be opened as often as a test likes.
class EmptyDatabase {
 public:
  explicit EmptyDatabase(Engine engine);

  Engine engine() const { return engine_; }
  const std::string& url() const { return url_; }
  // Fails the test case when it cannot be opened.
  std::unique_ptr<Database> Open(DatabaseOptions options = {}) const;

 private:
  const Engine engine_;
  const testing::TempDir dir_;
  std::string url_;
};

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_TESTING_H_
