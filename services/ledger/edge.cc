#include "services/ledger/edge.h"

#include <bit>
#include <optional>

namespace countersign::ledger {

merkle::Hash SubtreeRoot(const merkle::Hash* hashes, size_t count) {
  std::vector<merkle::Hash> row(hashes, hashes + count);
  for (; count > 1; count /= 2) {
    for (size_t i = 0; i < count / 2; ++i) row[i] = merkle::NodeHash(row[2 * i], row[2 * i + 1]);
  }
  return row[0];
}

const std::vector<merkle::Hash>& Edge::Level(size_t level) const {
  static const std::vector<merkle::Hash>* const none = new std::vector<merkle::Hash>;
  return level < levels.size() ? levels[level] : *none;
}

merkle::Hash Edge::Root() const {
  if (size == 0) return merkle::EmptyRoot();
  // From the smallest perfect subtree to the largest: each is the left sibling of all before it.
  std::optional<merkle::Hash> root;
  for (const std::vector<merkle::Hash>& level : levels) {
    for (size_t end = level.size(); end > 0;) {
      const size_t count = size_t{1} << std::countr_zero(end);
      const merkle::Hash left = SubtreeRoot(&level[end - count], count);
      root = root.has_value() ? merkle::NodeHash(left, *root) : left;
      end -= count;
    }
  }
  return *root;
}

}  // namespace countersign::ledger
