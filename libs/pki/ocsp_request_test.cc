#include "libs/pki/ocsp_request.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/pki/oid.h"
#include "libs/pki/pem.h"
#include "libs/pki/test_authority.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::pki {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::RunCommand;
using ::countersign::testing::StatusIs;
using ::countersign::testing::TempDir;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr OcspHash kHashes[] = {OcspHash::kSha1, OcspHash::kSha256, OcspHash::kSha384,
                                OcspHash::kSha512};

std::string Element(uint8_t tag, absl::string_view contents) {
  DerWriter out;
  out.Add(tag, contents);
  return out.Take();
}
std::string Sequence(absl::string_view contents) { return Element(kSequence, contents); }

std::string CertId(absl::string_view algorithm, absl::string_view serial_contents) {
  return Sequence(absl::StrCat(algorithm, Element(kOctetString, std::string(20, 'n')),
                               Element(kOctetString, std::string(20, 'k')),
                               Element(kInteger, serial_contents)));
}
std::string CertId(absl::string_view serial_contents = "\x01") {
  return CertId(OcspHashAlgorithmDer(OcspHash::kSha1), serial_contents);
}

std::string ExtensionDer(absl::string_view oid, bool critical, absl::string_view value) {
  return Sequence(absl::StrCat(Element(kOid, oid), critical ? Element(kBoolean, "\xFF") : "",
                               Element(kOctetString, value)));
}
std::string NonceDer(absl::string_view nonce) {
  return ExtensionDer(kOidOcspNonce, false, Element(kOctetString, nonce));
}

// The parts of an OCSPRequest, each a whole element or nothing.
struct Shape {
  std::string version;
  std::string requestor;
  std::string list = Sequence(CertId());  // Requests
  std::string extensions;                 // Extension elements
  std::string signature;
};
std::string Request(const Shape& shape) {
  return Sequence(absl::StrCat(
      Sequence(absl::StrCat(shape.version, shape.requestor, Sequence(shape.list),
                            shape.extensions.empty()
                                ? ""
                                : Element(ContextConstructed(2), Sequence(shape.extensions)))),
      shape.signature));
}

TEST_CASE("A request that is built is read back, under each hash") {
  for (const OcspHash hash : kHashes) {
    const std::string der = BuildOcspRequest(hash, "name", "key", "\x12\x34", "nonce");
    const OcspRequest request = RequireOk(ParseOcspRequest(der));
    REQUIRE(request.cert_ids.size() == 1);
    const OcspCertId& id = request.cert_ids[0];
    CHECK(id.hash == hash);
    CHECK(id.known_hash);
    CHECK(id.issuer_name_hash == OcspDigest(hash, "name"));
    CHECK(id.issuer_key_hash == OcspDigest(hash, "key"));
    CHECK(id.serial == "\x12\x34");
    CHECK_FALSE(id.negative_serial);
    CHECK(absl::StrContains(der, id.element));
    CHECK(request.nonce == "nonce");
    CHECK(request.has_nonce);
    CHECK_FALSE(request.has_signature);
    CHECK_FALSE(request.unknown_critical_extension);
  }
}

TEST_CASE("Requests of the openssl command are read") {
  const TestIdentity root = MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256);
  const TestIdentity leaf = IssueTest(root, TestLeafTemplate("a.example"));
  const TempDir dir;
  REQUIRE(
      base::WriteFileAtomically(dir.path() + "/ca", FormatPem("CERTIFICATE", root.certificate.der))
          .ok());
  REQUIRE(base::WriteFileAtomically(dir.path() + "/leaf",
                                    FormatPem("CERTIFICATE", leaf.certificate.der))
              .ok());
  const auto read = [&](absl::string_view options) {
    const auto result = RunCommand(absl::StrCat("cd ", dir.path(), " && openssl ocsp -issuer ca ",
                                                options, " -reqout request"));
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    return RequireOk(base::ReadFile(dir.path() + "/request"));
  };
  for (const auto& [option, hash] :
       {std::pair("-sha1", OcspHash::kSha1), std::pair("-sha256", OcspHash::kSha256),
        std::pair("-sha384", OcspHash::kSha384), std::pair("-sha512", OcspHash::kSha512)}) {
    const std::string der = read(absl::StrCat(option, " -cert leaf"));
    const OcspRequest request = RequireOk(ParseOcspRequest(der));
    REQUIRE(request.cert_ids.size() == 1);
    CHECK(request.cert_ids[0].hash == hash);
    CHECK(request.cert_ids[0].serial == leaf.certificate.serial);
    CHECK(request.cert_ids[0].issuer_name_hash == OcspDigest(hash, root.certificate.subject_der));
    CHECK(request.cert_ids[0].issuer_key_hash == OcspDigest(hash, root.certificate.key_bits));
    CHECK(request.has_nonce);
    CHECK(request.nonce.size() >= 16);
    // Ours for the same certificate is the same.
    CHECK(BuildOcspRequest(hash, root.certificate.subject_der, root.certificate.key_bits,
                           leaf.certificate.serial, request.nonce) == der);
  }
  const std::string several = read("-no_nonce -serial 1 -serial 0x80 -sha256 -cert leaf");
  const OcspRequest request = RequireOk(ParseOcspRequest(several));
  REQUIRE(request.cert_ids.size() == 3);
  CHECK(request.cert_ids[0].serial == "\x01");
  CHECK(request.cert_ids[1].serial == "\x80");
  CHECK_FALSE(request.has_nonce);
}

TEST_CASE("A nonce has 1 to 128 bytes, in an OCTET STRING of its own") {
  for (const size_t size : {1, 15, 16, 32, 33, 128}) {
    const std::string nonce(size, '\x5A');
    const std::string der = Request({.extensions = NonceDer(nonce)});
    const OcspRequest request = RequireOk(ParseOcspRequest(der));
    CHECK(request.has_nonce);
    CHECK(request.nonce == nonce);
  }
  for (const size_t size : {0, 129}) {
    CHECK_THAT(ParseOcspRequest(Request({.extensions = NonceDer(std::string(size, 'x'))})),
               StatusIs(kInvalid, absl::StrCat("nonce has ", size, " bytes")));
  }
  CHECK_THAT(ParseOcspRequest(
                 Request({.extensions = ExtensionDer(kOidOcspNonce, false, std::string(32, 'x'))})),
             StatusIs(kInvalid, "OCTET STRING"));
  CHECK_THAT(ParseOcspRequest(Request({.extensions = NonceDer("one") + NonceDer("two")})),
             StatusIs(kInvalid, "two nonces"));
}

TEST_CASE("What is cut short or has bytes behind it is malformed") {
  const std::string der =
      Request({.requestor = Element(ContextConstructed(1), Element(0x82, "a.b")),
               .extensions = NonceDer("0123456789abcdef"),
               .signature = Element(ContextConstructed(0), Sequence("sig"))});
  REQUIRE(ParseOcspRequest(der).ok());
  for (size_t size = 0; size < der.size(); ++size) {
    CHECK_THAT(ParseOcspRequest(absl::string_view(der).substr(0, size)), StatusIs(kInvalid));
  }
  CHECK_THAT(ParseOcspRequest(absl::StrCat(der, absl::string_view("\0", 1))), StatusIs(kInvalid));
  CHECK_THAT(ParseOcspRequest(absl::StrCat(der, der)), StatusIs(kInvalid));
}

TEST_CASE("Lengths that are not the shortest, or indefinite, are malformed") {
  const std::string tbs = Sequence(Sequence(Sequence(CertId())));
  REQUIRE(ParseOcspRequest(Sequence(tbs)).ok());
  const auto with_length = [&](absl::string_view length) {
    return absl::StrCat(absl::string_view("\x30"), length, tbs);
  };
  const std::string one(1, static_cast<char>(tbs.size()));
  CHECK(ParseOcspRequest(with_length(one)).ok());
  CHECK_THAT(ParseOcspRequest(with_length("\x81" + one)), StatusIs(kInvalid));
  CHECK_THAT(ParseOcspRequest(with_length(std::string("\x82\0", 2) + one)), StatusIs(kInvalid));
  CHECK_THAT(ParseOcspRequest(with_length("\x80") + std::string(2, '\0')), StatusIs(kInvalid));
}

TEST_CASE("A request has at least one CertID and at most 1,000") {
  CHECK_THAT(ParseOcspRequest(Request({.list = ""})), StatusIs(kInvalid, "no certificate"));
  std::string list;
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&list, Sequence(CertId()));
  CHECK(RequireOk(ParseOcspRequest(Request({.list = list}))).cert_ids.size() == 1000);
  absl::StrAppend(&list, Sequence(CertId()));
  CHECK_THAT(ParseOcspRequest(Request({.list = list})), StatusIs(kInvalid, "more than 1000"));
}

TEST_CASE("Only version v1 is known, spelt out or not") {
  const auto version = [](absl::string_view number) {
    return Request({.version = Element(ContextConstructed(0), Element(kInteger, number))});
  };
  CHECK(ParseOcspRequest(version(absl::string_view("\0", 1))).ok());
  CHECK_THAT(ParseOcspRequest(version("\x01")), StatusIs(kInvalid, "version"));
}

TEST_CASE("A signature and a requestor's name are passed over") {
  const OcspRequest request = RequireOk(ParseOcspRequest(
      Request({.requestor = Element(ContextConstructed(1), Element(0x82, "a.example")),
               .signature = Element(ContextConstructed(0), Sequence("whatever"))})));
  CHECK(request.has_signature);
  CHECK_THAT(
      ParseOcspRequest(Request({.signature = Element(ContextConstructed(0), "no sequence")})),
      StatusIs(kInvalid));
  CHECK_THAT(ParseOcspRequest(Request({.requestor = Element(ContextConstructed(1), "")})),
             StatusIs(kInvalid));
}

TEST_CASE("A critical extension that is not understood is told; others are passed over") {
  const absl::string_view oid = "\x2A\x03\x04";
  const auto parse = [](const Shape& shape) { return RequireOk(ParseOcspRequest(Request(shape))); };
  CHECK_FALSE(parse({.extensions = ExtensionDer(oid, false, "")}).unknown_critical_extension);
  CHECK(parse({.extensions = ExtensionDer(oid, true, "")}).unknown_critical_extension);
  CHECK(parse({.list = Sequence(CertId() + Element(ContextConstructed(0),
                                                   Sequence(ExtensionDer(oid, true, ""))))})
            .unknown_critical_extension);
  CHECK_FALSE(parse({.list = Sequence(CertId() + Element(ContextConstructed(0),
                                                         Sequence(ExtensionDer(oid, false, ""))))})
                  .unknown_critical_extension);
  // A nonce may be critical; among the answers that are acceptable must be ours.
  CHECK_FALSE(parse({.extensions = ExtensionDer(kOidOcspNonce, true, Element(kOctetString, "n"))})
                  .unknown_critical_extension);
  const absl::string_view acceptable = "\x2B\x06\x01\x05\x05\x07\x30\x01\x04";
  CHECK_FALSE(
      parse({.extensions = ExtensionDer(acceptable, true, Sequence(Element(kOid, kOidOcspBasic)))})
          .unknown_critical_extension);
  CHECK(parse({.extensions = ExtensionDer(acceptable, true, Sequence(Element(kOid, oid)))})
            .unknown_critical_extension);
  const std::string preferring =
      Request({.extensions = ExtensionDer(kOidOcspPreferredSignatures, false, "algorithms")});
  CHECK(RequireOk(ParseOcspRequest(preferring)).preferred_algorithms == "algorithms");
  CHECK_THAT(ParseOcspRequest(Request({.extensions = "\x30"})), StatusIs(kInvalid));
}

TEST_CASE("The hash's parameters are NULL or absent") {
  const auto algorithm = [](absl::string_view oid, absl::string_view parameters) {
    return Sequence(Element(kOid, oid) + std::string(parameters));
  };
  const absl::string_view null("\x05\x00", 2);
  const auto parse = [](const std::string& algorithm_der) {
    return ParseOcspRequest(Request({.list = Sequence(CertId(algorithm_der, "\x01"))}));
  };
  for (const absl::string_view oid : {absl::string_view(kOidSha1), absl::string_view(kOidSha256)}) {
    CHECK(RequireOk(parse(algorithm(oid, null))).cert_ids[0].known_hash);
    CHECK(RequireOk(parse(algorithm(oid, ""))).cert_ids[0].known_hash);
    CHECK_THAT(parse(algorithm(oid, "\x04\x01x")), StatusIs(kInvalid));
  }
  CHECK_FALSE(RequireOk(parse(algorithm("\x2A\x03", "\x04\x01x"))).cert_ids[0].known_hash);
}

TEST_CASE("Serial numbers are read as numbers, in their one encoding") {
  const auto id = [](absl::string_view contents) {
    const std::string der = Request({.list = Sequence(CertId(contents))});
    const auto request = ParseOcspRequest(der);
    return request.ok() ? absl::StrCat(request->cert_ids[0].negative_serial ? "-" : "+",
                                       absl::BytesToHexString(request->cert_ids[0].serial))
                        : "malformed";
  };
  CHECK(id("\x01") == "+01");
  CHECK(id(absl::string_view("\x00\x80", 2)) == "+80");
  CHECK(id(absl::string_view("\x00", 1)) == "+00");
  CHECK(id("\x80") == "-80");
  CHECK(id("\xFF") == "-ff");
  CHECK(id(std::string(40, '\x11')) == "+" + absl::BytesToHexString(std::string(40, '\x11')));
  CHECK(id(absl::string_view("\x00\x01", 2)) == "malformed");
  CHECK(id("\xFF\x80") == "malformed");
  CHECK(id("") == "malformed");
}

TEST_CASE("A GET's path is percent-decoded, then base64") {
  // Bytes whose base64 has all of '+', '/' and '='.
  const std::string der = absl::HexStringToBytes("300000FBEFBEFFFFFF");
  const std::string with_padding = der + "x";
  for (const std::string& bytes : {der, with_padding, with_padding + "y"}) {
    const std::string base64 = base::Base64Encode(bytes);
    std::string out;
    for (const std::string& path :
         {base64, "/" + base64, "//" + base64, "%2F" + base64,
          absl::StrReplaceAll(base64, {{"+", "%2B"}, {"/", "%2F"}, {"=", "%3D"}}),
          absl::StrReplaceAll(base64, {{"+", "%2b"}, {"/", "%2f"}, {"=", "%3d"}}),
          absl::StrReplaceAll(base64, {{"+", " "}}), absl::StrReplaceAll(base64, {{"+", "%20"}}),
          absl::StrReplaceAll(base64, {{"=", ""}})}) {
      INFO(path);
      CHECK(DecodeOcspPath(path, &out));
      CHECK(out == bytes);
    }
  }
  std::string out;
  for (const std::string path :
       {"",     "/",    "M",   "MA=",  "MA===", "M===", "MAA==",  "MAAA=",  "MA==MA==", "MB==",
        "MAB=", "MA=A", "MA%", "MA%3", "MA%3G", "MA-_", "MA\n==", "MA%00A", "=",        "===="}) {
    INFO(path);
    CHECK_FALSE(DecodeOcspPath(path, &out));
  }
}

}  // namespace
}  // namespace countersign::pki
