#include "libs/pki/lint.h"

#include <functional>
#include <string>

#include "catch2/catch.hpp"
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

class Fixture {
 public:
  Fixture()
      : root_(MakeTestRoot(kP256)),
        leaf_(IssueTest(root_, TestLeafTemplate("www.example.com")).certificate),
        ca_(IssueTest(root_, TestCaTemplate("CN=Issuing")).certificate),
        signer_(IssueTest(root_, TestOcspSignerTemplate("CN=Responder")).certificate) {}

  // What is said of `certificate` after `change`.
  absl::Status Lint(Certificate certificate,
                    const std::function<void(Certificate&)>& change) const {
    change(certificate);
    return LintCertificate(certificate, &root_.certificate);
  }
  static Extension& Find(Certificate& certificate, absl::string_view oid) {
    for (Extension& extension : certificate.extensions.all) {
      if (extension.oid == oid) return extension;
    }
    FAIL("no such extension");
    return certificate.extensions.all.front();
  }

  const TestIdentity root_;
  const Certificate leaf_;
  const Certificate ca_;
  const Certificate signer_;
};

TEST_CASE_METHOD(Fixture, "What the suite issues breaks nothing") {
  CHECK_THAT(LintCertificate(leaf_, &root_.certificate), IsOk());
  CHECK_THAT(LintCertificate(ca_, &root_.certificate), IsOk());
  CHECK_THAT(LintCertificate(signer_, &root_.certificate), IsOk());
  CHECK_THAT(LintCertificate(root_.certificate, nullptr), IsOk());
}

TEST_CASE_METHOD(Fixture, "A TBSCertificate is linted before it is signed") {
  const Certificate unsigned_leaf = RequireOk(ParseTbsCertificate(leaf_.tbs));
  CHECK(unsigned_leaf.signature.empty());
  CHECK(unsigned_leaf.tbs == leaf_.tbs);
  CHECK(unsigned_leaf.signature_algorithm == leaf_.signature_algorithm);
  CHECK_THAT(LintCertificate(unsigned_leaf, &root_.certificate), IsOk());
  CHECK_THAT(ParseTbsCertificate(""), StatusIs(kInvalid));
  CHECK_THAT(ParseTbsCertificate(leaf_.der), StatusIs(kInvalid));
  CHECK_THAT(ParseTbsCertificate(leaf_.tbs + "x"), StatusIs(kInvalid));
}

TEST_CASE_METHOD(Fixture, "Fields that break RFC 5280 are named, with its section") {
  const auto lint = [&](const std::function<void(Certificate&)>& change) {
    return Lint(leaf_, change);
  };
  CHECK_THAT(lint([](Certificate& c) { c.version = 1; }), StatusIs(kInvalid, "4.1.2.1"));
  CHECK_THAT(lint([](Certificate& c) { c.serial = std::string(1, '\0'); }),
             StatusIs(kInvalid, "must be positive (4.1.2.2)"));
  CHECK_THAT(lint([](Certificate& c) { c.serial = std::string(20, '\x7F'); }), IsOk());
  CHECK_THAT(lint([](Certificate& c) { c.serial = std::string(20, '\x80'); }),
             StatusIs(kInvalid, "20 octets"));
  CHECK_THAT(lint([](Certificate& c) { c.issuer = Name(); }), StatusIs(kInvalid, "4.1.2.4"));
  CHECK_THAT(lint([](Certificate& c) { c.not_before = c.not_after + absl::Seconds(1); }),
             StatusIs(kInvalid, "4.1.2.5"));
  const auto add = [&](absl::string_view oid, absl::string_view value) {
    return lint([&](Certificate& c) {
      c.subject.rdns.push_back({{std::string(oid), std::string(value)}});
    });
  };
  CHECK_THAT(add(kOidCountry, "DE"), IsOk());
  CHECK_THAT(add(kOidCountry, "DEU"), StatusIs(kInvalid, "appendix A.1"));
  CHECK_THAT(add(kOidOrganization, std::string(64, 'o')), IsOk());
  CHECK_THAT(add(kOidOrganization, std::string(65, 'o')), StatusIs(kInvalid, "appendix A.1"));
}

TEST_CASE_METHOD(Fixture, "Everything that is wrong is told at once") {
  const absl::Status status = Lint(leaf_, [](Certificate& c) {
    c.version = 1;
    c.extensions.authority_key_id.clear();
  });
  CHECK_THAT(status, StatusIs(kInvalid, "4.1.2.1"));
  CHECK_THAT(status, StatusIs(kInvalid, "4.2.1.1"));
}

TEST_CASE_METHOD(Fixture, "Extensions are there once, and critical ones understood") {
  CHECK_THAT(
      Lint(leaf_, [](Certificate& c) { c.extensions.all.push_back(c.extensions.all.front()); }),
      StatusIs(kInvalid, "twice there (4.2)"));
  const Extension unknown = {.oid = "\x2A\x03\x04", .critical = true, .value = ""};
  CHECK_THAT(Lint(leaf_, [&](Certificate& c) { c.extensions.others = {unknown}; }),
             StatusIs(kInvalid, "1.2.3.4 is not understood"));
  CHECK_THAT(Lint(leaf_,
                  [&](Certificate& c) {
                    c.extensions.others = {unknown};
                    c.extensions.others[0].critical = false;
                  }),
             IsOk());
  CHECK_THAT(Lint(leaf_,
                  [](Certificate& c) {
                    c.extensions.policies = {"\x2A\x03", "\x2A\x03"};
                  }),
             StatusIs(kInvalid, "4.2.1.4"));
}

TEST_CASE_METHOD(Fixture, "CAs and what is for them alone") {
  CHECK_THAT(Lint(ca_, [](Certificate& c) { Find(c, kOidBasicConstraints).critical = false; }),
             StatusIs(kInvalid, "4.2.1.9"));
  CHECK_THAT(Lint(ca_, [](Certificate& c) { c.extensions.key_usage = kCrlSign; }),
             StatusIs(kInvalid, "4.2.1.3"));
  CHECK_THAT(Lint(ca_, [](Certificate& c) { c.extensions.subject_key_id.clear(); }),
             StatusIs(kInvalid, "4.2.1.2"));
  CHECK_THAT(Lint(ca_, [](Certificate& c) { c.subject = Name(); }),
             StatusIs(kInvalid, "a CA must have a subject"));
  CHECK_THAT(Lint(leaf_, [](Certificate& c) { c.extensions.key_usage = kKeyCertSign; }),
             StatusIs(kInvalid, "keyCertSign is for CAs"));
  const auto path_length = [](bool ca, int64_t length) {
    return BasicConstraints{.ca = ca, .path_length = length};
  };
  CHECK_THAT(
      Lint(ca_, [&](Certificate& c) { c.extensions.basic_constraints = path_length(true, 0); }),
      IsOk());
  CHECK_THAT(
      Lint(ca_, [&](Certificate& c) { c.extensions.basic_constraints = path_length(true, -1); }),
      StatusIs(kInvalid, "negative"));
  CHECK_THAT(
      Lint(leaf_, [&](Certificate& c) { c.extensions.basic_constraints = path_length(false, 0); }),
      StatusIs(kInvalid, "a path length is for CAs"));
  const NameConstraints constraints = {.permitted = {{GeneralName::Kind::kDns, "example.com"}}};
  CertificateTemplate constrained = TestCaTemplate("CN=Constrained");
  constrained.name_constraints = constraints;
  const Certificate with_constraints = IssueTest(root_, constrained).certificate;
  CHECK_THAT(LintCertificate(with_constraints, &root_.certificate), IsOk());
  CHECK_THAT(
      Lint(with_constraints, [](Certificate& c) { Find(c, kOidNameConstraints).critical = false; }),
      StatusIs(kInvalid, "4.2.1.10"));
  CHECK_THAT(Lint(leaf_, [&](Certificate& c) { c.extensions.name_constraints = constraints; }),
             StatusIs(kInvalid, "name constraints are for CAs"));
}

TEST_CASE_METHOD(Fixture, "Names in subjectAltName") {
  CHECK_THAT(Lint(leaf_,
                  [](Certificate& c) {
                    c.subject = Name();
                    Find(c, kOidSubjectAltName).critical = true;
                  }),
             IsOk());
  CHECK_THAT(Lint(leaf_, [](Certificate& c) { c.subject = Name(); }),
             StatusIs(kInvalid, "must be critical (4.2.1.6)"));
  CHECK_THAT(Lint(signer_, [](Certificate& c) { c.subject = Name(); }),
             StatusIs(kInvalid, "4.1.2.6"));
  for (const GeneralName& bad : {GeneralName{GeneralName::Kind::kDns, "a b.example"},
                                 {GeneralName::Kind::kDns, ""},
                                 {GeneralName::Kind::kIp, "abc"},
                                 {GeneralName::Kind::kEmail, "nobody"},
                                 {GeneralName::Kind::kUri, "/relative"}}) {
    CHECK_THAT(Lint(leaf_, [&](Certificate& c) { c.extensions.subject_alt_names = {bad}; }),
               StatusIs(kInvalid, "4.2.1.6"));
  }
}

TEST_CASE_METHOD(Fixture, "Key usages that a key cannot serve") {
  CHECK_THAT(Lint(leaf_, [](Certificate& c) { c.extensions.key_usage = 0; }),
             StatusIs(kInvalid, "a bit set"));
  CHECK_THAT(
      Lint(leaf_,
           [](Certificate& c) { c.extensions.key_usage = kDigitalSignature | kKeyEncipherment; }),
      StatusIs(kInvalid, "RFC 8813"));
  CertificateTemplate agreeing = TestLeafTemplate("www.example.com");
  agreeing.key_usage = kKeyAgreement;
  const Certificate ed25519 = IssueTest(root_, agreeing, crypto::Algorithm::kEd25519).certificate;
  CHECK_THAT(LintCertificate(ed25519, &root_.certificate), StatusIs(kInvalid, "RFC 8410"));
}

TEST_CASE_METHOD(Fixture, "URLs of the issuer are HTTP, or LDAP where that is of use") {
  const auto urls = [&](std::vector<std::string> Extensions::*list, const std::string& url) {
    return Lint(leaf_, [&](Certificate& c) { c.extensions.*list = {url}; });
  };
  for (const auto list :
       {&Extensions::ocsp_urls, &Extensions::issuer_urls, &Extensions::crl_urls}) {
    CHECK_THAT(urls(list, "http://pki.example/x"), IsOk());
    CHECK_THAT(urls(list, "HTTPS://pki.example/x"), IsOk());
    CHECK_THAT(urls(list, "pki.example"), StatusIs(kInvalid, "HTTP"));
    CHECK_THAT(urls(list, "http://"), StatusIs(kInvalid, "HTTP"));
    CHECK_THAT(urls(list, "file:///etc"), StatusIs(kInvalid, "HTTP"));
  }
  const std::string ldap = "ldap://pki.example/cn=CA?certificateRevocationList";
  CHECK_THAT(urls(&Extensions::crl_urls, ldap), IsOk());
  CHECK_THAT(urls(&Extensions::ocsp_urls, ldap), StatusIs(kInvalid, "4.2.2.1"));
}

TEST_CASE_METHOD(Fixture, "OCSP signers are not asked about, and others are") {
  CHECK_THAT(Lint(signer_, [](Certificate& c) { c.extensions.ocsp_no_check = false; }),
             StatusIs(kInvalid, "must have id-pkix-ocsp-nocheck"));
  CHECK_THAT(Lint(leaf_, [](Certificate& c) { c.extensions.ocsp_no_check = true; }),
             StatusIs(kInvalid, "for OCSP signers"));
  CHECK_THAT(Lint(signer_, [](Certificate& c) { c.extensions.key_usage = kContentCommitment; }),
             StatusIs(kInvalid, "digitalSignature"));
}

TEST_CASE_METHOD(Fixture, "A certificate fits its issuer") {
  CHECK_THAT(Lint(leaf_, [](Certificate& c) { c.extensions.authority_key_id.clear(); }),
             StatusIs(kInvalid, "4.2.1.1"));
  CHECK_THAT(Lint(leaf_, [](Certificate& c) { c.extensions.authority_key_id = "other"; }),
             StatusIs(kInvalid, "issuer's subjectKeyIdentifier"));
  CHECK_THAT(Lint(leaf_, [&](Certificate& c) { c.not_after = root_.certificate.not_after; }),
             IsOk());
  CHECK_THAT(
      Lint(leaf_,
           [&](Certificate& c) { c.not_after = root_.certificate.not_after + absl::Seconds(1); }),
      StatusIs(kInvalid, "longer than its issuer"));
  CHECK_THAT(LintCertificate(leaf_, &ca_), StatusIs(kInvalid, "issuer's name"));
  CHECK_THAT(LintCertificate(leaf_, &leaf_), StatusIs(kInvalid, "the issuer must be a CA"));
  Certificate limited = root_.certificate;
  limited.extensions.basic_constraints->path_length = 0;
  CHECK_THAT(LintCertificate(leaf_, &limited), IsOk());
  CHECK_THAT(LintCertificate(ca_, &limited), StatusIs(kInvalid, "allows no CA below it"));
  limited.extensions.basic_constraints->path_length = 1;
  CHECK_THAT(LintCertificate(ca_, &limited), IsOk());
  Certificate below = ca_;
  below.extensions.basic_constraints->path_length = 1;
  CHECK_THAT(LintCertificate(below, &limited), StatusIs(kInvalid, "below the issuer's"));
}

}  // namespace
}  // namespace countersign::pki
