#include "libs/merkle/hash_many.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/merkle/reference_tree.h"

namespace countersign::merkle {
namespace {

constexpr size_t kMostHashes = 70;  // some rows of the widest kernel and any rest

std::string RandomBytes(size_t size) {
  static std::mt19937 random(20260101);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// What the kernels are compared with.
Hash Leaf(absl::string_view entry) {
  return crypto::Sha256Parts({absl::string_view("\0", 1), entry});
}

Hash Node(const Hash& left, const Hash& right) {
  return crypto::Sha256Parts({"\x01", base::AsBytes(left), base::AsBytes(right)});
}

std::vector<Hash> Leaves(HashKernel kernel, const std::vector<absl::string_view>& entries) {
  std::vector<Hash> hashes(entries.size());
  LeafHashes(kernel, entries, hashes.data());
  return hashes;
}

std::vector<Hash> LeavesOneByOne(const std::vector<absl::string_view>& entries) {
  std::vector<Hash> hashes;
  for (absl::string_view entry : entries) hashes.push_back(Leaf(entry));
  return hashes;
}

std::vector<Hash> RandomHashes(size_t count) {
  std::vector<Hash> hashes(count);
  for (Hash& hash : hashes) hash = crypto::Sha256(RandomBytes(8));
  return hashes;
}

// The root by the kernel's leaves and nodes, for a number of leaves that is a power of two.
Hash PerfectRoot(HashKernel kernel, const Entries& entries) {
  std::vector<Hash> row = Leaves(kernel, {entries.begin(), entries.end()});
  for (size_t count = row.size() / 2; count > 0; count /= 2) {
    NodeHashes(kernel, row.data(), count, row.data());
  }
  return row[0];
}

// A page with nothing to be read on either side.
class GuardedPage {
 public:
  GuardedPage() : size_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    void* const pages = mmap(nullptr, 3 * size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    begin_ = static_cast<char*>(pages) + size_;
    REQUIRE(mprotect(begin_, size_, PROT_READ | PROT_WRITE) == 0);
    const std::string bytes = RandomBytes(size_);
    std::memcpy(begin_, bytes.data(), size_);
  }
  ~GuardedPage() { munmap(begin_ - size_, 3 * size_); }
  GuardedPage(const GuardedPage&) = delete;
  GuardedPage& operator=(const GuardedPage&) = delete;

  absl::string_view First(size_t count) const { return {begin_, count}; }
  absl::string_view Last(size_t count) const { return {begin_ + size_ - count, count}; }

 private:
  const size_t size_;
  char* begin_;
};

TEST_CASE("the kernels have names of their own, and the portable one is always there") {
  const std::vector<HashKernel> kernels = HashKernels();
  CHECK(kernels.front() == HashKernel::kPortable);
  std::set<absl::string_view> names;
  for (HashKernel kernel : kernels) names.insert(HashKernelName(kernel));
  CHECK(names.size() == kernels.size());
  CHECK(names.count("") == 0);
}

TEST_CASE("each kernel gives NIST's digests of zeros") {
  // From NIST's additional SHA-256 examples, those whose first byte is a leaf's prefix.
  const std::vector<std::pair<size_t, std::string>> vectors = {
      {55, "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"},
      {56, "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"},
      {57, "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785"},
      {64, "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"},
      {1000, "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53"},
      {1'000'000, "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025"},
  };
  const std::string zeros(1'000'000, '\0');
  for (HashKernel kernel : HashKernels()) {
    for (const auto& [size, digest] : vectors) {
      CAPTURE(HashKernelName(kernel), size);
      const std::vector<absl::string_view> entries(16,
                                                   absl::string_view(zeros).substr(0, size - 1));
      for (const Hash& hash : Leaves(kernel, entries)) {
        CHECK(base::HexEncode(base::AsBytes(hash)) == digest);
      }
    }
  }
}

TEST_CASE("each kernel gives the known roots of tlog-tiles") {
  for (HashKernel kernel : HashKernels()) {
    CAPTURE(HashKernelName(kernel));
    CHECK(EncodeHash(PerfectRoot(kernel, NumberedEntries(1))) ==
          "2zQm6HgGjSjSabbIcXIyLOU3K2V1bQeJAB00g19gHAM=");
    CHECK(EncodeHash(PerfectRoot(kernel, NumberedEntries(2))) ==
          "ywCYnZSlacCmeK4EK2Pc1GJduWRAUX83put5duok7Us=");
    CHECK(EncodeHash(PerfectRoot(kernel, NumberedEntries(256))) ==
          "goUV0DPBnYyQHzfsy4rtkZZncDSG+NL/8c9wQDIcXbE=");
  }
}

TEST_CASE("each kernel hashes leaves of every length, in batches and alone") {
  for (HashKernel kernel : HashKernels()) {
    CAPTURE(HashKernelName(kernel));
    for (size_t size = 0; size <= 300; ++size) {
      CAPTURE(size);
      std::vector<std::string> storage;
      for (size_t i = 0; i < 17; ++i) storage.push_back(RandomBytes(size));
      const std::vector<absl::string_view> entries(storage.begin(), storage.end());
      REQUIRE(Leaves(kernel, entries) == LeavesOneByOne(entries));
      REQUIRE(Leaves(kernel, {entries[0]})[0] == Leaf(entries[0]));
    }
    for (size_t size : {1013, 1014, 1015, 1024, 4096, 65'535}) {
      const std::string long_entry = RandomBytes(size);
      std::vector<absl::string_view> entries(20, long_entry);
      entries[3] = "short";
      REQUIRE(Leaves(kernel, entries) == LeavesOneByOne(entries));
    }
  }
}

TEST_CASE("each kernel hashes leaves of mixed lengths in batches of every size") {
  std::mt19937 random(1);
  for (HashKernel kernel : HashKernels()) {
    for (size_t count = 0; count <= kMostHashes; ++count) {
      for (size_t longest : {1, 100, 2000}) {
        CAPTURE(HashKernelName(kernel), count, longest);
        std::vector<std::string> storage;
        for (size_t i = 0; i < count; ++i) storage.push_back(RandomBytes(random() % longest));
        const std::vector<absl::string_view> entries(storage.begin(), storage.end());
        REQUIRE(Leaves(kernel, entries) == LeavesOneByOne(entries));
      }
    }
  }
}

TEST_CASE("each kernel hashes every number of nodes, apart and in place") {
  const std::vector<Hash> children = RandomHashes(2 * kMostHashes);
  std::vector<Hash> expected;
  for (size_t i = 0; i < kMostHashes; ++i) {
    expected.push_back(Node(children[2 * i], children[2 * i + 1]));
  }
  const Hash untouched = Leaf("untouched");
  for (HashKernel kernel : HashKernels()) {
    for (size_t count = 0; count <= kMostHashes; ++count) {
      CAPTURE(HashKernelName(kernel), count);
      const std::vector<Hash> wanted(expected.begin(), expected.begin() + count);
      std::vector<Hash> hashes(count + 1, untouched);
      NodeHashes(kernel, children.data(), count, hashes.data());
      REQUIRE(hashes.back() == untouched);
      REQUIRE(std::vector<Hash>(hashes.begin(), hashes.end() - 1) == wanted);
      std::vector<Hash> in_place = children;
      NodeHashes(kernel, in_place.data(), count, in_place.data());
      REQUIRE(std::vector<Hash>(in_place.begin(), in_place.begin() + count) == wanted);
    }
  }
}

TEST_CASE("no kernel reads a byte that is not given to it, wherever it lies") {
  const GuardedPage page;
  for (HashKernel kernel : HashKernels()) {
    for (size_t count : {1, 2, 3, 4, 7, 13, 16, 17, 31}) {
      CAPTURE(HashKernelName(kernel), count);
      for (absl::string_view bytes :
           {page.First(2 * count * kHashSize), page.Last(2 * count * kHashSize)}) {
        const auto* const children = reinterpret_cast<const Hash*>(bytes.data());
        std::vector<Hash> hashes(count);
        NodeHashes(kernel, children, count, hashes.data());
        for (size_t i = 0; i < count; ++i) {
          REQUIRE(hashes[i] == Node(children[2 * i], children[2 * i + 1]));
        }
      }
      for (size_t size = 0; size < 200; ++size) {
        std::vector<absl::string_view> entries(count, page.First(size));
        REQUIRE(Leaves(kernel, entries) == LeavesOneByOne(entries));
        entries.assign(count, page.Last(size));
        REQUIRE(Leaves(kernel, entries) == LeavesOneByOne(entries));
      }
    }
  }
}

TEST_CASE("the functions without a kernel give the same hashes") {
  const std::vector<absl::string_view> entries = {"", "a", "bc", "a"};
  std::vector<Hash> hashes(entries.size());
  LeafHashes(entries, hashes.data());
  CHECK(hashes == LeavesOneByOne(entries));
  Hash nodes[2];
  NodeHashes(hashes.data(), 2, nodes);
  CHECK(nodes[0] == Node(hashes[0], hashes[1]));
  CHECK(nodes[1] == NodeHash(hashes[2], hashes[3]));
  LeafHashes({}, nullptr);
  NodeHashes(nullptr, 0, nullptr);
}

}  // namespace
}  // namespace countersign::merkle
