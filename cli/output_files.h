// What commands write that make more than one file, or secret ones.
#ifndef COUNTERSIGN_CLI_OUTPUT_FILES_H_
#define COUNTERSIGN_CLI_OUTPUT_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace countersign::cli {

struct OutputFile {
  std::string path;
  std::string contents;
  uint32_t mode = 0644;
};

// Writes them whole, or none of them: a file that was there before is replaced only once all are on
// the disk. InvalidArgument for two of one path; else as base::WriteFileDurably fails.
absl::Status WriteFilesDurably(const std::vector<OutputFile>& files);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_OUTPUT_FILES_H_
