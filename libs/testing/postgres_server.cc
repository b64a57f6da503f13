#include "libs/testing/postgres_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <postgresql/libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/testing/eventually.h"

namespace countersign::testing {
namespace {

constexpr char kDebianFolder[] = "/usr/lib/postgresql/15/bin";
constexpr int kDefaultPort = 5432;

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

absl::StatusOr<std::string> FindBinaries() {
  const char* path = getenv("PATH");
  std::vector<std::string> folders = absl::StrSplit(path == nullptr ? "" : path, ':');
  folders.push_back(kDebianFolder);
  for (const std::string& folder : folders) {
    // A folder may have some of the programs only.
    bool all = true;
    for (const char* program : {"/initdb", "/postgres", "/pg_basebackup"}) {
      all &= access((folder + program).c_str(), X_OK) == 0;
    }
    if (all) return folder;
  }
  return absl::NotFoundError(absl::StrCat("PostgreSQL is neither in PATH nor in ", kDebianFolder,
                                          ": install postgresql-15"));
}

// The user to run as, where this process is root.
absl::StatusOr<const passwd*> Unprivileged() {
  for (const char* name : {"postgres", "nobody"}) {
    if (const passwd* user = getpwnam(name); user != nullptr) return user;
  }
  return absl::NotFoundError("PostgreSQL needs a user postgres or nobody to run as");
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  int port = 0;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  close(fd);
  return port;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::Make(
    PostgresServerOptions options) {
  ASSIGN_OR_RETURN(std::string binaries, FindBinaries());
  std::unique_ptr<PostgresServer> server(
      new PostgresServer(std::move(options), std::move(binaries)));
  const PostgresServerOptions& chosen = server->options_;
  // Not below $TEST_TMPDIR: that is too deep for a Unix socket, and closed to other users.
  ASSIGN_OR_RETURN(server->folder_, MakeFolder("/tmp/countersign-pg.XXXXXX"));
  server->data_parent_ = server->folder_;
  if (!chosen.data_folder.empty()) {
    const std::string parent = std::filesystem::absolute(chosen.data_folder).string();
    ASSIGN_OR_RETURN(server->data_parent_, MakeFolder(parent + "/pg.XXXXXX"));
  }
  if (chosen.tcp) server->tcp_port_ = FreePort();
  return server;
}

absl::StatusOr<std::string> PostgresServer::MakeFolder(std::string name) {
  if (mkdtemp(name.data()) == nullptr) return base::ErrnoStatus(errno, absl::StrCat("make ", name));
  if (geteuid() != 0) return name;
  ASSIGN_OR_RETURN(const passwd* user, Unprivileged());
  if (chown(name.c_str(), user->pw_uid, user->pw_gid) == 0) return name;
  return base::ErrnoStatus(errno, absl::StrCat("chown ", name));
}

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::Start(
    PostgresServerOptions options) {
  ASSIGN_OR_RETURN(std::unique_ptr<PostgresServer> server, Make(std::move(options)));
  RETURN_IF_ERROR(server->RunToEnd(
      "initdb", {"--pgdata=" + server->data(), "--no-sync", "--auth=trust", "--username=postgres",
                 "--encoding=UTF8", "--locale=C", "--no-instructions"}));
  RETURN_IF_ERROR(server->StartAgain());
  RETURN_IF_ERROR(server->CreateDatabase("test").status());
  return server;
}

PostgresServer::~PostgresServer() {
  Stop(PostgresShutdown::kImmediate).IgnoreError();
  process_.reset();
  std::error_code ignored;
  for (const std::string& folder : {data_parent_, folder_}) {
    if (!folder.empty()) std::filesystem::remove_all(folder, ignored);
  }
}

std::string PostgresServer::Url(absl::string_view database) const {
  return absl::StrCat("postgresql:///", database, "?host=", folder_, "&user=postgres",
                      tcp_port_ == 0 ? "" : absl::StrCat("&port=", tcp_port_));
}

std::string PostgresServer::TcpUrl(int port, absl::string_view database) const {
  return absl::StrCat("postgresql://postgres@127.0.0.1:", port, "/", database);
}

absl::StatusOr<std::unique_ptr<runtime::Subprocess>> PostgresServer::Launch(
    absl::string_view program, std::vector<std::string> args) const {
  // A folder that the other user may enter; and SIGQUIT, by which the server also ends its
  // children, once this thread is gone (a change of user forgets what the parent had asked for).
  std::vector<std::string> chain = {absl::StrCat("--chdir=", folder_), "setpriv",
                                    "--pdeathsig=QUIT"};
  if (geteuid() == 0) {
    ASSIGN_OR_RETURN(const passwd* user, Unprivileged());
    chain.insert(chain.end(), {absl::StrCat("--reuid=", user->pw_uid),
                               absl::StrCat("--regid=", user->pw_gid), "--clear-groups"});
    // The folders above the data may be closed to that user, as root's home is.
    if (!options_.data_folder.empty()) {
      chain.insert(chain.end(), {"--inh-caps=+dac_override", "--ambient-caps=+dac_override"});
    }
  }
  chain.push_back("--");
  chain.push_back(absl::StrCat(binaries_, "/", program));
  chain.insert(chain.end(), args.begin(), args.end());
  runtime::SubprocessOptions options;
  options.binary = "/usr/bin/env";
  options.args = std::move(chain);
  options.log_file = folder_ + "/log";
  return runtime::Subprocess::Start(options);
}

absl::Status PostgresServer::RunToEnd(absl::string_view program,
                                      std::vector<std::string> args) const {
  ASSIGN_OR_RETURN(const auto process, Launch(program, std::move(args)));
  ASSIGN_OR_RETURN(const int code, process->Wait(absl::Seconds(120)));
  if (code == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(program, " ended with ", code, ":\n", log()));
}

absl::Status PostgresServer::StartAgain() {
  std::vector<std::string> settings = {
      "listen_addresses=" + std::string(tcp_port_ == 0 ? "" : "127.0.0.1"),
      absl::StrCat("port=", tcp_port_ == 0 ? kDefaultPort : tcp_port_),
      "unix_socket_directories=" + folder_, "fsync=on", "synchronous_commit=on",
      // A standby asks again so soon for what it has not got yet; and before recovery, files are
      // synchronised in one call, not one by one.
      "wal_retrieve_retry_interval=50ms", "recovery_init_sync_method=syncfs"};
  settings.insert(settings.end(), options_.settings.begin(), options_.settings.end());
  std::vector<std::string> args = {"-D", data()};
  for (const std::string& setting : settings) args.insert(args.end(), {"-c", setting});
  ASSIGN_OR_RETURN(process_, Launch("postgres", std::move(args)));
  const std::string url = Url("postgres");
  // Its own note is asked first: each connection that it refuses costs it a process.
  const auto ready = [&] {
    const std::string note = base::ReadFile(data() + "/postmaster.pid").value_or("");
    return (absl::StrContains(note, "\nready") || absl::StrContains(note, "\nstandby")) &&
           PQping(url.c_str()) == PQPING_OK;
  };
  const bool ended_or_ready =
      Eventually([&] { return !process_->Running() || ready(); }, /*seconds=*/120);
  if (ended_or_ready && process_->Running()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("PostgreSQL does not answer:\n", log()));
}

absl::Status PostgresServer::Stop(PostgresShutdown mode) {
  if (process_ == nullptr) return absl::OkStatus();
  process_->Signal(mode == PostgresShutdown::kFast ? SIGINT : SIGQUIT);
  RETURN_IF_ERROR(process_->Wait(absl::Seconds(120)).status());
  process_.reset();
  return absl::OkStatus();
}

absl::Status PostgresServer::Restart(PostgresShutdown mode) {
  RETURN_IF_ERROR(Stop(mode));
  return StartAgain();
}

absl::StatusOr<std::string> PostgresServer::CreateDatabase(const std::string& name) {
  RETURN_IF_ERROR(Execute(absl::StrCat("CREATE DATABASE \"", name, "\""), "postgres").status());
  return name;
}

absl::StatusOr<std::string> PostgresServer::Execute(const std::string& sql,
                                                    absl::string_view database) const {
  const Connection connection(PQconnectdb(Url(database).c_str()), &PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    return absl::UnavailableError(PQerrorMessage(connection.get()));
  }
  PQsetNoticeProcessor(
      connection.get(), [](void*, const char*) {}, nullptr);
  const Result result(PQexec(connection.get(), sql.c_str()), &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    return absl::InternalError(PQresultErrorMessage(result.get()));
  }
  if (PQntuples(result.get()) == 0 || PQnfields(result.get()) == 0) return "";
  return PQgetvalue(result.get(), 0, 0);
}

absl::Status PostgresServer::TerminateConnections() {
  return Execute(
             "SELECT COUNT(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity "
             "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
             "postgres")
      .status();
}

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::StartReplica() {
  ASSIGN_OR_RETURN(std::unique_ptr<PostgresServer> replica, Make(options_));
  RETURN_IF_ERROR(replica->RunToEnd(
      "pg_basebackup", {"--pgdata=" + replica->data(), "--write-recovery-conf", "--checkpoint=fast",
                        "--no-sync", "--no-password", absl::StrCat("--dbname=", Url("postgres"))}));
  RETURN_IF_ERROR(replica->StartAgain());
  return replica;
}

absl::Status PostgresServer::CatchUp(const PostgresServer& primary) const {
  ASSIGN_OR_RETURN(const std::string committed, primary.Execute("SELECT pg_current_wal_lsn()"));
  const std::string caught_up =
      absl::StrCat("SELECT pg_last_wal_replay_lsn() >= '", committed, "'");
  absl::StatusOr<std::string> answer;
  if (Eventually([&] {
        answer = Execute(caught_up);
        return !answer.ok() || *answer == "t";
      })) {
    return answer.status();
  }
  return absl::DeadlineExceededError(absl::StrCat("the replica lags behind:\n", log()));
}

std::string PostgresServer::log() const { return base::ReadFile(folder_ + "/log").value_or(""); }

}  // namespace countersign::testing
