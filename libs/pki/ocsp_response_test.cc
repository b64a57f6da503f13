#include "libs/pki/ocsp_response.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/pki/ocsp_responder.h"
#include "libs/pki/oid.h"
#include "libs/pki/test_authority.h"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

constexpr crypto::Algorithm kP256 = crypto::Algorithm::kEcdsaP256Sha256;
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kRefused = absl::StatusCode::kFailedPrecondition;

class Fixture {
 public:
  Fixture()
      : root_(MakeTestRoot(kP256)),
        signer_(IssueTest(root_, TestOcspSignerTemplate("CN=Responder"))),
        now_(absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()))) {}

  std::string Response(const TestIdentity& signer, bool delegated = true) const {
    const auto responder = RequireOk(
        OcspResponder::Create(root_.certificate, signer.certificate, signer.key.algorithm()));
    const OcspStatus status = {.serial = "\x01",
                               .this_update = absl::ToUnixSeconds(now_),
                               .next_update = absl::ToUnixSeconds(now_ + absl::Hours(1))};
    std::string tbs;
    responder->AppendTbs(status, OcspHash::kSha256, &tbs);
    return responder->Assemble(tbs, RequireOk(signer.key.SignMessage(tbs)));
  }
  absl::Status Check(absl::string_view der, absl::Duration after = absl::ZeroDuration()) const {
    return CheckOcspResponse(RequireOk(ParseOcspResponse(der)), root_.certificate, now_ + after);
  }

  const TestIdentity root_;
  const TestIdentity signer_;
  const absl::Time now_;
};

TEST_CASE_METHOD(Fixture, "The issuer's and its delegate's responses hold") {
  CHECK_THAT(Check(Response(root_)), IsOk());
  CHECK_THAT(Check(Response(signer_)), IsOk());
}

TEST_CASE_METHOD(Fixture, "A response holds from thisUpdate until nextUpdate") {
  const std::string der = Response(root_);
  CHECK_THAT(Check(der, -absl::Seconds(1)), StatusIs(kRefused, "not valid yet"));
  CHECK_THAT(Check(der, absl::Hours(1) - absl::Seconds(1)), IsOk());
  CHECK_THAT(Check(der, absl::Hours(1)), StatusIs(kRefused, "out of date"));
}

TEST_CASE_METHOD(Fixture, "An altered response does not hold") {
  const OcspResponse response = RequireOk(ParseOcspResponse(Response(signer_)));
  OcspResponse altered = response;
  altered.signature.back() ^= 1;
  CHECK_THAT(CheckOcspResponse(altered, root_.certificate, now_), StatusIs(kRefused));
  altered = response;
  altered.tbs.back() ^= 1;
  CHECK_THAT(CheckOcspResponse(altered, root_.certificate, now_),
             StatusIs(kRefused, "signature is wrong"));
  altered = response;
  altered.certificates.clear();
  CHECK_THAT(CheckOcspResponse(altered, root_.certificate, now_), StatusIs(kRefused, "neither"));
  altered = response;
  altered.singles.clear();
  CHECK_THAT(CheckOcspResponse(altered, root_.certificate, now_),
             StatusIs(kRefused, "answers nothing"));
}

TEST_CASE_METHOD(Fixture, "Another issuer's response does not hold") {
  const TestIdentity other = MakeTestRoot(kP256);
  CHECK_THAT(
      CheckOcspResponse(RequireOk(ParseOcspResponse(Response(root_))), other.certificate, now_),
      StatusIs(kRefused, "another issuer"));
}

TEST_CASE_METHOD(Fixture, "A delegate must be the issuer's, for OCSP, and valid") {
  OcspResponse response = RequireOk(ParseOcspResponse(Response(signer_)));
  const auto with = [&](const TestIdentity& delegate) {
    response.certificates = {delegate.certificate.der};
    response.responder_key_hash = OcspDigest(OcspHash::kSha1, delegate.certificate.key_bits);
    response.signature = RequireOk(delegate.key.SignMessage(response.tbs));
    return CheckOcspResponse(response, root_.certificate, now_);
  };
  CHECK_THAT(with(IssueTest(root_, TestOcspSignerTemplate("CN=Another"))), IsOk());
  CHECK_THAT(with(IssueTest(root_, TestLeafTemplate("a.example"))),
             StatusIs(kRefused, "id-kp-OCSPSigning"));
  CertificateTemplate expired = TestOcspSignerTemplate("CN=Expired");
  expired.not_after = now_ - absl::Seconds(60);
  CHECK_THAT(with(IssueTest(root_, expired)), StatusIs(kRefused, "not valid at this time"));
  const TestIdentity other = MakeTestRoot(kP256, "CN=Other");
  CHECK_THAT(with(IssueTest(other, TestOcspSignerTemplate("CN=Foreign"))),
             StatusIs(kRefused, "not the issuer's"));
  // By name instead of by key.
  const TestIdentity named = IssueTest(root_, TestOcspSignerTemplate("CN=Named"));
  response.certificates = {named.certificate.der};
  response.responder_key_hash.clear();
  response.responder_name_der = named.certificate.subject_der;
  response.signature = RequireOk(named.key.SignMessage(response.tbs));
  CHECK_THAT(CheckOcspResponse(response, root_.certificate, now_), IsOk());
}

TEST_CASE_METHOD(Fixture, "An error is no response that holds") {
  CHECK_THAT(Check(OcspErrorResponse(OcspError::kTryLater)), StatusIs(kRefused, "the error 3"));
}

TEST_CASE_METHOD(Fixture, "What is cut short, longer, or says success without an answer is none") {
  const std::string der = Response(signer_);
  for (size_t size = 0; size < der.size(); ++size) {
    CHECK_THAT(ParseOcspResponse(absl::string_view(der).substr(0, size)), StatusIs(kInvalid));
  }
  CHECK_THAT(ParseOcspResponse(der + "x"), StatusIs(kInvalid));
  CHECK_THAT(ParseOcspResponse(absl::string_view("\x30\x03\x0A\x01\x00", 5)), StatusIs(kInvalid));
  CHECK_THAT(ParseOcspResponse("\x30\x03\x0A\x01\x04"), StatusIs(kInvalid));
  CHECK_THAT(ParseOcspResponse("\x30\x03\x0A\x01\x07"), StatusIs(kInvalid));
}

}  // namespace
}  // namespace countersign::pki
