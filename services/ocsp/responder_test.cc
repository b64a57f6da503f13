#include "services/ocsp/responder.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/base/mutex.h"
#include "libs/pki/ocsp_response.h"
#include "libs/testing/matchers.h"
#include "services/ocsp/live_signer.h"
#include "services/ocsp/testing.h"

namespace countersign::ocsp {
namespace {

using pki::OcspError;
using pki::OcspHash;
using testing::IsOk;
using testing::RequireOk;
using Kind = Answer::Kind;
using Single = pki::OcspResponse::Single;

const absl::Time kNow = absl::FromUnixSeconds(1'795'000'030);

sign::v1::AuthoritySettings WithNonces() {
  sign::v1::AuthoritySettings settings;
  settings.set_ocsp_nonces(true);
  return settings;
}

sign::v1::AuthoritySettings WithSignedUnknown() {
  sign::v1::AuthoritySettings settings;
  settings.set_ocsp_signed_unknown(true);
  return settings;
}

// Certificate 1 is good, 2 revoked with a reason, 3 revoked without one.
struct Fixture {
  explicit Fixture(sign::v1::AuthoritySettings settings = {})
      : clock(kNow),
        authority(1, "Issuing", kNow, std::move(settings)),
        responder(&responses, &clock) {
    SetDirectory({&authority}, &responses);
    Put(authority, 1, authority.SignRecord(TestSerial(1), kNow));
    Put(authority, 2, authority.SignRecord(TestSerial(2), kNow, true, 1'794'000'000, 4));
    Put(authority, 3, authority.SignRecord(TestSerial(3), kNow, true, 1'794'000'001, 0));
    responses.Synchronised(3, kNow);
  }

  void Put(const TestAuthority& of, int64_t, const std::string& record) {
    REQUIRE(responses.index().Apply({{of.row.authority_id, record}}) == 0);
  }

  // As a transport would have it answered.
  Answer Ask(absl::string_view request) {
    body.clear();
    first = responder.TryAnswer(request, &body);
    if (first.kind != Kind::kNeedsSigning) return first;
    REQUIRE(body.empty());
    return responder.AnswerLive(request, &body);
  }
  // The answer, which has to be signed and right.
  pki::OcspResponse AskSigned(absl::string_view request) { return AskSigned(request, authority); }
  pki::OcspResponse AskSigned(absl::string_view request, const TestAuthority& by) {
    answer = Ask(request);
    REQUIRE(answer.kind != Kind::kError);
    pki::OcspResponse response = RequireOk(pki::ParseOcspResponse(body));
    REQUIRE(response.response_status == 0);
    REQUIRE_THAT(pki::CheckOcspResponse(response, by.certificate, clock.Now()), IsOk());
    for (const Single& single : response.singles) {
      CHECK(absl::ToUnixSeconds(single.this_update) == answer.this_update);
      CHECK(absl::ToUnixSeconds(single.next_update) == answer.next_update);
      CHECK(single.this_update <= clock.Now());
      CHECK(single.next_update > clock.Now());
    }
    return response;
  }
  // What it is refused with.
  OcspError AskRefused(absl::string_view request) {
    answer = Ask(request);
    REQUIRE(answer.kind == Kind::kError);
    CHECK(body == pki::OcspErrorResponse(answer.error));
    return answer.error;
  }

  base::ManualClock clock;
  TestAuthority authority;
  Responses responses;
  Responder responder;
  std::string body;
  Answer first;
  Answer answer;
};

TEST_CASE("Issued certificates are answered from memory, under the hash that was asked") {
  Fixture fixture;
  const OcspHash hash = GENERATE(OcspHash::kSha1, OcspHash::kSha256);
  const pki::OcspResponse good = fixture.AskSigned(fixture.authority.Request(TestSerial(1), hash));
  CHECK(fixture.answer.kind == Kind::kPresigned);
  REQUIRE(good.singles.size() == 1);
  CHECK(good.singles[0].kind == Single::Kind::kGood);
  CHECK(good.singles[0].hash == hash);
  CHECK(good.singles[0].serial == TestSerial(1));
  CHECK(good.nonce.empty());
  CHECK(good.certificates.size() == 1);
  CHECK(fixture.answer.max_age == 3600);

  const pki::OcspResponse revoked =
      fixture.AskSigned(fixture.authority.Request(TestSerial(2), hash));
  CHECK(fixture.answer.kind == Kind::kPresigned);
  CHECK(revoked.singles[0].kind == Single::Kind::kRevoked);
  CHECK(absl::ToUnixSeconds(revoked.singles[0].revocation_time) == 1'794'000'000);
  CHECK(revoked.singles[0].reason == 4);
  const pki::OcspResponse without_reason =
      fixture.AskSigned(fixture.authority.Request(TestSerial(3), hash));
  CHECK(without_reason.singles[0].kind == Single::Kind::kRevoked);
  CHECK(without_reason.singles[0].reason == 0);
}

TEST_CASE("SHA-384 and SHA-512 CertIDs are answered, by signing") {
  Fixture fixture;
  const OcspHash hash = GENERATE(OcspHash::kSha384, OcspHash::kSha512);
  const pki::OcspResponse revoked =
      fixture.AskSigned(fixture.authority.Request(TestSerial(2), hash));
  CHECK(fixture.answer.kind == Kind::kLive);
  CHECK(revoked.singles[0].kind == Single::Kind::kRevoked);
  CHECK(revoked.singles[0].hash == hash);
  CHECK(revoked.singles[0].reason == 4);
}

TEST_CASE("A serial number that was never issued is never good") {
  SECTION("It is unauthorized by default, under every hash") {
    Fixture fixture;
    for (const OcspHash hash :
         {OcspHash::kSha1, OcspHash::kSha256, OcspHash::kSha384, OcspHash::kSha512}) {
      CHECK(fixture.AskRefused(fixture.authority.Request(TestSerial(4), hash)) ==
            OcspError::kUnauthorized);
    }
    // Nor is one that shares all but the end, or nothing, with one that was.
    CHECK(fixture.AskRefused(fixture.authority.Request(TestSerial(1).substr(0, 15))) ==
          OcspError::kUnauthorized);
    CHECK(fixture.AskRefused(fixture.authority.Request(std::string(1, '\0'))) ==
          OcspError::kUnauthorized);
  }
  SECTION("It is a signed unknown where the authority wants that, not to be kept by caches") {
    Fixture fixture(WithSignedUnknown());
    const pki::OcspResponse response = fixture.AskSigned(fixture.authority.Request(TestSerial(4)));
    CHECK(response.singles[0].kind == Single::Kind::kUnknown);
    CHECK(fixture.answer.max_age == 0);
    CHECK(fixture.answer.next_update <= absl::ToUnixSeconds(kNow) + 300);
  }
}

TEST_CASE("Nobody is answered for another issuer") {
  Fixture fixture(WithSignedUnknown());
  const TestAuthority other(2, "Other", kNow);
  SECTION("that is not ours") {
    CHECK(fixture.AskRefused(other.Request(TestSerial(1))) == OcspError::kUnauthorized);
  }
  SECTION("that is ours too: its certificates are its own") {
    SetDirectory({&fixture.authority, &other}, &fixture.responses);
    CHECK(fixture.AskRefused(other.Request(TestSerial(1))) == OcspError::kUnauthorized);
    fixture.Put(other, 1, other.SignRecord(TestSerial(1), kNow, true, 1'794'000'005));
    CHECK(fixture.AskSigned(other.Request(TestSerial(1)), other).singles[0].kind ==
          Single::Kind::kRevoked);
    CHECK(fixture.AskSigned(fixture.authority.Request(TestSerial(1))).singles[0].kind ==
          Single::Kind::kGood);
  }
  SECTION("that has our name and another key, or our key and another name") {
    const TestAuthority same_name(3, "Issuing", kNow);
    const std::string by_name =
        pki::BuildOcspRequest(OcspHash::kSha256, fixture.authority.certificate.subject_der,
                              same_name.certificate.key_bits, TestSerial(1));
    const std::string by_key =
        pki::BuildOcspRequest(OcspHash::kSha256, other.certificate.subject_der,
                              fixture.authority.certificate.key_bits, TestSerial(1));
    CHECK(fixture.AskRefused(by_name) == OcspError::kUnauthorized);
    CHECK(fixture.AskRefused(by_key) == OcspError::kUnauthorized);
    // A key of its own makes it an issuer of its own, beside the old one.
    SetDirectory({&fixture.authority, &same_name}, &fixture.responses);
    fixture.Put(same_name, 9, same_name.SignRecord(TestSerial(9), kNow));
    CHECK(fixture.AskSigned(same_name.Request(TestSerial(9)), same_name).singles.size() == 1);
    CHECK(fixture.AskRefused(same_name.Request(TestSerial(1))) == OcspError::kUnauthorized);
  }
}

TEST_CASE("An authority that two tenants have is looked for under both") {
  Fixture fixture;
  TestAuthority imported = fixture.authority;
  imported.row.authority_id = 7;
  imported.row.name = "tenants/other/authorities/issuing";
  for (TestSigner& signer : imported.signers) signer.row.authority_id = 7;
  SetDirectory({&fixture.authority, &imported}, &fixture.responses);
  fixture.Put(imported, 9, imported.SignRecord(TestSerial(9), kNow));
  CHECK(fixture.AskSigned(imported.Request(TestSerial(9))).singles[0].kind == Single::Kind::kGood);
  CHECK(fixture.AskSigned(imported.Request(TestSerial(1))).singles[0].kind == Single::Kind::kGood);
  // Both in one request are of one issuer.
  const std::vector<std::string> both = {imported.Request(TestSerial(9)),
                                         imported.Request(TestSerial(2))};
  CHECK(fixture.AskSigned(JoinRequests(both)).singles.size() == 2);
}

TEST_CASE("Nonces are echoed byte by byte where they are answered, and ignored elsewhere") {
  const size_t size = GENERATE(1u, 15u, 16u, 32u, 33u, 128u);
  const std::string nonce = std::string(size - 1, '\x80') + '\0';
  SECTION("answered") {
    Fixture fixture(WithNonces());
    const pki::OcspResponse response =
        fixture.AskSigned(fixture.authority.Request(TestSerial(1), OcspHash::kSha256, nonce));
    CHECK(fixture.answer.kind == Kind::kLive);
    CHECK(fixture.answer.nonce);
    CHECK(response.nonce == nonce);
    CHECK(response.singles[0].kind == Single::Kind::kGood);
    CHECK(response.singles[0].hash == OcspHash::kSha256);
    // Nobody else gets it.
    CHECK(fixture.AskSigned(fixture.authority.Request(TestSerial(1))).nonce.empty());
    CHECK(fixture.answer.kind == Kind::kPresigned);
  }
  SECTION("ignored") {
    Fixture fixture;
    const pki::OcspResponse response =
        fixture.AskSigned(fixture.authority.Request(TestSerial(1), OcspHash::kSha1, nonce));
    CHECK(fixture.answer.kind == Kind::kPresigned);
    CHECK_FALSE(fixture.answer.nonce);
    CHECK(response.nonce.empty());
  }
}

TEST_CASE("A nonce that is too long is malformed, whether nonces are answered or not") {
  Fixture fixture(GENERATE(0, 1) == 1 ? WithNonces() : sign::v1::AuthoritySettings());
  CHECK(fixture.AskRefused(
            fixture.authority.Request(TestSerial(1), OcspHash::kSha1, std::string(129, 'n'))) ==
        OcspError::kMalformedRequest);
}

TEST_CASE("Several CertIDs are all answered, each once") {
  Fixture fixture;
  const TestAuthority& authority = fixture.authority;
  SECTION("of one issuer, under different hashes, one of them twice, one never issued") {
    const std::vector<std::string> requests = {
        authority.Request(TestSerial(1)), authority.Request(TestSerial(2), OcspHash::kSha256),
        authority.Request(TestSerial(1)), authority.Request(TestSerial(3), OcspHash::kSha512),
        authority.Request(TestSerial(4))};
    const pki::OcspResponse response = fixture.AskSigned(JoinRequests(requests));
    CHECK(fixture.answer.kind == Kind::kLive);
    REQUIRE(response.singles.size() == 4);
    CHECK(response.singles[0].kind == Single::Kind::kGood);
    CHECK(response.singles[0].serial == TestSerial(1));
    CHECK(response.singles[1].kind == Single::Kind::kRevoked);
    CHECK(response.singles[1].hash == OcspHash::kSha256);
    CHECK(response.singles[2].kind == Single::Kind::kRevoked);
    CHECK(response.singles[2].hash == OcspHash::kSha512);
    CHECK(response.singles[3].kind == Single::Kind::kUnknown);
    CHECK(response.singles[3].serial == TestSerial(4));
  }
  SECTION("none of which was issued: as one of them") {
    const std::vector<std::string> requests = {authority.Request(TestSerial(4)),
                                               authority.Request(TestSerial(5))};
    CHECK(fixture.AskRefused(JoinRequests(requests)) == OcspError::kUnauthorized);
  }
  SECTION("of two issuers, ours or not, are refused: a delegate speaks for one") {
    const TestAuthority other(2, "Other", kNow);
    const std::vector<std::string> requests = {authority.Request(TestSerial(1)),
                                               other.Request(TestSerial(1))};
    CHECK(fixture.AskRefused(JoinRequests(requests)) == OcspError::kUnauthorized);
    SetDirectory({&authority, &other}, &fixture.responses);
    fixture.Put(other, 1, other.SignRecord(TestSerial(1), kNow));
    CHECK(fixture.AskRefused(JoinRequests(requests)) == OcspError::kUnauthorized);
  }
  SECTION("as many as fit into a request") {
    std::vector<std::string> requests;
    for (int i = 0; i < 200; ++i) requests.push_back(authority.Request(TestSerial(1 + i % 3)));
    CHECK(fixture.AskSigned(JoinRequests(requests)).singles.size() == 3);
    requests.clear();
    for (int i = 0; i < 1000; ++i) requests.push_back(authority.Request(TestSerial(i)));
    CHECK(fixture.AskRefused(JoinRequests(requests)) == OcspError::kMalformedRequest);
  }
}

TEST_CASE("What is no request is malformed, and nothing of it is looked at") {
  Fixture fixture;
  const std::string good = fixture.authority.Request(TestSerial(1));
  CHECK(fixture.AskRefused("") == OcspError::kMalformedRequest);
  CHECK(fixture.AskRefused("garbage") == OcspError::kMalformedRequest);
  CHECK(fixture.AskRefused(good + '\0') == OcspError::kMalformedRequest);
  CHECK(fixture.AskRefused(std::string(1'000'000, '\x30')) == OcspError::kMalformedRequest);
  for (size_t size = 0; size < good.size(); ++size) {
    CHECK(fixture.AskRefused(good.substr(0, size)) == OcspError::kMalformedRequest);
  }
}

TEST_CASE("A critical extension that is not understood is not honoured") {
  Fixture fixture(WithNonces());
  // The nonce's extension becomes one of another OID, critical or not.
  const auto with_extension = [&](bool critical) {
    std::string request =
        fixture.authority.Request(TestSerial(1), OcspHash::kSha1, std::string(16, 'n'));
    const std::string oid("\x2b\x06\x01\x05\x05\x07\x30\x01\x02", 9);
    const size_t at = request.find(oid);
    REQUIRE(at != std::string::npos);
    request[at + 8] = '\x7f';
    if (critical) {
      // A BOOLEAN behind the OID; the four SEQUENCEs and the tag around it grow by three bytes.
      request.insert(at + 9, "\x01\x01\xff", 3);
      const size_t extension = at - 4;
      for (const size_t length :
           {extension + 1, extension - 1, extension - 3, size_t{3}, size_t{1}}) {
        request[length] = static_cast<char>(static_cast<uint8_t>(request[length]) + 3);
      }
    }
    return request;
  };
  CHECK(fixture.AskSigned(with_extension(false)).nonce.empty());
  const std::string critical = with_extension(true);
  if (const auto parsed = pki::ParseOcspRequest(critical); parsed.ok()) {
    CHECK(parsed->unknown_critical_extension);
    CHECK(fixture.AskRefused(critical) == OcspError::kUnauthorized);
  } else {
    FAIL("the test's own request does not parse: " << parsed.status().message());
  }
}

TEST_CASE("Nothing is served past its nextUpdate; what is past it is signed anew on demand") {
  Fixture fixture;
  const std::string request = fixture.authority.Request(TestSerial(1));
  const pki::OcspResponse before = fixture.AskSigned(request);
  CHECK(fixture.answer.kind == Kind::kPresigned);
  const absl::Time last = before.singles[0].next_update - absl::Seconds(1);
  fixture.clock.Set(last);
  fixture.responses.Synchronised(3, last);
  fixture.AskSigned(request);
  CHECK(fixture.answer.kind == Kind::kPresigned);
  CHECK(fixture.answer.max_age == 1);
  fixture.clock.Advance(absl::Seconds(1));
  fixture.responses.Synchronised(3, fixture.clock.Now());
  fixture.AskSigned(request);
  CHECK(fixture.answer.kind == Kind::kLive);
  CHECK(fixture.answer.max_age == 3600);
}

TEST_CASE(
    "While the database is down, what is valid is served and what is not known is not refused") {
  Fixture fixture;
  const std::string known = fixture.authority.Request(TestSerial(1));
  const std::string unknown = fixture.authority.Request(TestSerial(4));
  fixture.clock.Advance(absl::Seconds(2));
  CHECK(fixture.AskRefused(unknown) == OcspError::kUnauthorized);
  fixture.clock.Advance(absl::Seconds(1));
  CHECK(fixture.AskRefused(unknown) == OcspError::kTryLater);
  const std::vector<std::string> both = {known, unknown};
  CHECK(fixture.AskRefused(JoinRequests(both)) == OcspError::kTryLater);
  fixture.AskSigned(known);
  CHECK(fixture.answer.kind == Kind::kPresigned);

  // Signed on demand, it says when that was known.
  const std::string live = fixture.authority.Request(TestSerial(1), OcspHash::kSha512);
  fixture.clock.Advance(absl::Hours(90));
  fixture.AskSigned(live);
  CHECK(fixture.answer.this_update == absl::ToUnixSeconds(kNow) - 10);
  CHECK(absl::ToUnixSeconds(kNow) % 60 == 10);
  // Longer than a response's life: nothing can be said.
  fixture.clock.Advance(absl::Hours(6));
  CHECK(fixture.AskRefused(live) == OcspError::kTryLater);
  CHECK(fixture.AskRefused(known) == OcspError::kTryLater);
}

TEST_CASE("A serial number is not refused while a change is known to be on its way") {
  Fixture fixture;
  const std::string unknown = fixture.authority.Request(TestSerial(4));
  fixture.responses.SetAwaited(4);
  CHECK(fixture.AskRefused(unknown) == OcspError::kTryLater);
  fixture.responses.Synchronised(4, kNow);
  CHECK(fixture.AskRefused(unknown) == OcspError::kUnauthorized);
}

TEST_CASE("Before anything is read all is to be tried later") {
  const TestAuthority authority(1, "Issuing", kNow);
  const Responses responses;
  const base::ManualClock clock(kNow);
  const Responder responder(&responses, &clock);
  std::string body;
  CHECK(responder.TryAnswer(authority.Request(TestSerial(1)), &body).error == OcspError::kTryLater);
  CHECK(body == pki::OcspErrorResponse(OcspError::kTryLater));
}

TEST_CASE("A revocation within the minute is not told as of before it") {
  Fixture fixture;
  const int64_t revoked = absl::ToUnixSeconds(kNow) - 3;
  fixture.Put(fixture.authority, 5,
              fixture.authority.SignRecord(TestSerial(5), kNow, true, revoked));
  fixture.AskSigned(fixture.authority.Request(TestSerial(5), OcspHash::kSha512));
  CHECK(fixture.answer.this_update == revoked);
  fixture.AskSigned(fixture.authority.Request(TestSerial(1), OcspHash::kSha512));
  CHECK(fixture.answer.this_update == absl::ToUnixSeconds(kNow) - 10);
}

TEST_CASE("The newest valid signer signs, and no response outlives its signer") {
  Fixture fixture;
  TestAuthority& authority = fixture.authority;
  const std::string live = authority.Request(TestSerial(1), OcspHash::kSha512);
  const std::string old_signer = fixture.AskSigned(live).certificates[0];
  // Not valid yet: the old one goes on.
  authority.AddSigner(11, kNow + absl::Hours(1), kNow + absl::Hours(3));
  SetDirectory({&authority}, &fixture.responses);
  CHECK(fixture.AskSigned(live).certificates[0] == old_signer);
  fixture.clock.Advance(absl::Hours(2));
  fixture.responses.Synchronised(3, fixture.clock.Now());
  CHECK(fixture.AskSigned(live).certificates[0] == authority.signers[1].row.certificate);
  CHECK(fixture.answer.next_update == absl::ToUnixSeconds(kNow + absl::Hours(3)));
  // What the old one signed before stays good as long as it is valid.
  CHECK(fixture.AskSigned(authority.Request(TestSerial(1))).certificates[0] == old_signer);
  CHECK(fixture.answer.kind == Kind::kPresigned);
}

TEST_CASE("Records of a signer that is not there, or not signed, are signed on demand") {
  Fixture fixture;
  const TestAuthority& authority = fixture.authority;
  pki::OcspRecord record =
      RequireOk(pki::UnpackOcspRecord(authority.SignRecord(TestSerial(1), kNow)));
  const std::string packed = authority.SignRecord(TestSerial(1), kNow);
  record = RequireOk(pki::UnpackOcspRecord(packed));
  SECTION("another signer") { record.signer_id = 99; }
  SECTION("not signed") {
    record.sha1_signature = "";
    record.sha256_signature = "";
  }
  SECTION("beyond the signer's end") {
    record.status.next_update = absl::ToUnixSeconds(kNow + absl::Hours(24 * 60));
  }
  SECTION("from the future") { record.status.this_update = absl::ToUnixSeconds(kNow) + 60; }
  fixture.Put(authority, 1, pki::PackOcspRecord(record));
  CHECK(fixture.AskSigned(authority.Request(TestSerial(1))).singles[0].kind == Single::Kind::kGood);
  CHECK(fixture.answer.kind == Kind::kLive);
}

TEST_CASE("Without a key nothing new is signed, and what was signed is served") {
  Fixture fixture;
  TestAuthority altered = fixture.authority;
  altered.signers[0].row.sealed_key[40] ^= 1;
  fixture.responses.SetDirectory(std::make_shared<Directory>());
  SetDirectory({&altered}, &fixture.responses);
  fixture.AskSigned(altered.Request(TestSerial(1)));
  CHECK(fixture.answer.kind == Kind::kPresigned);
  CHECK(fixture.AskRefused(altered.Request(TestSerial(1), OcspHash::kSha512)) ==
        OcspError::kTryLater);
}

TEST_CASE("Every kind of key that signs certificates signs responses") {
  const auto algorithm =
      GENERATE(crypto::Algorithm::kEcdsaP384Sha384, crypto::Algorithm::kEd25519,
               crypto::Algorithm::kRsaPss2048Sha256, crypto::Algorithm::kRsaPkcs1_2048Sha256);
  const base::ManualClock clock(kNow);
  const TestAuthority authority(1, "Issuing", kNow, {}, algorithm);
  Responses responses;
  SetDirectory({&authority}, &responses);
  responses.index().Apply({{1, authority.SignRecord(TestSerial(1), kNow)}});
  responses.Synchronised(1, kNow);
  const Responder responder(&responses, &clock);
  for (const OcspHash hash : {OcspHash::kSha256, OcspHash::kSha384}) {
    const std::string request = authority.Request(TestSerial(1), hash);
    std::string body;
    if (responder.TryAnswer(request, &body).kind == Kind::kNeedsSigning) {
      CHECK(responder.AnswerLive(request, &body).kind == Kind::kLive);
    }
    const pki::OcspResponse response = RequireOk(pki::ParseOcspResponse(body));
    CHECK_THAT(pki::CheckOcspResponse(response, authority.certificate, kNow), IsOk());
  }
}

TEST_CASE("Beyond its queue the live signer says to try later, at once, and goes on after") {
  Fixture fixture(WithNonces());
  const std::string request =
      fixture.authority.Request(TestSerial(1), OcspHash::kSha1, std::string(32, 'n'));
  base::Mutex mutex;
  base::CondVar changed;
  bool go_on = false;
  int answered = 0;
  std::atomic<int> later{0};
  {
    LiveSigner live({.responder = &fixture.responder, .threads = 1, .max_queue = 3});
    const auto hold = [&](const Answer& answer, std::string) {
      if (answer.kind == Kind::kError) {
        ++later;
        return;
      }
      base::MutexLock lock(&mutex);
      changed.Wait(&mutex, [&] { return go_on; });
      ++answered;
      changed.NotifyAll();
    };
    live.Submit(request, hold);
    // Its place is free again once it is signed; it holds the only thread.
    while (live.depth() != 0) std::this_thread::yield();
    for (int i = 0; i < 10; ++i) live.Submit(request, hold);
    CHECK(live.depth() == 3);
    CHECK(later == 7);
    {
      base::MutexLock lock(&mutex);
      go_on = true;
      changed.NotifyAll();
      changed.Wait(&mutex, [&] { return answered == 4; });
    }
    CHECK(live.depth() == 0);
    live.Submit(request, hold);
  }
  // The destructor answers what is queued.
  CHECK(answered == 5);
  CHECK(later == 7);
}

}  // namespace
}  // namespace countersign::ocsp
