// A copy of a log in the public layout, believed no more than the log's signatures allow.
#ifndef COUNTERSIGN_LIBS_TLOG_MIRROR_H_
#define COUNTERSIGN_LIBS_TLOG_MIRROR_H_

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/mutex.h"
#include "libs/tlog/check.h"
#include "libs/tlog/folder_source.h"
#include "libs/tlog/log_trust.h"
#include "libs/tlog/tile_source.h"
#include "libs/tlog/verified_tiles.h"

namespace countersign::tlog {

// The folder is at all times the whole public log of the checkpoint in it: a file is put in place
// only when the new tree's root says that it is right and the new tree has grown from the old one;
// the new checkpoint only after all its files are on the disk. Killed at any instruction it goes on
// where it was: what is there already and verifies is not fetched again.
class Mirror {
 public:
  struct Options {
    std::string folder;                  // made when missing
    const TileSource* source = nullptr;  // must outlive the mirror
    LogTrust trust;                      // with a key or a policy
    int fetches = 16;                    // at once
    Progress progress;                   // of the entries copied in an Update; may be empty
    // Called before each change of the folder, with what it will be, from any thread. For tests.
    std::function<void(absl::string_view operation)> before_change;
  };

  // Locks the folder (FailedPrecondition when another mirror holds it) and opens the checkpoint in
  // it, whose signature must be the log's. FailedPrecondition, and nothing is touched, when the
  // folder holds something else than a mirror of this log.
  static absl::StatusOr<std::unique_ptr<Mirror>> Open(Options options);

  ~Mirror();
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;

  // Copies up to the log's checkpoint of now. Returns whether that is a new one. Errors: those of
  // the source and of the folder, of LogTrust::Open, of OpenGrown and of VerifiedTiles; the folder
  // then still holds its old checkpoint's log.
  absl::StatusOr<bool> Update();

  // What the folder holds; absent before the first Update.
  const std::optional<SignedCheckpoint>& checkpoint() const { return checkpoint_; }

 private:
  explicit Mirror(Options options);

  absl::Status LockFolder();
  absl::Status Prepare();
  absl::Status CheckHoldsNothingElse() const;
  absl::Status CopyTree(VerifiedTiles* tiles);
  absl::Status Synchronise();
  absl::Status Place(const std::string& path, absl::string_view bytes);
  absl::Status MakeFolderOf(const std::string& path);
  absl::Status RemovePartials(uint64_t old_size, uint64_t new_size);
  absl::Status RemovePartialsOf(const std::string& full_path);
  void BeforeChange(absl::string_view operation) const;
  std::string PathOf(absl::string_view path) const;

  const Options options_;
  const FolderSource local_;
  int folder_fd_ = -1;
  std::optional<SignedCheckpoint> checkpoint_;

  base::Mutex mutex_;
  std::set<std::string> folders_ ABSL_GUARDED_BY(mutex_);  // known to be there
  uint64_t staged_ ABSL_GUARDED_BY(mutex_) = 0;            // names files on their way
  bool unsynchronised_ ABSL_GUARDED_BY(mutex_) = true;     // a crash may have left some
};

// Files on their way into place, below the mirror's folder; what a crash leaves there is removed.
inline constexpr char kStagingFolder[] = ".countersign-staging";

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_MIRROR_H_
