// Counts a process's synchronisations of files, as system calls. Loaded in front of the C library
// (LD_PRELOAD) of a service under measurement; COUNTERSIGN_SYNC_COUNT names a file of eight bytes
// that holds the count, in the machine's byte order, while the process runs and after it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>

namespace {

using Counter = std::atomic<uint64_t>;
static_assert(Counter::is_always_lock_free && sizeof(Counter) == 8);

Counter* Map() {
  static Counter unseen{0};
  const char* path = std::getenv("COUNTERSIGN_SYNC_COUNT");
  const int fd = path == nullptr ? -1 : open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return &unseen;
  void* page = mmap(nullptr, sizeof(Counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return page == MAP_FAILED ? &unseen : static_cast<Counter*>(page);
}

int Counted(long number, int fd) {
  static Counter* const counter = Map();
  counter->fetch_add(1, std::memory_order_relaxed);
  return static_cast<int>(syscall(number, fd));
}

}  // namespace

extern "C" {
int fsync(int fd) { return Counted(SYS_fsync, fd); }
int fdatasync(int fd) { return Counted(SYS_fdatasync, fd); }
int syncfs(int fd) { return Counted(SYS_syncfs, fd); }
}
