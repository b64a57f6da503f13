// Linked into a program, makes one of its file operations fail.
//
// The environment says which: FAULT="<call>:<n>:<errno>:<path>" fails the n-th call of that name
// on a file whose path begins so, and says "fault injected" on standard error. The calls are
// open, write (pwrite too), fdatasync, fsync, syncfs, ftruncate, rename, unlink and mkdir. With
// "half" for the errno, the n-th write takes half of its bytes and the one after it fails with
// ENOSPC.
#ifndef COUNTERSIGN_TESTS_FAULT_FAILING_CALLS_H_
#define COUNTERSIGN_TESTS_FAULT_FAILING_CALLS_H_

namespace countersign::fault {

inline constexpr char kFaultInjected[] = "fault injected\n";

}  // namespace countersign::fault

#endif  // COUNTERSIGN_TESTS_FAULT_FAILING_CALLS_H_
