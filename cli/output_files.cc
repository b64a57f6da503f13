#include "cli/output_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <set>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"

namespace countersign::cli {
namespace {

bool IsFolder(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string Beside(const std::string& path) { return absl::StrCat(path, ".new-", getpid()); }

std::string Folder(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

absl::Status WriteFilesDurably(const std::vector<OutputFile>& files) {
  std::set<std::string> paths;
  for (const OutputFile& file : files) {
    if (!paths.insert(file.path).second) {
      return absl::InvalidArgumentError(absl::StrCat("two files shall be written to ", file.path));
    }
    // What would make a rename below fail when another has been done.
    if (IsFolder(file.path)) {
      return absl::FailedPreconditionError(absl::StrCat(file.path, " is a folder"));
    }
  }
  absl::Status status;
  for (const OutputFile& file : files) {
    status = base::WriteFileDurably(Beside(file.path), file.contents, file.mode);
    if (!status.ok()) break;
  }
  for (const OutputFile& file : files) {
    if (status.ok() && rename(Beside(file.path).c_str(), file.path.c_str()) != 0) {
      status = base::ErrnoStatus(errno, file.path);
    }
    if (status.ok()) status = base::SyncDirectory(Folder(file.path));
    if (!status.ok()) unlink(Beside(file.path).c_str());
  }
  return status;
}

}  // namespace countersign::cli
