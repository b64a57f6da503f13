#include "services/sign/certificates/authority_certificates.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/pki/der.h"
#include "libs/pki/lint.h"
#include "libs/pki/oid.h"
#include "libs/runtime/error_details.h"
#include "services/sign/certificates/crl_shard.h"
#include "services/sign/certificates/sign_and_assemble.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

// ub-common-name (RFC 5280 appendix A.1).
constexpr size_t kMaxCommonName = 64;
constexpr absl::string_view kSignerSuffix = " OCSP";

absl::Status Cannot(absl::string_view why) { return PreconditionError(kIssuerCannot, why); }

// The authority's name with another common name. An e-mail address is the authority's alone.
pki::Name SignerName(const pki::Name& authority) {
  pki::Name name;
  for (const std::vector<pki::NameAttribute>& rdn : authority.rdns) {
    const bool keep = std::none_of(rdn.begin(), rdn.end(), [](const pki::NameAttribute& attribute) {
      return attribute.oid == pki::kOidCommonName || attribute.oid == pki::kOidEmailAddress;
    });
    if (keep) name.rdns.push_back(rdn);
  }
  std::string common_name = absl::StrCat(authority.CommonName(), kSignerSuffix);
  if (authority.CommonName().empty() || common_name.size() > kMaxCommonName) {
    common_name = "OCSP signer";
  }
  name.rdns.push_back({{std::string(pki::kOidCommonName), std::move(common_name)}});
  return name;
}

}  // namespace

absl::StatusOr<pki::Certificate> SignCertificate(const pki::CertificateTemplate& what,
                                                 const LiveKey& key,
                                                 const pki::Certificate* issuer) {
  const std::string tbs = pki::BuildTbsCertificate(what);
  ASSIGN_OR_RETURN(const pki::Certificate draft, pki::ParseTbsCertificate(tbs));
  const absl::Status lint = pki::LintCertificate(draft, issuer);
  if (!lint.ok()) return runtime::AttachReason(lint, kLint);
  ASSIGN_OR_RETURN(const std::string der, SignAndAssemble(tbs, key));
  return pki::ParseCertificate(der);
}

absl::StatusOr<IssuerLimits> CheckIssuer(absl::Span<const pki::Certificate> chain,
                                         const pki::Name& subject, absl::Time now) {
  IssuerLimits limits;
  // Authorities between a certificate of the chain and the new one that count (RFC 5280 6.1.4 l).
  int64_t between = 0;
  for (size_t i = 0; i < chain.size(); ++i) {
    const pki::Certificate& certificate = chain[i];
    const std::string name = pki::FormatName(certificate.subject);
    if (now > certificate.not_after || now < certificate.not_before) {
      return Cannot(absl::StrCat("the certificate of ", name, " is not valid now"));
    }
    const pki::Extensions& extensions = certificate.extensions;
    if (!extensions.basic_constraints.has_value() || !extensions.basic_constraints->ca ||
        (extensions.key_usage.has_value() && (*extensions.key_usage & pki::kKeyCertSign) == 0)) {
      return Cannot(absl::StrCat("the certificate of ", name, " is not an authority's"));
    }
    if (const auto length = extensions.basic_constraints->path_length; length.has_value()) {
      const int64_t left = *length - between - 1;
      if (left < 0) {
        return Cannot(
            absl::StrCat("the path length of ", name, ", ", *length, ", allows no authority here"));
      }
      limits.path_length = std::min(limits.path_length.value_or(left), left);
    }
    if (extensions.name_constraints.has_value()) {
      const absl::Status names = pki::CheckConstraints(*extensions.name_constraints, subject);
      if (!names.ok())
        return Cannot(absl::StrCat("name constraints of ", name, ": ", names.message()));
    }
    if (!certificate.IsSelfIssued()) ++between;
  }
  return limits;
}

pki::CertificateTemplate AuthorityTemplate(const std::string& subject_der,
                                           const std::string& spki_der,
                                           std::optional<int64_t> path_length,
                                           const pki::Certificate* issuer,
                                           const v1::AuthoritySettings* settings) {
  pki::CertificateTemplate what;
  what.serial = pki::RandomSerial();
  what.subject_der = subject_der;
  what.issuer_der = issuer != nullptr ? issuer->subject_der : subject_der;
  what.spki_der = spki_der;
  what.basic_constraints = pki::BasicConstraints{true, path_length};
  what.key_usage = pki::kKeyCertSign | pki::kCrlSign;
  what.subject_key_id = pki::KeyIdentifier(spki_der);
  if (issuer != nullptr) {
    what.authority_key_id = issuer->extensions.subject_key_id;
    what.ocsp_urls.assign(settings->ocsp_urls().begin(), settings->ocsp_urls().end());
    what.issuer_urls.assign(settings->issuer_urls().begin(), settings->issuer_urls().end());
    if (!settings->crl_url().empty()) {
      what.crl_url = CrlUrlOf(settings->crl_url(), CrlShardOf(what.serial, settings->crl_shards()));
    }
  }
  return what;
}

absl::StatusOr<OcspSigner> MakeOcspSigner(const pki::Certificate& authority, const LiveKey& key,
                                          absl::Time now) {
  if (now >= authority.not_after) {
    return PreconditionError(
        kIssuerExpired,
        absl::StrCat("the certificate of ", pki::FormatName(authority.subject), " has expired"));
  }
  OcspSigner signer;
  ASSIGN_OR_RETURN(crypto::PrivateKey made,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  signer.key = std::make_shared<const crypto::PrivateKey>(std::move(made));
  const absl::Time second = absl::FromUnixSeconds(absl::ToUnixSeconds(now));
  pki::CertificateTemplate what;
  what.serial = pki::RandomSerial();
  what.signature_algorithm = key.algorithm;
  what.issuer_der = authority.subject_der;
  what.subject_der = pki::EncodeName(SignerName(authority.subject));
  what.not_before = std::max(second - kBackdated, authority.not_before);
  what.not_after = std::min(second + kOcspSignerLifetime, authority.not_after);
  what.spki_der = signer.key->public_key().spki_der();
  what.key_usage = pki::kDigitalSignature;
  what.extended_key_usage = {std::string(pki::kOidOcspSigning)};
  what.subject_key_id = pki::KeyIdentifier(what.spki_der);
  what.authority_key_id = authority.extensions.subject_key_id;
  what.ocsp_no_check = true;
  ASSIGN_OR_RETURN(signer.certificate, SignCertificate(what, key, &authority));
  return signer;
}

std::string JoinDer(absl::Span<const std::string> elements) {
  std::string joined;
  for (const std::string& element : elements) joined += element;
  return joined;
}

absl::StatusOr<std::vector<std::string>> SplitDer(absl::string_view joined) {
  std::vector<std::string> elements;
  pki::DerReader reader(joined);
  while (!reader.empty()) {
    absl::string_view element;
    if (!reader.ReadElement(pki::kSequence, &element)) {
      return absl::DataLossError("a list of certificates in the database is damaged");
    }
    elements.emplace_back(element);
  }
  return elements;
}

}  // namespace countersign::sign
