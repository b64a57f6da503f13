// Where the agent's memory holds a PIN: on the locked page that no core dump shows, and nowhere
// else.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "catch2/catch.hpp"
#include "libs/crypto/digest.h"
#include "libs/crypto/random.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/piv/virtual_reader.h"
#include "services/yubikey-agent/pcsc_readers.h"
#include "services/yubikey-agent/pool_bench.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::Eventually;
using countersign::testing::RequireOk;
using countersign::testing::piv::PcscDaemon;
using countersign::testing::piv::VirtualReader;

constexpr uint32_t kSerial = 4711;

// A card and its pcscd in a process of their own: the card knows its PIN, and may.
class CardProcess {
 public:
  // Before this process has threads.
  CardProcess() {
    int to_parent[2], to_child[2];
    REQUIRE(pipe(to_parent) == 0);
    REQUIRE(pipe(to_child) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      close(to_parent[0]);
      close(to_child[1]);
      RunCard(to_parent[1], to_child[0]);
      _exit(0);
    }
    close(to_parent[1]);
    close(to_child[0]);
    stop_ = to_child[1];
    char buffer[256];
    const ssize_t size = read(to_parent[0], buffer, sizeof(buffer));
    close(to_parent[0]);
    REQUIRE(size > 0);
    setenv("PCSCLITE_CSOCK_NAME", std::string(buffer, size).c_str(), /*overwrite=*/1);
  }
  ~CardProcess() {
    close(stop_);
    waitpid(pid_, nullptr, 0);
  }

 private:
  static void RunCard(int ready, int stop) {
    auto daemon = PcscDaemon::Start(1);
    if (!daemon.ok()) return;
    const auto card = MakeCard(kSerial);
    GenerateOn(card.get(), piv::kSignature, {});
    VirtualReader reader((*daemon)->port(0), card.get());
    if (!reader.Insert().ok()) return;
    const std::string& path = (*daemon)->SocketPath();
    if (write(ready, path.data(), path.size()) < 0) return;
    char end;
    (void)!read(stop, &end, 1);
  }

  pid_t pid_ = -1;
  int stop_ = -1;
};

// A random PIN that this process keeps in disguise only.
class HiddenPin {
 public:
  HiddenPin() {
    const std::string random = crypto::RandomBytes(bytes_.size());
    for (size_t i = 0; i < bytes_.size(); ++i) {
      bytes_[i] = static_cast<uint8_t>(('0' + static_cast<uint8_t>(random[i]) % 10) ^ kMask);
    }
  }
  crypto::SecretBytes Get() const {
    crypto::SecretBytes pin(bytes_.size());
    char* out = pin.ExposeMutable(crypto::SecretAccess::Grant());
    for (size_t i = 0; i < bytes_.size(); ++i) out[i] = static_cast<char>(bytes_[i] ^ kMask);
    return pin;
  }
  bool IsAt(const char* data) const {
    for (size_t i = 0; i < bytes_.size(); ++i) {
      if ((static_cast<uint8_t>(data[i]) ^ kMask) != bytes_[i]) return false;
    }
    return true;
  }
  static constexpr size_t size() { return piv::kPinBytes; }

 private:
  static constexpr uint8_t kMask = 0x5A;
  std::array<uint8_t, piv::kPinBytes> bytes_;
};

struct Places {
  int dumped = 0;   // in memory that a core dump shows
  int guarded = 0;  // in memory that it does not
};

Places Find(const HiddenPin& pin) {
  struct Region {
    uint64_t begin = 0;
    uint64_t end = 0;
    bool dumped = true;
  };
  std::vector<Region> regions;
  std::ifstream smaps("/proc/self/smaps");
  for (std::string line; std::getline(smaps, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    const std::vector<std::string> range = absl::StrSplit(words[0], '-');
    uint64_t begin, end;
    if (range.size() == 2 && absl::SimpleHexAtoi(range[0], &begin) &&
        absl::SimpleHexAtoi(range[1], &end)) {
      // What cannot be written was never a place for a PIN.
      const bool data = absl::StartsWith(words[1], "rw");
      regions.push_back({begin, data ? end : begin});
    } else if (words[0] == "VmFlags:") {
      for (const std::string& flag : words) {
        if (flag == "dd") regions.back().dumped = false;
      }
    }
  }
  Places places;
  std::ifstream memory("/proc/self/mem", std::ios::binary);
  // One byte less than a PIN is seen twice, where one piece ends and the next begins.
  constexpr size_t kPiece = 1 << 20, kOverlap = HiddenPin::size() - 1;
  std::vector<char> buffer(kPiece);
  for (const Region& region : regions) {
    // Terabytes that sanitizers keep notes in.
    if (!region.dumped && region.end - region.begin > kPiece) continue;
    for (uint64_t at = region.begin; at + kOverlap < region.end; at += kPiece - kOverlap) {
      memory.clear();
      memory.seekg(static_cast<std::streamoff>(at));
      memory.read(buffer.data(),
                  static_cast<std::streamsize>(std::min<uint64_t>(kPiece, region.end - at)));
      const size_t size = static_cast<size_t>(memory.gcount());
      for (size_t i = 0; i + HiddenPin::size() <= size; ++i) {
        if (!pin.IsAt(&buffer[i])) continue;
        ++(region.dumped ? places.dumped : places.guarded);
      }
      // A copy that is left here must not be found in the next search.
      crypto::Wipe(buffer.data(), buffer.size());
    }
  }
  return places;
}

TEST_CASE("a PIN that is used again and again is in locked memory alone") {
  CardProcess process;
  PcscReaders readers({});
  PoolBench bench;
  bench.options.readers = &readers;
  bench.pool();
  REQUIRE(Eventually([&] { return bench.Has(kSerial); }));
  const HiddenPin pin, another;

  RequireOk(PoolBench::Await([&](CardPool::Done done) {
    bench.pool().ChangePin(kSerial, Secret(kFactoryPin), pin.Get(), absl::InfiniteFuture(),
                           std::move(done));
  }));
  const auto unlock = [&](const HiddenPin& with) {
    return PoolBench::Await([&](CardPool::Done done) {
      bench.pool().Unlock(kSerial, with.Get(), absl::InfiniteFuture(), std::move(done));
    });
  };
  CHECK_FALSE(unlock(another).ok());
  RequireOk(unlock(pin));
  const std::string digest = crypto::Digest(crypto::DigestAlgorithm::kSha256, "a message");
  const std::string name = "cards/4711/slots/9c";
  for (int i = 0; i < 10; ++i) RequireOk(bench.Sign(name, digest).get());

  Places held = Find(pin);
  CHECK(held.dumped == 0);
  CHECK(held.guarded == 1);
  Places refused = Find(another);
  CHECK(refused.dumped == 0);
  CHECK(refused.guarded == 0);
  RequireOk(bench.Lock(kSerial));
  Places forgotten = Find(pin);
  CHECK(forgotten.dumped == 0);
  CHECK(forgotten.guarded == 0);
  // The search finds what is there, and copies it while it looks.
  const crypto::SecretBytes copy = pin.Get();
  CHECK(Find(pin).dumped >= 1);
  bench.StopPool();
}

}  // namespace
}  // namespace countersign::yubikey
