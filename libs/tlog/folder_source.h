// A log in a folder: the public layout of C2SP tlog-tiles as files.
#ifndef COUNTERSIGN_LIBS_TLOG_FOLDER_SOURCE_H_
#define COUNTERSIGN_LIBS_TLOG_FOLDER_SOURCE_H_

#include <string>

#include "libs/tlog/tile_source.h"

namespace countersign::tlog {

// May be read while the log that owns the folder goes on growing.
class FolderSource : public TileSource {
 public:
  // `folder` holds `checkpoint` and `tile/`.
  explicit FolderSource(std::string folder) : folder_(std::move(folder)) {}

  const std::string& name() const override { return folder_; }

 private:
  absl::StatusOr<std::string> Fetch(const std::string& path) const override;

  const std::string folder_;
};

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_FOLDER_SOURCE_H_
