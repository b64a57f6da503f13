// Linked into a program, lets a test set its clock: the time of day is ahead by as many seconds as
// the file CLOCK_SHIFT_FILE holds (a native int64_t, which may be negative and may change at any
// time). Clocks that only measure are left alone.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

template <typename Function>
Function* Real(const char* name, Function*) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

int64_t Shift() {
  static const volatile int64_t* const shift = []() -> const volatile int64_t* {
    static const int64_t none = 0;
    const char* path = getenv("CLOCK_SHIFT_FILE");
    if (path == nullptr) return &none;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) abort();
    void* const shared = mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) abort();
    close(fd);
    return static_cast<const volatile int64_t*>(shared);
  }
  ();
  return *shift;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static auto* const real = Real("clock_gettime", &::clock_gettime);
  const int result = real(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    time->tv_sec += Shift();
  }
  return result;
}

int gettimeofday(timeval* time, void* zone) noexcept {
  static auto* const real = Real("gettimeofday", &::gettimeofday);
  const int result = real(time, zone);
  if (result == 0) time->tv_sec += Shift();
  return result;
}

time_t time(time_t* copy) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (copy != nullptr) *copy = now.tv_sec;
  return now.tv_sec;
}

// abseil waits until a time of day by futex; the kernel knows nothing of the shift.
long syscall(long number, ...) noexcept {
  static auto* const real = Real("syscall", &::syscall);
  long a[6];
  va_list arguments;
  va_start(arguments, number);
  for (long& argument : a) argument = va_arg(arguments, long);
  va_end(arguments);
  if (number == SYS_clock_gettime) {
    return clock_gettime(static_cast<clockid_t>(a[0]), reinterpret_cast<timespec*>(a[1]));
  }
  const auto* until = reinterpret_cast<const timespec*>(a[3]);
  timespec shifted;
  if (number == SYS_futex && (a[1] & FUTEX_CLOCK_REALTIME) != 0 && until != nullptr) {
    shifted = *until;
    shifted.tv_sec -= Shift();
    a[3] = reinterpret_cast<long>(&shifted);
  }
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

}  // extern "C"
