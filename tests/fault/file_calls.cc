#include "tests/fault/file_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>

#include "tests/fault/op_log.h"

namespace {

using countersign::fault::OpHeader;
using countersign::fault::OpKind;

template <typename Function>
Function* Real(const char* name, Function*) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// The function that the C library has under this name.
#define REAL(name) static auto* const real = Real(#name, &::name)

void WriteAll(int fd, std::string_view bytes) {
  static auto* const real_write = Real("write", &::write);
  while (!bytes.empty()) {
    const ssize_t wrote = real_write(fd, bytes.data(), bytes.size());
    if (wrote <= 0) abort();
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
}

// What the environment asks for.
class Plan {
 public:
  Plan() {
    const char* folder = getenv("FILE_CALLS_FOLDER");
    if (folder == nullptr) return;
    folder_ = folder;
    list_fd_ = OpenForAppending(getenv("FILE_CALLS_LIST"));
    record_fd_ = OpenForAppending(getenv("FILE_CALLS_RECORD"));
    if (const char* fault = getenv("FILE_CALLS_FAIL"); fault != nullptr) ParseFault(fault);
  }

  bool active() const { return !folder_.empty(); }

  bool Covers(std::string_view path) const {
    return active() && path.substr(0, folder_.size()) == folder_ &&
           (path.size() == folder_.size() || path[folder_.size()] == '/');
  }

  // Counts a call, and says whether it is the one to fail; errno is set then.
  bool Fails(std::string_view call, std::string_view path) {
    const int number = Count(call, path);
    if (number == 0 || number != (half_ ? fault_number_ + 1 : fault_number_)) return false;
    Inject();
    return true;
  }

  // As Fails; may cut `count` to what is to be written.
  bool WriteFails(std::string_view path, size_t* count) {
    const int number = Count("write", path);
    if (number == 0 || number != (half_ ? fault_number_ + 1 : fault_number_)) {
      if (half_ && number != 0 && number == fault_number_) *count = (*count + 1) / 2;
      return false;
    }
    Inject();
    return true;
  }

  bool recording() const { return record_fd_ >= 0; }
  // Held while something is done and recorded, so that the log has the order of the effects.
  std::mutex& mutex() { return mutex_; }

  void Record(OpKind kind, std::string_view path, uint64_t inode, uint64_t offset = 0,
              std::string_view data = {}, std::string_view to = {}) {
    const OpHeader header = {kind,
                             static_cast<uint32_t>(path.size()),
                             static_cast<uint32_t>(to.size()),
                             static_cast<uint32_t>(data.size()),
                             inode,
                             offset};
    std::string record(reinterpret_cast<const char*>(&header), sizeof(header));
    record.append(path).append(to).append(data);
    WriteAll(record_fd_, record);
  }

  uint64_t NextSync() { return ++syncs_; }

 private:
  static int OpenForAppending(const char* path) {
    static auto* const real_open = Real("open", &::open);
    if (path == nullptr) return -1;
    const int fd = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) abort();
    return fd;
  }

  void ParseFault(const std::string& fields) {
    const size_t n = fields.find(':');
    const size_t error = fields.find(':', n + 1);
    const size_t path = fields.find(':', error + 1);
    fault_call_ = fields.substr(0, n);
    fault_number_ = atoi(fields.c_str() + n + 1);
    half_ = fields.compare(error + 1, 4, "half") == 0;
    error_ = half_ ? ENOSPC : atoi(fields.c_str() + error + 1);
    fault_path_ = fields.substr(path + 1);
  }

  // The number of this call among those that the fault is about, or 0.
  int Count(std::string_view call, std::string_view path) {
    const std::string_view below = path.substr(folder_.size());
    if (list_fd_ >= 0) WriteAll(list_fd_, std::string(call).append(" ").append(below) + "\n");
    if (call != fault_call_ || below.substr(0, fault_path_.size()) != fault_path_) return 0;
    return ++seen_;
  }

  void Inject() {
    WriteAll(STDERR_FILENO, countersign::fault::kFaultInjected);
    errno = error_;
  }

  std::string folder_;
  int list_fd_ = -1;
  int record_fd_ = -1;
  std::string fault_call_;
  std::string fault_path_;
  int fault_number_ = 0;
  int error_ = 0;
  bool half_ = false;
  std::atomic<int> seen_{0};
  std::atomic<uint64_t> syncs_{0};
  std::mutex mutex_;
};

Plan& ThePlan() {
  static Plan* const plan = new Plan;
  return *plan;
}

std::string PathOf(int fd) {
  if (!ThePlan().active()) return "";
  char path[4096];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = readlink(link.c_str(), path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : "";
}

std::string PathAt(int folder_fd, const char* path) {
  return path[0] == '/' || folder_fd == AT_FDCWD ? path : PathOf(folder_fd) + "/" + path;
}

uint64_t InodeOf(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

uint64_t InodeAt(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

// A call on a name: fails it, or makes it and records what it did. The inode is that of `path`
// before the call.
template <typename Call>
int Change(const char* name, OpKind kind, const std::string& path, const std::string& to,
           Call call) {
  Plan& plan = ThePlan();
  if (!plan.Covers(path)) return call();
  if (plan.Fails(name, to.empty() ? path : to)) return -1;
  if (!plan.recording()) return call();
  std::lock_guard<std::mutex> lock(plan.mutex());
  const uint64_t inode = InodeAt(path);
  const int result = call();
  if (result == 0) plan.Record(kind, path, inode, 0, {}, to);
  return result;
}

template <typename Call>
int Open(const std::string& path, int flags, Call call) {
  Plan& plan = ThePlan();
  if (!plan.Covers(path)) return call();
  if (plan.Fails("open", path)) return -1;
  if (!plan.recording() || (flags & (O_CREAT | O_TRUNC)) == 0) return call();
  std::lock_guard<std::mutex> lock(plan.mutex());
  const bool existed = InodeAt(path) != 0;
  const int fd = call();
  if (fd >= 0 && !existed) {
    plan.Record(OpKind::kCreate, path, InodeOf(fd));
  } else if (fd >= 0 && (flags & O_TRUNC) != 0) {
    plan.Record(OpKind::kResize, path, InodeOf(fd), 0);
  }
  return fd;
}

// `offset` below 0: where the descriptor stands.
template <typename Call>
ssize_t Write(int fd, const void* bytes, size_t count, off_t offset, Call call) {
  Plan& plan = ThePlan();
  const std::string path = PathOf(fd);
  if (!plan.Covers(path)) return call(count);
  if (plan.WriteFails(path, &count)) return -1;
  if (!plan.recording()) return call(count);
  std::lock_guard<std::mutex> lock(plan.mutex());
  if (offset < 0) {
    const bool append = (fcntl(fd, F_GETFL) & O_APPEND) != 0;
    offset = lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
  }
  const ssize_t wrote = call(count);
  if (wrote > 0) {
    plan.Record(OpKind::kWrite, "", InodeOf(fd), static_cast<uint64_t>(offset),
                {static_cast<const char*>(bytes), static_cast<size_t>(wrote)});
  }
  return wrote;
}

template <typename Call>
ssize_t Read(int fd, Call call) {
  Plan& plan = ThePlan();
  const std::string path = PathOf(fd);
  return plan.Covers(path) && plan.Fails("read", path) ? -1 : call();
}

template <typename Call>
int Resize(const char* name, OpKind kind, int fd, uint64_t size, Call call) {
  Plan& plan = ThePlan();
  const std::string path = PathOf(fd);
  if (!plan.Covers(path)) return call();
  if (plan.Fails(name, path)) return -1;
  if (!plan.recording()) return call();
  std::lock_guard<std::mutex> lock(plan.mutex());
  const int result = call();
  if (result == 0) plan.Record(kind, "", InodeOf(fd), size);
  return result;
}

// As long as a disk might take; differs, so that other threads get in between in many ways.
void TakeAMoment(uint64_t number) {
  const timespec moment = {0, static_cast<long>(number * 2654435761u % 800) * 1000};
  nanosleep(&moment, nullptr);
}

template <typename Call>
int Sync(const char* name, OpKind kind, int fd, Call call) {
  Plan& plan = ThePlan();
  const std::string path = PathOf(fd);
  if (!plan.Covers(path)) return call();
  if (plan.Fails(name, path)) return -1;
  const uint64_t number = plan.NextSync();
  if (!plan.recording()) return 0;
  struct stat info;
  if (fstat(fd, &info) != 0) return -1;
  if (kind == OpKind::kSyncFile && S_ISDIR(info.st_mode)) kind = OpKind::kSyncDir;
  {
    std::lock_guard<std::mutex> lock(plan.mutex());
    plan.Record(kind, path, info.st_ino, number);
  }
  TakeAMoment(number);
  std::lock_guard<std::mutex> lock(plan.mutex());
  plan.Record(OpKind::kSyncEnd, "", 0, number);
  return 0;
}

mode_t ModeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(arguments, unsigned))
                                                : 0;
}

}  // namespace

extern "C" {

// Each under its usual name and that for large files, which is the same on 64-bit Linux.
#define DEFINE_OPEN(name)                                              \
  int name(const char* path, int flags, ...) {                         \
    REAL(name);                                                        \
    va_list arguments;                                                 \
    va_start(arguments, flags);                                        \
    const mode_t mode = ModeOf(flags, arguments);                      \
    va_end(arguments);                                                 \
    return Open(path, flags, [&] { return real(path, flags, mode); }); \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name)                                                                    \
  int name(int folder, const char* path, int flags, ...) {                                     \
    REAL(name);                                                                                \
    va_list arguments;                                                                         \
    va_start(arguments, flags);                                                                \
    const mode_t mode = ModeOf(flags, arguments);                                              \
    va_end(arguments);                                                                         \
    return Open(PathAt(folder, path), flags, [&] { return real(folder, path, flags, mode); }); \
  }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

ssize_t write(int fd, const void* bytes, size_t count) {
  REAL(write);
  return Write(fd, bytes, count, -1, [&](size_t most) { return real(fd, bytes, most); });
}

#define DEFINE_PWRITE(name)                                                   \
  ssize_t name(int fd, const void* bytes, size_t count, off_t offset) {       \
    REAL(name);                                                               \
    return Write(fd, bytes, count, offset,                                    \
                 [&](size_t most) { return real(fd, bytes, most, offset); }); \
  }
DEFINE_PWRITE(pwrite)
DEFINE_PWRITE(pwrite64)

ssize_t writev(int fd, const iovec* parts, int count) {
  REAL(writev);
  if (!ThePlan().Covers(PathOf(fd))) return real(fd, parts, count);
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  }
  return write(fd, bytes.data(), bytes.size());
}

ssize_t read(int fd, void* bytes, size_t count) {
  REAL(read);
  return Read(fd, [&] { return real(fd, bytes, count); });
}

#define DEFINE_PREAD(name)                                           \
  ssize_t name(int fd, void* bytes, size_t count, off_t offset) {    \
    REAL(name);                                                      \
    return Read(fd, [&] { return real(fd, bytes, count, offset); }); \
  }
DEFINE_PREAD(pread)
DEFINE_PREAD(pread64)

int close(int fd) {
  REAL(close);
  const std::string path = PathOf(fd);
  const int result = real(fd);
  // A close that fails has closed all the same.
  return ThePlan().Covers(path) && ThePlan().Fails("close", path) ? -1 : result;
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return Sync("fdatasync", OpKind::kSyncFile, fd, [&] { return real(fd); });
}

int fsync(int fd) {
  REAL(fsync);
  return Sync("fsync", OpKind::kSyncFile, fd, [&] { return real(fd); });
}

int syncfs(int fd) noexcept {
  REAL(syncfs);
  return Sync("syncfs", OpKind::kSyncAll, fd, [&] { return real(fd); });
}

// It promises nothing: the disk's own cache may still hold the bytes.
int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags) {
  REAL(sync_file_range);
  return ThePlan().Covers(PathOf(fd)) ? 0 : real(fd, offset, count, flags);
}

#define DEFINE_FTRUNCATE(name)                                                     \
  int name(int fd, off_t length) noexcept {                                        \
    REAL(name);                                                                    \
    return Resize("ftruncate", OpKind::kResize, fd, static_cast<uint64_t>(length), \
                  [&] { return real(fd, length); });                               \
  }
DEFINE_FTRUNCATE(ftruncate)
DEFINE_FTRUNCATE(ftruncate64)

int truncate(const char* path, off_t length) noexcept {
  REAL(truncate);
  if (!ThePlan().Covers(path)) return real(path, length);
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const int result = ftruncate(fd, length);
  const int error = errno;
  close(fd);
  errno = error;
  return result;
}

#define DEFINE_FALLOCATE(name)                                                \
  int name(int fd, int mode, off_t offset, off_t length) {                    \
    REAL(name);                                                               \
    /* FALLOC_FL_KEEP_SIZE and the others change nothing that can be read. */ \
    return Resize("fallocate", OpKind::kExtend, fd,                           \
                  mode == 0 ? static_cast<uint64_t>(offset + length) : 0,     \
                  [&] { return real(fd, mode, offset, length); });            \
  }
DEFINE_FALLOCATE(fallocate)
DEFINE_FALLOCATE(fallocate64)

int posix_fallocate(int fd, off_t offset, off_t length) {
  REAL(posix_fallocate);
  if (!ThePlan().Covers(PathOf(fd))) return real(fd, offset, length);
  return fallocate(fd, 0, offset, length) == 0 ? 0 : errno;
}

int rename(const char* from, const char* to) noexcept {
  REAL(rename);
  return Change("rename", OpKind::kRename, from, to, [&] { return real(from, to); });
}

int link(const char* from, const char* to) noexcept {
  REAL(link);
  return Change("link", OpKind::kLink, from, to, [&] { return real(from, to); });
}

int unlink(const char* path) noexcept {
  REAL(unlink);
  return Change("unlink", OpKind::kUnlink, path, "", [&] { return real(path); });
}

int rmdir(const char* path) noexcept {
  REAL(rmdir);
  return Change("rmdir", OpKind::kRemoveDir, path, "", [&] { return real(path); });
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  REAL(unlinkat);
  const bool is_folder = (flags & AT_REMOVEDIR) != 0;
  return Change(is_folder ? "rmdir" : "unlink", is_folder ? OpKind::kRemoveDir : OpKind::kUnlink,
                PathAt(folder, path), "", [&] { return real(folder, path, flags); });
}

int remove(const char* path) noexcept {
  const int result = unlink(path);
  return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

int mkdir(const char* path, mode_t mode) noexcept {
  REAL(mkdir);
  return Change("mkdir", OpKind::kMakeDir, path, "", [&] { return real(path, mode); });
}

int flock(int fd, int operation) noexcept {
  REAL(flock);
  const std::string path = PathOf(fd);
  return ThePlan().Covers(path) && ThePlan().Fails("flock", path) ? -1 : real(fd, operation);
}

int utimensat(int folder, const char* path, const timespec times[2], int flags) noexcept {
  REAL(utimensat);
  const std::string full = PathAt(folder, path);
  return ThePlan().Covers(full) && ThePlan().Fails("utimensat", full)
             ? -1
             : real(folder, path, times, flags);
}

}  // extern "C"
