// A real PostgreSQL server of a test's or benchmark's own, durable as in production.
#ifndef COUNTERSIGN_LIBS_TESTING_POSTGRES_SERVER_H_
#define COUNTERSIGN_LIBS_TESTING_POSTGRES_SERVER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/runtime/subprocess.h"

namespace countersign::testing {

struct PostgresServerOptions {
  // Listens on a free port of 127.0.0.1 too, for a test that puts a proxy between.
  bool tcp = false;
  // Where the data goes, in a folder of its own that is removed in the end: the disk to measure.
  // /tmp when empty.
  std::string data_folder;
  // Added to the server's: "max_connections=20".
  std::vector<std::string> settings;
};

// How a server is stopped: kFast rolls back what runs and closes its files; kImmediate is as good
// as a crash, and the next start recovers from the write-ahead log.
enum class PostgresShutdown { kFast, kImmediate };

// Its folders go with it; that of its socket and log lies in /tmp. The server dies with the thread
// that started it. PostgreSQL refuses to run as root, so under root it runs as the user postgres or
// nobody. Not thread-safe, except Url, SocketFolder and Execute.
class PostgresServer {
 public:
  // Makes an empty database "test" and returns when the server answers. NotFound when PostgreSQL
  // is not installed.
  static absl::StatusOr<std::unique_ptr<PostgresServer>> Start(PostgresServerOptions options = {});
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // For storage::Database::Open, through the Unix socket.
  std::string Url(absl::string_view database = "test") const;
  // The same by TCP to `port` of 127.0.0.1: the server's own or a proxy's.
  std::string TcpUrl(int port, absl::string_view database = "test") const;
  // 0 unless it was asked for.
  int tcp_port() const { return tcp_port_; }
  // The folder of the Unix socket, `.s.PGSQL.5432` or with tcp_port() at its end.
  const std::string& SocketFolder() const { return folder_; }

  // An empty database with the name that it returns, `name` itself.
  absl::StatusOr<std::string> CreateDatabase(const std::string& name);

  // Runs statements, outside of a transaction when there is one alone, as the superuser; returns
  // the first column of the last one's first row, or "".
  absl::StatusOr<std::string> Execute(const std::string& sql,
                                      absl::string_view database = "test") const;

  // Ends every other client's connection from the server's side.
  absl::Status TerminateConnections();

  absl::Status Stop(PostgresShutdown mode = PostgresShutdown::kFast);
  // After Stop: the same data on the same addresses.
  absl::Status StartAgain();
  absl::Status Restart(PostgresShutdown mode = PostgresShutdown::kFast);

  // A hot standby that streams from this server; it has to go first.
  absl::StatusOr<std::unique_ptr<PostgresServer>> StartReplica();
  // Waits until this replica shows all that `primary` had committed at the call.
  absl::Status CatchUp(const PostgresServer& primary) const;

  // What the server logged so far.
  std::string log() const;

 private:
  PostgresServer(PostgresServerOptions options, std::string binaries)
      : options_(std::move(options)), binaries_(std::move(binaries)) {}

  static absl::StatusOr<std::unique_ptr<PostgresServer>> Make(PostgresServerOptions options);
  // A folder that the server's user may write in; `name` ends in XXXXXX.
  static absl::StatusOr<std::string> MakeFolder(std::string name);
  std::string data() const { return data_parent_ + "/data"; }
  // A program of PostgreSQL's, started as a user who is not root.
  absl::StatusOr<std::unique_ptr<runtime::Subprocess>> Launch(absl::string_view program,
                                                              std::vector<std::string> args) const;
  absl::Status RunToEnd(absl::string_view program, std::vector<std::string> args) const;

  const PostgresServerOptions options_;
  const std::string binaries_;
  std::string folder_;
  std::string data_parent_;
  int tcp_port_ = 0;
  std::unique_ptr<runtime::Subprocess> process_;
};

}  // namespace countersign::testing

#endif  // COUNTERSIGN_LIBS_TESTING_POSTGRES_SERVER_H_
