#include "libs/merkle/proof.h"

#include <cstdint>
#include <string>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/matchers.h"

namespace countersign::merkle {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr size_t kLargest = 70;

Hash Flip(Hash hash, size_t bit = 0) {
  hash[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  return hash;
}

// Every way to change one thing about a list of hashes.
std::vector<std::vector<Hash>> Mutations(const std::vector<Hash>& proof) {
  std::vector<std::vector<Hash>> mutations;
  for (size_t i = 0; i < proof.size(); ++i) {
    auto flipped = proof;
    flipped[i] = Flip(flipped[i], (i * 37) % 256);
    mutations.push_back(flipped);
    auto dropped = proof;
    dropped.erase(dropped.begin() + i);
    mutations.push_back(dropped);
    auto doubled = proof;
    doubled.insert(doubled.begin() + i, proof[i]);
    mutations.push_back(doubled);
    if (i + 1 < proof.size() && proof[i] != proof[i + 1]) {
      auto swapped = proof;
      std::swap(swapped[i], swapped[i + 1]);
      mutations.push_back(swapped);
    }
  }
  auto longer = proof;
  longer.push_back(EmptyRoot());
  mutations.push_back(longer);
  longer = proof;
  longer.insert(longer.begin(), EmptyRoot());
  mutations.push_back(longer);
  return mutations;
}

TEST_CASE("every inclusion proof of every tree up to 70 leaves holds, and no mutation of it") {
  for (size_t size = 1; size <= kLargest; ++size) {
    const Entries entries = NumberedEntries(size);
    const Hash root = ReferenceRoot(entries);
    for (size_t index = 0; index < size; ++index) {
      CAPTURE(size, index);
      const Hash leaf = LeafHash(entries[index]);
      const std::vector<Hash> proof = ReferencePath(index, entries);
      REQUIRE_THAT(VerifyInclusion(index, size, leaf, proof, root), IsOk());
      REQUIRE(!VerifyInclusion(index, size, Flip(leaf), proof, root).ok());
      REQUIRE(!VerifyInclusion(index, size, leaf, proof, Flip(root)).ok());
      for (const auto& mutation : Mutations(proof)) {
        REQUIRE(!VerifyInclusion(index, size, leaf, mutation, root).ok());
      }
      for (size_t other = 0; other < size; ++other) {
        if (other != index) REQUIRE(!VerifyInclusion(other, size, leaf, proof, root).ok());
      }
    }
  }
}

TEST_CASE("every consistency proof of every pair up to 70 leaves holds, and no mutation of it") {
  std::vector<Hash> roots;
  for (size_t size = 0; size <= kLargest; ++size) {
    roots.push_back(ReferenceRoot(NumberedEntries(size)));
  }
  for (size_t second = 1; second <= kLargest; ++second) {
    const Entries entries = NumberedEntries(second);
    for (size_t first = 1; first <= second; ++first) {
      CAPTURE(first, second);
      const std::vector<Hash> proof = ReferenceProof(first, entries);
      REQUIRE_THAT(VerifyConsistency(first, second, proof, roots[first], roots[second]), IsOk());
      REQUIRE(!VerifyConsistency(first, second, proof, Flip(roots[first]), roots[second]).ok());
      REQUIRE(!VerifyConsistency(first, second, proof, roots[first], Flip(roots[second])).ok());
      for (const auto& mutation : Mutations(proof)) {
        REQUIRE(!VerifyConsistency(first, second, mutation, roots[first], roots[second]).ok());
      }
      if (first != second) {
        REQUIRE(!VerifyConsistency(second, first, proof, roots[second], roots[first]).ok());
        REQUIRE(!VerifyConsistency(first - 1, second, proof, roots[first - 1], roots[second]).ok());
      }
    }
  }
}

TEST_CASE("the empty tree is consistent with every tree and needs no proof") {
  const Hash root = LeafHash("0");
  CHECK_THAT(VerifyConsistency(0, 1, {}, EmptyRoot(), root), IsOk());
  CHECK_THAT(VerifyConsistency(0, 0, {}, EmptyRoot(), EmptyRoot()), IsOk());
  CHECK_THAT(VerifyConsistency(0, 1, {root}, EmptyRoot(), root),
             StatusIs(absl::StatusCode::kInvalidArgument, "yet the proof has some"));
  CHECK_THAT(VerifyConsistency(0, 1, {}, root, root),
             StatusIs(absl::StatusCode::kInvalidArgument, "empty tree"));
  CHECK_THAT(VerifyConsistency(0, 0, {}, root, root),
             StatusIs(absl::StatusCode::kInvalidArgument, "empty tree"));
}

TEST_CASE("trees of the same size are consistent only when they are the same") {
  CHECK_THAT(VerifyConsistency(5, 5, {}, LeafHash("a"), LeafHash("a")), IsOk());
  CHECK_THAT(VerifyConsistency(5, 5, {}, LeafHash("a"), LeafHash("b")),
             StatusIs(absl::StatusCode::kInvalidArgument, "same size differ"));
}

TEST_CASE("a known consistency proof from 3 to 7 leaves holds") {
  std::vector<Hash> proof;
  for (const char* hash : {"+mHj3sNDlYn0eEyJO/Mh0AhPBMVyx68raOPzNgo1tIY=",
                           "kGxdJIXK5yIHOkMPTQT+F2dQdZLO8iZimurbhaLskJ0=",
                           "ywCYnZSlacCmeK4EK2Pc1GJduWRAUX83put5duok7Us=",
                           "lz8IOVfHNZ+xlDrPnmaJvKbKXqcZfYCKrTwUSYaJ7+A="}) {
    proof.push_back(RequireOk(DecodeHash(hash)));
  }
  const Hash first = RequireOk(DecodeHash("cl1SMNto9VdHDcNfHYhlgTrNfrsHrRUndBQd7LrnEyc="));
  const Hash second = RequireOk(DecodeHash("o+I7Msy2v5bQktFl2KpUbgmCnejwOw6JV1gdHha5K98="));
  CHECK_THAT(VerifyConsistency(3, 7, proof, first, second), IsOk());
  CHECK(ReferenceProof(3, NumberedEntries(7)) == proof);
}

TEST_CASE("proofs of absurd sizes are refused and do not loop") {
  const std::vector<Hash> hashes(64, LeafHash("x"));
  const Hash root = LeafHash("x");
  for (size_t length : {0, 1, 62, 63, 64}) {
    const absl::Span<const Hash> proof(hashes.data(), length);
    CAPTURE(length);
    CHECK(!VerifyInclusion(0, UINT64_MAX, root, proof, root).ok());
    CHECK(!VerifyInclusion(UINT64_MAX - 1, UINT64_MAX, root, proof, root).ok());
    CHECK(!VerifyInclusion(UINT64_MAX, UINT64_MAX, root, proof, root).ok());
    CHECK(!VerifyConsistency(1, UINT64_MAX, proof, root, root).ok());
    CHECK(!VerifyConsistency(UINT64_MAX - 1, UINT64_MAX, proof, root, root).ok());
    CHECK(!VerifyConsistency(uint64_t{1} << 63, UINT64_MAX, proof, root, root).ok());
  }
  CHECK(!VerifyInclusion(0, 0, root, {}, EmptyRoot()).ok());
}

}  // namespace
}  // namespace countersign::merkle
