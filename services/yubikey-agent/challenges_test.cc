#include "services/yubikey-agent/challenges.h"

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"

namespace countersign::yubikey {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

TEST_CASE("a challenge is good once") {
  Challenges challenges({});
  const std::string challenge = challenges.Create("build", "tls:1").bytes;
  CHECK(challenge.size() == 32);
  CHECK(challenges.Use(challenge, "build", "tls:1"));
  CHECK_FALSE(challenges.Use(challenge, "build", "tls:1"));
}

TEST_CASE("a challenge is good for its caller and transport, and nobody else can spend it") {
  Challenges challenges({});
  const std::string challenge = challenges.Create("build", "tls:1").bytes;
  CHECK_FALSE(challenges.Use(challenge, "deploy", "tls:1"));
  CHECK_FALSE(challenges.Use(challenge, "build", "tls:2"));
  CHECK_FALSE(challenges.Use(challenge.substr(1), "build", "tls:1"));
  CHECK_FALSE(challenges.Use("", "build", "tls:1"));
  CHECK(challenges.Use(challenge, "build", "tls:1"));
}

TEST_CASE("a challenge is good for sixty seconds") {
  base::ManualClock clock(kStart);
  Challenges challenges({.clock = &clock});
  const Challenges::Challenge first = challenges.Create("build", "tls:1");
  const Challenges::Challenge second = challenges.Create("build", "tls:1");
  CHECK(first.expire_time == kStart + absl::Seconds(60));
  clock.Advance(absl::Seconds(59));
  CHECK(challenges.Use(first.bytes, "build", "tls:1"));
  clock.Advance(absl::Seconds(1));
  CHECK_FALSE(challenges.Use(second.bytes, "build", "tls:1"));
}

TEST_CASE("a clock that is set back ends a challenge rather than prolonging it") {
  base::ManualClock clock(kStart);
  Challenges challenges({.clock = &clock});
  const std::string challenge = challenges.Create("build", "tls:1").bytes;
  clock.Advance(-absl::Hours(1));
  CHECK_FALSE(challenges.Use(challenge, "build", "tls:1"));
  CHECK(challenges.Use(challenges.Create("build", "tls:1").bytes, "build", "tls:1"));
}

TEST_CASE("the oldest challenge goes when there are too many") {
  Challenges challenges({.capacity = 3});
  std::vector<std::string> all;
  for (int i = 0; i < 5; ++i) all.push_back(challenges.Create("build", "tls:1").bytes);
  for (int i = 0; i < 5; ++i) CHECK(challenges.Use(all[i], "build", "tls:1") == (i >= 2));
}

TEST_CASE("one of many threads spends a challenge") {
  Challenges challenges({});
  for (int round = 0; round < 50; ++round) {
    const std::string challenge = challenges.Create("build", "tls:1").bytes;
    std::atomic<int> spent{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] { spent += challenges.Use(challenge, "build", "tls:1") ? 1 : 0; });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(spent == 1);
  }
}

TEST_CASE("what is signed names its purpose, the caller and the challenge") {
  const std::string message = Challenges::Message("build", std::string(32, 'x'));
  CHECK(message ==
        std::string("countersign-yubikey-session/v1\0build\0", 37) + std::string(32, 'x'));
}

}  // namespace
}  // namespace countersign::yubikey
