#include "tests/fault/disk_model.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"

namespace countersign::fault {
namespace {

using testing::RequireOk;

constexpr size_t kSectorBytes = 512;

std::string ParentOf(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// Without a second slash, or one at its end.
std::string Clean(absl::string_view path) {
  std::string clean;
  for (const char c : path) {
    if (c != '/' || clean.empty() || clean.back() != '/') clean.push_back(c);
  }
  if (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  return clean;
}

bool Chance(double probability, std::mt19937* random) {
  return std::bernoulli_distribution(probability)(*random);
}

}  // namespace

std::vector<Op> ParseOpLog(absl::string_view log) {
  std::vector<Op> ops;
  for (size_t at = 0; log.size() - at >= sizeof(OpHeader);) {
    OpHeader header;
    std::memcpy(&header, log.data() + at, sizeof(header));
    const size_t bytes = size_t{header.path_bytes} + header.to_bytes + header.data_bytes;
    at += sizeof(header);
    if (log.size() - at < bytes) break;
    Op op{header.kind,
          Clean(log.substr(at, header.path_bytes)),
          Clean(log.substr(at + header.path_bytes, header.to_bytes)),
          log.substr(at + header.path_bytes + header.to_bytes, header.data_bytes),
          header.inode,
          header.offset};
    at += bytes;
    op.end = at;
    ops.push_back(std::move(op));
  }
  return ops;
}

DiskModel::DiskModel(const std::string& folder) : root_path_(folder) { Load(folder); }

DiskModel::NodePtr DiskModel::Load(const std::string& folder) {
  auto node = std::make_shared<Node>();
  node->is_folder = true;
  nodes_.push_back(node);
  folders_[folder] = node;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    NodePtr child;
    if (entry.is_directory()) {
      child = Load(path);
    } else {
      struct stat info;
      REQUIRE(stat(path.c_str(), &info) == 0);
      child = FileOf(info.st_ino);
      child->bytes = RequireOk(base::ReadFile(path));
    }
    node->names[NameOf(path)] = child;
  }
  return node;
}

DiskModel::NodePtr DiskModel::FolderOf(const std::string& path) const {
  const auto found = folders_.find(path);
  INFO(path);
  REQUIRE(found != folders_.end());
  return found->second;
}

DiskModel::NodePtr DiskModel::FileOf(uint64_t inode) {
  NodePtr& file = files_[inode];
  if (file == nullptr) {
    file = std::make_shared<Node>();
    nodes_.push_back(file);
  }
  return file;
}

void DiskModel::Rename(const std::string& from, const std::string& to, const NodePtr& node) {
  const std::string old_folder = from.empty() ? "" : ParentOf(from);
  const std::string new_folder = to.empty() ? "" : ParentOf(to);
  if (old_folder == new_folder) {
    // Both names change or neither.
    FolderOf(new_folder)->pending.push_back({ops_, NameOf(from), NameOf(to), node, nullptr});
    return;
  }
  if (!from.empty()) FolderOf(old_folder)->pending.push_back({ops_, NameOf(from), "", {}, nullptr});
  if (!to.empty()) FolderOf(new_folder)->pending.push_back({ops_, "", NameOf(to), node, nullptr});
}

void DiskModel::Apply(const Op& op) {
  ++ops_;
  switch (op.kind) {
    case OpKind::kCreate:
      files_.erase(op.inode);  // a new file may have an old one's number
      Rename("", op.path, FileOf(op.inode));
      return;
    case OpKind::kWrite:
    case OpKind::kResize:
    case OpKind::kExtend:
      FileOf(op.inode)->pending.push_back({ops_, "", "", nullptr, &op});
      return;
    case OpKind::kRename:
      REQUIRE(folders_.count(op.path) == 0);
      Rename(op.path, op.to, FileOf(op.inode));
      return;
    case OpKind::kLink:
      Rename("", op.to, FileOf(op.inode));
      return;
    case OpKind::kMakeDir: {
      auto folder = std::make_shared<Node>();
      folder->is_folder = true;
      nodes_.push_back(folder);
      folders_[op.path] = folder;
      Rename("", op.path, folder);
      return;
    }
    case OpKind::kUnlink:
    case OpKind::kRemoveDir:
      folders_.erase(op.path);
      Rename(op.path, "", nullptr);
      return;
    case OpKind::kSyncFile:
      syncs_[op.offset] = {ops_, FileOf(op.inode)};
      return;
    case OpKind::kSyncDir:
      syncs_[op.offset] = {ops_, FolderOf(op.path)};
      return;
    case OpKind::kSyncAll:
      syncs_[op.offset] = {ops_, nullptr};
      return;
    case OpKind::kSyncEnd: {
      const auto sync = syncs_.find(op.offset);
      REQUIRE(sync != syncs_.end());
      if (sync->second.node != nullptr) {
        Settle(sync->second.node.get(), sync->second.number);
      } else {
        for (const NodePtr& node : nodes_) Settle(node.get(), sync->second.number);
      }
      syncs_.erase(sync);
      return;
    }
  }
}

void DiskModel::ApplyName(const Pending& change, std::map<std::string, NodePtr>* names) {
  if (!change.remove.empty()) names->erase(change.remove);
  if (!change.add.empty()) (*names)[change.add] = change.node;
}

void DiskModel::ApplyBytes(const Op& op, std::string* bytes) {
  if (op.kind == OpKind::kResize) {
    bytes->resize(op.offset);
    return;
  }
  bytes->resize(std::max<size_t>(bytes->size(), op.offset + op.data.size()));
  bytes->replace(op.offset, op.data.size(), op.data.data(), op.data.size());
}

void DiskModel::Settle(Node* node, uint64_t before) {
  auto change = node->pending.begin();
  for (; change != node->pending.end() && change->number < before; ++change) {
    if (node->is_folder) {
      ApplyName(*change, &node->names);
    } else {
      ApplyBytes(*change->op, &node->bytes);
    }
  }
  node->pending.erase(node->pending.begin(), change);
}

std::string DiskModel::Bytes(const Node& file, Survival survival, std::mt19937* random) {
  std::string bytes = file.bytes;
  if (survival == Survival::kNothing || file.pending.empty()) return bytes;
  if (survival == Survival::kEverything || Chance(0.2, random)) {
    for (const Pending& change : file.pending) ApplyBytes(*change.op, &bytes);
    return bytes;
  }
  const double chance = std::uniform_real_distribution<>(0, 1)(*random);
  // Either the sectors come one by one, or whole writes do.
  const bool torn = Chance(0.7, random);
  size_t longest = bytes.size();
  for (const Pending& change : file.pending) {
    const Op& op = *change.op;
    longest = std::max<size_t>(longest, op.offset + op.data.size());
    if (op.kind != OpKind::kWrite || !torn) {
      if (Chance(chance, random)) ApplyBytes(op, &bytes);
      continue;
    }
    for (size_t begin = op.offset; begin < op.offset + op.data.size();) {
      const size_t end =
          std::min<size_t>((begin / kSectorBytes + 1) * kSectorBytes, op.offset + op.data.size());
      if (Chance(chance, random)) {
        Op sector = op;
        sector.offset = begin;
        sector.data = op.data.substr(begin - op.offset, end - begin);
        ApplyBytes(sector, &bytes);
      }
      begin = end;
    }
  }
  // The size may be there before the bytes.
  if (Chance(0.3, random)) bytes.resize(std::max(bytes.size(), longest));
  return bytes;
}

void DiskModel::WriteFolder(const Node& folder, const std::string& path, Survival survival,
                            std::mt19937* random) {
  std::map<std::string, NodePtr> names = folder.names;
  const double chance =
      survival == Survival::kSome ? std::uniform_real_distribution<>(0, 1)(*random) : 1;
  // A journal keeps the order of such changes; without one, each is for itself.
  const bool ordered = survival == Survival::kSome && Chance(0.5, random);
  for (const Pending& change : folder.pending) {
    if (survival == Survival::kNothing) break;
    if (Chance(chance, random)) {
      ApplyName(change, &names);
    } else if (ordered) {
      break;
    }
  }
  REQUIRE((std::filesystem::create_directory(path) || std::filesystem::is_directory(path)));
  for (const auto& [name, node] : names) {
    if (node->is_folder) {
      WriteFolder(*node, path + "/" + name, survival, random);
    } else {
      RequireOk(base::WriteFileAtomically(path + "/" + name, Bytes(*node, survival, random), 0600));
    }
  }
}

void DiskModel::WriteTo(const std::string& folder, Survival survival, std::mt19937* random) const {
  std::filesystem::remove_all(folder);
  WriteFolder(*FolderOf(root_path_), folder, survival, random);
}

}  // namespace countersign::fault
