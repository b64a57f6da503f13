#include "libs/storage/sqlite_database.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/storage/backoff.h"
#include "libs/storage/sqlite_connection.h"

namespace countersign::storage {
namespace {

// Transactions that share one commit, at most: bounds how long the first of them waits.
constexpr size_t kMaxGroup = 256;

// Creates an empty file that only its owner reads. It must not be there when it is opened here:
// closing a file drops this process's POSIX locks on it, SQLite's among them.
absl::Status CreateIfMissing(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    if (errno == EEXIST) return absl::OkStatus();
    return base::ErrnoStatus(errno, absl::StrCat("create ", path));
  }
  ::close(fd);
  const size_t slash = path.rfind('/');
  return base::SyncDirectory(slash == std::string::npos ? "." : path.substr(0, slash + 1));
}

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(std::string path, DatabaseOptions options,
                 std::unique_ptr<SqliteConnection> writer)
      : path_(std::move(path)), options_(std::move(options)), writer_(std::move(writer)) {}
  ~SqliteDatabase() override { Close(); }

  Engine engine() const override { return Engine::kSqlite; }
  absl::Status InTransaction(const Body& body, Isolation isolation) override;
  absl::Status InSnapshot(const Body& body, Freshness freshness) override;
  absl::Status EraseDeleted() override;
  void Close() override;

 private:
  // A caller of InTransaction that waits. Its result is written by the leader before `done`.
  struct Pending {
    const Body* body;
    absl::Status status;
    bool retry = false;
    bool done = false;
  };

  // Queues `pending` and returns when some leader, maybe this thread, has run it.
  void Submit(Pending* pending);
  // Runs all of `group` in one transaction. Only the leader calls it.
  void RunGroup(const std::vector<Pending*>& group);
  absl::Status RunMember(Pending* member, bool alone);

  absl::StatusOr<std::unique_ptr<SqliteConnection>> AcquireReader();
  void ReleaseReader(std::unique_ptr<SqliteConnection> reader);
  absl::Status CheckUsable() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  const DatabaseOptions options_;

  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<Pending*> queue_ ABSL_GUARDED_BY(mutex_);
  // The thread that has `writer_` to itself now, if any: the leader.
  std::optional<std::thread::id> leader_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int open_readers_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<SqliteConnection>> idle_readers_ ABSL_GUARDED_BY(mutex_);

  // Both belong to the leader.
  std::unique_ptr<SqliteConnection> writer_;
  // Not OK once a commit failed on the disk: what the kernel then still holds of it is unknown, and
  // a later synchronisation may claim success for pages that it dropped.
  absl::Status disk_;
};

absl::Status SqliteDatabase::CheckUsable() {
  if (closed_) return absl::FailedPreconditionError("database: closed");
  if (leader_ == std::this_thread::get_id()) {
    return absl::FailedPreconditionError(
        "database: used inside a transaction; use the transaction instead");
  }
  return absl::OkStatus();
}

absl::Status SqliteDatabase::InTransaction(const Body& body, Isolation /*isolation*/) {
  for (int attempt = 0;; ++attempt) {
    Pending pending{&body};
    Submit(&pending);
    if (pending.status.ok() || !pending.retry || attempt + 1 >= options_.max_attempts) {
      return pending.status;
    }
    options_.sleep(Backoff(attempt));
  }
}

void SqliteDatabase::Submit(Pending* pending) {
  base::MutexLock lock(&mutex_);
  if (pending->status = CheckUsable(); !pending->status.ok()) return;
  queue_.push_back(pending);
  while (true) {
    changed_.Wait(&mutex_, [&] { return pending->done || !leader_.has_value(); });
    if (pending->done) return;
    leader_ = std::this_thread::get_id();
    const auto end =
        queue_.begin() + static_cast<std::ptrdiff_t>(std::min(queue_.size(), kMaxGroup));
    const std::vector<Pending*> group(queue_.begin(), end);
    queue_.erase(queue_.begin(), end);
    mutex_.Unlock();
    RunGroup(group);
    mutex_.Lock();
    leader_.reset();
    for (Pending* member : group) member->done = true;
    changed_.NotifyAll();
  }
}

absl::Status SqliteDatabase::RunMember(Pending* member, bool alone) {
  if (!alone) RETURN_IF_ERROR(writer_->Control("SAVEPOINT member"));
  member->status = writer_->RunBody(*member->body);
  if (!writer_->in_transaction()) {
    return member->status.ok() ? absl::InternalError("database: a statement ended the transaction")
                               : member->status;
  }
  if (alone) return absl::OkStatus();
  if (!member->status.ok()) RETURN_IF_ERROR(writer_->Control("ROLLBACK TO member"));
  return writer_->Control("RELEASE member");
}

void SqliteDatabase::RunGroup(const std::vector<Pending*>& group) {
  const auto fail_all = [&](const absl::Status& status, bool retry) {
    for (Pending* member : group) {
      member->status = status;
      member->retry = retry;
    }
  };
  if (!disk_.ok()) return fail_all(disk_, false);
  writer_->TakeBusy();
  if (const absl::Status begun = writer_->Control("BEGIN IMMEDIATE"); !begun.ok()) {
    return fail_all(begun, writer_->TakeBusy());
  }
  bool changes = false;
  for (Pending* member : group) {
    const absl::Status lost = RunMember(member, group.size() == 1);
    if (!lost.ok()) {
      // The whole transaction is gone. The others had no part in that and are run again.
      if (writer_->in_transaction()) (void)writer_->Control("ROLLBACK");
      fail_all(lost, true);
      member->retry = writer_->TakeBusy();
      return;
    }
    changes |= member->status.ok();
  }
  const absl::Status ended = writer_->Control(changes ? "COMMIT" : "ROLLBACK");
  if (ended.ok()) return;
  const bool busy = writer_->TakeBusy();
  if (writer_->in_transaction()) (void)writer_->Control("ROLLBACK");
  if (absl::IsUnavailable(ended)) {
    disk_ = absl::UnavailableError(
        absl::StrCat(ended.message(), " while committing to ", path_,
                     "; nothing more is written: check the disk, then start again"));
    return fail_all(disk_, false);
  }
  // Also those that failed: they may have seen what is not there now.
  fail_all(ended, busy);
}

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteDatabase::AcquireReader() {
  {
    base::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(CheckUsable());
    changed_.Wait(&mutex_, [&] {
      return closed_ || !idle_readers_.empty() || open_readers_ < options_.readers;
    });
    if (closed_) return absl::FailedPreconditionError("database: closed");
    if (!idle_readers_.empty()) {
      std::unique_ptr<SqliteConnection> reader = std::move(idle_readers_.back());
      idle_readers_.pop_back();
      return reader;
    }
    ++open_readers_;
  }
  auto reader = SqliteConnection::Open(path_, /*writable=*/false, options_.busy_timeout);
  if (!reader.ok()) ReleaseReader(nullptr);
  return reader;
}

void SqliteDatabase::ReleaseReader(std::unique_ptr<SqliteConnection> reader) {
  base::MutexLock lock(&mutex_);
  if (reader == nullptr) {
    --open_readers_;
  } else {
    idle_readers_.push_back(std::move(reader));
  }
  changed_.NotifyAll();
}

absl::Status SqliteDatabase::InSnapshot(const Body& body, Freshness /*freshness*/) {
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> reader, AcquireReader());
  absl::Status status;
  for (int attempt = 0;; ++attempt) {
    reader->TakeBusy();
    status = reader->Control("BEGIN");
    if (status.ok()) status = reader->RunBody(body);
    const bool busy = reader->TakeBusy();
    if (reader->in_transaction()) (void)reader->Control("ROLLBACK");
    if (status.ok() || !busy || attempt + 1 >= options_.max_attempts) break;
    options_.sleep(Backoff(attempt));
  }
  ReleaseReader(std::move(reader));
  return status;
}

// secure_delete has overwritten it in the pages as they are now. Their earlier versions are in the
// write-ahead log, and in the file until that is folded back.
absl::Status SqliteDatabase::EraseDeleted() {
  {
    base::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(CheckUsable());
    changed_.Wait(&mutex_, [&] { return closed_ || !leader_.has_value(); });
    if (closed_) return absl::FailedPreconditionError("database: closed");
    leader_ = std::this_thread::get_id();
  }
  absl::Status status = disk_;
  if (status.ok()) {
    status = writer_->RunBody([](Transaction& connection) -> absl::Status {
      ASSIGN_OR_RETURN(const Rows rows, connection.Query("PRAGMA wal_checkpoint(TRUNCATE)"));
      if (rows.size() == 1 && rows[0].Int(0) == 0) return absl::OkStatus();
      return absl::AbortedError("database: a reader keeps deleted data in use: try again");
    });
  }
  base::MutexLock lock(&mutex_);
  leader_.reset();
  changed_.NotifyAll();
  return status;
}

void SqliteDatabase::Close() {
  base::MutexLock lock(&mutex_);
  closed_ = true;
  changed_.NotifyAll();
  changed_.Wait(&mutex_, [&] {
    return queue_.empty() && !leader_.has_value() &&
           idle_readers_.size() == static_cast<size_t>(open_readers_);
  });
  idle_readers_.clear();
  open_readers_ = 0;
  // The last connection to close folds the log back into the file.
  writer_.reset();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::string& path,
                                                     DatabaseOptions options) {
  RETURN_IF_ERROR(CreateIfMissing(path));
  ASSIGN_OR_RETURN(std::unique_ptr<SqliteConnection> writer,
                   SqliteConnection::Open(path, /*writable=*/true, options.busy_timeout));
  return std::make_unique<SqliteDatabase>(path, std::move(options), std::move(writer));
}

}  // namespace countersign::storage
