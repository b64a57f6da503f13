#include "services/sign/certificates/profiles.h"

#include <string>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/crypto/private_key.h"
#include "libs/pki/oid.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using absl::StatusCode;
using pki::GeneralName;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr auto kServer = v1::CERTIFICATE_PROFILE_TLS_SERVER;
constexpr auto kClient = v1::CERTIFICATE_PROFILE_TLS_CLIENT;
constexpr auto kCode = v1::CERTIFICATE_PROFILE_CODE_SIGNING;
constexpr auto kIntermediate = v1::CERTIFICATE_PROFILE_INTERMEDIATE_CA;
constexpr auto kOcsp = v1::CERTIFICATE_PROFILE_OCSP_SIGNER;
constexpr auto kShort = v1::CERTIFICATE_PROFILE_SHORT_LIVED;
constexpr v1::CertificateProfile kAll[] = {kServer, kClient, kCode, kIntermediate, kOcsp, kShort};

const ProfileRules& Rules(v1::CertificateProfile profile) {
  const ProfileRules* rules = FindProfile(profile);
  REQUIRE(rules != nullptr);
  return *rules;
}

std::vector<GeneralName> Names(const std::vector<std::string>& texts) {
  std::vector<GeneralName> names;
  for (const std::string& text : texts) {
    names.push_back(RequireOk(pki::ParseGeneralName(text)));
  }
  return names;
}

// What FitNames makes of these: "SUBJECT|NAME,NAME", or the reason for which it refuses them.
std::string Fit(v1::CertificateProfile profile, const std::string& subject_text,
                std::vector<GeneralName> names) {
  pki::Name subject;
  if (!subject_text.empty()) subject = RequireOk(pki::ParseNameText(subject_text));
  const absl::Status status = FitNames(Rules(profile), &subject, &names);
  if (!status.ok()) {
    CHECK(status.code() == StatusCode::kInvalidArgument);
    return runtime::ReasonOf(status).value_or("no reason");
  }
  std::string text = pki::FormatName(subject) + "|";
  for (const GeneralName& name : names) text += pki::FormatGeneralName(name) + " ";
  return text;
}

TEST_CASE("Roots and unknown profiles are not issued for requests") {
  CHECK(FindProfile(v1::CERTIFICATE_PROFILE_UNSPECIFIED) == nullptr);
  CHECK(FindProfile(v1::CERTIFICATE_PROFILE_ROOT_CA) == nullptr);
  CHECK(FindProfile(static_cast<v1::CertificateProfile>(99)) == nullptr);
}

TEST_CASE("Each profile sets usages, constraints and no-check of its own") {
  struct Row {
    v1::CertificateProfile profile;
    uint16_t ec_usage;
    uint16_t rsa_usage;
    std::vector<absl::string_view> extended;
    bool ca;
    bool no_check;
    bool points_to_status;
  };
  const uint16_t sign = pki::kDigitalSignature;
  const uint16_t both = pki::kDigitalSignature | pki::kKeyEncipherment;
  const uint16_t authority = pki::kKeyCertSign | pki::kCrlSign;
  const Row rows[] = {
      {kServer, sign, both, {pki::kOidServerAuth}, false, false, true},
      {kClient, sign, sign, {pki::kOidClientAuth}, false, false, true},
      {kCode, sign, sign, {pki::kOidCodeSigning}, false, false, true},
      {kIntermediate, authority, authority, {}, true, false, true},
      {kOcsp, sign, sign, {pki::kOidOcspSigning}, false, true, false},
      {kShort, sign, both, {pki::kOidServerAuth, pki::kOidClientAuth}, false, false, false},
  };
  for (const Row& row : rows) {
    const ProfileRules& rules = Rules(row.profile);
    INFO(rules.name);
    for (const bool rsa : {false, true}) {
      pki::CertificateTemplate what;
      ApplyRules(rules, rsa ? crypto::KeyType::kRsa : crypto::KeyType::kEcP256, &what);
      CHECK(what.key_usage == (rsa ? row.rsa_usage : row.ec_usage));
      CHECK(std::vector<absl::string_view>(what.extended_key_usage.begin(),
                                           what.extended_key_usage.end()) == row.extended);
      CHECK(what.basic_constraints.has_value() == row.ca);
      if (row.ca) {
        CHECK(what.basic_constraints->ca);
        CHECK(what.basic_constraints->path_length == 0);
      }
      CHECK(what.ocsp_no_check == row.no_check);
      CHECK(rules.points_to_status == row.points_to_status);
    }
  }
}

TEST_CASE("Each profile takes the names that it is for") {
  struct Row {
    v1::CertificateProfile profile;
    std::string subject;
    std::vector<std::string> names;
    std::string result;
  };
  const Row rows[] = {
      {kServer, "", {"DNS:WWW.Example.com", "IP:192.0.2.1"}, "|DNS:www.example.com IP:192.0.2.1 "},
      {kServer, "", {"DNS:*.example.com"}, "|DNS:*.example.com "},
      {kServer,
       "",
       {"DNS:a.example", "DNS:A.example", "IP:192.0.2.1", "IP:192.0.2.1"},
       "|DNS:a.example IP:192.0.2.1 "},
      // A common name that is no alternative name is left out, another is spelt as that one.
      {kServer, "CN=other.example,O=Example", {"DNS:a.example"}, "O=Example|DNS:a.example "},
      {kServer, "CN=A.Example", {"DNS:a.example"}, "CN=a.example|DNS:a.example "},
      {kServer, "CN=192.0.2.1", {"IP:192.0.2.1"}, "CN=192.0.2.1|IP:192.0.2.1 "},
      {kServer, "CN=a.example,CN=a.example", {"DNS:a.example"}, "CN=a.example|DNS:a.example "},
      {kServer, "CN=a.example", {}, kProfile},
      {kServer, "", {"email:a@example.com"}, kProfile},
      {kServer, "", {"DNS:a.example", "URI:https://a.example/"}, kProfile},
      {kClient, "CN=anyone", {}, "CN=anyone|"},
      {kClient, "", {"email:a@example.com"}, "|email:a@example.com "},
      {kClient,
       "CN=x",
       {"URI:https://a.example/", "DNS:a.example"},
       "CN=x|URI:https://a.example/ DNS:a.example "},
      {kClient, "", {}, kProfile},
      {kCode, "CN=Example Ltd,C=DE", {}, "CN=Example Ltd,C=DE|"},
      {kCode, "CN=Example Ltd", {"email:a@example.com"}, "CN=Example Ltd|email:a@example.com "},
      {kCode, "O=Example", {}, kProfile},
      {kCode, "CN=Example Ltd", {"DNS:a.example"}, kProfile},
      {kCode, "CN=Example Ltd", {"IP:192.0.2.1"}, kProfile},
      {kIntermediate, "CN=Issuing,O=Example", {}, "CN=Issuing,O=Example|"},
      {kIntermediate, "", {}, kProfile},
      {kIntermediate, "CN=Issuing", {"DNS:a.example"}, kProfile},
      {kOcsp, "CN=OCSP", {}, "CN=OCSP|"},
      {kOcsp, "", {}, kProfile},
      {kOcsp, "CN=OCSP", {"DNS:a.example"}, kProfile},
      {kShort, "CN=other", {"DNS:a.example"}, "|DNS:a.example "},
      {kShort, "CN=a.example", {}, kProfile},
      {kShort, "", {"email:a@example.com"}, kProfile},
  };
  for (const Row& row : rows) {
    INFO(Rules(row.profile).name << " " << row.subject);
    CHECK(Fit(row.profile, row.subject, Names(row.names)) == row.result);
  }
  for (const char* bad : {"a..example", "-a.example", "a b", "a_b.*.example", "*", ""}) {
    CHECK(Fit(kServer, "", {{GeneralName::Kind::kDns, bad}}) == kBadName);
  }
  CHECK(Fit(kServer, "", {{GeneralName::Kind::kIp, "abc"}}) == kBadName);
  CHECK(Fit(kClient, "CN=x", {{GeneralName::Kind::kOther, "\xa0"}}) == kProfile);
  std::vector<GeneralName> many;
  for (int i = 0; i <= 1000; ++i) {
    many.push_back({GeneralName::Kind::kDns, "h" + std::to_string(i) + ".example"});
  }
  CHECK(Fit(kServer, "", many) == kProfile);
  many.pop_back();
  CHECK(Fit(kServer, "", many) != kProfile);
}

TEST_CASE("Code is signed with RSA keys of 3072 bits or more") {
  const auto small = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kRsaPss2048Sha256));
  const auto large = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kRsaPss3072Sha256));
  const auto x25519 = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kHpkeX25519));
  for (const auto algorithm : {crypto::Algorithm::kEd25519, crypto::Algorithm::kEcdsaP256Sha256,
                               crypto::Algorithm::kEcdsaP384Sha384}) {
    const auto key = RequireOk(crypto::PrivateKey::Generate(algorithm));
    for (const auto profile : kAll) CHECK_THAT(CheckKey(Rules(profile), key.public_key()), IsOk());
  }
  for (const auto profile : kAll) {
    CHECK(CheckKey(Rules(profile), small.public_key()).ok() == (profile != kCode));
    CHECK_THAT(CheckKey(Rules(profile), large.public_key()), IsOk());
    CHECK(runtime::ReasonOf(CheckKey(Rules(profile), x25519.public_key())) == kProfile);
  }
}

TEST_CASE(
    "A life is the profile's usual one, or what is asked for as far as profile and issuer go") {
  const absl::Time now = absl::FromUnixSeconds(1800000000);
  const auto days = [](int64_t count) { return absl::Hours(24 * count); };
  struct Row {
    v1::CertificateProfile profile;
    int64_t usual;
    int64_t longest;
  };
  for (const Row& row : {Row{kServer, 90, 398}, Row{kClient, 365, 825}, Row{kCode, 365, 1186},
                         Row{kIntermediate, 1825, 3000}, Row{kOcsp, 30, 90}, Row{kShort, 6, 7}}) {
    const ProfileRules& rules = Rules(row.profile);
    INFO(rules.name);
    ValidityRequest request;
    request.now = now + absl::Milliseconds(300);
    request.issuer = {now - days(100), now + days(3000)};
    const Validity usual = RequireOk(FitValidity(rules, request));
    CHECK(usual.not_before == now - absl::Minutes(5));
    CHECK(usual.not_after - usual.not_before == days(row.usual) - absl::Seconds(1));

    request.lifetime = days(row.longest);
    const Validity longest = RequireOk(FitValidity(rules, request));
    CHECK(longest.not_after - longest.not_before == days(row.longest) - absl::Seconds(1));
    request.lifetime += absl::Seconds(1000);
    const auto longer = FitValidity(rules, request);
    CHECK(runtime::ReasonOf(longer.status()) == kBadValidity);
    request.lifetime = absl::Hours(1);
    CHECK(RequireOk(FitValidity(rules, request)).not_after ==
          now + absl::Minutes(55) - absl::Seconds(1));

    // Cut to the issuer's end, but only when no life was asked for.
    request.issuer.not_after = now + days(2);
    request.lifetime = days(3);
    CHECK_THAT(FitValidity(rules, request), StatusIs(StatusCode::kInvalidArgument, "issuer's end"));
    request.lifetime = absl::ZeroDuration();
    CHECK(RequireOk(FitValidity(rules, request)).not_after == request.issuer.not_after);
  }

  const ProfileRules& rules = Rules(kServer);
  const auto begin = [&](absl::Duration offset, absl::Duration lifetime = absl::ZeroDuration()) {
    ValidityRequest request;
    request.now = now;
    request.issuer = {now - absl::Hours(24), now + days(3000)};
    request.not_before = now + offset;
    request.lifetime = lifetime;
    return FitValidity(rules, request);
  };
  CHECK(RequireOk(begin(absl::Hours(1))).not_before == now + absl::Hours(1));
  CHECK_THAT(begin(days(366)), IsOk());
  for (const auto& refused :
       {begin(days(367)), begin(-days(3)), begin(-absl::Hours(25)),
        begin(-absl::Hours(2), absl::Hours(1)), begin(absl::ZeroDuration(), -absl::Seconds(1))}) {
    CHECK(runtime::ReasonOf(refused.status()) == kBadValidity);
  }
  // An authority that is younger than five minutes.
  ValidityRequest young;
  young.now = now;
  young.issuer = {now - absl::Minutes(1), now + days(3000)};
  CHECK(RequireOk(FitValidity(rules, young)).not_before == young.issuer.not_before);
}

TEST_CASE("Renewals are spread over a window around two thirds of a life") {
  const absl::Time begin = absl::FromUnixSeconds(1800000000);
  const Validity validity = {begin, begin + absl::Seconds(300000)};
  CHECK(RenewTime(validity, 0) == begin + absl::Seconds(185000));
  CHECK(RenewTime(validity, 0.5) == begin + absl::Seconds(200000));
  CHECK(RenewTime(validity, 1) <= begin + absl::Seconds(215000));
}

}  // namespace
}  // namespace countersign::sign
