#include <time.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "benchmarks/benchmarks.h"
#include "libs/merkle/hash_many.h"

namespace countersign::bench {
namespace {

using merkle::Hash;
using merkle::HashKernel;

constexpr size_t kNodes = 1024;  // their children and hashes stay in the first two caches
constexpr size_t kLeaves = 1024;
constexpr size_t kLeafBytes = 256;
constexpr int kRounds = 10;

double ProcessorSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// How often `work` is done in a second of this thread's processor time.
double Rate(absl::Duration length, const std::function<void()>& work) {
  const double begin = ProcessorSeconds();
  double seconds = 0;
  double count = 0;
  for (; seconds < absl::ToDoubleSeconds(length); seconds = ProcessorSeconds() - begin) {
    work();
    ++count;
  }
  return count / seconds;
}

// What the kernel in use does against one hash after the other, with all of them in the note.
// `hash` has `count` hashes made.
Result Measure(std::string name, absl::Duration length, double count,
               const std::function<void(HashKernel kernel)>& hash) {
  const std::vector<HashKernel> kernels = merkle::HashKernels();
  // In turns, of which each kernel's best counts: what else the machine does hits all alike.
  std::vector<double> best(kernels.size());
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kernels.size(); ++i) {
      const absl::Duration turn = length / (kRounds * static_cast<int64_t>(kernels.size()));
      best[i] = std::max(best[i], count * Rate(turn, [&] { hash(kernels[i]); }));
    }
  }
  Result result;
  result.name = std::move(name);
  result.value = best.back();
  result.unit = "hashes/s";
  result.baseline = "one at a time";
  result.baseline_value = best.front();
  result.note = absl::StrFormat("one thread, per second of processor time, best of %d:", kRounds);
  for (size_t i = 0; i < kernels.size(); ++i) {
    absl::StrAppendFormat(&result.note, " %s %.1f M", merkle::HashKernelName(kernels[i]),
                          best[i] / 1e6);
  }
  return result;
}

absl::StatusOr<Result> MerkleHash(Environment& environment) {
  std::mt19937_64 random(1);
  std::vector<Hash> children(2 * kNodes);
  for (Hash& hash : children) {
    std::generate(hash.begin(), hash.end(), [&] { return static_cast<uint8_t>(random()); });
  }
  std::vector<Hash> hashes(kNodes);
  return Measure("merkle-hash", environment.length(), kNodes, [&](HashKernel kernel) {
    merkle::NodeHashes(kernel, children.data(), kNodes, hashes.data());
  });
}

absl::StatusOr<Result> MerkleLeaf(Environment& environment) {
  const std::string bytes(kLeafBytes + kLeaves, 'l');
  std::vector<absl::string_view> entries;
  for (size_t i = 0; i < kLeaves; ++i) {
    entries.push_back(absl::string_view(bytes).substr(i, kLeafBytes));
  }
  std::vector<Hash> hashes(kLeaves);
  return Measure("merkle-leaf", environment.length(), kLeaves,
                 [&](HashKernel kernel) { merkle::LeafHashes(kernel, entries, hashes.data()); });
}

}  // namespace

std::vector<Benchmark> MerkleBenchmarks() {
  return {{"merkle-hash", "node hashes, RFC 6962, one thread", MerkleHash},
          {"merkle-leaf", "leaf hashes of 256-byte entries, one thread", MerkleLeaf}};
}

}  // namespace countersign::bench
