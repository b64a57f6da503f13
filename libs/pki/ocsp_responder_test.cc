#include "libs/pki/ocsp_responder.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/pki/ocsp_response.h"
#include "libs/pki/oid.h"
#include "libs/pki/signature.h"
#include "libs/pki/test_authority.h"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;
using Kind = OcspResponse::Single::Kind;

constexpr crypto::Algorithm kP256 = crypto::Algorithm::kEcdsaP256Sha256;
constexpr OcspHash kHashes[] = {OcspHash::kSha1, OcspHash::kSha256, OcspHash::kSha384,
                                OcspHash::kSha512};
constexpr int64_t kNow = 1'790'000'000;
constexpr absl::string_view kSerial("\x4F\x01\x02", 3);

OcspStatus Good() { return {.serial = kSerial, .this_update = kNow, .next_update = kNow + 86400}; }
OcspStatus Revoked(uint8_t reason) {
  return {.serial = kSerial,
          .revoked = true,
          .revocation_time = kNow - 60,
          .reason = reason,
          .this_update = kNow,
          .next_update = kNow + 86400};
}

class Fixture {
 public:
  Fixture() : root_(MakeTestRoot(kP256)), responder_(Make(root_.certificate)) {}

  std::unique_ptr<const OcspResponder> Make(const Certificate& signer) const {
    return RequireOk(OcspResponder::Create(root_.certificate, signer, kP256));
  }
  std::string Response(const OcspStatus& status, OcspHash hash) const {
    std::string tbs;
    responder_->AppendTbs(status, hash, &tbs);
    std::string response;
    responder_->AppendResponse(status, hash, RequireOk(root_.key.SignMessage(tbs)), &response);
    return response;
  }
  std::string RequestFor(OcspHash hash, absl::string_view serial = kSerial) const {
    return BuildOcspRequest(hash, root_.certificate.subject_der, root_.certificate.key_bits,
                            serial);
  }

  const TestIdentity root_;
  const std::unique_ptr<const OcspResponder> responder_;
};

TEST_CASE("Errors are five bytes, unsigned") {
  CHECK(OcspErrorResponse(OcspError::kMalformedRequest) == "\x30\x03\x0A\x01\x01");
  CHECK(OcspErrorResponse(OcspError::kUnauthorized) == "\x30\x03\x0A\x01\x06");
  for (const OcspError error :
       {OcspError::kMalformedRequest, OcspError::kInternalError, OcspError::kTryLater,
        OcspError::kSigRequired, OcspError::kUnauthorized}) {
    CHECK(RequireOk(ParseOcspResponse(OcspErrorResponse(error))).response_status ==
          static_cast<int>(error));
  }
}

TEST_CASE_METHOD(Fixture, "A good certificate's response says so, by key, with both times") {
  for (const OcspHash hash : kHashes) {
    const OcspResponse response = RequireOk(ParseOcspResponse(Response(Good(), hash)));
    CHECK(response.response_status == 0);
    CHECK(response.responder_key_hash == OcspDigest(OcspHash::kSha1, root_.certificate.key_bits));
    CHECK(response.produced_at == absl::FromUnixSeconds(kNow));
    CHECK(response.certificates.empty());
    CHECK(response.nonce.empty());
    REQUIRE(response.singles.size() == 1);
    const OcspResponse::Single& single = response.singles[0];
    CHECK(single.kind == Kind::kGood);
    CHECK(single.hash == hash);
    CHECK(single.issuer_name_hash == OcspDigest(hash, root_.certificate.subject_der));
    CHECK(single.issuer_key_hash == OcspDigest(hash, root_.certificate.key_bits));
    CHECK(single.serial == kSerial);
    CHECK(single.this_update == absl::FromUnixSeconds(kNow));
    CHECK(single.next_update == absl::FromUnixSeconds(kNow + 86400));
    CHECK_THAT(CheckOcspResponse(response, root_.certificate, absl::FromUnixSeconds(kNow)), IsOk());
  }
}

TEST_CASE_METHOD(Fixture, "A revoked certificate's response has its reason, unless unspecified") {
  for (const int reason : {0, 1, 2, 3, 4, 5, 6, 8, 9, 10}) {
    const std::string der = Response(Revoked(reason), OcspHash::kSha256);
    const OcspResponse response = RequireOk(ParseOcspResponse(der));
    const OcspResponse::Single& single = response.singles.at(0);
    CHECK(single.kind == Kind::kRevoked);
    CHECK(single.reason == reason);
    CHECK(single.revocation_time == absl::FromUnixSeconds(kNow - 60));
    CHECK_THAT(CheckOcspResponse(response, root_.certificate, absl::FromUnixSeconds(kNow)), IsOk());
    const std::string enumerated = absl::StrCat("\xA0\x03\x0A\x01", std::string(1, reason));
    CHECK(absl::StrContains(der, enumerated) == (reason != 0));
  }
}

TEST_CASE_METHOD(Fixture, "What is signed is what stands in the response") {
  for (const OcspStatus& status : {Good(), Revoked(0), Revoked(1)}) {
    std::string tbs = "before";
    responder_->AppendTbs(status, OcspHash::kSha1, &tbs);
    CHECK(tbs.substr(0, 6) == "before");
    tbs.erase(0, 6);
    std::string der = "before";
    responder_->AppendResponse(status, OcspHash::kSha1, "signature", &der);
    CHECK(der.substr(0, 6) == "before");
    const OcspResponse response = RequireOk(ParseOcspResponse(der.substr(6)));
    CHECK(response.tbs == tbs);
    CHECK(response.signature == "signature");
    CHECK(response.signature_algorithm == SignatureAlgorithmDer(kP256));
    CHECK(responder_->Assemble(tbs, "signature") == der.substr(6));
  }
}

TEST_CASE_METHOD(Fixture, "Lengths are right whatever the signature's and the serial's sizes") {
  for (size_t size = 0; size < 700; size += 7) {
    const std::string signature(size, 's');
    std::string der;
    responder_->AppendResponse(Good(), OcspHash::kSha512, signature, &der);
    CHECK(RequireOk(ParseOcspResponse(der)).signature == signature);
  }
  for (size_t size = 1; size <= 20; ++size) {
    for (const char first : {'\x01', '\x7F', '\x80', '\xFF'}) {
      OcspStatus status = Good();
      const std::string serial = first + std::string(size - 1, '\0');
      status.serial = serial;
      std::string der;
      responder_->AppendResponse(status, OcspHash::kSha256, "s", &der);
      CHECK(RequireOk(ParseOcspResponse(der)).singles.at(0).serial == serial);
    }
  }
}

TEST_CASE_METHOD(Fixture, "Times are the calendar's") {
  std::vector<int64_t> times = {
      0, 951'782'399, 951'782'400, 951'868'800, 4'102'444'799, 4'107'542'400, 253'402'300'799};
  for (int64_t time = 1; time < 253'402'300'799; time += 86'400 * 29 + 12'345)
    times.push_back(time);
  for (const int64_t time : times) {
    OcspStatus status = Good();
    status.this_update = time;
    std::string der;
    responder_->AppendResponse(status, OcspHash::kSha1, "s", &der);
    const auto response = ParseOcspResponse(der);
    if (!response.ok() || response->produced_at != absl::FromUnixSeconds(time)) {
      FAIL(time << " " << response.status());
    }
  }
}

TEST_CASE_METHOD(Fixture, "A CertID matches by name and key, under its hash") {
  const TestIdentity other = MakeTestRoot(kP256, "CN=Other");
  for (const OcspHash hash : kHashes) {
    const auto matches = [&](absl::string_view name, absl::string_view key) {
      const std::string der = BuildOcspRequest(hash, name, key, kSerial);
      return responder_->Matches(RequireOk(ParseOcspRequest(der)).cert_ids[0]);
    };
    const Certificate& ours = root_.certificate;
    CHECK(matches(ours.subject_der, ours.key_bits));
    CHECK_FALSE(matches(other.certificate.subject_der, ours.key_bits));
    CHECK_FALSE(matches(ours.subject_der, other.certificate.key_bits));
  }
  const std::string der = RequestFor(OcspHash::kSha1);
  OcspCertId id = RequireOk(ParseOcspRequest(der)).cert_ids[0];
  CHECK(responder_->Matches(id));
  id.hash = OcspHash::kSha256;
  CHECK_FALSE(responder_->Matches(id));
  id.hash = OcspHash::kSha1;
  id.known_hash = false;
  CHECK_FALSE(responder_->Matches(id));
  id.known_hash = true;
  id.negative_serial = true;
  CHECK_FALSE(responder_->Matches(id));
}

TEST_CASE_METHOD(Fixture, "A delegate's certificate is carried, and no other") {
  const TestIdentity signer = IssueTest(root_, TestOcspSignerTemplate("CN=Responder"));
  const auto responder = Make(signer.certificate);
  std::string tbs;
  responder->AppendTbs(Good(), OcspHash::kSha256, &tbs);
  std::string der;
  responder->AppendResponse(Good(), OcspHash::kSha256, RequireOk(signer.key.SignMessage(tbs)),
                            &der);
  CHECK(der.size() < signer.certificate.der.size() + OcspResponder::kResponseOverhead);
  const OcspResponse response = RequireOk(ParseOcspResponse(der));
  CHECK(response.certificates == std::vector<std::string>{signer.certificate.der});
  CHECK(response.responder_key_hash == OcspDigest(OcspHash::kSha1, signer.certificate.key_bits));
}

TEST_CASE_METHOD(Fixture, "Only the issuer and its OCSP signers sign for it") {
  const auto create = [&](const Certificate& signer, crypto::Algorithm algorithm) {
    return OcspResponder::Create(root_.certificate, signer, algorithm);
  };
  constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
  const TestIdentity leaf = IssueTest(root_, TestLeafTemplate("a.example"));
  CHECK_THAT(create(leaf.certificate, kP256), StatusIs(kInvalid, "id-kp-OCSPSigning"));
  const TestIdentity other = MakeTestRoot(kP256, "CN=Other");
  const TestIdentity foreign = IssueTest(other, TestOcspSignerTemplate("CN=Responder"));
  CHECK_THAT(create(foreign.certificate, kP256), StatusIs(kInvalid, "not the issuer's"));
  CHECK_THAT(create(other.certificate, kP256), StatusIs(kInvalid, "not the issuer's"));
  CHECK_THAT(create(root_.certificate, crypto::Algorithm::kEd25519), StatusIs(kInvalid));
  CHECK_THAT(create(root_.certificate, crypto::Algorithm::kHpkeX25519), StatusIs(kInvalid));
}

TEST_CASE_METHOD(Fixture, "A record is signed for SHA-1 and SHA-256") {
  std::string sha1;
  std::string sha256;
  const OcspRecord record = RequireOk(responder_->Sign(Revoked(1), root_.key, &sha1, &sha256));
  for (const auto& [hash, signature] : {std::pair(OcspHash::kSha1, record.sha1_signature),
                                        std::pair(OcspHash::kSha256, record.sha256_signature)}) {
    std::string der;
    responder_->AppendResponse(record.status, hash, signature, &der);
    CHECK_THAT(CheckOcspResponse(RequireOk(ParseOcspResponse(der)), root_.certificate,
                                 absl::FromUnixSeconds(kNow)),
               IsOk());
  }
  const TestIdentity other = MakeTestRoot(kP256);
  CHECK_THAT(responder_->Sign(Good(), other.key, &sha1, &sha256),
             StatusIs(absl::StatusCode::kInvalidArgument, "not that of"));
}

TEST_CASE_METHOD(Fixture, "A live answer has the same bytes as one signed ahead") {
  for (const OcspHash hash : kHashes) {
    const std::string request = RequestFor(hash);
    const OcspCertId id = RequireOk(ParseOcspRequest(request)).cert_ids[0];
    std::string ahead;
    responder_->AppendTbs(Revoked(3), hash, &ahead);
    const OcspResponder::Answer answer = {.id = id,
                                          .kind = OcspResponder::Answer::Kind::kRevoked,
                                          .revocation_time = kNow - 60,
                                          .reason = 3};
    CHECK(responder_->BuildTbs({&answer, 1}, "", kNow, kNow + 86400) == ahead);
  }
}

TEST_CASE_METHOD(Fixture, "Several CertIDs are answered in order, the nonce is echoed") {
  using Answer = OcspResponder::Answer;
  const std::string first = RequestFor(OcspHash::kSha1, "\x01");
  const std::string second = RequestFor(OcspHash::kSha256, "\x02");
  const std::string third = RequestFor(OcspHash::kSha512, "\x03");
  const auto id = [](const std::string& der) { return ParseOcspRequest(der)->cert_ids[0]; };
  const std::vector<Answer> answers = {
      {.id = id(first), .kind = Answer::Kind::kGood},
      {.id = id(second), .kind = Answer::Kind::kRevoked, .revocation_time = kNow - 1, .reason = 5},
      {.id = id(third), .kind = Answer::Kind::kUnknown},
      {.id = id(first), .kind = Answer::Kind::kUnknown}};
  for (const size_t size : {0, 1, 16, 32, 128}) {
    const std::string nonce(size, '\xA5');
    const std::string tbs = responder_->BuildTbs(answers, nonce, kNow, kNow + 60);
    const std::string der = responder_->Assemble(tbs, RequireOk(root_.key.SignMessage(tbs)));
    const OcspResponse response = RequireOk(ParseOcspResponse(der));
    CHECK(response.nonce == nonce);
    // The CertID that came twice is answered once, by what was said first.
    REQUIRE(response.singles.size() == 3);
    CHECK(response.singles[0].serial == "\x01");
    CHECK(response.singles[0].kind == Kind::kGood);
    CHECK(response.singles[0].hash == OcspHash::kSha1);
    CHECK(response.singles[1].serial == "\x02");
    CHECK(response.singles[1].kind == Kind::kRevoked);
    CHECK(response.singles[1].reason == 5);
    CHECK(response.singles[2].kind == Kind::kUnknown);
    CHECK(response.singles[2].next_update == absl::FromUnixSeconds(kNow + 60));
    CHECK_THAT(CheckOcspResponse(response, root_.certificate, absl::FromUnixSeconds(kNow)), IsOk());
  }
}

TEST_CASE_METHOD(Fixture, "A thousand CertIDs are answered in one response") {
  std::vector<std::string> requests;
  std::vector<OcspResponder::Answer> answers;
  for (int i = 0; i < 1000; ++i) {
    requests.push_back(RequestFor(OcspHash::kSha256, absl::StrCat("serial", i)));
  }
  for (const std::string& request : requests) {
    answers.push_back(
        {.id = ParseOcspRequest(request)->cert_ids[0], .kind = OcspResponder::Answer::Kind::kGood});
  }
  const std::string der =
      responder_->Assemble(responder_->BuildTbs(answers, "nonce", kNow, kNow + 60), "s");
  const OcspResponse response = RequireOk(ParseOcspResponse(der));
  REQUIRE(response.singles.size() == 1000);
  CHECK(response.singles[999].serial == "serial999");
}

TEST_CASE_METHOD(Fixture, "A CertID without parameters is echoed without them") {
  std::string request = RequestFor(OcspHash::kSha256);
  // The NULL and its three containers' lengths, by hand.
  const size_t null = request.find(absl::string_view("\x05\x00", 2).data(), 0, 2);
  REQUIRE(null != std::string::npos);
  request.erase(null, 2);
  for (const size_t length : {1, 3, 5, 7, 9, 11}) request[length] -= 2;
  const OcspCertId id = RequireOk(ParseOcspRequest(request)).cert_ids[0];
  CHECK(responder_->Matches(id));
  const OcspResponder::Answer answer = {.id = id, .kind = OcspResponder::Answer::Kind::kGood};
  const std::string tbs = responder_->BuildTbs({&answer, 1}, "", kNow, kNow + 60);
  CHECK(absl::StrContains(tbs, id.element));
}

}  // namespace
}  // namespace countersign::pki
