#include "libs/tlog/mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/merkle/tile.h"
#include "libs/tlog/growth.h"
#include "libs/tlog/ordered_parallel.h"

namespace countersign::tlog {
namespace {

using merkle::kTileWidth;

// The names that base::WriteFileDurably gives to checkpoints on their way.
constexpr char kCheckpointLeftover[] = "checkpoint.tmp.";

// Its bytes are on the disk then. A failure to write a file back is told once only, so that a later
// synchronisation of all says nothing about those that are in place already.
absl::Status WriteNewFile(const std::string& path, absl::string_view bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return base::ErrnoStatus(errno, absl::StrCat("create ", path));
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      const absl::Status status = base::ErrnoStatus(errno, absl::StrCat("write ", path));
      close(fd);
      return status;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  if (fdatasync(fd) != 0) {
    const absl::Status status = base::ErrnoStatus(errno, absl::StrCat("synchronise ", path));
    close(fd);
    return status;
  }
  if (close(fd) != 0) return base::ErrnoStatus(errno, absl::StrCat("close ", path));
  return absl::OkStatus();
}

}  // namespace

Mirror::Mirror(Options options) : options_(std::move(options)), local_(options_.folder) {}

Mirror::~Mirror() {
  if (folder_fd_ >= 0) close(folder_fd_);
}

absl::StatusOr<std::unique_ptr<Mirror>> Mirror::Open(Options options) {
  if (!options.trust.verifies()) {
    return absl::InvalidArgumentError("a mirror needs the log's key or a policy");
  }
  std::unique_ptr<Mirror> mirror(new Mirror(std::move(options)));
  RETURN_IF_ERROR(base::EnsureDirectory(mirror->options_.folder));
  RETURN_IF_ERROR(mirror->LockFolder());
  RETURN_IF_ERROR(mirror->Prepare());
  return mirror;
}

absl::Status Mirror::LockFolder() {
  const std::string& folder = options_.folder;
  // Opened before anything is written, so that syncfs reports every failure since. The lock is on
  // the folder itself, so that it holds nothing but the log.
  folder_fd_ = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd_ < 0) return base::ErrnoStatus(errno, absl::StrCat("open ", folder));
  if (flock(folder_fd_, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  if (errno != EWOULDBLOCK) return base::ErrnoStatus(errno, absl::StrCat("lock ", folder));
  return absl::FailedPreconditionError(
      absl::StrCat("another mirror or export is writing to ", folder, "; stop that one first"));
}

absl::Status Mirror::Prepare() {
  const absl::StatusOr<std::string> note = local_.ReadCheckpoint();
  if (absl::IsNotFound(note.status())) {
    RETURN_IF_ERROR(CheckHoldsNothingElse());
  } else {
    RETURN_IF_ERROR(note.status());
    absl::StatusOr<SignedCheckpoint> known = options_.trust.OpenKnown(*note);
    if (!known.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          options_.folder,
          " holds something else than a mirror of this log: ", known.status().message()));
    }
    checkpoint_ = *std::move(known);
  }
  std::error_code error;
  std::filesystem::remove_all(PathOf(kStagingFolder), error);
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder, error)) {
    const std::string name = entry.path().filename().string();
    if (absl::StartsWith(name, kCheckpointLeftover)) std::filesystem::remove(entry.path(), error);
  }
  return absl::OkStatus();
}

// A mirror that was killed before its first checkpoint has left nothing but tiles and leftovers.
absl::Status Mirror::CheckHoldsNothingElse() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder, error)) {
    const std::string name = entry.path().filename().string();
    // The last two are a file system's own, and where a log's key may be put for `fsck`.
    const bool expected = name == "tile" || name == kStagingFolder ||
                          absl::StartsWith(name, kCheckpointLeftover) || name == "lost+found" ||
                          name == "log.vkey";
    if (!expected) {
      return absl::FailedPreconditionError(
          absl::StrCat(options_.folder, " holds something else than a mirror of this log: no ",
                       "checkpoint, but ", name, "; choose a folder that is empty"));
    }
  }
  if (!error) return absl::OkStatus();
  return base::ErrnoStatus(error.value(), absl::StrCat("list ", options_.folder));
}

absl::StatusOr<bool> Mirror::Update() {
  ASSIGN_OR_RETURN(const std::string note, options_.source->ReadCheckpoint());
  if (checkpoint_.has_value() && note == checkpoint_->note) return false;
  ASSIGN_OR_RETURN(SignedCheckpoint seen, options_.trust.Open(note));
  ASSIGN_OR_RETURN(const auto tiles,
                   OpenGrown(checkpoint_, seen, local_,
                             {.source = options_.source,
                              .nearer = &local_,
                              .accept = [this](const std::string& path, absl::string_view bytes) {
                                return Place(path, bytes);
                              }}));
  RETURN_IF_ERROR(CopyTree(tiles.get()));
  RETURN_IF_ERROR(Synchronise());
  const uint64_t old_size = checkpoint_.has_value() ? checkpoint_->checkpoint.size : 0;
  RETURN_IF_ERROR(RemovePartials(old_size, seen.checkpoint.size));
  BeforeChange("write the checkpoint");
  RETURN_IF_ERROR(base::WriteFileDurably(PathOf("checkpoint"), seen.note));
  checkpoint_ = std::move(seen);
  return true;
}

absl::Status Mirror::Synchronise() {
  base::MutexLock lock(&mutex_);
  // A checkpoint of the same tree, with other cosignatures, brings no files.
  if (!unsynchronised_) return absl::OkStatus();
  BeforeChange("synchronise");
  if (syncfs(folder_fd_) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("synchronise ", options_.folder));
  }
  BeforeChange("remove the staging folder");
  std::error_code error;
  std::filesystem::remove_all(PathOf(kStagingFolder), error);
  folders_.clear();
  unsynchronised_ = false;
  return absl::OkStatus();
}

absl::Status Mirror::CopyTree(VerifiedTiles* tiles) {
  const uint64_t old_size = checkpoint_.has_value() ? checkpoint_->checkpoint.size : 0;
  if (tiles->size() == old_size) return absl::OkStatus();
  base::ThreadPool pool(options_.fetches);
  return OrderedParallel<uint32_t>(
      &pool, old_size / kTileWidth, tiles->bundles(), 2 * static_cast<size_t>(options_.fetches),
      [&](uint64_t index) -> absl::StatusOr<uint32_t> {
        // Reading it places it, and every tile above it that was not read before.
        ASSIGN_OR_RETURN(const auto bundle, tiles->Bundle(index));
        return static_cast<uint32_t>(bundle->entries.size());
      },
      [&](uint64_t index, uint32_t entries) {
        if (options_.progress) {
          options_.progress(index * kTileWidth + entries - old_size, tiles->size() - old_size);
        }
        return absl::OkStatus();
      });
}

absl::Status Mirror::Place(const std::string& path, absl::string_view bytes) {
  std::string staged;
  {
    base::MutexLock lock(&mutex_);
    staged = absl::StrCat(kStagingFolder, "/", staged_++);
    unsynchronised_ = true;
  }
  RETURN_IF_ERROR(MakeFolderOf(staged));
  RETURN_IF_ERROR(MakeFolderOf(path));
  BeforeChange("write a staged file");
  RETURN_IF_ERROR(WriteNewFile(PathOf(staged), bytes));
  BeforeChange("rename it into place");
  if (rename(PathOf(staged).c_str(), PathOf(path).c_str()) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("rename ", PathOf(staged), " to ", PathOf(path)));
  }
  return absl::OkStatus();
}

absl::Status Mirror::MakeFolderOf(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/'));
  base::MutexLock lock(&mutex_);
  if (folders_.count(folder) != 0) return absl::OkStatus();
  BeforeChange("make a folder");
  std::error_code error;  // Synchronise makes it last, with all the names in it
  std::filesystem::create_directories(PathOf(folder), error);
  if (error) return base::ErrnoStatus(error.value(), absl::StrCat("create ", PathOf(folder)));
  folders_.insert(folder);
  return absl::OkStatus();
}

absl::Status Mirror::RemovePartials(uint64_t old_size, uint64_t new_size) {
  for (int level = 0; new_size > 0; ++level) {
    old_size /= kTileWidth;
    new_size /= kTileWidth;
    for (uint64_t index = old_size; index < new_size; ++index) {
      RETURN_IF_ERROR(RemovePartialsOf(merkle::TilePath({level, index})));
      if (level == 0) RETURN_IF_ERROR(RemovePartialsOf(merkle::EntriesPath(index)));
    }
  }
  return absl::OkStatus();
}

absl::Status Mirror::RemovePartialsOf(const std::string& full_path) {
  const std::string folder = PathOf(absl::StrCat(full_path, ".p"));
  if (!base::FileExists(folder)) return absl::OkStatus();
  BeforeChange("remove partial tiles");
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error) return base::ErrnoStatus(error.value(), absl::StrCat("remove ", folder));
  return absl::OkStatus();
}

void Mirror::BeforeChange(absl::string_view operation) const {
  if (options_.before_change) options_.before_change(operation);
}

std::string Mirror::PathOf(absl::string_view path) const {
  return absl::StrCat(options_.folder, "/", path);
}

}  // namespace countersign::tlog
