// What is left in the file when the process is killed, the disk is full, fails, or the file is
// damaged.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "catch2/catch.hpp"
#include "libs/storage/database.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::storage {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

// A child of the test that runs `body` with the writing end of a pipe to its parent.
class Child {
 public:
  explicit Child(const std::function<int(int)>& body) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::close(ends[0]);
      ::_exit(body(ends[1]));
    }
    ::close(ends[1]);
    fd_ = ends[0];
  }
  ~Child() { ::close(fd_); }

  // The next number that the child wrote; -1 when it wrote no more.
  int64_t Read() const {
    int64_t number = -1;
    return ::read(fd_, &number, sizeof(number)) == sizeof(number) ? number : -1;
  }
  void Kill() const { ::kill(pid_, SIGKILL); }
  int Wait() const {
    int status = 0;
    REQUIRE(::waitpid(pid_, &status, 0) == pid_);
    return status;
  }

 private:
  pid_t pid_;
  int fd_;
};

void Tell(int fd, int64_t number) {
  if (::write(fd, &number, sizeof(number)) != sizeof(number)) ::_exit(9);
}

std::unique_ptr<Database> OpenAt(const std::string& path) {
  auto database = Database::Open("sqlite:" + path);
  if (!database.ok()) return nullptr;
  return *std::move(database);
}

TEST_CASE("A process killed inside a transaction leaves what it committed and nothing else") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/db";
  Child child([&](int fd) {
    auto database = OpenAt(path);
    if (database == nullptr) return 2;
    if (!database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)").ok()) return 3;
    if (!database->Run("INSERT INTO t VALUES (1)").ok()) return 4;
    (void)database->InTransaction([&](Transaction& transaction) {
      for (int64_t i = 2; i < 20000; ++i) {
        if (!transaction.Run("INSERT INTO t VALUES ($1)", {i}).ok()) ::_exit(5);
      }
      Tell(fd, 1);
      while (true) ::pause();
      return absl::OkStatus();
    });
    return 6;
  });
  REQUIRE(child.Read() == 1);
  child.Kill();
  REQUIRE(WIFSIGNALED(child.Wait()));
  auto database = OpenAt(path);
  REQUIRE(database != nullptr);
  const Rows rows = RequireOk(database->Query("SELECT id FROM t"));
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].Int(0) == 1);
  CHECK_THAT(database->Run("INSERT INTO t VALUES (2)"), IsOk());
}

TEST_CASE("A process killed while it commits loses nothing that it acknowledged") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/db";
  {
    auto database = OpenAt(path);
    REQUIRE(database != nullptr);
    REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY)"), IsOk());
  }
  int64_t acknowledged = 0;
  for (int round = 0; round < 20; ++round) {
    Child child([&](int fd) {
      auto database = OpenAt(path);
      if (database == nullptr) return 2;
      const auto last = database->Query("SELECT COALESCE(MAX(id), 0) FROM t");
      if (!last.ok()) return 3;
      for (int64_t i = (*last)[0].Int(0) + 1;; ++i) {
        if (!database->Run("INSERT INTO t VALUES ($1)", {i}).ok()) return 4;
        Tell(fd, i);
      }
    });
    for (int i = 0; i <= round * 3; ++i) {
      const int64_t number = child.Read();
      REQUIRE(number == acknowledged + 1);
      acknowledged = number;
    }
    child.Kill();
    REQUIRE(WIFSIGNALED(child.Wait()));
    // Written into the pipe before the kill is acknowledged too.
    for (int64_t number = child.Read(); number != -1; number = child.Read()) acknowledged = number;
    auto database = OpenAt(path);
    REQUIRE(database != nullptr);
    const Rows rows = RequireOk(database->Query("SELECT COUNT(*), MAX(id) FROM t"));
    CHECK(rows[0].Int(0) == rows[0].Int(1));
    // At most one more was committed and not yet acknowledged.
    CHECK(rows[0].Int(1) >= acknowledged);
    CHECK(rows[0].Int(1) <= acknowledged + 1);
    acknowledged = rows[0].Int(1);
  }
}

TEST_CASE("A full disk is reported, changes nothing, and is got over") {
  testing::TempDir dir;
  auto database = OpenAt(dir.path() + "/db");
  REQUIRE(database != nullptr);
  REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, v BYTEA)"), IsOk());
  REQUIRE_THAT(database->Run("INSERT INTO t VALUES (1, $1)", {Value::Bytes("kept")}), IsOk());
  REQUIRE_THAT(database->Run("PRAGMA max_page_count = 20"), IsOk());
  const Value big = Value::Bytes(std::string(200000, 'x'));
  CHECK_THAT(database->Run("INSERT INTO t VALUES (2, $1)", {big}),
             StatusIs(StatusCode::kResourceExhausted, "full"));
  CHECK(RequireOk(database->Query("SELECT id FROM t")).size() == 1);
  CHECK_THAT(database->Run("INSERT INTO t VALUES (3, $1)", {Value::Bytes("fits")}), IsOk());
  REQUIRE_THAT(database->Run("PRAGMA max_page_count = 100000"), IsOk());
  CHECK_THAT(database->Run("INSERT INTO t VALUES (2, $1)", {big}), IsOk());
  CHECK(RequireOk(database->Query("SELECT id FROM t")).size() == 3);
}

TEST_CASE(
    "After a commit that failed on the disk nothing more is written until it is opened again") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/db";
  Child child([&](int fd) {
    auto database = OpenAt(path);
    if (database == nullptr) return 2;
    if (!database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, v BYTEA)").ok()) return 3;
    // A write past this size fails with EFBIG, as a broken disk's does with EIO.
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit low{100000, limit.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &low);
    absl::Status status;
    for (int64_t i = 1; status.ok() && i < 1000; ++i) {
      status =
          database->Run("INSERT INTO t VALUES ($1, $2)", {i, Value::Bytes(std::string(5000, 'x'))})
              .status();
      if (status.ok()) Tell(fd, i);
    }
    if (!absl::IsUnavailable(status)) return 4;
    ::setrlimit(RLIMIT_FSIZE, &limit);
    if (!absl::IsUnavailable(database->Run("INSERT INTO t VALUES (2000, NULL)").status())) return 5;
    if (!database->Query("SELECT COUNT(*) FROM t").ok()) return 6;
    return 0;
  });
  int64_t acknowledged = 0;
  for (int64_t number = child.Read(); number != -1; number = child.Read()) acknowledged = number;
  const int status = child.Wait();
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(acknowledged > 0);
  auto database = OpenAt(path);
  REQUIRE(database != nullptr);
  const Rows rows = RequireOk(database->Query("SELECT COUNT(*), MAX(id) FROM t"));
  CHECK(rows[0].Int(0) >= acknowledged);
  CHECK(rows[0].Int(1) <= acknowledged + 1);
  CHECK_THAT(database->Run("INSERT INTO t VALUES (2000, NULL)"), IsOk());
}

TEST_CASE("A damaged file is reported as lost data") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/db";
  {
    auto database = OpenAt(path);
    REQUIRE(database != nullptr);
    REQUIRE_THAT(database->Run("CREATE TABLE t (id BIGINT PRIMARY KEY, v BYTEA)"), IsOk());
    for (int64_t i = 0; i < 100; ++i) {
      REQUIRE_THAT(
          database->Run("INSERT INTO t VALUES ($1, $2)", {i, Value::Bytes(std::string(1000, 'x'))}),
          IsOk());
    }
  }
  struct stat file {};
  REQUIRE(::stat(path.c_str(), &file) == 0);
  CHECK((file.st_mode & 0777) == 0600);
  SECTION("when pages are overwritten") {
    std::fstream out(path, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(4096);
    out << std::string(static_cast<size_t>(file.st_size) - 4096, '\x5a');
    out.close();
    auto database = OpenAt(path);
    REQUIRE(database != nullptr);
    CHECK_THAT(database->Query("SELECT v FROM t"), StatusIs(StatusCode::kDataLoss));
    CHECK_THAT(database->Run("INSERT INTO t VALUES (1000, NULL)"), StatusIs(StatusCode::kDataLoss));
  }
  SECTION("when it is cut short") {
    REQUIRE(::truncate(path.c_str(), file.st_size / 2) == 0);
    CHECK_THAT(Database::Open("sqlite:" + path), StatusIs(StatusCode::kDataLoss, path));
  }
  SECTION("when it is no database at all") {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << std::string(8192, 'n');
    out.close();
    CHECK_THAT(Database::Open("sqlite:" + path), StatusIs(StatusCode::kDataLoss, path));
  }
}

}  // namespace
}  // namespace countersign::storage
