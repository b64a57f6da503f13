#include "libs/pki/lint.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

constexpr size_t kMaxSerialBytes = 20;

// What is wrong with one certificate.
class Lint {
 public:
  Lint(const Certificate& certificate, const Certificate* issuer)
      : certificate_(certificate), extensions_(certificate.extensions), issuer_(issuer) {}

  absl::Status Run() {
    CheckFields();
    CheckExtensionList();
    CheckCa();
    CheckKeyUsage();
    CheckNames();
    CheckKeyIdentifiers();
    CheckRevocationUrls();
    CheckOcspSigner();
    if (issuer_ != nullptr) CheckIssuer();
    if (found_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate would break RFC 5280: ", absl::StrJoin(found_, "; ")));
  }

 private:
  // `section` is RFC 5280's where nothing else is said.
  void Require(bool holds, absl::string_view what, absl::string_view section) {
    if (!holds) found_.push_back(absl::StrCat(what, " (", section, ")"));
  }

  const Extension* Find(absl::string_view oid) const {
    for (const Extension& extension : extensions_.all) {
      if (extension.oid == oid) return &extension;
    }
    return nullptr;
  }
  bool IsCritical(absl::string_view oid) const {
    const Extension* extension = Find(oid);
    return extension != nullptr && extension->critical;
  }
  bool IsCa() const {
    return extensions_.basic_constraints.has_value() && extensions_.basic_constraints->ca;
  }
  bool Uses(uint16_t bits) const { return (extensions_.key_usage.value_or(0) & bits) != 0; }

  void CheckFields();
  void CheckExtensionList();
  void CheckCa();
  void CheckKeyUsage();
  void CheckNames();
  void CheckKeyIdentifiers();
  void CheckUrls(const std::vector<std::string>& urls, bool directories, absl::string_view what,
                 absl::string_view section);
  void CheckRevocationUrls();
  void CheckOcspSigner();
  void CheckIssuer();

  const Certificate& certificate_;
  const Extensions& extensions_;
  const Certificate* const issuer_;
  std::vector<std::string> found_;
};

void Lint::CheckFields() {
  const std::string& serial = certificate_.serial;
  Require(certificate_.version == 3 || extensions_.all.empty(), "extensions need version 3",
          "4.1.2.1");
  Require(!serial.empty() && serial.find_first_not_of('\0') != std::string::npos,
          "the serial number must be positive", "4.1.2.2");
  Require(serial.size() < kMaxSerialBytes ||
              (serial.size() == kMaxSerialBytes && (serial[0] & 0x80) == 0),
          "the serial number must not be longer than 20 octets", "4.1.2.2");
  Require(!certificate_.issuer.empty(), "the issuer must be named", "4.1.2.4");
  Require(certificate_.not_before <= certificate_.not_after,
          "the validity must not end before it begins", "4.1.2.5");
  if (absl::Status status = CheckBounds(certificate_.subject); !status.ok()) {
    Require(false, absl::StrCat("subject: ", status.message()), "appendix A.1");
  }
}

void Lint::CheckExtensionList() {
  for (size_t i = 0; i < extensions_.all.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (extensions_.all[i].oid != extensions_.all[j].oid) continue;
      Require(false,
              absl::StrCat("the extension ", FormatOid(extensions_.all[i].oid), " is twice there"),
              "4.2");
    }
  }
  for (const Extension& extension : extensions_.others) {
    if (!extension.critical) continue;
    Require(false,
            absl::StrCat("the critical extension ", FormatOid(extension.oid), " is not understood"),
            "4.2");
  }
  const std::vector<std::string>& policies = extensions_.policies;
  for (size_t i = 0; i < policies.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (policies[i] != policies[j]) continue;
      Require(false, absl::StrCat("the policy ", FormatOid(policies[i]), " is twice there"),
              "4.2.1.4");
    }
  }
}

void Lint::CheckCa() {
  if (IsCa()) {
    Require(IsCritical(kOidBasicConstraints), "a CA's basicConstraints must be critical",
            "4.2.1.9");
    Require(Uses(kKeyCertSign), "a CA must have keyUsage with keyCertSign", "4.2.1.3");
    Require(!certificate_.subject.empty(), "a CA must have a subject", "4.1.2.6");
    Require(!extensions_.subject_key_id.empty(), "a CA must have a subjectKeyIdentifier",
            "4.2.1.2");
  } else {
    Require(!Uses(kKeyCertSign), "keyCertSign is for CAs", "4.2.1.9");
  }
  if (extensions_.basic_constraints.has_value() &&
      extensions_.basic_constraints->path_length.has_value()) {
    Require(IsCa() && Uses(kKeyCertSign), "a path length is for CAs with keyCertSign", "4.2.1.9");
    Require(*extensions_.basic_constraints->path_length >= 0, "a path length must not be negative",
            "4.2.1.9");
  }
  if (extensions_.name_constraints.has_value()) {
    Require(IsCa(), "name constraints are for CAs", "4.2.1.10");
    Require(IsCritical(kOidNameConstraints), "name constraints must be critical", "4.2.1.10");
    Require(!extensions_.name_constraints->empty(), "name constraints must constrain something",
            "4.2.1.10");
  }
}

void Lint::CheckKeyUsage() {
  Require(!extensions_.key_usage.has_value() || *extensions_.key_usage != 0,
          "keyUsage must have a bit set", "4.2.1.3");
  DerReader in(certificate_.spki_der);
  DerReader spki;
  DerReader algorithm;
  absl::string_view oid;
  if (!in.Read(kSequence, &spki) || !spki.Read(kSequence, &algorithm) ||
      !algorithm.Read(kOid, &oid)) {
    Require(false, "the key is none", "4.1.2.7");
    return;
  }
  if (oid == kOidEcPublicKey) {
    Require(!Uses(kKeyEncipherment | kDataEncipherment),
            "a key on an elliptic curve does not encipher", "RFC 8813 section 3");
  } else if (oid == kOidEd25519) {
    Require(!Uses(kKeyEncipherment | kDataEncipherment | kKeyAgreement),
            "an Ed25519 key only signs", "RFC 8410 section 5");
  }
}

void Lint::CheckNames() {
  const bool has_names = !extensions_.subject_alt_names.empty();
  if (certificate_.subject.empty()) {
    Require(has_names, "without a subject there must be a subjectAltName", "4.1.2.6");
    Require(!has_names || IsCritical(kOidSubjectAltName),
            "without a subject subjectAltName must be critical", "4.2.1.6");
  }
  for (const GeneralName& name : extensions_.subject_alt_names) {
    if (absl::Status status = CheckSyntax(name); !status.ok()) {
      Require(false, absl::StrCat("subjectAltName: ", status.message()), "4.2.1.6");
    }
  }
}

void Lint::CheckKeyIdentifiers() {
  Require(!IsCritical(kOidSubjectKeyId), "subjectKeyIdentifier must not be critical", "4.2.1.2");
  Require(!IsCritical(kOidAuthorityKeyId), "authorityKeyIdentifier must not be critical",
          "4.2.1.1");
  Require(issuer_ == nullptr || !extensions_.authority_key_id.empty(),
          "there must be an authorityKeyIdentifier", "4.2.1.1");
}

void Lint::CheckUrls(const std::vector<std::string>& urls, bool directories, absl::string_view what,
                     absl::string_view section) {
  for (const std::string& url : urls) {
    const bool directory =
        absl::StartsWithIgnoreCase(url, "ldap://") || absl::StartsWithIgnoreCase(url, "ldaps://");
    const bool known = absl::StartsWithIgnoreCase(url, "http://") ||
                       absl::StartsWithIgnoreCase(url, "https://") || (directories && directory);
    if (known && (directory || CheckSyntax({GeneralName::Kind::kUri, url}).ok())) continue;
    Require(
        false,
        absl::StrCat(what, " \"", url, "\" must be an HTTP ", directories ? "or LDAP " : "", "URL"),
        section);
  }
}

void Lint::CheckRevocationUrls() {
  Require(!IsCritical(kOidAuthorityInfoAccess), "authorityInfoAccess must not be critical",
          "4.2.2.1");
  CheckUrls(extensions_.ocsp_urls, false, "the OCSP URL", "4.2.2.1");
  CheckUrls(extensions_.issuer_urls, true, "the issuer's URL", "4.2.2.1");
  CheckUrls(extensions_.crl_urls, true, "the CRL's URL", "4.2.1.13");
}

void Lint::CheckOcspSigner() {
  const bool signer = extensions_.HasExtendedKeyUsage(kOidOcspSigning);
  Require(signer || !extensions_.ocsp_no_check, "id-pkix-ocsp-nocheck is for OCSP signers",
          "RFC 6960 section 4.2.2.2.1");
  if (!signer) return;
  Require(extensions_.ocsp_no_check, "an OCSP signer must have id-pkix-ocsp-nocheck",
          "RFC 6960 section 4.2.2.2.1");
  Require(!extensions_.key_usage.has_value() || Uses(kDigitalSignature),
          "an OCSP signer's keyUsage must have digitalSignature", "4.2.1.12");
}

void Lint::CheckIssuer() {
  Require(certificate_.issuer_der == issuer_->subject_der,
          "the issuer's name must be that of its certificate", "4.1.2.4");
  const auto& constraints = issuer_->extensions.basic_constraints;
  Require(constraints.has_value() && constraints->ca, "the issuer must be a CA", "6.1.4");
  Require(!issuer_->extensions.key_usage.has_value() ||
              (*issuer_->extensions.key_usage & kKeyCertSign) != 0,
          "the issuer must have keyCertSign", "6.1.4");
  Require(certificate_.not_after <= issuer_->not_after,
          "the certificate must not be valid longer than its issuer", "6.1.3");
  const std::string& issuer_id = issuer_->extensions.subject_key_id;
  Require(issuer_id.empty() || extensions_.authority_key_id.empty() ||
              issuer_id == extensions_.authority_key_id,
          "authorityKeyIdentifier must be the issuer's subjectKeyIdentifier", "4.2.1.2");
  if (IsCa() && !certificate_.IsSelfIssued() && constraints.has_value() &&
      constraints->path_length.has_value()) {
    const std::optional<int64_t>& own = extensions_.basic_constraints->path_length;
    Require(*constraints->path_length > 0, "the issuer's path length allows no CA below it",
            "4.2.1.9");
    Require(!own.has_value() || *constraints->path_length <= 0 || *own < *constraints->path_length,
            "the path length must be below the issuer's", "4.2.1.9");
  }
}

}  // namespace

absl::Status LintCertificate(const Certificate& certificate, const Certificate* issuer) {
  return Lint(certificate, issuer).Run();
}

absl::StatusOr<Certificate> ParseTbsCertificate(absl::string_view tbs) {
  DerReader outer(tbs);
  DerReader in;
  absl::string_view version;
  absl::string_view serial;
  absl::string_view algorithm;
  bool has_version;
  if (!outer.Read(kSequence, &in) || !outer.empty() ||
      !in.ReadOptional(ContextConstructed(0), &version, &has_version) ||
      !in.Read(kInteger, &serial) || !in.ReadElement(kSequence, &algorithm)) {
    return absl::InvalidArgumentError("not a TBSCertificate");
  }
  DerWriter out(tbs.size() + algorithm.size() + 16);
  const size_t certificate = out.Begin(kSequence);
  out.AddRaw(tbs);
  out.AddRaw(algorithm);
  out.AddBitStringBytes("");
  out.End(certificate);
  return ParseCertificate(out.der());
}

}  // namespace countersign::pki
