#include "cli/artifact.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/file.h"

namespace countersign::cli {

absl::StatusOr<std::string> DigestFile(const std::string& path, crypto::DigestAlgorithm algorithm) {
  constexpr size_t kBlock = 1 << 20;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return base::ErrnoStatus(errno, absl::StrCat("read ", path));
  absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is a folder; sign or verify a file (an archive of it, for example)"));
  }
  // Advice only: reading works the same without it.
  (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  crypto::Hasher hasher(algorithm);
  const auto buffer = std::make_unique<char[]>(kBlock);
  while (true) {
    const ssize_t count = read(fd, buffer.get(), kBlock);
    if (count == 0) return hasher.Finish();
    if (count > 0) {
      hasher.Update(absl::string_view(buffer.get(), static_cast<size_t>(count)));
    } else if (errno != EINTR) {
      return base::ErrnoStatus(errno, absl::StrCat("read ", path));
    }
  }
}

}  // namespace countersign::cli
