#include "tests/fault/failing_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <string>

namespace {

struct Fault {
  std::string call;
  int n = 0;
  int error = 0;
  bool half = false;
  std::string path;
  std::atomic<int> seen{0};
};

Fault& TheFault() {
  static Fault* const fault = [] {
    auto* parsed = new Fault;
    const char* text = getenv("FAULT");
    if (text == nullptr) return parsed;
    const std::string fields = text;
    const size_t n = fields.find(':');
    const size_t error = fields.find(':', n + 1);
    const size_t path = fields.find(':', error + 1);
    parsed->call = fields.substr(0, n);
    parsed->n = atoi(fields.c_str() + n + 1);
    parsed->half = fields.compare(error + 1, 4, "half") == 0;
    parsed->error = parsed->half ? ENOSPC : atoi(fields.c_str() + error + 1);
    parsed->path = fields.substr(path + 1);
    return parsed;
  }();
  return *fault;
}

std::string PathOf(int fd) {
  char path[4096];
  const ssize_t length =
      readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof(path));
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : "";
}

// Counts this call, and returns its number when it is one of those that the fault is about.
int Count(const char* call, const std::string& path) {
  Fault& fault = TheFault();
  if (fault.call != call || path.compare(0, fault.path.size(), fault.path) != 0) return 0;
  return ++fault.seen;
}

template <typename Function>
Function* Real(const char* name, Function*) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

void Announce() {
  static auto* const real_write = Real("write", &::write);
  const std::string text = countersign::fault::kFaultInjected;
  [[maybe_unused]] const ssize_t written = real_write(STDERR_FILENO, text.data(), text.size());
}

bool Fails(const char* call, const std::string& path) {
  if (TheFault().call != call) return false;
  const int number = Count(call, path);
  if (number == 0 || number != TheFault().n) return false;
  Announce();
  errno = TheFault().error;
  return true;
}

// For write and pwrite: whether to fail, and else how many bytes to take.
bool WriteFails(int fd, size_t* count) {
  Fault& fault = TheFault();
  if (fault.call != "write") return false;
  const int number = Count("write", PathOf(fd));
  if (number == 0) return false;
  if (fault.half && number == fault.n) {
    *count = (*count + 1) / 2;
    return false;
  }
  if (number != (fault.half ? fault.n + 1 : fault.n)) return false;
  Announce();
  errno = fault.error;
  return true;
}

mode_t ModeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? static_cast<mode_t>(va_arg(arguments, unsigned))
                                                : 0;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  static auto* const real = Real("open", &::open);
  return Fails("open", path) ? -1 : real(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  static auto* const real = Real("open64", &::open64);
  return Fails("open", path) ? -1 : real(path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t count) {
  static auto* const real = Real("write", &::write);
  return WriteFails(fd, &count) ? -1 : real(fd, bytes, count);
}

ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  static auto* const real = Real("pwrite", &::pwrite);
  return WriteFails(fd, &count) ? -1 : real(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
  static auto* const real = Real("pwrite64", &::pwrite64);
  return WriteFails(fd, &count) ? -1 : real(fd, bytes, count, offset);
}

int fdatasync(int fd) {
  static auto* const real = Real("fdatasync", &::fdatasync);
  return Fails("fdatasync", PathOf(fd)) ? -1 : real(fd);
}

int fsync(int fd) {
  static auto* const real = Real("fsync", &::fsync);
  return Fails("fsync", PathOf(fd)) ? -1 : real(fd);
}

int syncfs(int fd) noexcept {
  static auto* const real = Real("syncfs", &::syncfs);
  return Fails("syncfs", PathOf(fd)) ? -1 : real(fd);
}

int ftruncate(int fd, off_t length) noexcept {
  static auto* const real = Real("ftruncate", &::ftruncate);
  return Fails("ftruncate", PathOf(fd)) ? -1 : real(fd, length);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const real = Real("rename", &::rename);
  return Fails("rename", to) ? -1 : real(from, to);
}

int unlink(const char* path) noexcept {
  static auto* const real = Real("unlink", &::unlink);
  return Fails("unlink", path) ? -1 : real(path);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const real = Real("mkdir", &::mkdir);
  return Fails("mkdir", path) ? -1 : real(path, mode);
}

}  // extern "C"
