#include "services/ledger/file_log_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/bytes.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"

namespace countersign::ledger {
namespace {

constexpr uint32_t kWidth = merkle::kTileWidth;
constexpr absl::string_view kStateHeader = "countersign ledger state v1";
constexpr size_t kReplayBatch = 65536;
constexpr size_t kTileBytes = kWidth * sizeof(merkle::Hash);

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, " ", what, ": restore the data folder as it was"));
}

}  // namespace

FileLogStore::FileLogStore(const Options& options)
    : options_(options),
      edge_(std::make_shared<Edge>()),
      checkpoint_(std::make_shared<std::string>()),
      tiles_(options.tile_cache_bytes / 2,
             [this](int level, uint64_t index) { return LoadTile(level, index); }),
      bundles_({.capacity = options.tile_cache_bytes / 2, .shards = 4}) {}

FileLogStore::~FileLogStore() {
  if (settler_.joinable()) {
    {
      base::MutexLock lock(&settle_mutex_);
      stopping_ = true;
    }
    settle_wake_.NotifyAll();
    settler_.join();
  }
  if (directory_fd_ >= 0) close(directory_fd_);
}

absl::StatusOr<std::unique_ptr<FileLogStore>> FileLogStore::Open(const Options& options) {
  RETURN_IF_ERROR(base::EnsureDirectory(options.directory, 0700));
  ASSIGN_OR_RETURN(auto lock, base::DirectoryLock::Acquire(options.directory));
  std::unique_ptr<FileLogStore> store(new FileLogStore(options));
  store->lock_ = std::move(lock);
  RETURN_IF_ERROR(base::EnsureDirectory(store->PublicPath("tile/entries")));
  RETURN_IF_ERROR(store->OpenFileSystem());

  RETURN_IF_ERROR(store->ReadState(&store->mark_));
  RETURN_IF_ERROR(store->ReadEdge(store->mark_));
  if (options.deduplicate) {
    ASSIGN_OR_RETURN(store->dedup_, DedupIndex::Open(options.directory + "/dedup"));
    RETURN_IF_ERROR(store->RebuildDedup(store->mark_.size));
  }
  RETURN_IF_ERROR(store->ReplayJournal(store->mark_.size));
  RETURN_IF_ERROR(store->Integrate().status());
  RETURN_IF_ERROR(store->RepairPartials());

  const std::string checkpoint_path = store->PublicPath("checkpoint");
  if (base::FileExists(checkpoint_path)) {
    ASSIGN_OR_RETURN(std::string checkpoint, base::ReadFile(checkpoint_path));
    struct stat info;
    if (stat(checkpoint_path.c_str(), &info) != 0) {
      return base::ErrnoStatus(errno, absl::StrCat("stat ", checkpoint_path));
    }
    base::MutexLock lock(&store->checkpoint_mutex_);
    store->checkpoint_ = std::make_shared<const std::string>(std::move(checkpoint));
    store->publish_time_ = absl::TimeFromTimespec(info.st_mtim);
  }
  store->frozen_ = base::FileExists(store->FrozenPath());
  store->settler_ = std::thread([raw = store.get()] { raw->SettleLoop(); });
  return store;
}

absl::Status FileLogStore::OpenFileSystem() {
  // Opened before anything is written, so that syncfs reports every failure since.
  directory_fd_ = open(options_.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory_fd_ < 0) {
    return base::ErrnoStatus(errno, absl::StrCat("open ", options_.directory));
  }
  struct stat folder;
  struct stat tiles;
  const std::string path = PublicPath("tile/entries");
  if (fstat(directory_fd_, &folder) != 0 || stat(path.c_str(), &tiles) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("stat ", path));
  }
  if (folder.st_dev != tiles.st_dev) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is on another file system than ", options_.directory,
                     ", where its tiles could not be synchronised: keep the folder in one piece"));
  }
  return absl::OkStatus();
}

std::string FileLogStore::PublicPath(absl::string_view path) const {
  return absl::StrCat(options_.directory, "/public/", path);
}

std::string FileLogStore::FrozenPath() const { return options_.directory + "/frozen"; }

absl::Status FileLogStore::ReadState(TreeHead* mark) const {
  const std::string path = options_.directory + "/state";
  const absl::StatusOr<std::string> text = base::ReadFile(path);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();  // a log that never settled
  RETURN_IF_ERROR(text.status());
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
  if (lines.size() != 4 || lines[0] != kStateHeader || !lines[3].empty() ||
      !absl::SimpleAtoi(lines[1], &mark->size) || mark->size % kWidth != 0) {
    return Damaged(path, "is not a ledger state file");
  }
  const absl::StatusOr<std::string> root = base::Base64Decode(lines[2]);
  if (!root.ok() || root->size() != mark->root.size()) {
    return Damaged(path, "is not a ledger state file");
  }
  std::copy(root->begin(), root->end(), mark->root.begin());
  return absl::OkStatus();
}

absl::Status FileLogStore::WriteState(const TreeHead& mark) {
  return base::WriteFileDurably(options_.directory + "/state",
                                absl::StrCat(kStateHeader, "\n", mark.size, "\n",
                                             base::Base64Encode(base::AsBytes(mark.root)), "\n"),
                                0600);
}

absl::Status FileLogStore::ReadEdge(const TreeHead& mark) {
  // The mark is a multiple of 256, so no leaf is asked for.
  const auto roots = [this](int level, uint64_t begin,
                            uint64_t end) -> absl::StatusOr<std::vector<merkle::Hash>> {
    std::vector<merkle::Hash> hashes;
    for (uint64_t i = begin; i < end; ++i) {
      ASSIGN_OR_RETURN(const TileReader::ExpandedTile tile, tiles_.FullTile(level - 1, i));
      hashes.push_back(merkle::NodeHash(tile->end()[-2], tile->end()[-1]));
    }
    return hashes;
  };
  ASSIGN_OR_RETURN(Edge edge, RebuildEdge(mark.size, roots));
  if (edge.size() != mark.size || edge.tree.Root() != mark.root) {
    return Damaged(PublicPath("tile"), absl::StrCat("does not have the root that the state file "
                                                    "records for size ",
                                                    mark.size));
  }
  base::MutexLock lock(&edge_mutex_);
  edge_ = std::make_shared<const Edge>(std::move(edge));
  return absl::OkStatus();
}

absl::Status FileLogStore::RebuildDedup(uint64_t mark) {
  // Normally nothing: settling flushes the index before it moves the mark.
  std::vector<DedupIndex::Item> items;
  for (uint64_t tile = dedup_->replay_from() / kWidth; tile < mark / kWidth; ++tile) {
    ASSIGN_OR_RETURN(const TileReader::ExpandedTile hashes, tiles_.FullTile(0, tile));
    items.clear();
    for (uint32_t i = 0; i < kWidth; ++i) items.push_back({(*hashes)[i], tile * kWidth + i});
    RETURN_IF_ERROR(dedup_->Insert(items, (tile + 1) * kWidth));
    if (tile % 4096 == 4095) {
      base::Log(base::Severity::kInfo, "rebuilding the deduplication index",
                {{"entries", absl::StrCat((tile + 1) * kWidth)}, {"of", absl::StrCat(mark)}});
    }
  }
  return absl::OkStatus();
}

absl::Status FileLogStore::ReplayJournal(uint64_t mark) {
  Sequenced replayed;
  std::vector<DedupIndex::Item> items;
  const auto replay = [&](uint64_t index, absl::string_view entry) -> absl::Status {
    const merkle::Hash leaf_hash = merkle::LeafHash(entry);
    replayed.leaf_hashes.push_back(leaf_hash);
    base::AppendU16(&replayed.framed, static_cast<uint16_t>(entry.size()));
    replayed.framed.append(entry.data(), entry.size());
    if (dedup_ == nullptr || index < dedup_->replay_from()) return absl::OkStatus();
    items.push_back({leaf_hash, index});
    if (items.size() < kReplayBatch) return absl::OkStatus();
    RETURN_IF_ERROR(dedup_->Insert(items, index + 1));
    items.clear();
    return absl::OkStatus();
  };
  Journal::Options options;
  options.segment_bytes = options_.journal_segment_bytes;
  options.must_reach = std::max(mark, dedup_ != nullptr ? dedup_->replay_from() : 0);
  ASSIGN_OR_RETURN(journal_, Journal::Open(options_.directory + "/journal", options, mark, replay));
  if (!items.empty()) RETURN_IF_ERROR(dedup_->Insert(items, journal_->next_index()));
  base::MutexLock lock(&pending_mutex_);
  pending_ = std::move(replayed);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LogStore::Placement>> FileLogStore::Sequence(
    absl::Span<const NewEntry> entries) {
  if (!broken_.ok()) return broken_;
  if (frozen_) return absl::FailedPreconditionError("the log is frozen: it takes no more entries");
  std::vector<Placement> placements(entries.size());
  std::vector<DedupIndex::Item> fresh;
  std::vector<absl::string_view> fresh_bytes;
  fresh.reserve(entries.size());
  fresh_bytes.reserve(entries.size());
  uint64_t next_index = journal_->next_index();
  const auto add = [&](size_t i) {
    placements[i] = {next_index, false};
    fresh.push_back({entries[i].leaf_hash, next_index++});
    fresh_bytes.push_back(entries[i].bytes);
  };

  if (dedup_ == nullptr) {
    for (size_t i = 0; i < entries.size(); ++i) add(i);
  } else {
    std::vector<merkle::Hash> hashes;
    hashes.reserve(entries.size());
    for (const NewEntry& entry : entries) hashes.push_back(entry.leaf_hash);
    ASSIGN_OR_RETURN(const auto known, dedup_->Find(hashes));
    absl::flat_hash_map<merkle::Hash, uint64_t> in_batch;
    in_batch.reserve(entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
      if (known[i].has_value()) {
        placements[i] = {*known[i], true};
      } else if (const auto [it, is_new] = in_batch.emplace(hashes[i], next_index); is_new) {
        add(i);
      } else {
        placements[i] = {it->second, true};
      }
    }
  }
  if (fresh.empty()) return placements;

  RETURN_IF_ERROR(journal_->Append(fresh_bytes));
  if (dedup_ != nullptr) {
    if (const absl::Status status = dedup_->Insert(fresh, next_index); !status.ok()) {
      // The journal is ahead of what will be integrated: nothing may follow.
      broken_ = absl::DataLossError(
          absl::StrCat("entries are durable but not in the deduplication index (", status.message(),
                       "): restart the ledger, which repairs it"));
      return broken_;
    }
  }
  base::MutexLock lock(&pending_mutex_);
  for (size_t i = 0; i < fresh.size(); ++i) {
    pending_.leaf_hashes.push_back(fresh[i].leaf_hash);
    base::AppendU16(&pending_.framed, static_cast<uint16_t>(fresh_bytes[i].size()));
    pending_.framed.append(fresh_bytes[i].data(), fresh_bytes[i].size());
  }
  return placements;
}

absl::Status FileLogStore::Freeze() {
  RETURN_IF_ERROR(base::WriteFileDurably(FrozenPath(), ""));
  frozen_ = true;
  return absl::OkStatus();
}

absl::StatusOr<TreeHead> FileLogStore::Integrate() {
  // What an earlier call could not write comes first; what has arrived since waits its turn.
  if (integrating_.leaf_hashes.empty()) {
    base::MutexLock lock(&pending_mutex_);
    std::swap(integrating_, pending_);
  }
  const std::shared_ptr<const Edge> before = edge();
  if (integrating_.leaf_hashes.empty()) return TreeHead{before->size(), before->tree.Root()};

  auto after = std::make_shared<Edge>(*before);
  RETURN_IF_ERROR(Grow(after.get(), integrating_));
  const TreeHead head{after->size(), after->tree.Root()};
  {
    base::MutexLock lock(&edge_mutex_);
    edge_ = std::move(after);
  }
  RemovePartials();
  {
    base::MutexLock lock(&settle_mutex_);
    // Replaying costs memory for each entry too, however short it is.
    unsettled_bytes_ +=
        integrating_.framed.size() + integrating_.leaf_hashes.size() * sizeof(merkle::Hash);
    if (unsettled_bytes_ >= options_.settle_bytes) settle_wake_.NotifyOne();
  }
  integrating_ = Sequenced();
  return head;
}

absl::Status FileLogStore::Grow(Edge* edge, const Sequenced& batch) {
  absl::string_view framed = batch.framed;
  absl::Span<const merkle::Hash> leaf_hashes = batch.leaf_hashes;
  while (!leaf_hashes.empty()) {
    // Up to the end of a bundle at a time.
    const absl::Span<const merkle::Hash> added =
        leaf_hashes.subspan(0, kWidth - edge->Level(0).size());
    leaf_hashes.remove_prefix(added.size());
    ASSIGN_OR_RETURN(const size_t length,
                     BundlePrefix(framed, static_cast<uint32_t>(added.size())));
    edge->bundle.append(framed.data(), length);
    framed.remove_prefix(length);
    RETURN_IF_ERROR(AppendLeaves(
        edge, added, [&](const ClosedTile& tile) { return WriteFullTile(edge, tile); }));
  }
  return absl::OkStatus();
}

absl::Status FileLogStore::WriteFullTile(Edge* edge, const ClosedTile& tile) {
  if (tile.level == 0) {
    const std::string path = merkle::EntriesPath(tile.index);
    RETURN_IF_ERROR(WritePublicFile(path, edge->bundle));
    closed_.push_back(path);
    edge->bundle.clear();
  }
  const std::string path = merkle::TilePath({tile.level, tile.index});
  RETURN_IF_ERROR(WritePublicFile(path, HashesAsBytes(tile.hashes)));
  closed_.push_back(path);
  return absl::OkStatus();
}

absl::Status FileLogStore::WritePublicFile(const std::string& path, absl::string_view bytes) {
  const std::string full = PublicPath(path);
  absl::Status status = base::WriteFileAtomically(full, bytes);
  if (!absl::IsNotFound(status)) return status;
  // The first file of its folder.
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(full).parent_path(), error);
  if (error) return base::ErrnoStatus(error.value(), absl::StrCat("create the folder of ", full));
  return base::WriteFileAtomically(full, bytes);
}

void FileLogStore::RemovePartials() {
  if (closed_.empty()) return;
  base::MutexLock lock(&partials_mutex_);
  for (const std::string& path : closed_) {
    // A partial tile left behind is only waste, so a failure is no one's concern.
    std::error_code ignored;
    std::filesystem::remove_all(PublicPath(path) + ".p", ignored);
  }
  closed_.clear();
}

absl::Status FileLogStore::RepairPartials() {
  const std::shared_ptr<const Edge> edge = this->edge();
  // What the partial file of this path must hold; nothing when the tree is not that large.
  const auto contents = [&](const std::string& path) -> SharedBytes {
    const absl::StatusOr<merkle::TileResource> resource = merkle::ParseTilePath(path);
    if (!resource.ok()) return nullptr;
    const absl::StatusOr<SharedBytes> bytes =
        resource->entries ? ReadEntryBundle(resource->tile.index, resource->tile.width)
                          : ReadTile(resource->tile);
    return bytes.ok() ? *bytes : nullptr;
  };
  std::vector<std::string> tiles = {merkle::EntriesPath(edge->TileIndex(0))};
  for (int level = 0; static_cast<size_t>(level) < edge->levels.size(); ++level) {
    tiles.push_back(merkle::TilePath({level, edge->TileIndex(level)}));
  }
  for (const std::string& tile : tiles) {
    std::error_code error;
    std::filesystem::directory_iterator file(PublicPath(tile) + ".p", error);
    if (error) continue;  // none was published
    for (; !error && file != std::filesystem::directory_iterator(); file.increment(error)) {
      const std::string path = absl::StrCat(tile, ".p/", file->path().filename().string());
      const SharedBytes expected = contents(path);
      if (expected == nullptr) {
        // Unfinished, or of entries that nobody was told of.
        std::error_code ignored;
        std::filesystem::remove(file->path(), ignored);
        continue;
      }
      ASSIGN_OR_RETURN(const std::string found, base::ReadFile(file->path().string()));
      if (found != *expected) RETURN_IF_ERROR(WritePublicFile(path, *expected));
    }
    if (error) return base::ErrnoStatus(error.value(), absl::StrCat("read ", tile, ".p"));
  }
  return absl::OkStatus();
}

absl::Status FileLogStore::Publish(const TreeHead& head, absl::string_view checkpoint,
                                   absl::Time time) {
  {
    base::MutexLock lock(&partials_mutex_);
    const uint32_t entries = head.size % kWidth;
    for (int level = 0; (head.size >> (merkle::kTileHeight * level)) != 0; ++level) {
      const uint64_t count = head.size >> (merkle::kTileHeight * level);
      const auto width = static_cast<uint32_t>(count % kWidth);
      const uint64_t index = count / kWidth;
      // Once a tile is full its partial ones may go, and readers know to ask for the full one.
      if (width == 0 || index < edge()->TileIndex(level)) continue;
      const merkle::TileId tile{level, index, width};
      ASSIGN_OR_RETURN(const SharedBytes hashes, ReadTile(tile));
      RETURN_IF_ERROR(WritePublicFile(merkle::TilePath(tile), *hashes));
    }
    if (entries != 0 && head.size / kWidth == edge()->TileIndex(0)) {
      ASSIGN_OR_RETURN(const SharedBytes bundle, ReadEntryBundle(head.size / kWidth, entries));
      RETURN_IF_ERROR(WritePublicFile(merkle::EntriesPath(head.size / kWidth, entries), *bundle));
    }
  }
  // Durable, so that no reader is shown a smaller one after a power cut.
  const std::string path = PublicPath("checkpoint");
  RETURN_IF_ERROR(base::WriteFileDurably(path, checkpoint));
  // Where this fails the file system's own clock is as good.
  const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, absl::ToTimespec(time)};
  (void)utimensat(AT_FDCWD, path.c_str(), times, 0);
  base::MutexLock lock(&checkpoint_mutex_);
  checkpoint_ = std::make_shared<const std::string>(checkpoint);
  publish_time_ = time;
  return absl::OkStatus();
}

SharedBytes FileLogStore::PublishedCheckpoint() const {
  base::MutexLock lock(&checkpoint_mutex_);
  return checkpoint_;
}

absl::Time FileLogStore::PublishTime() const {
  base::MutexLock lock(&checkpoint_mutex_);
  return publish_time_;
}

std::shared_ptr<const Edge> FileLogStore::edge() const {
  base::MutexLock lock(&edge_mutex_);
  return edge_;
}

absl::StatusOr<std::optional<uint64_t>> FileLogStore::Find(const merkle::Hash& leaf_hash) const {
  if (dedup_ == nullptr) {
    return absl::FailedPreconditionError(
        "this log keeps no index by hash (deduplication is off): ask by index");
  }
  ASSIGN_OR_RETURN(const auto found, dedup_->Find({&leaf_hash, 1}));
  return found[0];
}

absl::StatusOr<std::string> FileLogStore::LoadTile(int level, uint64_t index) const {
  const std::string path = PublicPath(merkle::TilePath({level, index}));
  absl::StatusOr<std::string> bytes = base::ReadFile(path);
  if (absl::IsNotFound(bytes.status())) return Damaged(path, "is missing");
  if (bytes.ok() && bytes->size() != kTileBytes) return Damaged(path, "is not a full tile");
  return bytes;
}

absl::StatusOr<std::vector<merkle::Hash>> FileLogStore::ReadNodes(
    absl::Span<const merkle::NodeId> nodes) const {
  return tiles_.ReadNodes(*edge(), nodes);
}

absl::StatusOr<SharedBytes> FileLogStore::ReadTile(const merkle::TileId& tile) const {
  return tiles_.ReadTile(*edge(), tile);
}

absl::StatusOr<SharedBytes> FileLogStore::ReadEntryBundle(uint64_t bundle, uint32_t width) const {
  const std::shared_ptr<const Edge> edge = this->edge();
  SharedBytes whole;
  if (bundle < edge->TileIndex(0)) {
    if (auto cached = bundles_.Get(bundle); cached.has_value()) {
      whole = *std::move(cached);
    } else {
      const std::string path = PublicPath(merkle::EntriesPath(bundle));
      absl::StatusOr<std::string> bytes = base::ReadFile(path);
      if (absl::IsNotFound(bytes.status())) return Damaged(path, "is missing");
      RETURN_IF_ERROR(bytes.status());
      whole = std::make_shared<const std::string>(*std::move(bytes));
      bundles_.Put(bundle, whole, whole->size());
    }
    if (width == kWidth) return whole;
  } else if (bundle == edge->TileIndex(0) && width <= edge->size() % kWidth) {
    whole = SharedBytes(edge, &edge->bundle);
  } else {
    return absl::NotFoundError(absl::StrCat("the log of size ", edge->size(), " has no ",
                                            merkle::EntriesPath(bundle, width), " yet"));
  }
  const absl::StatusOr<size_t> length = BundlePrefix(*whole, width);
  if (!length.ok()) return Damaged(PublicPath(merkle::EntriesPath(bundle)), "is malformed");
  return std::make_shared<const std::string>(whole->substr(0, *length));
}

void FileLogStore::SettleLoop() {
  while (true) {
    {
      base::MutexLock lock(&settle_mutex_);
      while (!stopping_ && unsettled_bytes_ < options_.settle_bytes) {
        settle_wake_.Wait(&settle_mutex_);
      }
      if (stopping_) return;
      unsettled_bytes_ = 0;
    }
    // The journal keeps all that is not settled, so a failure costs nothing but its space.
    if (const absl::Status status = Settle(); !status.ok()) {
      base::Log(base::Severity::kError, "cannot settle the log's tiles",
                {{"error", status.ToString()}});
    }
  }
}

absl::Status FileLogStore::Settle() {
  const merkle::CompactRange tree = TreeOfFullTiles(*edge());
  if (tree.size() == mark_.size) return absl::OkStatus();
  const TreeHead mark{tree.size(), tree.Root()};
  if (dedup_ != nullptr) RETURN_IF_ERROR(dedup_->Flush());
  // The kernel reports a failed write once. After it, only a restart, which writes the tiles again
  // from the journal, can tell that they are on the disk.
  if (!settle_broken_.ok()) return settle_broken_;
  if (syncfs(directory_fd_) != 0) {
    settle_broken_ = base::ErrnoStatus(errno, absl::StrCat("sync ", options_.directory));
    return settle_broken_;
  }
  RETURN_IF_ERROR(WriteState(mark));
  mark_ = mark;
  return journal_->DropBefore(mark.size);
}

}  // namespace countersign::ledger
