#include <algorithm>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/load.h"
#include "libs/merkle/hash_many.h"

namespace countersign::bench {
namespace {

using merkle::Hash;
using merkle::HashKernel;

constexpr size_t kNodes = 1024;  // their children and hashes stay in the first two caches
constexpr size_t kLeaves = 1024;
constexpr size_t kLeafBytes = 256;

// Node hashes a second on one thread.
double NodeRate(HashKernel kernel, absl::Duration length) {
  std::mt19937_64 random(1);
  std::vector<Hash> children(2 * kNodes);
  for (Hash& hash : children) {
    std::generate(hash.begin(), hash.end(), [&] { return static_cast<uint8_t>(random()); });
  }
  std::vector<Hash> hashes(kNodes);
  return kNodes * RunThreads(1, length, [&](int) {
           merkle::NodeHashes(kernel, children.data(), kNodes, hashes.data());
         });
}

// Leaf hashes a second on one thread.
double LeafRate(HashKernel kernel, absl::Duration length) {
  const std::string bytes(kLeafBytes + kLeaves, 'l');
  std::vector<absl::string_view> entries;
  for (size_t i = 0; i < kLeaves; ++i) {
    entries.push_back(absl::string_view(bytes).substr(i, kLeafBytes));
  }
  std::vector<Hash> hashes(kLeaves);
  return kLeaves * RunThreads(1, length, [&](int) {
           merkle::LeafHashes(kernel, entries, hashes.data());
         });
}

// What the kernel in use does, against one hash after the other, with the others in the note.
Result Measure(std::string name, absl::Duration length,
               double (*rate)(HashKernel kernel, absl::Duration length)) {
  Result result;
  result.name = std::move(name);
  result.unit = "hashes/s";
  result.baseline = "one at a time";
  std::vector<std::string> others;
  const std::vector<HashKernel> kernels = merkle::HashKernels();
  for (HashKernel kernel : kernels) {
    result.value = rate(kernel, length / static_cast<int64_t>(kernels.size()));
    if (kernel == HashKernel::kPortable) result.baseline_value = result.value;
    others.push_back(
        absl::StrFormat("%s %.1f M", merkle::HashKernelName(kernel), result.value / 1e6));
  }
  result.note = absl::StrCat("one thread; ", absl::StrJoin(others, ", "));
  return result;
}

absl::StatusOr<Result> MerkleHash(Environment& environment) {
  return Measure("merkle-hash", environment.length(), NodeRate);
}

absl::StatusOr<Result> MerkleLeaf(Environment& environment) {
  return Measure("merkle-leaf", environment.length(), LeafRate);
}

}  // namespace

std::vector<Benchmark> MerkleBenchmarks() {
  return {{"merkle-hash", "node hashes, RFC 6962, one thread", MerkleHash},
          {"merkle-leaf", "leaf hashes of 256-byte entries, one thread", MerkleLeaf}};
}

}  // namespace countersign::bench
