#include "tests/fault/disk_model.h"

#include <filesystem>
#include <set>
#include <string>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::fault {
namespace {

using testing::RequireOk;
using testing::TempDir;

// A disk under one folder, and the states that it may be in.
class Disk {
 public:
  Disk() {
    std::filesystem::create_directory(root());
    RequireOk(base::WriteFileAtomically(root() + "/old", "old"));
    model_ = std::make_unique<DiskModel>(root());
  }
  std::string root() const { return dir_.path() + "/root"; }

  void Do(OpKind kind, uint64_t inode, uint64_t offset, std::string data = "",
          std::string path = "", std::string to = "") {
    texts_.push_back(std::make_unique<std::string>(data));
    if (!path.empty()) path = path == "/" ? root() : root() + path;
    if (!to.empty()) to = root() + to;
    ops_.push_back(std::make_unique<Op>(Op{kind, path, to, *texts_.back(), inode, offset}));
    model_->Apply(*ops_.back());
  }
  void Sync(OpKind kind, uint64_t inode, std::string path = "") {
    Do(kind, inode, ++syncs_, "", path);
    Do(OpKind::kSyncEnd, 0, syncs_);
  }

  // "name=contents " of every file.
  std::string State(Survival survival) {
    const std::string copy = dir_.path() + "/copy";
    model_->WriteTo(copy, survival, &random_);
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(copy)) {
      if (!entry.is_regular_file()) continue;
      files.insert(entry.path().string().substr(copy.size() + 1) + "=" +
                   RequireOk(base::ReadFile(entry.path().string())) + " ");
    }
    std::string state;
    for (const std::string& file : files) state += file;
    return state;
  }
  std::set<std::string> States() {
    std::set<std::string> states;
    for (int i = 0; i < 300; ++i) states.insert(State(Survival::kSome));
    return states;
  }

 private:
  TempDir dir_;
  std::mt19937 random_{1};
  std::unique_ptr<DiskModel> model_;
  std::vector<std::unique_ptr<std::string>> texts_;
  std::vector<std::unique_ptr<Op>> ops_;
  uint64_t syncs_ = 0;
};

TEST_CASE("A file needs its bytes synchronised and its name") {
  Disk disk;
  disk.Do(OpKind::kCreate, 1000001, 0, "", "/new");
  disk.Do(OpKind::kWrite, 1000001, 0, "abc");
  CHECK(disk.State(Survival::kNothing) == "old=old ");
  CHECK(disk.State(Survival::kEverything) == "new=abc old=old ");
  CHECK(disk.States() == std::set<std::string>{"old=old ", "new= old=old ", "new=abc old=old ",
                                               std::string("new=\0\0\0 old=old ", 16)});
  SECTION("the bytes alone") {
    disk.Sync(OpKind::kSyncFile, 1000001);
    CHECK(disk.States() == std::set<std::string>{"old=old ", "new=abc old=old "});
  }
  SECTION("the name alone") {
    disk.Sync(OpKind::kSyncDir, 0, "/");
    CHECK(disk.States() == std::set<std::string>{"new= old=old ", "new=abc old=old ",
                                                 std::string("new=\0\0\0 old=old ", 16)});
  }
  SECTION("everything") {
    disk.Sync(OpKind::kSyncAll, 0);
    CHECK(disk.States() == std::set<std::string>{"new=abc old=old "});
  }
}

TEST_CASE("A synchronisation covers what was done before it began, once it has ended") {
  Disk disk;
  disk.Do(OpKind::kCreate, 1000001, 0, "", "/new");
  disk.Sync(OpKind::kSyncAll, 0);
  disk.Do(OpKind::kWrite, 1000001, 0, "abc");
  disk.Do(OpKind::kSyncFile, 1000001, 77);
  disk.Do(OpKind::kWrite, 1000001, 3, "def");
  CHECK(disk.State(Survival::kNothing) == "new= old=old ");
  disk.Do(OpKind::kSyncEnd, 0, 77);
  CHECK(disk.State(Survival::kNothing) == "new=abc old=old ");
  CHECK(disk.State(Survival::kEverything) == "new=abcdef old=old ");
}

TEST_CASE("A renamed file may be the old or the new, and a long write may be torn") {
  Disk disk;
  disk.Do(OpKind::kCreate, 1000001, 0, "", "/temporary");
  disk.Do(OpKind::kWrite, 1000001, 0, std::string(1024, 'a'));
  disk.Sync(OpKind::kSyncAll, 0);
  disk.Do(OpKind::kRename, 1000001, 0, "", "/temporary", "/old");
  const std::string a(512, 'a');
  const std::string b(512, 'b');
  CHECK(disk.States() ==
        std::set<std::string>{"old=" + a + a + " ", "old=old temporary=" + a + a + " "});
  disk.Sync(OpKind::kSyncAll, 0);
  disk.Do(OpKind::kWrite, 1000001, 0, b + b);
  CHECK(disk.States() == std::set<std::string>{"old=" + a + a + " ", "old=" + a + b + " ",
                                               "old=" + b + a + " ", "old=" + b + b + " "});
}

}  // namespace
}  // namespace countersign::fault
