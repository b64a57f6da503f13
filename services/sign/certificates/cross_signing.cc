// Certificates by one authority for another's name and key.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/sign/certificates/authorities_impl.h"
#include "services/sign/errors.h"

namespace countersign::sign {

using ::countersign::storage::Transaction;

absl::StatusOr<v1::CrossSignAuthorityResponse> Authorities::CrossSignAuthority(
    const v1::CrossSignAuthorityRequest& request) {
  ASSIGN_OR_RETURN(const AuthorityName name, ParseAuthorityName("name", request.name()));
  ASSIGN_OR_RETURN(const auto answered, impl_->Answered<v1::CrossSignAuthorityResponse>(
                                            name.tenant, "CrossSignAuthority", request));
  if (answered.has_value()) return *answered;
  pki::Certificate subject;
  switch (request.subject_case()) {
    case v1::CrossSignAuthorityRequest::kAuthority: {
      ASSIGN_OR_RETURN(const AuthorityName other,
                       ParseAuthorityName("authority", request.authority()));
      if (other.tenant != name.tenant) return FieldError("authority", "is another tenant's");
      v1::GetAuthorityRequest get;
      get.set_name(request.authority());
      ASSIGN_OR_RETURN(const v1::GetAuthorityResponse got, GetAuthority(get));
      ASSIGN_OR_RETURN(subject, pki::ParseCertificate(got.authority().chain(0)));
      break;
    }
    case v1::CrossSignAuthorityRequest::kCertificate: {
      absl::StatusOr<pki::Certificate> parsed =
          pki::ParseCertificateDerOrPem(request.certificate());
      if (!parsed.ok()) return FieldError("certificate", parsed.status().message());
      subject = *std::move(parsed);
      break;
    }
    case v1::CrossSignAuthorityRequest::SUBJECT_NOT_SET:
      return FieldError("authority", "give an authority or a certificate");
  }
  ASSIGN_OR_RETURN(const auto signer, Load(request.name()));
  ASSIGN_OR_RETURN(const pki::Certificate certificate,
                   impl_->CrossCertify(*signer, subject, request));
  ASSIGN_OR_RETURN(
      v1::CrossSignAuthorityResponse response,
      impl_->Change<v1::CrossSignAuthorityResponse>(
          name.tenant, "CrossSignAuthority", request,
          [&](Transaction& transaction, int64_t number,
              absl::Time now) -> absl::StatusOr<v1::CrossSignAuthorityResponse> {
            ASSIGN_OR_RETURN(
                const NewCertificate issued,
                Issued(*signer, certificate, v1::CERTIFICATE_PROFILE_INTERMEDIATE_CA, now));
            ASSIGN_OR_RETURN(const std::vector<v1::Certificate> inserted,
                             impl_->InsertCertificates(transaction, absl::MakeConstSpan(&issued, 1),
                                                       number, now));
            if (request.has_authority()) {
              ASSIGN_OR_RETURN(AuthorityRow row, impl_->Read(transaction, request.authority()));
              row.cross_certificates.push_back(certificate.der);
              RETURN_IF_ERROR(impl_->Update(transaction, &row, now));
            }
            v1::CrossSignAuthorityResponse answer;
            *answer.mutable_certificate() = inserted.front();
            return answer;
          }));
  if (request.has_authority()) impl_->Forget(request.authority());
  return response;
}

absl::StatusOr<pki::Certificate> Authorities::Impl::CrossCertify(
    const LiveAuthority& signer, const pki::Certificate& subject,
    const v1::CrossSignAuthorityRequest& request) {
  const absl::Time now = Now();
  const char* const field = request.has_authority() ? "authority" : "certificate";
  if (signer.disabled) {
    return PreconditionError(kIssuerCannot, absl::StrCat(signer.name, " is disabled"));
  }
  if (subject.subject_der == signer.certificate.subject_der) {
    return FieldError(field, "has the name of the authority that is to sign");
  }
  const auto& constraints = subject.extensions.basic_constraints;
  if (!constraints.has_value() || !constraints->ca ||
      (subject.extensions.key_usage.has_value() &&
       (*subject.extensions.key_usage & pki::kKeyCertSign) == 0)) {
    return FieldError(field, "is not the certificate of an authority");
  }
  if (now > subject.not_after) return FieldError(field, "has expired");
  if (subject.IsSelfIssued()) {
    const absl::Status possession = subject.CheckIssuedBy(subject);
    if (!possession.ok()) return FieldError(field, possession.message());
  }
  const absl::Status weak = weak_keys.Check(subject.spki_der);
  if (!weak.ok()) return FieldError(field, weak.message());

  ASSIGN_OR_RETURN(const std::vector<pki::Certificate> chain, ParseChain(signer));
  ASSIGN_OR_RETURN(const IssuerLimits limits, CheckIssuer(chain, subject.subject, now));
  std::optional<int64_t> path_length = constraints->path_length;
  if (limits.path_length.has_value()) {
    path_length = std::min(path_length.value_or(*limits.path_length), *limits.path_length);
  }
  pki::CertificateTemplate what = AuthorityTemplate(subject.subject_der, subject.spki_der,
                                                    path_length, &chain.front(), &signer.settings);
  // What the authority has issued points at the identifier that it has chosen itself.
  if (!subject.extensions.subject_key_id.empty()) {
    what.subject_key_id = subject.extensions.subject_key_id;
  }
  if (subject.extensions.name_constraints.has_value()) {
    what.name_constraints = *subject.extensions.name_constraints;
  }
  what.signature_algorithm = signer.key->algorithm;
  what.not_before =
      std::max({ToWholeSecond(now) - kBackdated, chain.front().not_before, subject.not_before});
  ASSIGN_OR_RETURN(what.not_after, EndOf("not_after", request.has_not_after(), request.not_after(),
                                         subject.not_after, chain.front().not_after, now));
  ASSIGN_OR_RETURN(pki::Certificate certificate,
                   SignCertificate(what, *signer.key, &chain.front()));
  RETURN_IF_ERROR(CheckNewPath(certificate, chain, now));
  return certificate;
}

}  // namespace countersign::sign
