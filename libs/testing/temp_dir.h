// A folder of a test's own, removed with all it holds when the test ends.
#ifndef COUNTERSIGN_LIBS_TESTING_TEMP_DIR_H_
#define COUNTERSIGN_LIBS_TESTING_TEMP_DIR_H_

#include <string>
#include <vector>

namespace countersign::testing {

class TempDir {
 public:
  // Made below $TEST_TMPDIR or, outside Bazel, below /tmp; ends the process when that fails.
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  // Absolute, without a slash at its end; short enough for a Unix socket below it.
  const std::string& path() const { return path_; }

  // The names in the folder, sorted.
  std::vector<std::string> List() const;

 private:
  std::string path_;
};

}  // namespace countersign::testing

#endif  // COUNTERSIGN_LIBS_TESTING_TEMP_DIR_H_
