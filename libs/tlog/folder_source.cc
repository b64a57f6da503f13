#include "libs/tlog/folder_source.h"

#include <errno.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::tlog {

absl::StatusOr<std::string> FolderSource::Fetch(const std::string& path) const {
  const std::string file = absl::StrCat(folder_, "/", path);
  struct stat info;
  if (stat(file.c_str(), &info) != 0) {
    // A file stands where a folder should be, so what would be in it is not there.
    if (errno == ENOTDIR) return absl::NotFoundError(absl::StrCat("there is no ", file));
    return base::ErrnoStatus(errno, absl::StrCat("read ", file));
  }
  if (!S_ISREG(info.st_mode)) return absl::NotFoundError(absl::StrCat(file, " is not a file"));
  RETURN_IF_ERROR(CheckResourceSize(path, static_cast<uint64_t>(info.st_size)));
  return base::ReadFile(file);
}

}  // namespace countersign::tlog
