#include "libs/merkle/proof_builder.h"

#include <bit>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "catch2/catch.hpp"
#include "libs/merkle/proof.h"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/matchers.h"

namespace countersign::merkle {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr size_t kLargest = 70;

// Serves the nodes of the tree of `size` numbered leaves; fails the test for an incomplete one.
NodeReader ReaderOf(size_t size) {
  const Entries entries = NumberedEntries(size);
  return [entries](absl::Span<const NodeId> nodes) -> absl::StatusOr<std::vector<Hash>> {
    std::vector<Hash> hashes;
    for (const NodeId& node : nodes) {
      const size_t begin = node.index << node.level;
      const size_t end = (node.index + 1) << node.level;
      REQUIRE(end <= entries.size());
      hashes.push_back(ReferenceRoot(Slice(entries, begin, end)));
    }
    return hashes;
  };
}

TEST_CASE("inclusion proofs are those of RFC 6962 for every leaf of every tree up to 70") {
  for (size_t size = 1; size <= kLargest; ++size) {
    const NodeReader reader = ReaderOf(size);
    const Entries entries = NumberedEntries(size);
    for (size_t index = 0; index < size; ++index) {
      CAPTURE(size, index);
      REQUIRE(RequireOk(BuildInclusionProof(index, size, reader)) == ReferencePath(index, entries));
    }
  }
}

TEST_CASE("inclusion proofs made together are those made one by one") {
  for (size_t size = 1; size <= kLargest; ++size) {
    CAPTURE(size);
    const Entries entries = NumberedEntries(size);
    std::vector<uint64_t> indexes;
    std::vector<std::vector<Hash>> expected;
    // Backwards, and each twice: neither order nor repetition matters.
    for (size_t i = 2 * size; i-- > 0;) {
      indexes.push_back(i / 2);
      expected.push_back(ReferencePath(i / 2, entries));
    }
    REQUIRE(RequireOk(BuildInclusionProofs(indexes, size, ReaderOf(size))) == expected);
  }
  CHECK(RequireOk(BuildInclusionProofs({}, 8, ReaderOf(8))).empty());
}

TEST_CASE("proofs made together read the tree's right edge once") {
  size_t calls = 0;
  size_t read = 0;
  const NodeReader counting = [&](absl::Span<const NodeId> nodes) {
    ++calls;
    read += nodes.size();
    return absl::StatusOr<std::vector<Hash>>(std::vector<Hash>(nodes.size()));
  };
  constexpr uint64_t kSize = (uint64_t{1} << 40) + 255;
  const std::vector<uint64_t> indexes(10, uint64_t{1} << 40);  // in the subtree of 128 leaves
  RequireOk(BuildInclusionProofs(indexes, kSize, counting));
  CHECK(calls == 1);
  CHECK(read == std::popcount(kSize) + 10 * 7);
}

TEST_CASE("consistency proofs are those of RFC 6962 for every pair up to 70") {
  for (size_t second = 1; second <= kLargest; ++second) {
    const NodeReader reader = ReaderOf(second);
    const Entries entries = NumberedEntries(second);
    for (size_t first = 1; first <= second; ++first) {
      CAPTURE(first, second);
      REQUIRE(RequireOk(BuildConsistencyProof(first, second, reader)) ==
              ReferenceProof(first, entries));
    }
    REQUIRE(RequireOk(BuildConsistencyProof(0, second, reader)).empty());
  }
}

TEST_CASE("roots are those of RFC 6962 for every tree up to 70") {
  for (size_t size = 0; size <= kLargest; ++size) {
    CAPTURE(size);
    REQUIRE(RequireOk(BuildRoot(size, ReaderOf(size))) == ReferenceRoot(NumberedEntries(size)));
    REQUIRE(RootNodes(size).size() == static_cast<size_t>(std::popcount(size)));
  }
}

TEST_CASE("a proof reads no node twice and folds at most one run") {
  for (uint64_t size : {uint64_t{1}, uint64_t{255}, uint64_t{257}, uint64_t{70'000},
                        (uint64_t{1} << 40) + 12345, uint64_t{1} << 63}) {
    for (uint64_t index : {uint64_t{0}, size / 2, size - 1}) {
      CAPTURE(size, index);
      const ProofNodes wanted = RequireOk(InclusionNodes(index, size));
      std::set<std::pair<int, uint64_t>> seen;
      for (const NodeId& node : wanted.nodes) {
        CHECK(seen.emplace(node.level, node.index).second);
        CHECK(node.index < size >> node.level);  // complete within the tree
      }
      CHECK(wanted.fold_begin <= wanted.fold_end);
      CHECK(wanted.fold_end <= wanted.nodes.size());
      CHECK(wanted.fold_end - wanted.fold_begin != 1);
    }
  }
}

TEST_CASE("sizes and indexes that no tree has are out of range") {
  const NodeReader reader = ReaderOf(8);
  CHECK_THAT(BuildInclusionProof(8, 8, reader), StatusIs(absl::StatusCode::kOutOfRange, "index 8"));
  CHECK_THAT(BuildInclusionProof(0, 0, reader), StatusIs(absl::StatusCode::kOutOfRange));
  CHECK_THAT(BuildInclusionProofs({0, 8}, 8, reader),
             StatusIs(absl::StatusCode::kOutOfRange, "index 8"));
  CHECK_THAT(BuildInclusionProofs({0}, UINT64_MAX, reader),
             StatusIs(absl::StatusCode::kOutOfRange, "2^63"));
  CHECK_THAT(BuildConsistencyProof(8, 7, reader), StatusIs(absl::StatusCode::kOutOfRange));
  CHECK_THAT(InclusionNodes(0, UINT64_MAX), StatusIs(absl::StatusCode::kOutOfRange, "2^63"));
  CHECK_THAT(ConsistencyNodes(1, UINT64_MAX), StatusIs(absl::StatusCode::kOutOfRange));
  CHECK_THAT(BuildRoot(UINT64_MAX, reader), StatusIs(absl::StatusCode::kOutOfRange));
  CHECK_THAT(InclusionNodes(0, uint64_t{1} << 63), IsOk());
}

TEST_CASE("a reader's error is the builder's, and a reader that returns too little is caught") {
  const NodeReader failing = [](absl::Span<const NodeId>) -> absl::StatusOr<std::vector<Hash>> {
    return absl::DataLossError("tile 3 is gone");
  };
  CHECK_THAT(BuildInclusionProof(1, 4, failing), StatusIs(absl::StatusCode::kDataLoss, "tile 3"));
  CHECK_THAT(BuildRoot(3, failing), StatusIs(absl::StatusCode::kDataLoss));
  const NodeReader short_reader = [](absl::Span<const NodeId> nodes) {
    return absl::StatusOr<std::vector<Hash>>(std::vector<Hash>(nodes.size() - 1));
  };
  CHECK_THAT(BuildConsistencyProof(3, 7, short_reader), StatusIs(absl::StatusCode::kInternal));
  CHECK_THAT(BuildInclusionProofs({3, 4}, 7, short_reader), StatusIs(absl::StatusCode::kInternal));
  CHECK_THAT(BuildInclusionProofs({1}, 4, failing), StatusIs(absl::StatusCode::kDataLoss));
  CHECK_THAT(BuildRoot(3, short_reader), StatusIs(absl::StatusCode::kInternal));
  // A tree of one leaf needs no node but that leaf, and its proof none at all.
  CHECK(RequireOk(BuildInclusionProof(0, 1, failing)).empty());
}

}  // namespace
}  // namespace countersign::merkle
