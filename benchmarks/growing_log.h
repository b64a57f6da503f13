// A log in memory that grows and signs checkpoints: what witnesses are measured with.
#ifndef COUNTERSIGN_BENCHMARKS_GROWING_LOG_H_
#define COUNTERSIGN_BENCHMARKS_GROWING_LOG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/merkle/compact_range.h"
#include "libs/merkle/hash.h"
#include "libs/note/add_checkpoint.h"
#include "libs/note/key.h"

namespace countersign::bench {

// Not thread-safe.
class GrowingLog {
 public:
  // An empty log with a fresh key.
  static absl::StatusOr<std::unique_ptr<GrowingLog>> Create(const std::string& origin);

  const note::NoteVerifier& verifier() const { return signer_->verifier(); }
  uint64_t size() const { return range_.size(); }

  // Adds `leaves` leaves; returns what asks a witness that stands at the size before for a
  // cosignature of the new one.
  absl::StatusOr<note::AddCheckpointRequest> Grow(uint64_t leaves);

 private:
  explicit GrowingLog(std::unique_ptr<note::NoteSigner> signer) : signer_(std::move(signer)) {}

  const std::unique_ptr<note::NoteSigner> signer_;
  merkle::CompactRange range_;
  std::vector<std::vector<merkle::Hash>> nodes_;  // by level and index
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_GROWING_LOG_H_
