#include "libs/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace countersign::base {
namespace {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status WriteAll(int fd, absl::string_view contents, const std::string& path) {
  while (!contents.empty()) {
    const ssize_t written = write(fd, contents.data(), contents.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("write ", path));
    }
    contents.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status Replace(const std::string& path, absl::string_view contents, uint32_t mode,
                     bool durable) {
  static std::atomic<uint64_t> counter{0};
  std::string temporary;
  int opened;
  do {
    // One that is there was left by a crash; in a container every process has the same id.
    temporary =
        absl::StrCat(path, ".tmp.", getpid(), ".", counter.fetch_add(1, std::memory_order_relaxed));
    opened = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  } while (opened < 0 && errno == EEXIST);
  Descriptor fd(opened);
  if (!fd.ok()) return ErrnoStatus(errno, absl::StrCat("create ", temporary));
  absl::Status status = WriteAll(fd.get(), contents, temporary);
  if (status.ok() && durable && fdatasync(fd.get()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("synchronise ", temporary));
  }
  if (status.ok() && close(fd.Release()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("close ", temporary));
  }
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("rename ", temporary, " to ", path));
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return durable ? SyncDirectory(ParentOf(path)) : absl::OkStatus();
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  const std::string message = absl::StrCat("cannot ", what, ": ", strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case ENOTDIR:
    case EISDIR:
    case EINVAL:
    case ENAMETOOLONG:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  std::string contents;
  contents.resize(info.st_size > 0 ? static_cast<size_t>(info.st_size) : 0);
  size_t used = 0;
  while (true) {
    if (used == contents.size()) contents.resize(used + 4096);
    const ssize_t got = read(fd.get(), contents.data() + used, contents.size() - used);
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("read ", path));
    }
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  contents.resize(used);
  return contents;
}

absl::Status WriteFileDurably(const std::string& path, absl::string_view contents, uint32_t mode) {
  return Replace(path, contents, mode, /*durable=*/true);
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents,
                                 uint32_t mode) {
  return Replace(path, contents, mode, /*durable=*/false);
}

absl::Status SyncDirectory(const std::string& path) {
  Descriptor fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, absl::StrCat("synchronise ", path));
  return absl::OkStatus();
}

absl::Status EnsureDirectory(const std::string& path, uint32_t mode) {
  std::string trimmed(path.size() > 1 ? absl::StripSuffix(path, "/") : absl::string_view(path));
  if (mkdir(trimmed.c_str(), mode) == 0) return SyncDirectory(ParentOf(trimmed));
  if (errno == ENOENT && ParentOf(trimmed) != trimmed) {
    RETURN_IF_ERROR(EnsureDirectory(ParentOf(trimmed), mode));
    if (mkdir(trimmed.c_str(), mode) == 0) return SyncDirectory(ParentOf(trimmed));
  }
  if (errno != EEXIST) return ErrnoStatus(errno, absl::StrCat("create folder ", trimmed));
  struct stat info;
  if (stat(trimmed.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("stat ", trimmed));
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(trimmed, " is there but is not a folder"));
  }
  return absl::OkStatus();
}

bool FileExists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

absl::StatusOr<std::unique_ptr<DirectoryLock>> DirectoryLock::Acquire(
    const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/LOCK");
  Descriptor fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.ok()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("lock ", path));
    const absl::StatusOr<std::string> holder = ReadFile(path);
    return absl::FailedPreconditionError(
        absl::StrCat("the data folder ", directory, " is in use by another process (id ",
                     holder.ok() && !holder->empty() ? *holder : "unknown",
                     "); stop that one first or choose another folder"));
  }
  const std::string id = absl::StrCat(getpid());
  if (ftruncate(fd.get(), 0) != 0) return ErrnoStatus(errno, absl::StrCat("truncate ", path));
  if (pwrite(fd.get(), id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) {
    return ErrnoStatus(errno, absl::StrCat("write ", path));
  }
  return std::unique_ptr<DirectoryLock>(new DirectoryLock(fd.Release()));
}

DirectoryLock::~DirectoryLock() { close(fd_); }

}  // namespace countersign::base
