#include "libs/crypto/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"

namespace countersign::crypto {

absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path, absl::string_view what,
                                           size_t max_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return base::ErrnoStatus(errno, absl::StrCat("open ", path));
  struct stat info;
  // One more, to see that there is more.
  SecretBytes bytes(max_bytes + 1);
  size_t size = 0;
  ssize_t got = -1;
  const bool readable = fstat(fd, &info) == 0;
  if (readable) {
    char* const out = bytes.ExposeMutable(SecretAccess::Grant());
    while ((got = read(fd, out + size, bytes.size() - size)) > 0) size += static_cast<size_t>(got);
  }
  const int error = errno;
  close(fd);
  if (!readable || got < 0) return base::ErrnoStatus(error, absl::StrCat("read ", path));
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file"));
  }
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("others than its owner have access to ", what,
                                                      " ", path, "; run: chmod 600 ", path));
  }
  if (size > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has more than ", max_bytes, " bytes: it is not ", what));
  }
  bytes.Truncate(size);
  return bytes;
}

}  // namespace countersign::crypto
