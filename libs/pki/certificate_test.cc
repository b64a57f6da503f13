#include "libs/pki/certificate.h"

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"
#include "libs/pki/pem.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string Stored(const std::string& name) {
  return RequireOk(base::ReadFile("libs/pki/testdata/" + name + ".der"));
}

std::string Hex(absl::string_view hex) { return RequireOk(base::HexDecode(hex)); }

std::string Element(uint8_t tag, absl::string_view contents) {
  DerWriter out;
  out.Add(tag, contents);
  return out.Take();
}

std::string Sequence(absl::string_view contents) { return Element(kSequence, contents); }

std::string ExtensionDer(absl::string_view oid, absl::string_view value, bool critical = false) {
  return Sequence(Element(kOid, oid) + (critical ? Hex("0101ff") : "") +
                  Element(kOctetString, value));
}

std::string Seconds(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

// The elements of a certificate that parses; cases change one.
struct Parts {
  std::string version = Hex("a003020102");
  std::string serial = Hex("020101");
  std::string algorithm = Hex("300a06082a8648ce3d040302");
  std::string issuer = EncodeName(RequireOk(ParseNameText("CN=Issuer")));
  std::string not_before = Element(kUtcTime, "260101000000Z");
  std::string not_after = Element(kUtcTime, "270101000000Z");
  std::string subject = EncodeName(RequireOk(ParseNameText("CN=Subject")));
  // Of a kind that nobody knows.
  std::string spki = Sequence(Sequence(Element(kOid, "\x2A\x03")) + Hex("0303000102"));
  std::string unique_ids;
  // Contents of the list; empty: no [3] at all.
  std::string extensions = ExtensionDer("\x2A\x03", "x");
  std::string tail;
  std::string outer_algorithm = algorithm;
  std::string signature = Hex("03020055");
  std::string outer_tail;

  std::string Assemble() const {
    const std::string list =
        extensions.empty() ? "" : Element(ContextConstructed(3), Sequence(extensions));
    return Sequence(Sequence(version + serial + algorithm + issuer +
                             Sequence(not_before + not_after) + subject + spki + unique_ids + list +
                             tail) +
                    outer_algorithm + signature + outer_tail);
  }
};

// The certificate with these extensions, or why it does not parse.
absl::StatusOr<Extensions> WithExtensions(absl::string_view list) {
  Parts parts;
  parts.extensions = std::string(list);
  absl::StatusOr<Certificate> certificate = ParseCertificate(parts.Assemble());
  if (!certificate.ok()) return certificate.status();
  return certificate->extensions;
}

absl::StatusOr<Extensions> WithExtension(absl::string_view oid, absl::string_view value) {
  return WithExtensions(ExtensionDer(oid, value));
}

TEST_CASE("A server certificate of OpenSSL's reads field by field") {
  const std::string der = Stored("server");
  const Certificate certificate = RequireOk(ParseCertificate(der));
  CHECK(certificate.der == der);
  CHECK(certificate.version == 3);
  CHECK(certificate.SerialHex() == "ab12");
  CHECK(FormatName(certificate.issuer) == "CN=Constrained,O=Example,C=DE");
  CHECK(FormatName(certificate.subject) == "CN=www.example.com,O=Example,C=DE");
  CHECK(!certificate.IsSelfIssued());
  CHECK(certificate.key_bits.size() == 65);
  CHECK(RequireOk(certificate.Key()).spki_der() == certificate.spki_der);

  const Extensions& extensions = certificate.extensions;
  REQUIRE(extensions.basic_constraints.has_value());
  CHECK(!extensions.basic_constraints->ca);
  CHECK(!extensions.basic_constraints->path_length.has_value());
  CHECK(extensions.key_usage == (kDigitalSignature | kKeyAgreement | kDecipherOnly));
  REQUIRE(extensions.extended_key_usage.size() == 3);
  CHECK(extensions.HasExtendedKeyUsage(kOidServerAuth));
  CHECK(extensions.HasExtendedKeyUsage(kOidClientAuth));
  CHECK(!extensions.HasExtendedKeyUsage(kOidOcspSigning));
  CHECK(FormatOid(extensions.extended_key_usage[2]) == "1.3.6.1.4.1.311.20.2.2");
  CHECK(extensions.subject_key_id.size() == 20);
  CHECK(extensions.authority_key_id == extensions.subject_key_id);  // of the same key
  CHECK(extensions.ocsp_urls == std::vector<std::string>{"http://ocsp.example.com/"});
  CHECK(extensions.issuer_urls == std::vector<std::string>{"http://ca.example.com/ca.der"});
  CHECK(extensions.crl_urls == std::vector<std::string>{"http://crl.example.com/1.crl"});
  REQUIRE(extensions.policies.size() == 2);
  CHECK(FormatOid(extensions.policies[0]) == "2.23.140.1.2.1");
  CHECK(!extensions.ocsp_no_check);
  CHECK(!extensions.name_constraints.has_value());
  REQUIRE(extensions.others.size() == 1);
  CHECK(extensions.others[0].oid == kOidTlsFeature);
  CHECK(extensions.others[0].value == Hex("3003020105"));
  CHECK(extensions.all.size() == 10);
  CHECK(extensions.all[0].critical);
  CHECK(!extensions.all[2].critical);

  std::vector<std::string> names;
  for (const GeneralName& name : extensions.subject_alt_names) {
    names.push_back(FormatGeneralName(name));
  }
  REQUIRE(names.size() == 10);
  names.erase(names.begin() + 8);  // the otherName, in hexadecimal
  CHECK(names == std::vector<std::string>{"DNS:www.example.com", "DNS:*.example.com",
                                          "DNS:xn--bcher-kva.example.com", "IP:10.1.2.3",
                                          "IP:2001:db8::17", "email:someone@mail.example.com",
                                          "URI:https://www.example.com/path?query",
                                          "DirName:O=Example,C=DE", "other:88032a0304"});
}

TEST_CASE("What OpenSSL says of a certificate is what is read") {
  for (const char* name : {"p256", "p256_sha384", "p384", "p384_sha256", "p521", "rsa", "rsa_sha1",
                           "rsa_sha384", "rsa_sha512", "pss", "pss_key", "ed25519", "utf8",
                           "old_strings", "v1", "constrained", "server", "ocsp"}) {
    INFO(name);
    const Certificate certificate = RequireOk(ParseCertificate(Stored(name)));
    const testing::CommandResult result = testing::RunCommand(absl::StrCat(
        "openssl x509 -inform DER -noout -serial -dates -dateopt iso_8601 -fingerprint -sha256 -in "
        "libs/pki/testdata/",
        name, ".der | tr A-Z a-z"));
    INFO(result.output);
    const auto date = [](absl::Time time) {
      return absl::FormatTime("%Y-%m-%d %H:%M:%Sz\n", time, absl::UTCTimeZone());
    };
    std::string fingerprint = base::HexEncode(certificate.Fingerprint());
    for (size_t at = 62; at > 0; at -= 2) fingerprint.insert(at, 1, ':');
    CHECK(result.output == absl::StrCat("serial=", certificate.SerialHex(),
                                        "\nnotbefore=", date(certificate.not_before),
                                        "notafter=", date(certificate.not_after),
                                        "sha256 fingerprint=", fingerprint, "\n"));
  }
}

TEST_CASE("Certificates of version 1 and of keys that are not known parse too") {
  const Certificate v1 = RequireOk(ParseCertificate(Stored("v1")));
  CHECK(v1.version == 1);
  CHECK(v1.extensions.all.empty());
  CHECK_THAT(v1.CheckIssuedBy(RequireOk(ParseCertificate(Stored("rsa")))), IsOk());
  for (const char* name : {"p521", "pss_key"}) {
    const Certificate certificate = RequireOk(ParseCertificate(Stored(name)));
    CHECK(certificate.IsSelfIssued());
    CHECK_THAT(certificate.Key(), StatusIs(kInvalid));
    CHECK_THAT(certificate.CheckIssuedBy(certificate),
               StatusIs(absl::StatusCode::kFailedPrecondition, "the key of the issuer"));
  }
  const Certificate sha1 = RequireOk(ParseCertificate(Stored("rsa_sha1")));
  CHECK_THAT(sha1.CheckIssuedBy(sha1),
             StatusIs(absl::StatusCode::kFailedPrecondition, "unsupported signature algorithm"));
}

TEST_CASE("An issuer is who is named and has signed") {
  const Certificate server = RequireOk(ParseCertificate(Stored("server")));
  const Certificate constrained = RequireOk(ParseCertificate(Stored("constrained")));
  const Certificate root = RequireOk(ParseCertificate(Stored("p384")));
  CHECK_THAT(server.CheckIssuedBy(constrained), IsOk());
  CHECK_THAT(constrained.CheckIssuedBy(root), IsOk());
  CHECK_THAT(
      server.CheckIssuedBy(root),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               "names \"CN=Constrained,O=Example,C=DE\" as its issuer, not \"CN=P-384 root\""));
  // Another key under the right name.
  Certificate impostor = constrained;
  impostor.spki_der = root.spki_der;
  CHECK_THAT(server.CheckIssuedBy(impostor),
             StatusIs(absl::StatusCode::kFailedPrecondition, "is not signed by the key"));
  // The same name in other letters.
  Certificate shouting = constrained;
  shouting.subject.rdns.back()[0].value = "CONSTRAINED";
  shouting.subject_der = EncodeName(shouting.subject);
  CHECK_THAT(server.CheckIssuedBy(shouting), IsOk());
}

TEST_CASE("An intermediate's name constraints are read as OpenSSL wrote them") {
  const Certificate certificate = RequireOk(ParseCertificate(Stored("constrained")));
  REQUIRE(certificate.extensions.basic_constraints.has_value());
  CHECK(certificate.extensions.basic_constraints->ca);
  CHECK(certificate.extensions.basic_constraints->path_length == 0);
  CHECK(certificate.extensions.key_usage == (kKeyCertSign | kCrlSign));
  REQUIRE(certificate.extensions.name_constraints.has_value());
  const NameConstraints& constraints = *certificate.extensions.name_constraints;
  std::string text;
  for (const GeneralName& subtree : constraints.permitted) {
    absl::StrAppend(&text, "+", FormatGeneralName(subtree), "\n");
  }
  for (const GeneralName& subtree : constraints.excluded) {
    absl::StrAppend(&text, "-", FormatGeneralName(subtree), "\n");
  }
  CHECK(
      text ==
      "+DNS:example.com\n+IP:10.0.0.0/8\n+IP:2001:db8::/32\n+email:.example.com\n"
      "+URI:.example.com\n+DirName:C=DE\n-DNS:secret.example.com\n-email:root@mail.example.com\n");
  const Certificate server = RequireOk(ParseCertificate(Stored("server")));
  CHECK_THAT(CheckConstraints(constraints, server.subject), IsOk());
  for (const GeneralName& name : server.extensions.subject_alt_names) {
    // The wildcard would stand for secret.example.com.
    const bool allowed = FormatGeneralName(name) != "DNS:*.example.com";
    INFO(FormatGeneralName(name));
    CHECK(CheckConstraints(constraints, name).ok() == allowed);
  }
}

TEST_CASE("An OCSP responder's marks are read") {
  const Certificate certificate = RequireOk(ParseCertificate(Stored("ocsp")));
  CHECK(certificate.extensions.ocsp_no_check);
  CHECK(certificate.extensions.HasExtendedKeyUsage(kOidOcspSigning));
  CHECK(certificate.extensions.others.empty());
}

TEST_CASE("PEM holds one certificate") {
  const std::string der = Stored("p256");
  CHECK(RequireOk(ParseCertificateDerOrPem(der)).der == der);
  const std::string pem = FormatPem("CERTIFICATE", der);
  CHECK(RequireOk(ParseCertificateDerOrPem("text\n" + pem)).der == der);
  CHECK_THAT(ParseCertificateDerOrPem(pem + pem), StatusIs(kInvalid, "more than one"));
  CHECK_THAT(ParseCertificateDerOrPem(FormatPem("PRIVATE KEY", der)), StatusIs(kInvalid));
  CHECK_THAT(ParseCertificateDerOrPem(""), StatusIs(kInvalid));
}

TEST_CASE("A certificate cut off anywhere, or with something behind it, is refused") {
  const std::string der = Stored("server");
  for (size_t size = 0; size < der.size(); ++size) {
    CHECK_THAT(ParseCertificate(absl::string_view(der).substr(0, size)),
               StatusIs(kInvalid, "not the DER of one X.509 certificate"));
  }
  CHECK_THAT(ParseCertificate(der + std::string(1, '\0')), StatusIs(kInvalid));
}

TEST_CASE("What breaks the outline of a certificate is refused with its place") {
  const struct {
    std::function<void(Parts*)> change;
    const char* why;  // null: it parses
  } kCases[] = {
      {[](Parts* p) {}, nullptr},
      {[](Parts* p) { p->signature = Hex("030100"); },
       nullptr},  // an empty one is a signature's place
      {[](Parts* p) { p->signature = Hex("030101"); }, "not the DER of one X.509"},
      {[](Parts* p) { p->signature = Hex("030201aa"); }, "not the DER of one X.509"},
      {[](Parts* p) { p->signature = Hex("0402aaaa"); }, "not the DER of one X.509"},
      {[](Parts* p) { p->outer_tail = Hex("0500"); }, "not the DER of one X.509"},
      {[](Parts* p) { p->outer_algorithm = Hex("300a06082a8648ce3d040303"); },
       "inside and outside"},
      {[](Parts* p) { p->outer_algorithm = Hex("300c06082a8648ce3d0403020500"); },
       "inside and outside"},
      {[](Parts* p) { p->algorithm = p->outer_algorithm = Hex("3000"); },
       "not the DER of one X.509"},
      {[](Parts* p) { p->algorithm = p->outer_algorithm = Hex("300506012a05000500"); },
       "not the DER of one X.509"},
      {[](Parts* p) { p->algorithm = p->outer_algorithm = Hex("300506012a0500"); }, nullptr},
      {[](Parts* p) { p->algorithm = Hex("0500"); }, "no signature algorithm"},

      {[](Parts* p) { p->version = Hex("a003020100"); }, "the version is not"},  // the default
      {[](Parts* p) { p->version = Hex("a003020103"); }, "the version is not"},
      {[](Parts* p) { p->version = Hex("a0030201ff"); }, "the version is not"},
      {[](Parts* p) { p->version = Hex("a00402020002"); }, "the version is not"},
      {[](Parts* p) { p->version = Hex("a0060201020500"); }, "the version is not"},
      {[](Parts* p) { p->version = Hex("a000"); }, "the version is not"},
      {[](Parts* p) { p->version = ""; }, "extensions of a certificate of version 3"},
      {[](Parts* p) { p->version = Hex("a003020101"); },
       "extensions of a certificate of version 3"},
      {[](Parts* p) { p->version = p->extensions = ""; }, nullptr},
      {[](Parts* p) { p->version = Hex("a003020101"), p->extensions = ""; }, nullptr},
      {[](Parts* p) { p->extensions = ""; }, nullptr},

      {[](Parts* p) { p->serial = Hex("020100"); }, nullptr},
      {[](Parts* p) { p->serial = Hex("0201ff"); }, "serial number"},
      {[](Parts* p) { p->serial = Hex("02020001"); }, "serial number"},
      {[](Parts* p) { p->serial = Hex("0200"); }, "serial number"},
      {[](Parts* p) { p->serial = Element(kInteger, std::string(20, '\x7F')); }, nullptr},
      {[](Parts* p) { p->serial = Element(kInteger, std::string(21, '\x7F')); }, "serial number"},
      {[](Parts* p) { p->serial = Hex("0a0101"); }, "serial number"},

      {[](Parts* p) { p->issuer = Hex("3000"); }, nullptr},
      {[](Parts* p) { p->subject = Hex("3000"); }, nullptr},
      {[](Parts* p) { p->issuer = Hex("3100"); }, "no issuer name"},
      {[](Parts* p) { p->issuer = Hex("30023100"); }, "issuer name: an RDN"},
      {[](Parts* p) { p->subject = Hex("30020500"); }, "subject name: an RDN"},

      {[](Parts* p) { p->not_after = ""; }, "the validity"},
      {[](Parts* p) { p->not_after += Hex("0500"); }, "the validity"},
      {[](Parts* p) { p->not_after = Element(kGeneralizedTime, "20500101000000Z"); }, nullptr},
      {[](Parts* p) { p->not_after = Element(kGeneralizedTime, "99991231235959Z"); }, nullptr},
      {[](Parts* p) { p->not_before = Element(kGeneralizedTime, "19491231235959Z"); }, nullptr},
      {[](Parts* p) { p->not_after = Element(kGeneralizedTime, "20491231235959Z"); },
       "the validity"},
      {[](Parts* p) { p->not_before = Element(kUtcTime, "2601010000Z"); }, "the validity"},
      {[](Parts* p) { p->not_before = Element(kUtcTime, "260101000000+0000"); }, "the validity"},
      {[](Parts* p) { p->not_before = Element(kUtf8String, "260101000000Z"); }, "the validity"},

      {[](Parts* p) { p->spki = Hex("0500"); }, "no public key"},
      {[](Parts* p) { p->spki = Sequence(Sequence(Hex("06012a")) + Hex("03020101")); },
       "no public key"},
      {[](Parts* p) {
         p->spki = Sequence(Sequence(Hex("06012a")) + Hex("03020001") + Hex("0500"));
       },
       "no public key"},
      {[](Parts* p) { p->spki = Sequence(Sequence(Hex("060180")) + Hex("03020001")); },
       "no public key"},

      {[](Parts* p) { p->unique_ids = Hex("81020055"); }, nullptr},
      {[](Parts* p) { p->unique_ids = Hex("82020055"); }, nullptr},
      {[](Parts* p) { p->unique_ids = Hex("8102005582020456"); }, nullptr},
      {[](Parts* p) { p->unique_ids = Hex("8202045681020055"); }, "what follows the key"},
      {[](Parts* p) { p->unique_ids = Hex("8100"); }, "unique identifier"},
      {[](Parts* p) { p->unique_ids = Hex("81020855"); }, "unique identifier"},
      {[](Parts* p) { p->unique_ids = Hex("81020055"), p->version = p->extensions = ""; },
       "unique identifier"},
      {[](Parts* p) { p->unique_ids = Hex("a1020055"); }, "what follows the key"},

      {[](Parts* p) { p->tail = Hex("0500"); }, "what follows the key"},
      {[](Parts* p) { p->extensions = "", p->tail = Hex("a300"); }, "what follows the key"},
      {[](Parts* p) { p->extensions = "", p->tail = Hex("a3023000"); }, "extensions is empty"},
      {[](Parts* p) { p->extensions = "", p->tail = Hex("a3043000") + Hex("3000"); },
       "what follows the key"},
      {[](Parts* p) { p->extensions = "x"; }, "extension number 1 does not parse"},
  };
  int number = 0;
  for (const auto& test : kCases) {
    Parts parts;
    test.change(&parts);
    INFO(absl::StrCat("case ", number++, ": ", base::HexEncode(parts.Assemble())));
    if (test.why == nullptr) {
      CHECK_THAT(ParseCertificate(parts.Assemble()), IsOk());
    } else {
      CHECK_THAT(ParseCertificate(parts.Assemble()), StatusIs(kInvalid, test.why));
    }
  }
}

TEST_CASE("Extensions keep to DER, and none comes twice") {
  const std::string oid = Hex("06022a03");
  const struct {
    std::string list;
    const char* why;
  } kBad[] = {
      // critical FALSE, the default; TRUE that is not FF; a value that is no OCTET STRING; none;
      // more.
      {Sequence(oid + Hex("010100") + Hex("0400")), "number 1 does not parse"},
      {Sequence(oid + Hex("010101") + Hex("0400")), "number 1 does not parse"},
      {Sequence(oid + Hex("0500")), "number 1 does not parse"},
      {Sequence(oid), "number 1 does not parse"},
      {Sequence(oid + Hex("0400") + Hex("0500")), "number 1 does not parse"},
      {Sequence(Hex("0600") + Hex("0400")), "number 1 does not parse"},
      {Sequence(oid + Hex("0400")) + "0", "number 2 does not parse"},
      {ExtensionDer("\x2A\x03", "x") + ExtensionDer("\x2A\x04", "x") +
           ExtensionDer("\x2A\x03", "y"),
       "extension 1.2.3 is there twice"},
      {ExtensionDer(kOidKeyUsage, Hex("03020780")) + ExtensionDer(kOidKeyUsage, Hex("03020780")),
       "extension 2.5.29.15 is there twice"},
  };
  for (const auto& test : kBad) {
    INFO(base::HexEncode(test.list));
    CHECK_THAT(WithExtensions(test.list), StatusIs(kInvalid, test.why));
  }
  // Thousands, no two the same.
  std::string many;
  for (int i = 0; i < 16384; ++i) {
    many += ExtensionDer(RequireOk(ParseOid(absl::StrCat("1.2.", i))), "");
  }
  CHECK(RequireOk(WithExtensions(many)).others.size() == 16384);
  CHECK_THAT(WithExtensions(many + ExtensionDer("\x2A\x2A", "")), StatusIs(kInvalid, "twice"));
}

TEST_CASE("Values of understood extensions that do not parse are refused") {
  const struct {
    absl::string_view oid;
    const char* hex;
  } kBad[] = {
      {kOidBasicConstraints, ""},
      {kOidBasicConstraints, "3003010100"},          // FALSE, the default
      {kOidBasicConstraints, "3003010101"},          // TRUE that is not FF
      {kOidBasicConstraints, "30060101ff0201ff"},    // a negative length
      {kOidBasicConstraints, "30070101ff02020001"},  // not the shortest
      {kOidBasicConstraints, "30080101ff0201000500"},
      {kOidBasicConstraints, "30000500"},
      {kOidKeyUsage, "0300"},
      {kOidKeyUsage, "030101"},    // unused bits of nothing
      {kOidKeyUsage, "03020080"},  // a zero bit at its end
      {kOidKeyUsage, "03020781ff"},
      {kOidKeyUsage, "03020881"},
      {kOidKeyUsage, "030207ff"},    // unused bits that are set
      {kOidKeyUsage, "03030680c0"},  // bit 9
      {kOidKeyUsage, "0303078000"},  // a zero byte at its end
      {kOidKeyUsage, "030400000001"},
      {kOidKeyUsage, "300406022a03"},
      {kOidExtendedKeyUsage, "3000"},
      {kOidExtendedKeyUsage, "30020600"},
      {kOidExtendedKeyUsage, "30020500"},
      {kOidExtendedKeyUsage, "06022a03"},
      {kOidSubjectKeyId, "0400"},
      {kOidSubjectKeyId, "040161ff"},
      {kOidSubjectKeyId, "300161"},
      {kOidAuthorityKeyId, "30028000"},
      {kOidAuthorityKeyId, "3003820101"},      // a serial number without an issuer
      {kOidAuthorityKeyId, "3005a103820161"},  // and the other way round
      {kOidAuthorityKeyId, "3006800161800162"},
      {kOidAuthorityKeyId, "30058001610500"},
      {kOidAuthorityKeyId, "0400"},
      {kOidAuthorityInfoAccess, "3000"},
      {kOidAuthorityInfoAccess, "30023000"},
      {kOidAuthorityInfoAccess, "300c300a06082b06010505073001"},
      {kOidAuthorityInfoAccess, "3009300706022a03860161ff"},
      {kOidCrlDistributionPoints, "3000"},
      {kOidCrlDistributionPoints, "30023000"},
      {kOidCrlDistributionPoints, "30053003810107"},    // reasons alone
      {kOidCrlDistributionPoints, "30063004a002a000"},  // an empty full name
      {kOidCrlDistributionPoints, "30063004a0020500"},
      {kOidCertificatePolicies, "3000"},
      {kOidCertificatePolicies, "30023000"},
      {kOidCertificatePolicies, "3008300606022a033000"},  // empty qualifiers
      {kOidCertificatePolicies, "3008300606022a030500"},
      {kOidSubjectAltName, "3000"},
      {kOidSubjectAltName, "30028200"},
      {kOidSubjectAltName, "82026162"},
      {kOidSubjectAltName, "3003820161ff"},
      {kOidNameConstraints, "3000"},
      {kOidOcspNoCheck, ""},
      {kOidOcspNoCheck, "050000"},
      {kOidOcspNoCheck, "3000"},
  };
  for (const auto& test : kBad) {
    INFO(FormatOid(test.oid) << " " << test.hex);
    CHECK_THAT(WithExtension(test.oid, Hex(test.hex)),
               StatusIs(kInvalid, absl::StrCat("certificate: extension ", FormatOid(test.oid),
                                               " does not parse")));
  }
}

TEST_CASE("Key usages and basic constraints are read to the bit") {
  const struct {
    const char* hex;
    uint16_t usage;
  } kUsages[] = {
      {"030100", 0},
      {"03020780", kDigitalSignature},
      {"030205a0", kDigitalSignature | kKeyEncipherment},
      {"03020106", kKeyCertSign | kCrlSign},
      {"03020001", kEncipherOnly},
      {"0303070080", kDecipherOnly},
      {"030307ff80", 0x1FF},
  };
  for (const auto& test : kUsages) {
    INFO(test.hex);
    CHECK(RequireOk(WithExtension(kOidKeyUsage, Hex(test.hex))).key_usage == test.usage);
  }
  const auto constraints = [](absl::string_view hex) {
    return RequireOk(WithExtension(kOidBasicConstraints, Hex(hex))).basic_constraints.value();
  };
  CHECK(!constraints("3000").ca);
  CHECK(constraints("30030101ff").ca);
  CHECK(!constraints("30030101ff").path_length.has_value());
  CHECK(constraints("30060101ff020100").path_length == 0);
  CHECK(constraints("30060101ff02017f").path_length == 127);
  CHECK(constraints("3003020101").path_length == 1);  // without cA: for lint to judge
}

TEST_CASE("Distribution points of other reasons or other issuers are passed over") {
  const std::string name = Element(0xA0, Element(0xA0, Element(0x86, "http://a/")));
  const std::string issuer = Element(0xA2, Element(0x82, "x"));
  const Extensions extensions = RequireOk(WithExtension(
      kOidCrlDistributionPoints,
      Sequence(
          Sequence(name) + Sequence(name + Hex("81020780")) + Sequence(name + issuer) +
          Sequence(issuer) + Sequence(Element(0xA0, Element(0xA1, ""))) +
          Sequence(Element(0xA0, Element(0xA0, Element(0x82, "x") + Element(0x86, "ldap://b")))))));
  CHECK(extensions.crl_urls == std::vector<std::string>{"http://a/", "ldap://b"});
}

TEST_CASE("Times are written in the form of their year and read back to the second") {
  const struct {
    const char* time;
    const char* written;
    uint8_t tag;
  } kCases[] = {
      {"1950-01-01T00:00:00Z", "500101000000Z", kUtcTime},
      {"1999-12-31T23:59:59Z", "991231235959Z", kUtcTime},
      {"2000-02-29T12:00:00Z", "000229120000Z", kUtcTime},
      {"2049-12-31T23:59:59Z", "491231235959Z", kUtcTime},
      {"2050-01-01T00:00:00Z", "20500101000000Z", kGeneralizedTime},
      {"9999-12-31T23:59:59Z", "99991231235959Z", kGeneralizedTime},
      {"1949-12-31T23:59:59Z", "19491231235959Z", kGeneralizedTime},
      {"0000-01-01T00:00:00Z", "00000101000000Z", kGeneralizedTime},
  };
  for (const auto& test : kCases) {
    INFO(test.time);
    absl::Time time;
    std::string error;
    REQUIRE(absl::ParseTime(absl::RFC3339_full, test.time, &time, &error));
    DerWriter out;
    WriteTime(time + absl::Milliseconds(999), &out);
    CHECK(out.der() == Element(test.tag, test.written));
    DerReader in(out.der());
    absl::Time read;
    REQUIRE(ReadTime(&in, &read));
    CHECK(read == time);
    DerWriter generalized;
    WriteGeneralizedTime(time, &generalized);
    in = DerReader(generalized.der());
    CHECK(in.PeekTag() == kGeneralizedTime);
    REQUIRE(ReadTime(&in, &read));
    CHECK(read == time);
  }
  DerWriter ends;
  WriteTime(absl::InfiniteFuture(), &ends);
  WriteTime(absl::InfinitePast(), &ends);
  WriteTime(absl::FromUnixSeconds(253402300800), &ends);  // the year 10000
  CHECK(ends.der() == Element(kGeneralizedTime, "99991231235959Z") +
                          Element(kGeneralizedTime, "00000101000000Z") +
                          Element(kGeneralizedTime, "99991231235959Z"));
}

TEST_CASE("Times that are none are refused, and the reader stays") {
  for (const char* text :
       {"", "Z", "260101000000", "2601010000Z", "260101000000.0Z", "260101000000+0000",
        "260229000000Z", "261301000000Z", "260001000000Z", "260100000000Z", "260431000000Z",
        "260101240000Z", "260101006000Z", "260101000060Z", "2601010000 0Z", "26010100000-Z",
        "260101000000z", "260101000000ZZ", "+60101000000Z"}) {
    INFO(text);
    const std::string utc = Element(kUtcTime, text);
    const std::string generalized =
        Element(kGeneralizedTime, *text == '\0' ? "" : absl::StrCat("20", text));
    absl::Time time;
    DerReader in(utc);
    CHECK(!ReadTime(&in, &time));
    CHECK(in.rest() == utc);
    in = DerReader(generalized);
    CHECK(!ReadTime(&in, &time));
  }
  absl::Time time;
  const std::string null = Hex("0500");
  DerReader wrong_form(null);
  CHECK(!ReadTime(&wrong_form, &time));
  const std::string leap = Element(kGeneralizedTime, "21000229000000Z");
  DerReader in(leap);
  CHECK(!ReadTime(&in, &time));
}

TEST_CASE("A long validity is in both forms") {
  const Certificate certificate = RequireOk(ParseCertificate(Stored("rsa")));
  CHECK(certificate.not_after - certificate.not_before == absl::Hours(24 * 36500));
  CHECK(Seconds(certificate.not_after) > "2100");
}

}  // namespace
}  // namespace countersign::pki
