// What a disk may hold after a power cut, worked out from an op log.
//
// Promised are only the bytes of a file that fsync or fdatasync of it covered, the names in a
// folder that fsync of the folder covered, and all that syncfs covered. Of the rest anything may be
// there: some operations and not others, in any order, and a write by sectors, with zeros where a
// file grew but its bytes did not come.
#ifndef COUNTERSIGN_TESTS_FAULT_DISK_MODEL_H_
#define COUNTERSIGN_TESTS_FAULT_DISK_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/fault/op_log.h"

namespace countersign::fault {

struct Op {
  OpKind kind;
  std::string path;
  std::string to;
  absl::string_view data;
  uint64_t inode = 0;
  uint64_t offset = 0;
  size_t end = 0;  // where its record ends in the op log
};

// The ops of a log, whose bytes must outlive them. A record that its end cuts short is left out.
std::vector<Op> ParseOpLog(absl::string_view log);

// What of the unsynchronised survives.
enum class Survival { kNothing, kEverything, kSome };

// Not thread-safe.
class DiskModel {
 public:
  // The files below `folder` as they are now, all of them on the disk.
  explicit DiskModel(const std::string& folder);

  // Fails the test case on an op that does not fit what is known.
  void Apply(const Op& op);

  // Makes `folder` anew, as the disk may be if the power fails now.
  void WriteTo(const std::string& folder, Survival survival, std::mt19937* random) const;

 private:
  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  // A change that no synchronisation has covered yet: of a folder's names, or of a file's bytes.
  struct Pending {
    uint64_t number;  // of the op
    std::string remove;
    std::string add;
    NodePtr node;
    const Op* op;
  };
  struct Node {
    bool is_folder = false;
    std::string bytes;
    std::map<std::string, NodePtr> names;
    std::vector<Pending> pending;
  };
  struct Sync {
    uint64_t number;  // of the op that began it
    NodePtr node;     // null: everything
  };

  NodePtr Load(const std::string& folder);
  NodePtr FolderOf(const std::string& path) const;
  NodePtr FileOf(uint64_t inode);
  void Rename(const std::string& from, const std::string& to, const NodePtr& node);
  static void ApplyName(const Pending& change, std::map<std::string, NodePtr>* names);
  static void ApplyBytes(const Op& op, std::string* bytes);
  static void Settle(Node* node, uint64_t before);
  static std::string Bytes(const Node& file, Survival survival, std::mt19937* random);
  static void WriteFolder(const Node& folder, const std::string& path, Survival survival,
                          std::mt19937* random);

  const std::string root_path_;
  uint64_t ops_ = 0;
  std::map<std::string, NodePtr> folders_;  // by path, as the program sees them
  std::map<uint64_t, NodePtr> files_;       // by inode
  std::vector<NodePtr> nodes_;              // all that ever were
  std::map<uint64_t, Sync> syncs_;          // under way
};

}  // namespace countersign::fault

#endif  // COUNTERSIGN_TESTS_FAULT_DISK_MODEL_H_
