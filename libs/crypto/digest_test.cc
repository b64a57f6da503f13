#include "libs/crypto/digest.h"

#include <utility>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/crypto/random.h"

namespace countersign::crypto {
namespace {

constexpr DigestAlgorithm kHashes[] = {DigestAlgorithm::kSha256, DigestAlgorithm::kSha384,
                                       DigestAlgorithm::kSha512};

TEST_CASE("The digests of \"abc\" are those of FIPS 180-4") {
  CHECK(base::HexEncode(Digest(DigestAlgorithm::kSha256, "abc")) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(base::HexEncode(Digest(DigestAlgorithm::kSha384, "abc")) ==
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
        "8086072ba1e7cc2358baeca134c825a7");
  CHECK(base::HexEncode(Digest(DigestAlgorithm::kSha512, "abc")) ==
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

TEST_CASE("A hasher fed in pieces agrees with one shot, whatever the pieces") {
  const std::string data = RandomBytes(5000);
  for (DigestAlgorithm algorithm : kHashes) {
    for (size_t step : {1, 3, 63, 64, 65, 127, 128, 129, 4999, 5000}) {
      Hasher hasher(algorithm);
      for (size_t at = 0; at < data.size(); at += step) {
        hasher.Update(absl::string_view(data).substr(at, step));
      }
      CHECK(hasher.Finish() == Digest(algorithm, data));
    }
  }
}

TEST_CASE("A hasher that finished starts afresh, and moves") {
  Hasher hasher(DigestAlgorithm::kSha256);
  hasher.Update("first");
  CHECK(hasher.Finish() == Digest(DigestAlgorithm::kSha256, "first"));
  CHECK(hasher.Finish() == Digest(DigestAlgorithm::kSha256, ""));
  hasher.Update("sec");
  Hasher moved = std::move(hasher);
  moved.Update("ond");
  CHECK(moved.Finish() == Digest(DigestAlgorithm::kSha256, "second"));
}

TEST_CASE("All ways to SHA-256 agree") {
  const std::string data = RandomBytes(300);
  const std::string expected = Digest(DigestAlgorithm::kSha256, data);
  CHECK(base::AsBytes(Sha256(data)) == expected);
  CHECK(base::AsBytes(Sha256Parts(
            {data.substr(0, 1), data.substr(1, 199), "", data.substr(200)})) == expected);
  std::string buffer = data;
  auto* bytes = reinterpret_cast<uint8_t*>(buffer.data());
  Sha256Raw(bytes, buffer.size(), bytes);
  CHECK(buffer.substr(0, 32) == expected);
}

TEST_CASE("No digest algorithm hashes nothing") {
  CHECK(DigestLength(DigestAlgorithm::kNone) == 0);
  CHECK(Digest(DigestAlgorithm::kNone, "abc").empty());
  Hasher hasher(DigestAlgorithm::kNone);
  hasher.Update("abc");
  CHECK(hasher.Finish().empty());
}

TEST_CASE("Digests are as long as DigestLength says") {
  for (DigestAlgorithm algorithm : kHashes) {
    CHECK(Digest(algorithm, "x").size() == DigestLength(algorithm));
  }
  CHECK(DigestName(DigestAlgorithm::kSha384) == "sha384");
}

}  // namespace
}  // namespace countersign::crypto
