// Files: whole reads, durable whole writes, and the lock that keeps a folder to one process.
//
// Thread-safe: no state but the file system's. Failures carry the path and the system's reason:
// NotFound, PermissionDenied, ResourceExhausted (disk full, too many files), else Unavailable.
#ifndef COUNTERSIGN_LIBS_BASE_FILE_H_
#define COUNTERSIGN_LIBS_BASE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::base {

// The status of a failed system call: `what` says what was tried, `error` is its errno.
absl::Status ErrnoStatus(int error, absl::string_view what);

// The whole file at `path`.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Replaces `path` by `contents`, all or nothing: a temporary file beside it, synchronised, renamed
// over it, and the folder synchronised. On failure the old file is untouched.
absl::Status WriteFileDurably(const std::string& path, absl::string_view contents,
                              uint32_t mode = 0644);

// As WriteFileDurably but without the two synchronisations: atomic for other processes, not
// promised after a power cut.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents,
                                 uint32_t mode = 0644);

// Synchronises a folder, so that files created in it or renamed into it stay.
absl::Status SyncDirectory(const std::string& path);

// Creates `path` and its missing parents; OK when it is there already. A folder newly made gets
// `mode`, and its parent is synchronised.
absl::Status EnsureDirectory(const std::string& path, uint32_t mode = 0755);

bool FileExists(const std::string& path);

// Holds an exclusive lock on `directory` while it lives; the kernel drops it with the process.
class DirectoryLock {
 public:
  // FailedPrecondition, naming the folder and the holder's process id, when another holds it.
  static absl::StatusOr<std::unique_ptr<DirectoryLock>> Acquire(const std::string& directory);

  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace countersign::base

#endif  // COUNTERSIGN_LIBS_BASE_FILE_H_
