#include "benchmarks/tool.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"

namespace countersign::bench {
namespace {

std::string Folder() {
  if (const char* tools = std::getenv("COUNTERSIGN_TOOLS"); tools != nullptr) return tools;
  const char* home = std::getenv("HOME");
  return absl::StrCat(home == nullptr ? "" : home, "/.cache/countersign/tools");
}

}  // namespace

absl::StatusOr<std::string> Tool(const std::string& name) {
  std::string path = absl::StrCat(Folder(), "/bin/", name);
  if (base::FileExists(path)) return path;
  return absl::NotFoundError(absl::StrCat(path, " is missing: run scripts/install-tools"));
}

}  // namespace countersign::bench
