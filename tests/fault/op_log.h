// The op log: what a program did to the files below a folder, in the order in which it did it.
// Written by the program itself (file_calls.h), read by DiskModel.
#ifndef COUNTERSIGN_TESTS_FAULT_OP_LOG_H_
#define COUNTERSIGN_TESTS_FAULT_OP_LOG_H_

#include <cstdint>

namespace countersign::fault {

enum class OpKind : uint32_t {
  kCreate,     // a new file `inode` at `path`
  kWrite,      // `data` at `offset` of `inode`
  kResize,     // `inode` has `offset` bytes now
  kExtend,     // `inode` has at least `offset` bytes now
  kRename,     // `inode` from `path` to `to`
  kLink,       // `inode` at `to` too
  kUnlink,     // nothing at `path` any more
  kMakeDir,    // a new folder at `path`
  kRemoveDir,  // no folder at `path` any more
  // A synchronisation, whose number is `offset`, covers what was done before it began, once it has
  // ended.
  kSyncFile,  // the bytes of `inode`
  kSyncDir,   // the names in the folder `path`
  kSyncAll,   // the file system
  kSyncEnd,
};

// Stands before each op; path, to and data follow it.
struct OpHeader {
  OpKind kind;
  uint32_t path_bytes;
  uint32_t to_bytes;
  uint32_t data_bytes;
  uint64_t inode;
  uint64_t offset;
};

}  // namespace countersign::fault

#endif  // COUNTERSIGN_TESTS_FAULT_OP_LOG_H_
