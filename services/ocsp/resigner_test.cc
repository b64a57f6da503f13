#include "services/ocsp/resigner.h"

#include <atomic>
#include <string>
#include <thread>

#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/pki/ocsp_response.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "services/ocsp/responder.h"
#include "services/ocsp/testing.h"

namespace countersign::ocsp {
namespace {

using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;

const absl::Time kNow = absl::FromUnixSeconds(1'795'000'030);

struct Fixture {
  explicit Fixture(int64_t count = 200)
      : clock(kNow), authority(1, "Issuing", kNow), responder(&responses, &clock) {
    SetDirectory({&authority}, &responses);
    for (int64_t i = 0; i < count; ++i) Put(authority.SignRecord(TestSerial(i), kNow));
    responses.Synchronised(count, kNow);
  }

  void Put(const std::string& record) { REQUIRE(responses.index().Apply({{1, record}}) == 0); }
  void Advance(absl::Duration by) {
    clock.Advance(by);
    responses.Synchronised(responses.change_number(), clock.Now());
  }
  // How the certificate is answered, checked.
  Answer Ask(int64_t number, pki::OcspHash hash = pki::OcspHash::kSha256) {
    std::string body;
    const Answer answer = responder.TryAnswer(authority.Request(TestSerial(number), hash), &body);
    if (answer.kind == Answer::Kind::kPresigned) {
      response = RequireOk(pki::ParseOcspResponse(body));
      REQUIRE_THAT(pki::CheckOcspResponse(response, authority.certificate, clock.Now()), IsOk());
    }
    return answer;
  }

  base::ManualClock clock;
  TestAuthority authority;
  Responses responses;
  Responder responder;
  pki::OcspResponse response;
};

TEST_CASE("Nothing is signed anew before its time, everything within its second half of life") {
  Fixture fixture;
  Resigner resigner({.responses = &fixture.responses, .threads = 2, .clock = &fixture.clock});
  // The first run compares signers.
  CHECK(resigner.RunOnce(false).resigned == 0);
  fixture.Advance(absl::Hours(35));
  CHECK(resigner.RunOnce(false).seen == 0);
  int64_t resigned = 0;
  int runs = 0;
  for (; fixture.clock.Now() < kNow + absl::Hours(48); fixture.Advance(absl::Minutes(10))) {
    const Resigner::Outcome outcome = resigner.RunOnce(false);
    // Spread: never all at once.
    CHECK(outcome.resigned < 100);
    if (outcome.resigned > 0) ++runs;
    resigned += outcome.resigned;
  }
  resigned += resigner.RunOnce(false).resigned;
  CHECK(resigned == 200);
  CHECK(runs > 10);
  CHECK(resigner.resigned() == 200);
  for (int64_t i = 0; i < 200; ++i) {
    for (const pki::OcspHash hash : {pki::OcspHash::kSha1, pki::OcspHash::kSha256}) {
      const Answer answer = fixture.Ask(i, hash);
      CHECK(answer.kind == Answer::Kind::kPresigned);
      CHECK(answer.this_update % 60 == 0);
      CHECK(answer.this_update > absl::ToUnixSeconds(kNow + absl::Hours(35)));
      CHECK(answer.next_update - answer.this_update == 96 * 3600);
    }
  }
}

TEST_CASE("A rotated signer has everything signed by it, with what was revoked still revoked") {
  Fixture fixture;
  fixture.Put(fixture.authority.SignRecord(TestSerial(7), kNow, true, 1'794'000'000, 1));
  Resigner resigner({.responses = &fixture.responses, .threads = 2, .clock = &fixture.clock});
  CHECK(resigner.RunOnce(false).resigned == 0);
  fixture.authority.AddSigner(11, kNow - absl::Hours(1), kNow + absl::Hours(24));
  SetDirectory({&fixture.authority}, &fixture.responses);
  CHECK(resigner.RunOnce(false).resigned == 200);
  CHECK(resigner.RunOnce(false).seen == 0);
  for (int64_t i = 0; i < 200; ++i) {
    REQUIRE(fixture.Ask(i).kind == Answer::Kind::kPresigned);
    CHECK(fixture.response.certificates[0] == fixture.authority.signers[1].row.certificate);
    // Not beyond the signer's end.
    CHECK(fixture.response.singles[0].next_update == kNow + absl::Hours(24));
    CHECK((fixture.response.singles[0].kind == pki::OcspResponse::Single::Kind::kRevoked) ==
          (i == 7));
  }
}

TEST_CASE("Expired certificates are dropped, unsigned records signed, all on demand") {
  Fixture fixture(10);
  fixture.Put(fixture.authority.SignRecord(TestSerial(100), kNow, false, 0, 0, absl::Hours(96),
                                           absl::Hours(1)));
  pki::OcspStatus status;
  const std::string serial = TestSerial(101);
  status.serial = serial;
  status.this_update = absl::ToUnixSeconds(kNow);
  status.next_update = status.this_update + 3600;
  fixture.Put(pki::PackOcspRecord({.status = status, .not_after = status.this_update + 1'000'000}));
  CHECK(fixture.Ask(101).kind == Answer::Kind::kNeedsSigning);
  Resigner resigner({.responses = &fixture.responses, .threads = 1, .clock = &fixture.clock});
  CHECK(resigner.RunOnce(false).resigned == 1);
  CHECK(fixture.Ask(101).kind == Answer::Kind::kPresigned);

  const Resigner::Outcome all = resigner.RunOnce(true);
  CHECK(all.seen == 12);
  CHECK(all.resigned == 12);
  CHECK(all.dropped == 0);
  fixture.Advance(absl::Hours(26));
  const Resigner::Outcome later = resigner.RunOnce(true);
  CHECK(later.dropped == 1);
  CHECK(later.resigned == 11);
  CHECK(fixture.responses.index().size() == 11);
}

TEST_CASE("While the database is down nothing is said to be known later than it was") {
  Fixture fixture(50);
  Resigner resigner({.responses = &fixture.responses, .threads = 1, .clock = &fixture.clock});
  fixture.Advance(absl::Hours(1));
  const int64_t last_heard = absl::ToUnixSeconds(fixture.clock.Now());
  fixture.clock.Advance(absl::Hours(60));
  CHECK(resigner.RunOnce(false).resigned == 50);
  CHECK(fixture.Ask(1).kind == Answer::Kind::kPresigned);
  CHECK(fixture.response.singles[0].this_update <= absl::FromUnixSeconds(last_heard));
  // And not again and again.
  fixture.clock.Advance(absl::Hours(1));
  CHECK(resigner.RunOnce(false).resigned == 0);
  CHECK(resigner.RunOnce(false).seen == 0);
}

TEST_CASE("A revocation that comes during a run is not undone by it") {
  Fixture fixture(2000);
  Resigner resigner({.responses = &fixture.responses, .threads = 2, .clock = &fixture.clock});
  std::atomic<bool> stop{false};
  std::thread runs([&] {
    while (!stop) resigner.RunOnce(true);
  });
  for (int64_t i = 0; i < 300; ++i) {
    fixture.Put(fixture.authority.SignRecord(TestSerial(i), kNow, true, 1'794'000'000, 1));
    fixture.Ask(i);
    CHECK(fixture.response.singles[0].kind == pki::OcspResponse::Single::Kind::kRevoked);
  }
  stop = true;
  runs.join();
  for (int64_t i = 0; i < 2000; ++i) {
    REQUIRE(fixture.Ask(i).kind == Answer::Kind::kPresigned);
    CHECK((fixture.response.singles[0].kind == pki::OcspResponse::Single::Kind::kRevoked) ==
          (i < 300));
  }
}

TEST_CASE("Started, it works by itself") {
  Fixture fixture(20);
  Resigner resigner({.responses = &fixture.responses,
                     .threads = 1,
                     .clock = &fixture.clock,
                     .interval = absl::Milliseconds(1)});
  fixture.Advance(absl::Hours(60));
  resigner.Start();
  CHECK(Eventually([&] { return resigner.resigned() == 20; }));
}

}  // namespace
}  // namespace countersign::ocsp
