// What the HTTP and the gRPC front end share: how many requests wait, and what an error says.
#ifndef COUNTERSIGN_SERVICES_WITNESS_FRONT_END_H_
#define COUNTERSIGN_SERVICES_WITNESS_FRONT_END_H_

#include <atomic>
#include <cstddef>
#include <memory>

#include "absl/status/status.h"

namespace countersign::witness {

// How many requests of one front end may wait or be worked on at once, unless told otherwise. With
// the largest bodies over HTTP: 32 MiB.
inline constexpr int kMaxWaiting = 128;

// Longer error messages are cut.
inline constexpr size_t kMaxMessageBytes = 1024;

// Counts the requests between their arrival and their answer. Thread-safe; copies count together.
class Admission {
 public:
  explicit Admission(int limit);

  // A place, given back when the last copy of the pointer goes, which may outlive this object. Null
  // when all are taken: the request must be turned away before anything is queued for it.
  std::shared_ptr<void> Enter() const;

 private:
  const int limit_;
  const std::shared_ptr<std::atomic<int>> taken_;
};

// `status` with a message fit for any caller, whatever bytes of a request it quotes: UTF-8 without
// control characters (others show as U+FFFD), of at most kMaxMessageBytes. Payloads are kept.
absl::Status PublicStatus(const absl::Status& status);

}  // namespace countersign::witness

#endif  // COUNTERSIGN_SERVICES_WITNESS_FRONT_END_H_
