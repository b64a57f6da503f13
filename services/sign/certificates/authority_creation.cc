// New authorities, and certificates for those that are there.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/crypto/random.h"
#include "libs/pki/path.h"
#include "libs/pki/signature.h"
#include "services/sign/algorithms.h"
#include "services/sign/card_client.h"
#include "services/sign/certificates/authorities_impl.h"
#include "services/sign/certificates/authority_settings.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Transaction;

constexpr absl::Duration kRootLifetime = absl::Hours(24 * 3652);
constexpr absl::Duration kIntermediateLifetime = absl::Hours(24 * 1826);

// The last moment that GeneralizedTime can spell.
absl::Time EndOfTime() { return absl::FromUnixSeconds(253402300799); }

absl::StatusOr<std::optional<int64_t>> PathLength(int32_t wanted, const IssuerLimits& limits) {
  if (wanted < -1) return FieldError("authority.path_length", "expected -1 for no limit, or more");
  if (wanted == -1) return limits.path_length;
  if (limits.path_length.has_value() && wanted > *limits.path_length) {
    return PreconditionError(
        kIssuerCannot, absl::StrCat("the issuer's path length allows at most ", *limits.path_length,
                                    " below this authority, not ", wanted));
  }
  return wanted;
}

}  // namespace

absl::StatusOr<absl::Time> EndOf(absl::string_view field, bool wanted,
                                 const google::protobuf::Timestamp& timestamp, absl::Time usual,
                                 absl::Time limit, absl::Time now) {
  if (!wanted) return std::min(ToWholeSecond(usual), limit);
  const absl::Time end = absl::FromUnixSeconds(timestamp.seconds());
  if (end <= now) return FieldError(field, "has passed");
  if (end > limit) {
    return PreconditionError(
        kIssuerCannot,
        absl::StrCat(field, ": is after the end of the issuer's certificate, ",
                     absl::FormatTime(absl::RFC3339_sec, limit, absl::UTCTimeZone())));
  }
  return end;
}

absl::Time ToWholeSecond(absl::Time time) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(time));
}

absl::StatusOr<std::vector<pki::Certificate>> ParseChain(const LiveAuthority& authority) {
  std::vector<pki::Certificate> chain = {authority.certificate};
  for (const std::string& der : authority.issuers) {
    ASSIGN_OR_RETURN(pki::Certificate certificate, pki::ParseCertificate(der));
    chain.push_back(std::move(certificate));
  }
  return chain;
}

absl::Status CheckNewPath(const pki::Certificate& certificate,
                          absl::Span<const pki::Certificate> issuers, absl::Time now) {
  std::vector<pki::Certificate> path = {certificate};
  path.insert(path.end(), issuers.begin(), issuers.end());
  const absl::Status status = pki::CheckPath(path, now);
  return status.ok() ? status : PreconditionError(kIssuerCannot, status.message());
}

absl::Status Authorities::Impl::ChooseKey(const std::string& tenant, const v1::Authority& wanted,
                                          Draft* draft) {
  if (wanted.key_version().empty()) {
    ASSIGN_OR_RETURN(const crypto::Algorithm algorithm,
                     KeyAlgorithm("authority.algorithm", wanted.algorithm()));
    if (pki::SignatureAlgorithmDer(algorithm).empty()) {
      return FieldError("authority.algorithm",
                        absl::StrCat(crypto::AlgorithmName(algorithm), " signs no certificates"));
    }
    ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::PrivateKey::Generate(algorithm));
    draft->key = options.key_ring->Wrap(std::make_shared<const crypto::PrivateKey>(std::move(key)));
    draft->new_key = true;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("authority.key_version", wanted.key_version(),
                                                    Want::kKeyOrVersion));
  if (name.tenant != tenant) return FieldError("authority.key_version", "is another tenant's");
  ASSIGN_OR_RETURN(const auto live, options.key_ring->Load(wanted.key_version()));
  if (pki::SignatureAlgorithmDer(live->algorithm).empty()) {
    return FieldError("authority.key_version",
                      absl::StrCat("a key for ", crypto::AlgorithmName(live->algorithm),
                                   " signs no certificates"));
  }
  if (wanted.algorithm() != v1::ALGORITHM_UNSPECIFIED &&
      wanted.algorithm() != ToProto(live->algorithm)) {
    return FieldError("authority.algorithm",
                      absl::StrCat("the key is for ", crypto::AlgorithmName(live->algorithm)));
  }
  const absl::Status weak = weak_keys.Check(live->public_key.spki_der());
  if (!weak.ok()) return FieldError("authority.key_version", weak.message());
  if (live->key == nullptr && live->algorithm == crypto::Algorithm::kEd25519) {
    // Its certificates would still fit, and its CRLs only until some 50 are revoked.
    return PreconditionError(
        kWrongAlgorithm,
        absl::StrCat("an Ed25519 key on a card signs at most ", kMaxCardMessage,
                     " bytes, too few for CRLs; give the authority an ECDSA or RSA key"));
  }
  draft->key = live;
  draft->row.key_version = live->version;
  return absl::OkStatus();
}

absl::Status Authorities::Impl::Certify(const pki::Name& subject,
                                        const pki::NameConstraints& constraints,
                                        const v1::Authority& wanted, Draft* draft) {
  const absl::Time now = Now();
  IssuerLimits limits;
  std::vector<pki::Certificate> chain;
  absl::Time limit = EndOfTime();
  absl::Time not_before = ToWholeSecond(now) - kBackdated;
  if (draft->issuer != nullptr) {
    if (draft->issuer->disabled) {
      return PreconditionError(kIssuerCannot, absl::StrCat(draft->issuer->name, " is disabled"));
    }
    ASSIGN_OR_RETURN(chain, ParseChain(*draft->issuer));
    ASSIGN_OR_RETURN(limits, CheckIssuer(chain, subject, now));
    limit = chain.front().not_after;
    not_before = std::max(not_before, chain.front().not_before);
  }
  ASSIGN_OR_RETURN(const auto path_length, PathLength(wanted.path_length(), limits));
  const pki::Certificate* const issuer = chain.empty() ? nullptr : &chain.front();
  pki::CertificateTemplate what =
      AuthorityTemplate(pki::EncodeName(subject), draft->key->public_key.spki_der(), path_length,
                        issuer, issuer != nullptr ? &draft->issuer->settings : nullptr);
  const LiveKey& signing_key = issuer != nullptr ? *draft->issuer->key : *draft->key;
  what.signature_algorithm = signing_key.algorithm;
  what.not_before = not_before;
  ASSIGN_OR_RETURN(
      what.not_after,
      EndOf("authority.not_after", wanted.has_not_after(), wanted.not_after(),
            now + (issuer != nullptr ? kIntermediateLifetime : kRootLifetime), limit, now));
  what.name_constraints = constraints;
  ASSIGN_OR_RETURN(draft->certificate, SignCertificate(what, signing_key, issuer));
  RETURN_IF_ERROR(CheckNewPath(draft->certificate, chain, now));
  draft->row.certificate = draft->certificate.der;
  for (const pki::Certificate& above : chain) draft->row.issuers.push_back(above.der);
  return absl::OkStatus();
}

absl::StatusOr<AuthorityRow> Authorities::Impl::Write(Transaction& transaction, const Draft& draft,
                                                      int64_t change_number, absl::Time now) {
  AuthorityRow row = draft.row;
  row.create_time = row.update_time = absl::ToUnixMicros(now);
  if (draft.new_key) {
    ASSIGN_OR_RETURN(
        row.key_version,
        options.keys->ImportKey(transaction, row.tenant,
                                absl::StrCat("ca-", base::HexEncode(crypto::RandomBytes(8))),
                                row.name, *draft.key->key));
  }
  ASSIGN_OR_RETURN(row.id, Insert(transaction, row));
  ASSIGN_OR_RETURN(std::unique_ptr<LiveAuthority> live, MakeLive(row));
  std::vector<NewCertificate> certificates;
  RETURN_IF_ERROR(InsertSigner(transaction, *draft.signer, live.get(), now, &certificates));
  if (!draft.imported) {
    ASSIGN_OR_RETURN(NewCertificate own,
                     Issued(draft.issuer != nullptr ? *draft.issuer : *live, draft.certificate,
                            draft.issuer != nullptr ? v1::CERTIFICATE_PROFILE_INTERMEDIATE_CA
                                                    : v1::CERTIFICATE_PROFILE_ROOT_CA,
                            now));
    certificates.push_back(std::move(own));
  } else {
    // Its serial number is another's choice, and may be one of ours. It is tracked only.
    NewCertificate own;
    own.tenant = row.tenant;
    own.certificate = draft.certificate;
    certificates.push_back(std::move(own));
  }
  RETURN_IF_ERROR(InsertCertificates(transaction, certificates, change_number, now).status());
  return row;
}

absl::StatusOr<v1::CreateAuthorityResponse> Authorities::CreateAuthority(
    const v1::CreateAuthorityRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  if (!ValidKeyId(request.authority_id())) {
    return FieldError("authority_id",
                      "expected 1 to 63 characters of a-z 0-9 -, beginning with a letter");
  }
  const v1::Authority& wanted = request.authority();
  const absl::StatusOr<pki::Name> subject = pki::ParseNameText(wanted.subject());
  if (!subject.ok()) return FieldError("authority.subject", subject.status().message());
  if (subject->empty()) return FieldError("authority.subject", "required");
  ASSIGN_OR_RETURN(const pki::NameConstraints constraints,
                   ConstraintsOf("authority.settings", wanted.settings()));
  Impl::Draft draft;
  draft.row.tenant = tenant;
  draft.row.name = AuthorityName{tenant, request.authority_id()}.ToString();
  draft.row.issuer = wanted.issuer();
  ASSIGN_OR_RETURN(draft.row.settings, CompleteSettings("authority.settings", wanted.settings()));
  ASSIGN_OR_RETURN(const auto answered, impl_->Answered<v1::CreateAuthorityResponse>(
                                            tenant, "CreateAuthority", request));
  if (answered.has_value()) return *answered;

  if (!wanted.issuer().empty()) {
    ASSIGN_OR_RETURN(const AuthorityName issuer,
                     ParseAuthorityName("authority.issuer", wanted.issuer()));
    if (issuer.tenant != tenant) return FieldError("authority.issuer", "is another tenant's");
    ASSIGN_OR_RETURN(draft.issuer, Load(wanted.issuer()));
  }
  RETURN_IF_ERROR(impl_->ChooseKey(tenant, wanted, &draft));
  RETURN_IF_ERROR(impl_->Certify(*subject, constraints, wanted, &draft));
  ASSIGN_OR_RETURN(draft.signer, MakeOcspSigner(draft.certificate, *draft.key, impl_->Now()));
  return impl_->Change<v1::CreateAuthorityResponse>(
      tenant, "CreateAuthority", request,
      [&](Transaction& transaction, int64_t number,
          absl::Time now) -> absl::StatusOr<v1::CreateAuthorityResponse> {
        ASSIGN_OR_RETURN(const AuthorityRow row, impl_->Write(transaction, draft, number, now));
        v1::CreateAuthorityResponse response;
        ASSIGN_OR_RETURN(*response.mutable_authority(), impl_->Describe(transaction, row));
        return response;
      });
}

}  // namespace countersign::sign
