#include "libs/pki/certificate_builder.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
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

const absl::Time kStart = absl::FromUnixSeconds(1767225600);  // 2026-01-01

std::string EncodedName(absl::string_view text) {
  return EncodeName(RequireOk(ParseNameText(text)));
}

CertificateTemplate Root(const PrivateKey& key) {
  CertificateTemplate what;
  what.serial = RandomSerial();
  what.signature_algorithm = key.algorithm();
  what.issuer_der = what.subject_der = EncodedName("CN=Root,O=Example,C=DE");
  what.not_before = kStart;
  what.not_after = kStart + absl::Hours(24 * 365 * 30);
  what.spki_der = key.public_key().spki_der();
  what.basic_constraints = BasicConstraints{.ca = true};
  what.key_usage = kKeyCertSign | kCrlSign;
  what.subject_key_id = KeyIdentifier(what.spki_der);
  return what;
}

CertificateTemplate Leaf(const PrivateKey& key, const CertificateTemplate& issuer) {
  CertificateTemplate what;
  what.serial = RandomSerial();
  what.signature_algorithm = issuer.signature_algorithm;
  what.issuer_der = issuer.subject_der;
  what.subject_der = EncodedName("CN=www.example.com,O=Größe,C=DE");
  what.not_before = kStart;
  what.not_after = kStart + absl::Hours(24 * 365 * 25);
  what.spki_der = key.public_key().spki_der();
  what.basic_constraints = BasicConstraints{};
  what.key_usage = kDigitalSignature;
  what.extended_key_usage = {std::string(kOidServerAuth), std::string(kOidClientAuth)};
  for (const char* text : {"DNS:www.example.com", "DNS:*.example.com", "IP:10.1.2.3",
                           "IP:2001:db8::1", "email:a@example.com", "URI:https://example.com/x"}) {
    what.subject_alt_names.push_back(RequireOk(ParseGeneralName(text)));
  }
  what.subject_key_id = KeyIdentifier(what.spki_der);
  what.authority_key_id = issuer.subject_key_id;
  what.ocsp_urls = {"http://ocsp.example.com/"};
  what.issuer_urls = {"http://ca.example.com/root.der"};
  what.crl_url = "http://crl.example.com/root.crl";
  return what;
}

void WritePem(const std::string& path, absl::string_view der) {
  RequireOk(base::WriteFileAtomically(path, FormatPem("CERTIFICATE", der)));
}

TEST_CASE("Everything that a template says is read back") {
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  CertificateTemplate what = Leaf(key, Root(key));
  what.name_constraints.permitted = {RequireOk(ParseSubtree("example.com")),
                                     RequireOk(ParseSubtree("10.0.0.0/8"))};
  what.name_constraints.excluded = {RequireOk(ParseSubtree("@example.org"))};
  what.basic_constraints = BasicConstraints{.ca = true, .path_length = 0};
  what.key_usage = 0x1FF;
  what.ocsp_no_check = true;
  const std::string tbs = BuildTbsCertificate(what);
  const Certificate certificate = RequireOk(ParseCertificate(RequireOk(SignAndAssemble(tbs, key))));
  CHECK(certificate.tbs == tbs);
  CHECK(certificate.version == 3);
  CHECK(certificate.serial == what.serial);
  CHECK(certificate.signature_algorithm == SignatureAlgorithmDer(what.signature_algorithm));
  CHECK(certificate.issuer_der == what.issuer_der);
  CHECK(certificate.subject_der == what.subject_der);
  CHECK(certificate.not_before == what.not_before);
  CHECK(certificate.not_after == what.not_after);
  CHECK(certificate.spki_der == what.spki_der);
  const Extensions& read = certificate.extensions;
  CHECK(read.basic_constraints->ca);
  CHECK(read.basic_constraints->path_length == 0);
  CHECK(read.key_usage == 0x1FF);
  CHECK(read.extended_key_usage == what.extended_key_usage);
  CHECK(read.subject_alt_names == what.subject_alt_names);
  CHECK(read.name_constraints->permitted == what.name_constraints.permitted);
  CHECK(read.name_constraints->excluded == what.name_constraints.excluded);
  CHECK(read.subject_key_id == what.subject_key_id);
  CHECK(read.authority_key_id == what.authority_key_id);
  CHECK(read.ocsp_urls == what.ocsp_urls);
  CHECK(read.issuer_urls == what.issuer_urls);
  CHECK(read.crl_urls == std::vector<std::string>{what.crl_url});
  CHECK(read.ocsp_no_check);
  CHECK(read.others.empty());
  for (const Extension& extension : read.all) {
    const bool critical = extension.oid == kOidBasicConstraints || extension.oid == kOidKeyUsage ||
                          extension.oid == kOidNameConstraints;
    INFO(FormatOid(extension.oid));
    CHECK(extension.critical == critical);
  }
}

TEST_CASE("What is left out of a template is left out of the certificate") {
  CertificateTemplate what;
  what.serial = "\x01";
  what.issuer_der = EncodedName("CN=x");
  what.subject_der = EncodedName("");
  what.not_before = what.not_after = kStart;
  what.spki_der = RequireOk(PrivateKey::Generate(Algorithm::kEd25519)).public_key().spki_der();
  const auto parse = [&what] {
    return RequireOk(
        ParseCertificate(AssembleSigned(BuildTbsCertificate(what), what.signature_algorithm, "")));
  };
  CHECK(parse().extensions.all.empty());
  CHECK(parse().subject.empty());
  // Criticality is the template's, and that of alternative names the empty subject's.
  what.subject_alt_names = {{GeneralName::Kind::kDns, "example.com"}};
  what.extended_key_usage = {std::string(kOidCodeSigning)};
  what.critical_extended_key_usage = true;
  for (const Extension& extension : parse().extensions.all) CHECK(extension.critical);
  what.subject_der = EncodedName("CN=x");
  what.critical_extended_key_usage = false;
  for (const Extension& extension : parse().extensions.all) CHECK(!extension.critical);
}

TEST_CASE("Key usages are written without zero bits at their end") {
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  for (uint16_t usage = 1; usage < 0x200; ++usage) {
    CertificateTemplate what = Root(key);
    what.key_usage = usage;
    const Certificate certificate = RequireOk(
        ParseCertificate(AssembleSigned(BuildTbsCertificate(what), what.signature_algorithm, "")));
    CHECK(certificate.extensions.key_usage == usage);
  }
}

TEST_CASE("OpenSSL verifies what is built, for each algorithm") {
  testing::TempDir dir;
  for (const Algorithm algorithm :
       {Algorithm::kEcdsaP256Sha256, Algorithm::kEcdsaP384Sha384, Algorithm::kEd25519,
        Algorithm::kRsaPkcs1_2048Sha256, Algorithm::kRsaPss2048Sha256}) {
    INFO(std::string(crypto::AlgorithmName(algorithm)));
    const PrivateKey root_key = RequireOk(PrivateKey::Generate(algorithm));
    const PrivateKey leaf_key = RequireOk(PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
    CertificateTemplate root = Root(root_key);
    root.name_constraints.permitted = {
        RequireOk(ParseSubtree("example.com")), RequireOk(ParseSubtree("10.0.0.0/8")),
        RequireOk(ParseSubtree("2001:db8::/32")), RequireOk(ParseSubtree("uri:example.com"))};
    const std::string root_path = dir.path() + "/root.pem";
    const std::string leaf_path = dir.path() + "/leaf.pem";
    const std::string root_der = RequireOk(SignAndAssemble(BuildTbsCertificate(root), root_key));
    const std::string leaf_der =
        RequireOk(SignAndAssemble(BuildTbsCertificate(Leaf(leaf_key, root)), root_key));
    WritePem(root_path, root_der);
    WritePem(leaf_path, leaf_der);
    const testing::CommandResult verify = testing::RunCommand(absl::StrCat(
        "openssl verify -x509_strict -check_ss_sig -attime ", absl::ToUnixSeconds(kStart) + 1,
        " -purpose sslserver -verify_hostname www.example.com -CAfile ", root_path, " ",
        leaf_path));
    INFO(verify.output);
    CHECK(verify.exit_code == 0);
    const testing::CommandResult text = testing::RunCommand(
        "openssl x509 -noout -ext "
        "subjectAltName,keyUsage,authorityInfoAccess,crlDistributionPoints,"
        "basicConstraints -in " +
        leaf_path);
    INFO(text.output);
    CHECK(text.exit_code == 0);
    for (const char* part :
         {"DNS:www.example.com, DNS:*.example.com, IP Address:10.1.2.3, IP "
          "Address:2001:DB8:0:0:0:0:0:1, email:a@example.com, URI:https://example.com/x",
          "Key Usage: critical\n    Digital Signature\n", "OCSP - URI:http://ocsp.example.com/",
          "CA Issuers - URI:http://ca.example.com/root.der", "URI:http://crl.example.com/root.crl",
          "Basic Constraints: critical\n    CA:FALSE"}) {
      CHECK(text.output.find(part) != std::string::npos);
    }
    CHECK_THAT(
        RequireOk(ParseCertificate(leaf_der)).CheckIssuedBy(RequireOk(ParseCertificate(root_der))),
        IsOk());
  }
}

TEST_CASE("Key identifiers are the first 160 bits of the SHA-256 of the key's bits") {
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kEd25519));
  const std::string digest =
      crypto::Digest(crypto::DigestAlgorithm::kSha256, key.public_key().raw());
  CHECK(KeyIdentifier(key.public_key().spki_der()) == digest.substr(0, 20));
  CHECK(KeyIdentifier("no key").empty());
}

TEST_CASE("Serial numbers are of 16 bytes, positive and never the same") {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string serial = RandomSerial();
    CHECK(serial.size() == 16);
    CHECK((static_cast<uint8_t>(serial[0]) & 0xC0) == 0x40);
    seen.insert(serial);
  }
  CHECK(seen.size() == 1000);
}

}  // namespace
}  // namespace countersign::pki
