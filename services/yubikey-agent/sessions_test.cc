#include "services/yubikey-agent/sessions.h"

#include <malloc.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;

constexpr char kHere[] = "host:ipv4:192.0.2.1";
const absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

Scope MakeScope(std::vector<Operation> operations, std::vector<std::string> names) {
  Scope scope;
  for (const Operation operation : operations) {
    scope.operations |= 1u << static_cast<int>(operation);
  }
  std::sort(names.begin(), names.end());
  scope.names = std::move(names);
  return scope;
}

Session MakeSession(const std::string& caller, absl::Time now,
                    absl::Duration lifetime = absl::Hours(1)) {
  static const auto scope =
      std::make_shared<Scope>(MakeScope({Operation::kSign}, {"cards/7", "keys/release"}));
  return {.caller = caller,
          .transport = kHere,
          .scope = scope,
          .create_time = now,
          .expire_time = now + lifetime};
}

TEST_CASE("a scope covers its names, and a card's name the card's slots") {
  const Scope scope = MakeScope({Operation::kSign}, {"cards/7", "keys/release", "subKeys/ci"});
  CHECK(scope.Covers("cards/7"));
  CHECK(scope.Covers("cards/7/slots/9a"));
  CHECK(scope.Covers("keys/release"));
  CHECK(scope.Covers("subKeys/ci"));
  CHECK_FALSE(scope.Covers("cards/77"));
  CHECK_FALSE(scope.Covers("cards/77/slots/9a"));
  CHECK_FALSE(scope.Covers("cards/"));
  CHECK_FALSE(scope.Covers("keys/releases"));
  CHECK_FALSE(scope.Covers("subKeys/ci/slots/9a"));
  CHECK_FALSE(scope.Covers("*"));
  CHECK_FALSE(scope.Covers(""));
  CHECK(MakeScope({}, {"*"}).Covers("cards/8/slots/82"));
  CHECK_FALSE(MakeScope({}, {"cards/7/slots/9a"}).Covers("cards/7"));
}

TEST_CASE(
    "a scope includes another when it has all of its operations and covers all of its names") {
  const Scope all = MakeScope({Operation::kSign, Operation::kUnlock}, {"*"});
  const Scope card = MakeScope({Operation::kSign}, {"cards/7"});
  const Scope slot = MakeScope({Operation::kSign}, {"cards/7/slots/9c"});
  CHECK(all.Includes(card));
  CHECK(all.Includes(all));
  CHECK(card.Includes(slot));
  CHECK_FALSE(slot.Includes(card));
  CHECK_FALSE(card.Includes(all));
  CHECK_FALSE(card.Includes(MakeScope({Operation::kDecrypt}, {"cards/7"})));
  CHECK_FALSE(card.Includes(MakeScope({Operation::kSign}, {"*"})));
}

TEST_CASE("a token opens its session from where it was opened and from nowhere else") {
  base::ManualClock clock(kStart);
  Sessions sessions({.clock = &clock});
  const std::string token = sessions.Open(MakeSession("build", kStart));
  CHECK(token.size() == 43);
  CHECK(
      token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
      std::string::npos);
  CHECK(RequireOk(sessions.Find(token, kHere))->caller == "build");

  const auto stolen = sessions.Find(token, "host:ipv4:192.0.2.2").status();
  std::string wrong = token;
  wrong[0] = wrong[0] == 'A' ? 'B' : 'A';
  CHECK_THAT(stolen, StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK(runtime::ReasonOf(stolen) == "SESSION_INVALID");
  // Nothing tells a stolen token from one that never was.
  CHECK(sessions.Find(wrong, kHere).status() == stolen);
  CHECK(sessions.Find("", kHere).status() == stolen);
  CHECK(sessions.Find(token + "=", kHere).status() == stolen);
  CHECK_THAT(sessions.Find(token, kHere), IsOk());
  CHECK(sessions.stats().refused == 4);
}

TEST_CASE("a session does what is in its scope") {
  base::ManualClock clock(kStart);
  Sessions sessions({.clock = &clock});
  const std::string token = sessions.Open(MakeSession("build", kStart));
  CHECK_THAT(sessions.Check(token, kHere, Operation::kSign, "cards/7/slots/9c"), IsOk());
  const auto outside = sessions.Check(token, kHere, Operation::kSign, "cards/8/slots/9c");
  CHECK_THAT(outside, StatusIs(absl::StatusCode::kPermissionDenied, "cards/8/slots/9c"));
  CHECK(runtime::ReasonOf(outside) == "NOT_IN_SCOPE");
  CHECK_THAT(sessions.Check(token, kHere, Operation::kDecrypt, "cards/7/slots/9c"),
             StatusIs(absl::StatusCode::kPermissionDenied));
  CHECK_THAT(sessions.Check("", kHere, Operation::kSign, "cards/7/slots/9c"),
             StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_CASE("a session ends at its time, and the clock's going back does not bring it back") {
  base::ManualClock clock(kStart);
  Sessions sessions({.clock = &clock});
  const std::string token = sessions.Open(MakeSession("build", kStart));
  const std::string other = sessions.Open(MakeSession("build", kStart, absl::Hours(9)));
  clock.Advance(absl::Hours(1) - absl::Nanoseconds(1));
  CHECK_THAT(sessions.Find(token, kHere), IsOk());
  clock.Advance(absl::Nanoseconds(1));
  SECTION("when it was asked for meanwhile") {
    CHECK_THAT(sessions.Find(token, kHere), StatusIs(absl::StatusCode::kUnauthenticated));
  }
  SECTION("when only another was asked for meanwhile") {
    CHECK_THAT(sessions.Find(other, kHere), IsOk());
  }
  for (const absl::Duration back : {absl::Milliseconds(1), absl::Minutes(30), absl::Hours(5)}) {
    clock.Advance(-back);
    CHECK_THAT(sessions.Find(token, kHere), StatusIs(absl::StatusCode::kUnauthenticated));
    CHECK_THAT(sessions.Find(other, kHere), IsOk());
  }
}

TEST_CASE(
    "a session opened while the clock was ahead lasts no longer than its lifetime after that") {
  base::ManualClock clock(kStart + absl::Hours(1000));
  Sessions sessions({.clock = &clock});
  const std::string token = sessions.Open(MakeSession("build", clock.Now()));
  clock.Set(kStart);
  CHECK_THAT(sessions.Find(token, kHere), IsOk());
  clock.Set(kStart + absl::Hours(1));
  CHECK_THAT(sessions.Find(token, kHere), StatusIs(absl::StatusCode::kUnauthenticated));
  // And new ones are as good as any.
  CHECK_THAT(sessions.Find(sessions.Open(MakeSession("build", clock.Now())), kHere), IsOk());
}

TEST_CASE("a closed session is gone, and only its owner closes it") {
  Sessions sessions({});
  const std::string token = sessions.Open(MakeSession("build", absl::Now()));
  sessions.Close(token, "tls:another");
  CHECK_THAT(sessions.Find(token, kHere), IsOk());
  sessions.Close(token, kHere);
  sessions.Close(token, kHere);
  CHECK_THAT(sessions.Find(token, kHere), StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK(sessions.stats().open == 0);
}

TEST_CASE("the oldest sessions make room for new ones, however they are spread") {
  Sessions sessions({.capacity = 100});
  std::vector<std::string> tokens;
  for (int i = 0; i < 250; ++i) tokens.push_back(sessions.Open(MakeSession("build", absl::Now())));
  for (int i = 0; i < 250; ++i) {
    INFO(i);
    CHECK(sessions.Find(tokens[i], kHere).ok() == (i >= 150));
  }
  CHECK(sessions.stats().open == 100);
  CHECK(sessions.stats().evicted == 150);
  CHECK(sessions.stats().opened == 250);
}

TEST_CASE("expired sessions are dropped before any that lives has to go") {
  base::ManualClock clock(kStart);
  Sessions sessions({.capacity = 10, .clock = &clock});
  const std::string old = sessions.Open(MakeSession("build", kStart, absl::Hours(9)));
  for (int i = 0; i < 9; ++i) sessions.Open(MakeSession("build", kStart, absl::Minutes(1)));
  clock.Advance(absl::Minutes(2));
  for (int i = 0; i < 9; ++i) sessions.Open(MakeSession("build", clock.Now()));
  CHECK_THAT(sessions.Find(old, kHere), IsOk());
  CHECK(sessions.stats().evicted == 0);
}

TEST_CASE("a caller's sessions are revoked and others' are not") {
  Sessions sessions({});
  std::vector<std::string> mine;
  for (int i = 0; i < 100; ++i) mine.push_back(sessions.Open(MakeSession("build", absl::Now())));
  const std::string other = sessions.Open(MakeSession("deploy", absl::Now()));
  CHECK(sessions.Revoke("build") == 100);
  CHECK(sessions.Revoke("build") == 0);
  for (const std::string& token : mine) {
    CHECK_THAT(sessions.Find(token, kHere), StatusIs(absl::StatusCode::kUnauthenticated));
  }
  CHECK_THAT(sessions.Find(other, kHere), IsOk());
  CHECK(sessions.Revoke("*") == 1);
  CHECK(sessions.stats().open == 0);
}

TEST_CASE("once Revoke has returned no thread finds a revoked session") {
  Sessions sessions({});
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> tokens;
    for (int i = 0; i < 64; ++i) tokens.push_back(sessions.Open(MakeSession("build", absl::Now())));
    std::atomic<bool> revoked{false};
    std::atomic<bool> stop{false};
    std::atomic<int> found_after{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (size_t i = t; !stop; ++i) {
          const bool was_revoked = revoked;
          if (sessions.Find(tokens[i % tokens.size()], kHere).ok() && was_revoked) ++found_after;
          if (t == 3) sessions.Open(MakeSession("deploy", absl::Now()));
        }
      });
    }
    CHECK(sessions.Revoke("build") == 64);
    revoked = true;
    for (const std::string& token : tokens) {
      CHECK_THAT(sessions.Find(token, kHere), StatusIs(absl::StatusCode::kUnauthenticated));
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    CHECK(found_after == 0);
    sessions.Revoke("*");
    CHECK(sessions.stats().open == 0);
  }
}

TEST_CASE("ten thousand sessions take less than a kilobyte each") {
  auto sessions = std::make_unique<Sessions>(Sessions::Options{});
  const size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 10'000; ++i) {
    Session session = MakeSession(absl::StrCat("caller-number-", i % 100), absl::Now());
    // A scope of each session's own, as it comes from a request.
    Scope scope;
    scope.operations = 2;
    for (int name = 0; name < 50; ++name) scope.names.push_back(absl::StrCat("keys/", 100 + name));
    session.scope = std::make_shared<Scope>(std::move(scope));
    session.transport = absl::StrCat("tls:", std::string(64, 'a'));
    sessions->Open(std::move(session));
  }
  const size_t after = mallinfo2().uordblks;
  CHECK(sessions->stats().open == 10'000);
  CHECK((after - before) / 10'000 < 1024);
}

}  // namespace
}  // namespace countersign::yubikey
