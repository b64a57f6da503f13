#include "libs/merkle/hash_many.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "libs/merkle/sha256_kernels.h"

namespace countersign::merkle {
namespace {

using internal::LeafJob;
using internal::LeafMessage;

uint8_t* Bytes(Hash* hashes) { return reinterpret_cast<uint8_t*>(hashes); }
const uint8_t* Bytes(const Hash* hashes) { return reinterpret_cast<const uint8_t*>(hashes); }

#if defined(__x86_64__)

constexpr size_t kLanes = internal::kAvx512Lanes;

// So many lanes must have work for all 16 of them to be faster than the other kernel.
size_t FewestLanes(HashKernel kernel) { return kernel == HashKernel::kAvx512ShaNi ? 13 : 3; }

void NarrowLeaves(HashKernel kernel, const LeafJob* jobs, size_t count) {
  kernel == HashKernel::kAvx512ShaNi ? internal::LeavesShaNi(jobs, count)
                                     : internal::LeavesPortable(jobs, count);
}

void NarrowNodes(HashKernel kernel, const Hash* children, size_t count, Hash* hashes) {
  kernel == HashKernel::kAvx512ShaNi
      ? internal::NodesShaNi(Bytes(children), count, Bytes(hashes))
      : internal::NodesPortable(Bytes(children), count, Bytes(hashes));
}

// Gathers leaves until 16 of them have the same number of blocks.
class LeafRows {
 public:
  explicit LeafRows(HashKernel kernel) : kernel_(kernel) {}

  void Add(const LeafJob& job) {
    const size_t blocks = job.message.blocks();
    if (blocks > kMostBlocks) return AddToRest(job);
    size_t& count = counts_[blocks];
    std::array<LeafJob, kLanes>& row = rows_[blocks];
    row[count++] = job;
    if (count == kLanes) {
      internal::LeavesAvx512(row.data());
      count = 0;
    }
  }

  // Hashes what is left.
  void Flush() {
    uint8_t nowhere[internal::kDigestBytes];
    for (size_t blocks = 0; blocks <= kMostBlocks; ++blocks) {
      std::array<LeafJob, kLanes>& row = rows_[blocks];
      const size_t count = counts_[blocks];
      if (count >= FewestLanes(kernel_)) {
        // Lanes without a leaf of their own repeat the first.
        std::fill(row.begin() + count, row.end(), LeafJob{row[0].message, nowhere});
        internal::LeavesAvx512(row.data());
      } else {
        for (size_t i = 0; i < count; ++i) AddToRest(row[i]);
      }
    }
    NarrowLeaves(kernel_, rest_.data(), rest_count_);
  }

 private:
  // Longer leaves than this, about 1 KiB, are too rare to wait for others of their length.
  static constexpr size_t kMostBlocks = 16;

  void AddToRest(const LeafJob& job) {
    rest_[rest_count_++] = job;
    if (rest_count_ < rest_.size()) return;
    NarrowLeaves(kernel_, rest_.data(), rest_count_);
    rest_count_ = 0;
  }

  const HashKernel kernel_;
  size_t counts_[kMostBlocks + 1] = {};
  size_t rest_count_ = 0;
  std::array<LeafJob, kLanes> rows_[kMostBlocks + 1];
  std::array<LeafJob, 64> rest_;
};

void WideNodes(HashKernel kernel, const Hash* children, size_t count, Hash* hashes) {
  for (; count >= kLanes; count -= kLanes, children += 2 * kLanes, hashes += kLanes) {
    internal::NodesAvx512(Bytes(children), Bytes(hashes));
  }
  if (count < FewestLanes(kernel)) return NarrowNodes(kernel, children, count, hashes);
  std::array<Hash, 2 * kLanes> padded;
  std::fill(std::copy_n(children, 2 * count, padded.begin()), padded.end(), Hash{});
  internal::NodesAvx512(Bytes(padded.data()), Bytes(padded.data()));
  std::copy_n(padded.begin(), count, hashes);
}

#endif  // defined(__x86_64__)

LeafJob JobOf(absl::string_view entry, Hash* hash) { return {LeafMessage(entry), hash->data()}; }

// Calls `hash_some` with runs of jobs, until all entries have been in one.
template <typename HashSome>
void InRuns(absl::Span<const absl::string_view> entries, Hash* hashes, HashSome hash_some) {
  std::array<LeafJob, 64> jobs;
  while (!entries.empty()) {
    const size_t count = std::min(entries.size(), jobs.size());
    for (size_t i = 0; i < count; ++i) jobs[i] = JobOf(entries[i], hashes++);
    hash_some(jobs.data(), count);
    entries.remove_prefix(count);
  }
}

HashKernel BestKernel() {
  static const HashKernel best = HashKernels().back();
  return best;
}

}  // namespace

std::vector<HashKernel> HashKernels() {
  std::vector<HashKernel> kernels = {HashKernel::kPortable};
#if defined(__x86_64__)
  if (internal::HasAvx512()) kernels.push_back(HashKernel::kAvx512);
  if (internal::HasShaNi()) kernels.push_back(HashKernel::kShaNi);
  if (internal::HasAvx512() && internal::HasShaNi()) kernels.push_back(HashKernel::kAvx512ShaNi);
#endif
  return kernels;
}

absl::string_view HashKernelName(HashKernel kernel) {
  switch (kernel) {
    case HashKernel::kPortable:
      return "portable";
    case HashKernel::kShaNi:
      return "sha-ni";
    case HashKernel::kAvx512:
      return "avx512";
    case HashKernel::kAvx512ShaNi:
      return "avx512+sha-ni";
  }
  return "";
}

void LeafHashes(HashKernel kernel, absl::Span<const absl::string_view> entries, Hash* hashes) {
#if defined(__x86_64__)
  switch (kernel) {
    case HashKernel::kPortable:
      break;
    case HashKernel::kShaNi:
      return InRuns(entries, hashes, internal::LeavesShaNi);
    case HashKernel::kAvx512:
    case HashKernel::kAvx512ShaNi:
      if (entries.size() < FewestLanes(kernel)) {
        return InRuns(entries, hashes, [kernel](const LeafJob* jobs, size_t count) {
          NarrowLeaves(kernel, jobs, count);
        });
      }
      LeafRows rows(kernel);
      for (absl::string_view entry : entries) rows.Add(JobOf(entry, hashes++));
      return rows.Flush();
  }
#endif
  InRuns(entries, hashes, internal::LeavesPortable);
}

void NodeHashes(HashKernel kernel, const Hash* children, size_t count, Hash* hashes) {
#if defined(__x86_64__)
  switch (kernel) {
    case HashKernel::kPortable:
      break;
    case HashKernel::kShaNi:
      return internal::NodesShaNi(Bytes(children), count, Bytes(hashes));
    case HashKernel::kAvx512:
    case HashKernel::kAvx512ShaNi:
      return WideNodes(kernel, children, count, hashes);
  }
#endif
  internal::NodesPortable(Bytes(children), count, Bytes(hashes));
}

void LeafHashes(absl::Span<const absl::string_view> entries, Hash* hashes) {
  LeafHashes(BestKernel(), entries, hashes);
}

void NodeHashes(const Hash* children, size_t count, Hash* hashes) {
  NodeHashes(BestKernel(), children, count, hashes);
}

}  // namespace countersign::merkle
