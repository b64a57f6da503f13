// RFC 6962 section 2.1 written down as it stands, slow and obvious: what tests compare with.
#ifndef COUNTERSIGN_LIBS_MERKLE_REFERENCE_TREE_H_
#define COUNTERSIGN_LIBS_MERKLE_REFERENCE_TREE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "libs/merkle/hash.h"

namespace countersign::merkle {

using Entries = std::vector<std::string>;

// The entries "0", "1", … of which the known answers are made.
Entries NumberedEntries(size_t count);

// D[begin:end].
Entries Slice(const Entries& entries, size_t begin, size_t end);

// MTH(D[n]).
Hash ReferenceRoot(const Entries& entries);

// PATH(m, D[n]).
std::vector<Hash> ReferencePath(size_t index, const Entries& entries);

// PROOF(m, D[n]), for 0 < m <= n.
std::vector<Hash> ReferenceProof(size_t first_size, const Entries& entries);

}  // namespace countersign::merkle

#endif  // COUNTERSIGN_LIBS_MERKLE_REFERENCE_TREE_H_
