#include "libs/merkle/reference_tree.h"

#include "libs/crypto/digest.h"

namespace countersign::merkle {
namespace {

// The largest power of two smaller than n, which is above 1.
size_t Split(size_t n) {
  size_t k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

std::string Text(const Hash& hash) { return std::string(hash.begin(), hash.end()); }

std::vector<Hash> Subproof(size_t m, const Entries& entries, bool known) {
  const size_t n = entries.size();
  if (m == n) return known ? std::vector<Hash>{} : std::vector<Hash>{ReferenceRoot(entries)};
  const size_t k = Split(n);
  std::vector<Hash> proof;
  if (m <= k) {
    proof = Subproof(m, Slice(entries, 0, k), known);
    proof.push_back(ReferenceRoot(Slice(entries, k, n)));
  } else {
    proof = Subproof(m - k, Slice(entries, k, n), false);
    proof.push_back(ReferenceRoot(Slice(entries, 0, k)));
  }
  return proof;
}

}  // namespace

Entries NumberedEntries(size_t count) {
  Entries entries;
  for (size_t i = 0; i < count; ++i) entries.push_back(std::to_string(i));
  return entries;
}

Entries Slice(const Entries& entries, size_t begin, size_t end) {
  return Entries(entries.begin() + begin, entries.begin() + end);
}

Hash ReferenceRoot(const Entries& entries) {
  const size_t n = entries.size();
  if (n == 0) return crypto::Sha256("");
  if (n == 1) return crypto::Sha256(std::string(1, '\0') + entries[0]);
  const size_t k = Split(n);
  return crypto::Sha256("\x01" + Text(ReferenceRoot(Slice(entries, 0, k))) +
                        Text(ReferenceRoot(Slice(entries, k, n))));
}

std::vector<Hash> ReferencePath(size_t index, const Entries& entries) {
  const size_t n = entries.size();
  if (n == 1) return {};
  const size_t k = Split(n);
  std::vector<Hash> path;
  if (index < k) {
    path = ReferencePath(index, Slice(entries, 0, k));
    path.push_back(ReferenceRoot(Slice(entries, k, n)));
  } else {
    path = ReferencePath(index - k, Slice(entries, k, n));
    path.push_back(ReferenceRoot(Slice(entries, 0, k)));
  }
  return path;
}

std::vector<Hash> ReferenceProof(size_t first_size, const Entries& entries) {
  return Subproof(first_size, entries, true);
}

}  // namespace countersign::merkle
