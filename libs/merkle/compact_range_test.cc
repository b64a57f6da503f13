#include "libs/merkle/compact_range.h"

#include <cstdint>
#include <string>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/merkle/proof_builder.h"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/matchers.h"

namespace countersign::merkle {
namespace {

using testing::RequireOk;
using testing::StatusIs;

TEST_CASE("a growing tree has RFC 6962's root at every size") {
  CompactRange range;
  CHECK(range.Root() == EmptyRoot());
  for (size_t size = 1; size <= 300; ++size) {
    range.Append(LeafHash(std::to_string(size - 1)));
    CAPTURE(size);
    REQUIRE(range.size() == size);
    REQUIRE(range.Root() == ReferenceRoot(NumberedEntries(size)));
  }
}

TEST_CASE("a tree goes on growing from its nodes") {
  for (size_t size = 0; size <= 40; ++size) {
    CompactRange whole;
    for (const std::string& entry : NumberedEntries(size)) whole.Append(LeafHash(entry));
    CompactRange resumed = RequireOk(CompactRange::FromNodes(size, whole.nodes()));
    CHECK(resumed.Root() == whole.Root());
    whole.Append(LeafHash("next"));
    resumed.Append(LeafHash("next"));
    CHECK(resumed.Root() == whole.Root());
    CHECK(resumed.nodes() == whole.nodes());
  }
}

TEST_CASE("a wrong number of nodes is no tree") {
  CHECK_THAT(CompactRange::FromNodes(3, {LeafHash("")}),
             StatusIs(absl::StatusCode::kInvalidArgument, "2 perfect subtrees"));
  CHECK_THAT(CompactRange::FromNodes(0, {LeafHash("")}),
             StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("each node is told of once, when it is complete") {
  constexpr size_t kSize = 37;
  const Entries entries = NumberedEntries(kSize);
  CompactRange range;
  std::vector<NodeId> seen;
  for (size_t i = 0; i < kSize; ++i) {
    range.Append(LeafHash(entries[i]), [&](const NodeId& node, const Hash& hash) {
      CHECK((node.index + 1) << node.level == i + 1);
      CHECK(hash == ReferenceRoot(
                        Slice(entries, node.index << node.level, (node.index + 1) << node.level)));
      seen.push_back(node);
    });
  }
  CHECK(range.Root() == ReferenceRoot(entries));
  size_t expected = 0;
  for (int level = 0; level < 6; ++level) expected += kSize >> level;
  CHECK(seen.size() == expected);
}

TEST_CASE("leaves appended together make the tree that they make one by one") {
  constexpr size_t kMost = 70;
  const Entries entries = NumberedEntries(3 * kMost);
  std::vector<Hash> leaves;
  for (const std::string& entry : entries) leaves.push_back(LeafHash(entry));
  for (size_t size = 0; size <= kMost; ++size) {
    CompactRange before;
    for (size_t i = 0; i < size; ++i) before.Append(leaves[i]);
    for (size_t count = 0; count <= 2 * kMost; ++count) {
      CAPTURE(size, count);
      CompactRange many = before;
      many.AppendMany(absl::MakeConstSpan(leaves).subspan(size, count));
      CompactRange one_by_one = before;
      for (size_t i = 0; i < count; ++i) one_by_one.Append(leaves[size + i]);
      REQUIRE(many.size() == size + count);
      REQUIRE(many.nodes() == one_by_one.nodes());
    }
  }
}

TEST_CASE("of leaves appended together each node is told of once, after its children") {
  const size_t size = GENERATE(0, 1, 5, 8, 11);
  const size_t count = GENERATE(0, 1, 2, 3, 8, 37);
  CAPTURE(size, count);
  const Entries entries = NumberedEntries(size + count);
  CompactRange range;
  std::vector<Hash> leaves;
  for (size_t i = 0; i < size + count; ++i) {
    i < size ? range.Append(LeafHash(entries[i])) : leaves.push_back(LeafHash(entries[i]));
  }
  std::vector<NodeId> seen;
  range.AppendMany(leaves, [&](const NodeId& first, absl::Span<const Hash> hashes) {
    for (size_t i = 0; i < hashes.size(); ++i) {
      const NodeId node{first.level, first.index + i};
      CHECK(hashes[i] == ReferenceRoot(Slice(entries, node.index << node.level,
                                             (node.index + 1) << node.level)));
      seen.push_back(node);
    }
  });
  std::vector<NodeId> expected;
  for (int level = 0; (size + count) >> level != size >> level; ++level) {
    for (uint64_t i = size >> level; i < (size + count) >> level; ++i) {
      expected.push_back({level, i});
    }
  }
  CHECK(seen == expected);
  CHECK(range.Root() == ReferenceRoot(entries));
}

TEST_CASE("subtrees are appended where they fit") {
  const Entries entries = NumberedEntries(13);
  CompactRange range;
  REQUIRE(range.AppendSubtree(3, ReferenceRoot(Slice(entries, 0, 8))));
  REQUIRE(range.AppendSubtree(1, ReferenceRoot(Slice(entries, 8, 10))));
  CHECK_FALSE(range.AppendSubtree(2, ReferenceRoot(Slice(entries, 8, 12))));
  CHECK(range.size() == 10);
  REQUIRE(range.AppendSubtree(1, ReferenceRoot(Slice(entries, 10, 12))));
  REQUIRE(range.AppendSubtree(0, LeafHash(entries[12])));
  CHECK(range.size() == 13);
  CHECK(range.Root() == ReferenceRoot(entries));
  CHECK(range.nodes().size() == RootNodes(13).size());
}

}  // namespace
}  // namespace countersign::merkle
