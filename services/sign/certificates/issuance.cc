#include "services/sign/certificates/issuance.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/public_key.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/csr.h"
#include "libs/pki/general_name.h"
#include "libs/pki/lint.h"
#include "libs/pki/name.h"
#include "libs/pki/signature.h"
#include "services/sign/certificates/crl_shard.h"
#include "services/sign/certificates/ownership.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/errors.h"
#include "services/sign/labels.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

using pki::GeneralName;

constexpr size_t kMaxCsrBytes = 64 << 10;
// What a Duration may hold.
constexpr int64_t kMaxDurationSeconds = 315576000000;
// The years 1 to 9999.
constexpr int64_t kMinSeconds = -62135596800;
constexpr int64_t kMaxSeconds = 253402300799;

// The names that the request has, or asks for in the place of its CSR's.
absl::Status TakeNames(const v1::IssueCertificateRequest& request, pki::Csr* csr,
                       pki::Name* subject, std::vector<GeneralName>* names) {
  if (request.subject().empty()) {
    *subject = std::move(csr->subject);
  } else {
    auto parsed = pki::ParseNameText(request.subject());
    if (!parsed.ok()) return ArgumentError(kBadName, parsed.status().message());
    *subject = *std::move(parsed);
  }
  if (request.subject_alt_names().empty()) {
    *names = std::move(csr->extensions.subject_alt_names);
    return absl::OkStatus();
  }
  names->reserve(static_cast<size_t>(request.subject_alt_names_size()));
  for (const std::string& text : request.subject_alt_names()) {
    auto name = pki::ParseGeneralName(text);
    if (!name.ok()) return ArgumentError(kBadName, name.status().message());
    names->push_back(*std::move(name));
  }
  return absl::OkStatus();
}

absl::Status CheckNameConstraints(const IssuingAuthority& authority, const pki::Name& subject,
                                  const std::vector<GeneralName>& names) {
  for (const pki::NameConstraints& constraints : authority.name_constraints) {
    absl::Status status = pki::CheckConstraints(constraints, subject);
    for (size_t i = 0; i < names.size() && status.ok(); ++i) {
      status = pki::CheckConstraints(constraints, names[i]);
    }
    if (!status.ok()) return ArgumentError(kForbiddenName, status.message());
  }
  return absl::OkStatus();
}

// The key of the request, once it is known to be fit and whoever asks to have its private half.
absl::StatusOr<crypto::PublicKey> CheckRequestedKey(const pki::Csr& csr, const ProfileRules& rules,
                                                    const pki::WeakKeys& weak_keys) {
  if (const absl::Status weak = weak_keys.Check(csr.spki_der); !weak.ok()) {
    return ArgumentError(kWeakKey, weak.message());
  }
  auto key = csr.Key();
  if (!key.ok()) return ArgumentError(kWeakKey, key.status().message());
  RETURN_IF_ERROR(CheckKey(rules, *key));
  const auto holds = pki::CheckSignature(*key, csr.signature_algorithm, csr.info, csr.signature);
  if (!holds.ok() || !*holds) {
    return ArgumentError(kBadCsrSignature,
                         absl::StrCat("the certification request is not signed by its own key",
                                      holds.ok() ? "" : ": ", holds.status().message()));
  }
  return key;
}

// A part of 1 that differs from certificate to certificate: the serial number's last bytes are
// random.
double PartOf(absl::string_view serial) {
  uint32_t value = 0;
  for (const char c : serial.substr(serial.size() - std::min<size_t>(serial.size(), 4))) {
    value = value << 8 | static_cast<uint8_t>(c);
  }
  return static_cast<double>(value) / 4294967296.0;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const IssuingAuthority>> MakeIssuingAuthority(
    std::shared_ptr<const LiveAuthority> live) {
  auto made = std::make_shared<IssuingAuthority>();
  const pki::Certificate& own = live->certificate;
  made->chain.push_back(own.der);
  made->validity = {own.not_before, own.not_after};
  const auto add = [&](const pki::Certificate& certificate) {
    const auto& constraints = certificate.extensions.name_constraints;
    if (constraints.has_value() && !constraints->empty()) {
      made->name_constraints.push_back(*constraints);
    }
    made->validity.not_before = std::max(made->validity.not_before, certificate.not_before);
    made->validity.not_after = std::min(made->validity.not_after, certificate.not_after);
  };
  add(own);
  for (const std::string& der : live->issuers) {
    const auto issuer = pki::ParseCertificate(der);
    if (!issuer.ok()) {
      return absl::DataLossError(absl::StrCat("an issuer of ", live->name,
                                              " does not parse: ", issuer.status().message()));
    }
    add(*issuer);
    made->chain.push_back(der);
  }
  const auto& constraints = own.extensions.basic_constraints;
  const auto& usage = own.extensions.key_usage;
  if (live->disabled || live->key == nullptr) {
    made->may_issue = PreconditionError(kAuthorityDisabled,
                                        absl::StrCat(live->name, " is disabled; enable it first"));
  } else if (!constraints.has_value() || !constraints->ca ||
             (usage.has_value() && (*usage & pki::kKeyCertSign) == 0)) {
    made->may_issue = PreconditionError(
        kIssuerCannot, absl::StrCat("the certificate of ", live->name, " is not an authority's"));
  } else if (live->key->signer == nullptr ||
             pki::SignatureAlgorithmDer(live->key->algorithm).empty()) {
    made->may_issue = PreconditionError(
        kIssuerCannot, absl::StrCat("the key of ", live->name, " signs no certificates"));
  }
  if (constraints.has_value() && constraints->path_length == 0) {
    made->may_issue_authorities = PreconditionError(
        kIssuerCannot,
        absl::StrCat("no authority may stand below ", live->name, ", whose path length is 0"));
  }
  made->live = std::move(live);
  return made;
}

absl::Status CheckIssueRequest(const v1::IssueCertificateRequest& request) {
  if (FindProfile(request.profile()) == nullptr) {
    if (request.profile() == v1::CERTIFICATE_PROFILE_ROOT_CA) {
      return ArgumentError(kProfile,
                           "a root is not issued for a request; CreateAuthority makes one");
    }
    return FieldError("profile", "required: what the certificate is for");
  }
  if (request.csr().empty()) return FieldError("csr", "required");
  if (request.csr().size() > kMaxCsrBytes) {
    return ArgumentError(kBadCsr,
                         absl::StrCat("the certification request has ", request.csr().size(),
                                      " bytes; at most ", kMaxCsrBytes, " are taken"));
  }
  if (request.has_lifetime() &&
      (request.lifetime().seconds() < 0 || request.lifetime().nanos() < 0 ||
       request.lifetime().seconds() > kMaxDurationSeconds)) {
    return ArgumentError(kBadValidity, "lifetime: must be a duration that is not negative");
  }
  if (request.has_not_before() && (request.not_before().seconds() < kMinSeconds ||
                                   request.not_before().seconds() > kMaxSeconds)) {
    return ArgumentError(kBadValidity, "not_before: not in the years 1 to 9999");
  }
  RETURN_IF_ERROR(CheckOwnership(request.owner_team(), request.environment()));
  RETURN_IF_ERROR(CheckLabels("labels", request.labels()));
  if (!request.request_id().empty() && !ValidRequestId(request.request_id())) {
    return FieldError("request_id", "expected a UUID, or nothing");
  }
  if (!v1::LedgerWait_IsValid(request.ledger())) return FieldError("ledger", "unknown level");
  if (request.replaces().empty()) return absl::OkStatus();
  return ParseCertificateName("replaces", request.replaces()).status();
}

absl::StatusOr<Issuance> PrepareIssuance(const v1::IssueCertificateRequest& request,
                                         const IssuingAuthority& authority,
                                         const pki::WeakKeys& weak_keys, absl::Time now) {
  const LiveAuthority& live = *authority.live;
  const ProfileRules& rules = *FindProfile(request.profile());
  RETURN_IF_ERROR(authority.may_issue);
  if (rules.ca) RETURN_IF_ERROR(authority.may_issue_authorities);
  if (now > authority.validity.not_after) {
    return PreconditionError(kIssuerExpired, absl::StrCat("the certificate of ", live.name,
                                                          ", or one above it, has expired"));
  }
  if (now < authority.validity.not_before) {
    return PreconditionError(kIssuerCannot, absl::StrCat("the certificate of ", live.name,
                                                         ", or one above it, is not valid yet"));
  }

  auto csr = pki::ParseCsrDerOrPem(request.csr());
  if (!csr.ok()) return ArgumentError(kBadCsr, csr.status().message());
  ASSIGN_OR_RETURN(const crypto::PublicKey key, CheckRequestedKey(*csr, rules, weak_keys));

  pki::CertificateTemplate what;
  pki::Name subject;
  RETURN_IF_ERROR(TakeNames(request, &*csr, &subject, &what.subject_alt_names));
  RETURN_IF_ERROR(FitNames(rules, &subject, &what.subject_alt_names));
  RETURN_IF_ERROR(CheckNameConstraints(authority, subject, what.subject_alt_names));

  ValidityRequest asked;
  asked.now = now;
  asked.issuer = authority.validity;
  asked.lifetime = absl::Seconds(request.lifetime().seconds());
  if (request.has_not_before()) {
    asked.not_before = absl::FromUnixSeconds(request.not_before().seconds());
  }
  ASSIGN_OR_RETURN(const Validity validity, FitValidity(rules, asked));

  what.serial = pki::RandomSerial();
  what.signature_algorithm = live.key->algorithm;
  what.issuer_der = live.certificate.subject_der;
  what.subject_der = pki::EncodeName(subject);
  what.not_before = validity.not_before;
  what.not_after = validity.not_after;
  what.spki_der = std::move(csr->spki_der);
  what.subject_key_id = pki::KeyIdentifier(what.spki_der);
  what.authority_key_id = live.certificate.extensions.subject_key_id;
  ApplyRules(rules, key.type(), &what);

  Issuance issuance;
  issuance.crl_shard = CrlShardOf(what.serial, std::max(1, live.settings.crl_shards()));
  if (rules.points_to_status) {
    what.ocsp_urls.assign(live.settings.ocsp_urls().begin(), live.settings.ocsp_urls().end());
    if (!live.settings.crl_url().empty()) {
      what.crl_url = CrlUrlOf(live.settings.crl_url(), issuance.crl_shard);
    }
  }
  if (!rules.ocsp_no_check) {
    what.issuer_urls.assign(live.settings.issuer_urls().begin(), live.settings.issuer_urls().end());
  }

  auto unsigned_certificate = pki::ParseTbsCertificate(pki::BuildTbsCertificate(what));
  if (!unsigned_certificate.ok()) {
    return ArgumentError(kLint, unsigned_certificate.status().message());
  }
  const absl::Status lint = pki::LintCertificate(*unsigned_certificate, &live.certificate);
  if (!lint.ok()) return ArgumentError(kLint, lint.message());
  issuance.certificate = *std::move(unsigned_certificate);
  issuance.certificate.der.clear();
  issuance.csr = std::move(csr->der);
  issuance.renew_time = RenewTime(validity, PartOf(what.serial));
  return issuance;
}

}  // namespace countersign::sign
