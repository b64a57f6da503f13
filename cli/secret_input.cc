#include "cli/secret_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

using crypto::SecretAccess;
using crypto::SecretBytes;

constexpr size_t kMaxBytes = 4096;
constexpr char kInterrupt = 3;
constexpr char kEndOfTransmission = 4;
constexpr char kBackspace = 8;
constexpr char kDelete = 127;

// Reads byte by byte: what follows the line is the next reader's.
absl::StatusOr<SecretBytes> ReadLine(int fd, absl::string_view what) {
  SecretBytes line(kMaxBytes);
  char* bytes = line.ExposeMutable(SecretAccess::Grant());
  size_t size = 0;
  while (true) {
    char next = 0;
    const ssize_t count = read(fd, &next, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus(errno, absl::StrCat("read ", what));
    if (count == 0 || next == '\n') break;
    if (size == kMaxBytes) {
      return absl::InvalidArgumentError(absl::StrCat("the first line of ", what, " is too long"));
    }
    bytes[size++] = next;
  }
  if (size > 0 && bytes[size - 1] == '\r') --size;
  if (size == 0) return absl::InvalidArgumentError(absl::StrCat(what, " begins with no secret"));
  line.Truncate(size);
  return line;
}

// A terminal that neither echoes nor edits nor makes signals: Ctrl-C comes as a byte, so that the
// terminal never stays without echo.
absl::StatusOr<SecretBytes> ReadTyped(int fd) {
  SecretBytes typed(kMaxBytes);
  char* bytes = typed.ExposeMutable(SecretAccess::Grant());
  size_t size = 0;
  while (true) {
    char next = 0;
    const ssize_t count = read(fd, &next, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::ErrnoStatus(errno, "read the terminal");
    if (count == 0 || next == kInterrupt || next == kEndOfTransmission) {
      return absl::CancelledError("interrupted; nothing was done");
    }
    if (next == '\r' || next == '\n') break;
    if (next == kBackspace || next == kDelete) {
      size -= size > 0 ? 1 : 0;
    } else if (size < kMaxBytes) {
      bytes[size++] = next;
    }
  }
  if (size == 0) return absl::InvalidArgumentError("nothing was typed; nothing was done");
  typed.Truncate(size);
  return typed;
}

void Show(int fd, absl::string_view text) {
  // A terminal that takes no prompt takes no answer either, and that is reported.
  (void)!write(fd, text.data(), text.size());
}

}  // namespace

absl::StatusOr<SecretBytes> ReadSecretLine(const std::string& path) {
  if (path == "-") return ReadLine(STDIN_FILENO, "standard input");
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return base::ErrnoStatus(errno, absl::StrCat("read ", path));
  absl::Cleanup close_fd = [fd] { close(fd); };
  struct stat info = {};
  if (fstat(fd, &info) != 0) return base::ErrnoStatus(errno, absl::StrCat("read ", path));
  if (S_ISREG(info.st_mode) && (info.st_mode & 0077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " holds a secret and others may read it; do: chmod 600 ", path));
  }
  return ReadLine(fd, path);
}

absl::StatusOr<SecretBytes> AskSecret(absl::string_view prompt) {
  const int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return absl::FailedPreconditionError("there is no terminal to ask at");
  absl::Cleanup close_fd = [fd] { close(fd); };
  struct termios before = {};
  if (tcgetattr(fd, &before) != 0) return base::ErrnoStatus(errno, "ask at the terminal");
  struct termios quiet = before;
  quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | ISIG);
  quiet.c_cc[VMIN] = 1;
  quiet.c_cc[VTIME] = 0;
  if (tcsetattr(fd, TCSAFLUSH, &quiet) != 0) return base::ErrnoStatus(errno, "ask at the terminal");
  absl::Cleanup restore = [fd, &before] {
    tcsetattr(fd, TCSAFLUSH, &before);
    Show(fd, "\n");
  };
  Show(fd, absl::StrCat(prompt, ": "));
  return ReadTyped(fd);
}

absl::StatusOr<SecretBytes> GetSecret(const std::string& path, absl::string_view prompt,
                                      absl::string_view option, bool twice) {
  if (!path.empty()) return ReadSecretLine(path);
  absl::StatusOr<SecretBytes> secret = AskSecret(prompt);
  if (absl::IsFailedPrecondition(secret.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        secret.status().message(), "; name a file by ", option, ", or - for standard input"));
  }
  if (!secret.ok() || !twice) return secret;
  ASSIGN_OR_RETURN(const SecretBytes again, AskSecret(absl::StrCat(prompt, " once more")));
  if (again.Expose(SecretAccess::Grant()) != secret->Expose(SecretAccess::Grant())) {
    return absl::InvalidArgumentError("the two differ; nothing was done");
  }
  return secret;
}

}  // namespace countersign::cli
