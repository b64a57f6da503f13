#include "libs/testing/temp_dir.h"

#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace countersign::testing {

TempDir::TempDir() {
  const char* base = getenv("TEST_TMPDIR");
  // Bazel's folder can be too deep for a Unix socket's 107 bytes.
  path_ = base != nullptr && std::string(base).size() < 60 ? base : "/tmp";
  path_ += "/countersign.XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) {
    std::perror("mkdtemp");
    std::abort();
  }
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> TempDir::List() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace countersign::testing
