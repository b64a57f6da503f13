#include "libs/pki/csr.h"

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"
#include "libs/pki/pem.h"
#include "libs/pki/signature.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::pki {
namespace {

using crypto::Algorithm;
using crypto::PrivateKey;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string Stored(const std::string& name) {
  return RequireOk(base::ReadFile("libs/pki/testdata/" + name));
}

std::string Hex(absl::string_view hex) { return RequireOk(base::HexDecode(hex)); }

std::string Element(uint8_t tag, absl::string_view contents) {
  DerWriter out;
  out.Add(tag, contents);
  return out.Take();
}

std::string Sequence(absl::string_view contents) { return Element(kSequence, contents); }

TEST_CASE("OpenSSL's requests read field by field and prove possession") {
  const Csr csr = RequireOk(ParseCsrDerOrPem(Stored("request_p256.pem")));
  CHECK(FormatName(csr.subject) == "CN=www.example.com,O=Example,C=DE");
  CHECK(EncodeName(csr.subject) == csr.subject_der);
  REQUIRE(csr.extensions.subject_alt_names.size() == 2);
  CHECK(FormatGeneralName(csr.extensions.subject_alt_names[0]) == "DNS:www.example.com");
  CHECK(FormatGeneralName(csr.extensions.subject_alt_names[1]) == "IP:2001:db8::1");
  CHECK(csr.extensions.key_usage == kDigitalSignature);
  CHECK_THAT(csr.CheckSignature(), IsOk());
  CHECK(RequireOk(csr.Key()).type() == crypto::KeyType::kEcP256);
  CHECK(RequireOk(ParseCsr(csr.der)).info == csr.info);

  const std::string der = Stored("request_rsa.der");
  const Csr rsa = RequireOk(ParseCsrDerOrPem(der));
  CHECK(rsa.der == der);
  CHECK(rsa.extensions.all.empty());
  CHECK_THAT(rsa.CheckSignature(), IsOk());

  const std::string pem = Stored("request_ed25519.pem");
  REQUIRE(pem.find("NEW CERTIFICATE REQUEST") != std::string::npos);
  const Csr ed25519 = RequireOk(ParseCsrDerOrPem(pem));
  CHECK(ed25519.subject.empty());
  CHECK_THAT(ed25519.CheckSignature(), IsOk());
}

TEST_CASE("OpenSSL verifies the requests built here") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/csr.pem";
  for (const Algorithm algorithm :
       {Algorithm::kEcdsaP256Sha256, Algorithm::kEcdsaP384Sha384, Algorithm::kEd25519,
        Algorithm::kRsaPkcs1_2048Sha256, Algorithm::kRsaPss2048Sha256}) {
    INFO(std::string(crypto::AlgorithmName(algorithm)));
    const PrivateKey key = RequireOk(PrivateKey::Generate(algorithm));
    const Name subject = RequireOk(ParseNameText("CN=Größe,O=Example,C=DE"));
    const std::vector<GeneralName> names = {RequireOk(ParseGeneralName("DNS:www.example.com")),
                                            RequireOk(ParseGeneralName("email:a@example.com"))};
    for (const bool with_names : {false, true}) {
      const std::string der =
          RequireOk(BuildCsr(subject, with_names ? names : std::vector<GeneralName>(), key));
      const Csr csr = RequireOk(ParseCsr(der));
      CHECK(csr.subject == subject);
      CHECK(csr.spki_der == key.public_key().spki_der());
      CHECK(csr.extensions.all.size() == (with_names ? 1 : 0));
      CHECK_THAT(csr.CheckSignature(), IsOk());
      RequireOk(base::WriteFileAtomically(path, FormatPem("CERTIFICATE REQUEST", der)));
      const testing::CommandResult result =
          testing::RunCommand("openssl req -verify -noout -text -in " + path);
      INFO(result.output);
      CHECK(result.exit_code == 0);
      CHECK(result.output.find("self-signature verify OK") != std::string::npos);
      CHECK((result.output.find("DNS:www.example.com, email:a@example.com") != std::string::npos) ==
            with_names);
    }
  }
  // Without a subject the alternative names are critical.
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kEd25519));
  const Csr csr = RequireOk(
      ParseCsr(RequireOk(BuildCsr({}, {RequireOk(ParseGeneralName("DNS:www.example.com"))}, key))));
  CHECK(csr.extensions.all[0].critical);
  const PrivateKey no_signer = RequireOk(PrivateKey::Generate(Algorithm::kEd25519ph));
  CHECK_THAT(BuildCsr({}, {}, no_signer), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_CASE("A request that is not signed by its own key proves nothing") {
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  const PrivateKey other = RequireOk(PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  const Csr csr = RequireOk(ParseCsr(RequireOk(BuildCsr({}, {}, key))));
  const Csr stolen = RequireOk(ParseCsr(RequireOk(SignAndAssemble(csr.info, other))));
  CHECK(stolen.spki_der == csr.spki_der);
  CHECK_THAT(stolen.CheckSignature(),
             StatusIs(absl::StatusCode::kFailedPrecondition, "not signed by its own key"));
  // An algorithm of another kind of key, and a key that is none.
  const Csr wrong = RequireOk(ParseCsr(AssembleSigned(csr.info, Algorithm::kEd25519, "x")));
  CHECK_THAT(wrong.CheckSignature(),
             StatusIs(absl::StatusCode::kFailedPrecondition, "Ed25519 needs"));
  Csr unknown = csr;
  unknown.spki_der = Sequence(Sequence(Hex("06012a")) + Hex("03020001"));
  CHECK_THAT(unknown.CheckSignature(), StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK_THAT(unknown.Key(), StatusIs(kInvalid));
}

TEST_CASE("Requests that are malformed are refused with their place") {
  struct Parts {
    std::string version = Hex("020100");
    std::string subject = EncodeName(RequireOk(ParseNameText("CN=x")));
    std::string spki = Sequence(Sequence(Hex("06012a")) + Hex("03020001"));
    std::string attributes = Hex("a000");
    std::string algorithm = Hex("300a06082a8648ce3d040302");
    std::string signature = Hex("03020055");
    std::string behind;
  };
  const std::string extension = Sequence(Hex("06022a03") + Hex("0400"));
  const std::string oid = Element(kOid, kOidExtensionRequest);
  const std::string request = Sequence(oid + Element(kSet, Sequence(extension)));
  const auto attributes = [](const std::string& list) {
    return [list](Parts* p) { p->attributes = Element(ContextConstructed(0), list); };
  };
  const struct {
    std::function<void(Parts*)> change;
    const char* why;  // null: it parses
  } kCases[] = {
      {[](Parts* p) {}, nullptr},
      {[](Parts* p) { p->version = Hex("020101"); }, "the version is not 0"},
      {[](Parts* p) { p->version = Hex("02020000"); }, "the version is not 0"},
      {[](Parts* p) { p->version = ""; }, "the version is not 0"},
      {[](Parts* p) { p->subject = Hex("3100"); }, "no subject name"},
      {[](Parts* p) { p->subject = Hex("30023100"); }, "subject name: an RDN"},
      {[](Parts* p) { p->spki = Hex("3000"); }, "no public key"},
      {[](Parts* p) { p->attributes = ""; }, "not a SET of attributes"},
      {[](Parts* p) { p->attributes = Hex("a0000500"); }, "not a SET of attributes"},
      {[](Parts* p) { p->attributes = Hex("3100"); }, "not a SET of attributes"},
      {[](Parts* p) { p->algorithm = Hex("3000"); }, "not the DER of one PKCS#10"},
      {[](Parts* p) { p->signature = Hex("03020155"); }, "not the DER of one PKCS#10"},
      {[](Parts* p) { p->signature += Hex("0500"); }, "not the DER of one PKCS#10"},
      {[](Parts* p) { p->behind = "x"; }, "not the DER of one PKCS#10"},
      {attributes(request), nullptr},
      // Another attribute, of whatever values.
      {attributes(Sequence(Hex("06022a03") + Element(kSet, Hex("05000500")))), nullptr},
      {attributes(Hex("0500")), "an attribute is not"},
      {attributes(Sequence(oid)), "an attribute is not"},
      {attributes(Sequence(oid + Hex("3100"))), "an attribute is not"},
      {attributes(Sequence(oid + Sequence(extension))), "an attribute is not"},
      {attributes(Sequence(oid + Element(kSet, Hex("3000")))), "extensions is empty"},
      {attributes(Sequence(oid + Element(kSet, Hex("0500")))), "one list of extensions"},
      {attributes(Sequence(oid + Element(kSet, Sequence(extension) + Sequence(extension)))),
       "one list of extensions"},
      {attributes(request + request), "two extensionRequest"},
      {attributes(request + Sequence(Hex("06022a03") + Element(kSet, Hex("0500")))),
       "order of DER"},
      {attributes(Sequence(oid + Element(kSet, Sequence(extension + extension)))),
       "extension 1.2.3 is there twice"},
      {attributes(Sequence(oid + Element(kSet, Sequence(Sequence(Element(kOid, kOidSubjectAltName) +
                                                                 Hex("04023000")))))),
       "extension 2.5.29.17 does not parse"},
  };
  int number = 0;
  for (const auto& test : kCases) {
    Parts parts;
    test.change(&parts);
    const std::string der =
        Sequence(Sequence(parts.version + parts.subject + parts.spki + parts.attributes) +
                 parts.algorithm + parts.signature) +
        parts.behind;
    INFO(absl::StrCat("case ", number++, ": ", base::HexEncode(der)));
    if (test.why == nullptr) {
      CHECK_THAT(ParseCsr(der), IsOk());
    } else {
      CHECK_THAT(ParseCsr(der), StatusIs(kInvalid, test.why));
    }
  }
  const std::string der = Stored("request_rsa.der");
  for (size_t size = 0; size < der.size(); ++size) {
    CHECK_THAT(ParseCsr(absl::string_view(der).substr(0, size)), StatusIs(kInvalid));
  }
  const std::string pem = FormatPem("CERTIFICATE REQUEST", der);
  CHECK_THAT(ParseCsrDerOrPem(pem + pem), StatusIs(kInvalid, "more than one"));
  CHECK_THAT(ParseCsrDerOrPem(FormatPem("CERTIFICATE", der)), StatusIs(kInvalid, "no PEM block"));
  CHECK_THAT(ParseCsrDerOrPem(std::string(1 << 20, '0')), StatusIs(kInvalid));
}

}  // namespace
}  // namespace countersign::pki
