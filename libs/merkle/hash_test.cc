#include "libs/merkle/hash.h"

#include <string>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/matchers.h"

namespace countersign::merkle {
namespace {

using testing::IsOk;
using testing::StatusIs;

std::string Hex(const Hash& hash) { return base::HexEncode(base::AsBytes(hash)); }

TEST_CASE("the empty tree has the hash of nothing as its root") {
  CHECK(EncodeHash(EmptyRoot()) == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

TEST_CASE("leaves and nodes are hashed behind different prefixes") {
  // The leaf hash of an empty entry, as in Certificate Transparency's test vectors.
  CHECK(Hex(LeafHash("")) == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
  CHECK(EncodeHash(LeafHash("0")) == "2zQm6HgGjSjSabbIcXIyLOU3K2V1bQeJAB00g19gHAM=");
  CHECK(EncodeHash(NodeHash(LeafHash("0"), LeafHash("1"))) ==
        "ywCYnZSlacCmeK4EK2Pc1GJduWRAUX83put5duok7Us=");
  CHECK(NodeHash(LeafHash("1"), LeafHash("0")) != NodeHash(LeafHash("0"), LeafHash("1")));
}

TEST_CASE("the reference tree gives the known roots of tlog-tiles") {
  const auto root = [](size_t n) { return EncodeHash(ReferenceRoot(NumberedEntries(n))); };
  CHECK(root(1) == "2zQm6HgGjSjSabbIcXIyLOU3K2V1bQeJAB00g19gHAM=");
  CHECK(root(2) == "ywCYnZSlacCmeK4EK2Pc1GJduWRAUX83put5duok7Us=");
  CHECK(root(3) == "cl1SMNto9VdHDcNfHYhlgTrNfrsHrRUndBQd7LrnEyc=");
  CHECK(root(7) == "o+I7Msy2v5bQktFl2KpUbgmCnejwOw6JV1gdHha5K98=");
  CHECK(root(256) == "goUV0DPBnYyQHzfsy4rtkZZncDSG+NL/8c9wQDIcXbE=");
  CHECK(root(257) == "HtoEmkNR2G92JSvX7At3Rq11t/oDFq1fVB29pFijEsQ=");
}

TEST_CASE("a hash has one base64 text") {
  const Hash hash = LeafHash("x");
  CHECK(testing::RequireOk(DecodeHash(EncodeHash(hash))) == hash);
  CHECK_THAT(DecodeHash("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"),
             StatusIs(absl::StatusCode::kInvalidArgument));
  // The last two bits of the text are not the hash's.
  CHECK_THAT(DecodeHash("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV="),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(DecodeHash("AAAA"), StatusIs(absl::StatusCode::kInvalidArgument, "32 bytes"));
}

TEST_CASE("only 32 bytes are a hash") {
  CHECK_THAT(ToHash(std::string(32, 'a')), IsOk());
  CHECK_THAT(ToHash(std::string(31, 'a')), StatusIs(absl::StatusCode::kInvalidArgument, "31"));
  CHECK_THAT(ToHash(std::string(33, 'a')), StatusIs(absl::StatusCode::kInvalidArgument, "33"));
  CHECK_THAT(ToHash(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::merkle
