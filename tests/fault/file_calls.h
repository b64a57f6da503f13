// Linked into a program, stands between it and the files below one folder: makes a call fail, lists
// the calls, or records what they did. The environment says what:
//
//   FILE_CALLS_FOLDER=<path>   which files; without it everything passes untouched
//   FILE_CALLS_FAIL=<call>:<n>:<errno>:<path>
//       The n-th call of that name on a path that begins so (below the folder) fails, and "fault
//       injected" is said on standard error. "half" for the errno: the n-th write takes half of
//       its bytes, and the one after it fails with ENOSPC.
//   FILE_CALLS_LIST=<file>     "<call> <path below the folder>" is appended for every call
//   FILE_CALLS_RECORD=<file>   what was done is appended (op_log.h)
//
// The calls are open, read, write, close, fdatasync, fsync, syncfs, ftruncate, fallocate, rename,
// link, unlink, mkdir, rmdir, flock and utimensat; those of a kind share a name (pwrite is a
// write). Paths are absolute. Synchronisations of these files leave the disk alone, since whether
// they were called is what matters; while recording they take a moment, as a disk does.
#ifndef COUNTERSIGN_TESTS_FAULT_FILE_CALLS_H_
#define COUNTERSIGN_TESTS_FAULT_FILE_CALLS_H_

namespace countersign::fault {

inline constexpr char kFaultInjected[] = "fault injected\n";

}  // namespace countersign::fault

#endif  // COUNTERSIGN_TESTS_FAULT_FILE_CALLS_H_
