// What OcspResponder makes, judged by the commands of OpenSSL and GnuTLS.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/pki/ocsp_responder.h"
#include "libs/pki/pem.h"
#include "libs/pki/test_authority.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::pki {
namespace {

using ::countersign::testing::CommandResult;
using ::countersign::testing::RequireOk;
using ::countersign::testing::RunCommand;
using ::countersign::testing::TempDir;
using Answer = OcspResponder::Answer;

// An authority of one algorithm with two certificates, its signer, and a folder with all of it.
class World {
 public:
  World(crypto::Algorithm algorithm, bool delegated)
      : now_(absl::ToUnixSeconds(absl::Now())),
        root_(MakeTestRoot(algorithm)),
        signer_(IssueTest(root_, TestOcspSignerTemplate("CN=Responder"), algorithm)),
        leaf_(IssueTest(root_, TestLeafTemplate("a.example"))),
        other_leaf_(IssueTest(root_, TestLeafTemplate("b.example"))),
        delegated_(delegated),
        responder_(
            RequireOk(OcspResponder::Create(root_.certificate, signer().certificate, algorithm))) {
    Write("ca", FormatPem("CERTIFICATE", root_.certificate.der));
    Write("leaf", FormatPem("CERTIFICATE", leaf_.certificate.der));
    Write("other", FormatPem("CERTIFICATE", other_leaf_.certificate.der));
  }

  const TestIdentity& signer() const { return delegated_ ? signer_ : root_; }

  OcspStatus Status(bool revoked, uint8_t reason) const {
    return {.serial = leaf_.certificate.serial,
            .revoked = revoked,
            .revocation_time = now_ - 3600,
            .reason = reason,
            .this_update = now_ - 60,
            .next_update = now_ + 3600};
  }
  std::string Sign(const OcspStatus& status, OcspHash hash) const {
    std::string tbs;
    responder_->AppendTbs(status, hash, &tbs);
    std::string response;
    responder_->AppendResponse(status, hash, RequireOk(signer().key.SignMessage(tbs)), &response);
    return response;
  }

  void Write(const std::string& name, absl::string_view contents) const {
    RequireOk(base::WriteFileAtomically(dir_.path() + "/" + name, contents));
  }
  std::string Read(const std::string& name) const {
    return RequireOk(base::ReadFile(dir_.path() + "/" + name));
  }
  CommandResult Openssl(absl::string_view options) const {
    return RunCommand(absl::StrCat("cd ", dir_.path(), " && openssl ocsp ", options));
  }
  // The verdict on `response`, with only the CA at hand: a delegate is found in the response.
  CommandResult Judge(absl::string_view response, absl::string_view options) const {
    Write("response", response);
    return Openssl(absl::StrCat(
        "-no_nonce -respin response -CAfile ca -verify_other ca -issuer ca ", options));
  }

  const int64_t now_;
  const TestIdentity root_;
  const TestIdentity signer_;
  const TestIdentity leaf_;
  const TestIdentity other_leaf_;
  const bool delegated_;
  const TempDir dir_;
  const std::unique_ptr<const OcspResponder> responder_;
};

void CheckAccepted(const CommandResult& result, absl::string_view verdict) {
  INFO(result.output);
  CHECK(result.exit_code == 0);
  CHECK(absl::StrContains(result.output, "Response verify OK"));
  CHECK(absl::StrContains(result.output, verdict));
  CHECK_FALSE(absl::StrContains(result.output, "WARNING"));
}

TEST_CASE("openssl accepts responses of every kind of key, CA-signed and delegated") {
  for (const crypto::Algorithm algorithm :
       {crypto::Algorithm::kEcdsaP256Sha256, crypto::Algorithm::kEcdsaP384Sha384,
        crypto::Algorithm::kEd25519, crypto::Algorithm::kRsaPkcs1_2048Sha256,
        crypto::Algorithm::kRsaPss2048Sha256}) {
    for (const bool delegated : {false, true}) {
      INFO(crypto::AlgorithmName(algorithm) << (delegated ? ", delegated" : ""));
      const World world(algorithm, delegated);
      CheckAccepted(world.Judge(world.Sign(world.Status(false, 0), OcspHash::kSha1), "-cert leaf"),
                    "leaf: good");
      CheckAccepted(
          world.Judge(world.Sign(world.Status(false, 0), OcspHash::kSha256), "-sha256 -cert leaf"),
          "leaf: good");
      CheckAccepted(
          world.Judge(world.Sign(world.Status(true, 1), OcspHash::kSha256), "-sha256 -cert leaf"),
          "leaf: revoked");
    }
  }
}

TEST_CASE("openssl reads each reason, and none where none is given") {
  const World world(crypto::Algorithm::kEcdsaP256Sha256, false);
  const std::vector<std::pair<int, std::string>> reasons = {
      {1, "keyCompromise"}, {2, "cACompromise"},         {3, "affiliationChanged"},
      {4, "superseded"},    {5, "cessationOfOperation"}, {6, "certificateHold"},
      {8, "removeFromCRL"}};
  for (const auto& [reason, name] : reasons) {
    CheckAccepted(
        world.Judge(world.Sign(world.Status(true, reason), OcspHash::kSha1), "-cert leaf"),
        absl::StrCat("Reason: ", name));
  }
  const CommandResult result =
      world.Judge(world.Sign(world.Status(true, 0), OcspHash::kSha1), "-cert leaf");
  CheckAccepted(result, "leaf: revoked");
  CHECK_FALSE(absl::StrContains(result.output, "Reason"));
}

TEST_CASE("openssl finds its nonce and all its certificates in a live answer") {
  for (const bool delegated : {false, true}) {
    const World world(crypto::Algorithm::kEcdsaP256Sha256, delegated);
    const auto made =
        world.Openssl("-issuer ca -cert leaf -sha256 -cert other -serial 0x7777 -reqout request");
    INFO(made.output);
    REQUIRE(made.exit_code == 0);
    const std::string der = world.Read("request");
    const OcspRequest request = RequireOk(ParseOcspRequest(der));
    REQUIRE(request.cert_ids.size() == 3);
    for (const OcspCertId& id : request.cert_ids) CHECK(world.responder_->Matches(id));
    const std::vector<Answer> answers = {
        {.id = request.cert_ids[0], .kind = Answer::Kind::kGood},
        {.id = request.cert_ids[1],
         .kind = Answer::Kind::kRevoked,
         .revocation_time = world.now_ - 10,
         .reason = 4},
        {.id = request.cert_ids[2], .kind = Answer::Kind::kUnknown}};
    const auto respond = [&](absl::string_view nonce) {
      const std::string tbs =
          world.responder_->BuildTbs(answers, nonce, world.now_ - 1, world.now_ + 3600);
      return world.responder_->Assemble(tbs, RequireOk(world.signer().key.SignMessage(tbs)));
    };
    const std::string response = respond(request.nonce);
    CheckAccepted(world.Judge(response, "-cert leaf -sha256 -cert other -serial 0x7777"),
                  "leaf: good");
    CheckAccepted(world.Judge(response, "-cert leaf -sha256 -cert other -serial 0x7777"),
                  "other: revoked");
    CheckAccepted(world.Judge(response, "-cert leaf -sha256 -cert other -serial 0x7777"),
                  "0x7777: unknown");
    CheckAccepted(world.Judge(response, "-reqin request"), "Response verify OK");
    const CommandResult wrong = world.Judge(respond("another nonce, 16"), "-reqin request");
    INFO(wrong.output);
    CHECK(absl::StrContains(wrong.output, "Nonce Verify error"));
  }
}

TEST_CASE("GnuTLS accepts responses, and reads what they say") {
  for (const crypto::Algorithm algorithm :
       {crypto::Algorithm::kEcdsaP256Sha256, crypto::Algorithm::kEcdsaP384Sha384,
        crypto::Algorithm::kEd25519, crypto::Algorithm::kRsaPkcs1_2048Sha256}) {
    for (const bool delegated : {false, true}) {
      INFO(crypto::AlgorithmName(algorithm) << (delegated ? ", delegated" : ""));
      const World world(algorithm, delegated);
      for (const OcspHash hash : {OcspHash::kSha1, OcspHash::kSha256}) {
        world.Write("response", world.Sign(world.Status(true, 1), hash));
        // It looks for a CA among its anchors by another kind of key identifier, so it is told.
        const CommandResult verified = RunCommand(absl::StrCat(
            "cd ", world.dir_.path(), " && ocsptool --verify-response --load-response response ",
            delegated ? "--load-trust ca" : "--load-signer ca"));
        INFO(verified.output);
        CHECK(verified.exit_code == 0);
        CHECK(absl::StrContains(verified.output, "Verifying OCSP Response: Success"));
        const CommandResult read = RunCommand(absl::StrCat(
            "cd ", world.dir_.path(), " && ocsptool --response-info --load-response response"));
        INFO(read.output);
        CHECK(absl::StrContains(read.output, "Certificate Status: revoked"));
      }
    }
  }
}

TEST_CASE("openssl refuses what is altered") {
  const World world(crypto::Algorithm::kEcdsaP256Sha256, true);
  std::string response = world.Sign(world.Status(false, 0), OcspHash::kSha1);
  const size_t status = response.find(absl::string_view("\x80\x00\x18", 3).data(), 0, 3);
  REQUIRE(status != std::string::npos);
  response[status] = '\x82';
  const CommandResult result = world.Judge(response, "-cert leaf");
  INFO(result.output);
  CHECK(absl::StrContains(result.output, "Response Verify Failure"));
}

TEST_CASE("openssl understands the errors") {
  const World world(crypto::Algorithm::kEcdsaP256Sha256, false);
  for (const auto& [error, name] : {std::pair(OcspError::kMalformedRequest, "malformedrequest"),
                                    std::pair(OcspError::kInternalError, "internalerror"),
                                    std::pair(OcspError::kTryLater, "trylater"),
                                    std::pair(OcspError::kSigRequired, "sigrequired"),
                                    std::pair(OcspError::kUnauthorized, "unauthorized")}) {
    const CommandResult result = world.Judge(OcspErrorResponse(error), "-cert leaf");
    INFO(result.output);
    CHECK(absl::StrContains(result.output, absl::StrCat("Responder Error: ", name)));
  }
}

}  // namespace
}  // namespace countersign::pki
