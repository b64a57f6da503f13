#include "services/sign/certificates/profiles.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/status_macros.h"
#include "libs/pki/certificate.h"
#include "libs/pki/oid.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using pki::GeneralName;
using pki::Name;
using pki::NameAttribute;

constexpr absl::Duration Days(int64_t days) { return absl::Hours(24 * days); }

constexpr absl::Duration kBackdated = absl::Minutes(5);
// How far from now a requested beginning may lie.
constexpr absl::Duration kEarliest = absl::Hours(48);
constexpr absl::Duration kLatest = Days(366);
constexpr size_t kMaxNames = 1000;
constexpr uint8_t kHostNames = kDnsNames | kIpNames;
constexpr uint8_t kAllNames = kHostNames | kEmailNames | kUriNames;
constexpr absl::string_view kNone = {};

constexpr ProfileRules kRules[] = {
    {.profile = v1::CERTIFICATE_PROFILE_TLS_SERVER,
     .name = "tls-server",
     .default_lifetime = Days(90),
     .max_lifetime = Days(398),
     .name_kinds = kHostNames,
     .needs = NeededName::kAlternativeName,
     .common_name_is_alternative = true,
     .min_rsa_bits = 2048,
     .key_usage = pki::kDigitalSignature,
     .rsa_key_usage = pki::kKeyEncipherment,
     .extended_key_usage = {pki::kOidServerAuth, kNone},
     .ca = false,
     .points_to_status = true,
     .ocsp_no_check = false},
    {.profile = v1::CERTIFICATE_PROFILE_TLS_CLIENT,
     .name = "tls-client",
     .default_lifetime = Days(365),
     .max_lifetime = Days(825),
     .name_kinds = kAllNames,
     .needs = NeededName::kSubjectOrAlternativeName,
     .common_name_is_alternative = false,
     .min_rsa_bits = 2048,
     .key_usage = pki::kDigitalSignature,
     .rsa_key_usage = 0,
     .extended_key_usage = {pki::kOidClientAuth, kNone},
     .ca = false,
     .points_to_status = true,
     .ocsp_no_check = false},
    {.profile = v1::CERTIFICATE_PROFILE_CODE_SIGNING,
     .name = "code-signing",
     .default_lifetime = Days(365),
     // 39 months.
     .max_lifetime = Days(3 * 365 + 91),
     .name_kinds = kEmailNames | kUriNames,
     .needs = NeededName::kCommonName,
     .common_name_is_alternative = false,
     .min_rsa_bits = 3072,
     .key_usage = pki::kDigitalSignature,
     .rsa_key_usage = 0,
     .extended_key_usage = {pki::kOidCodeSigning, kNone},
     .ca = false,
     .points_to_status = true,
     .ocsp_no_check = false},
    {.profile = v1::CERTIFICATE_PROFILE_INTERMEDIATE_CA,
     .name = "intermediate-ca",
     .default_lifetime = Days(5 * 365),
     .max_lifetime = absl::InfiniteDuration(),
     .name_kinds = kNoNames,
     .needs = NeededName::kSubject,
     .common_name_is_alternative = false,
     .min_rsa_bits = 2048,
     .key_usage = pki::kKeyCertSign | pki::kCrlSign,
     .rsa_key_usage = 0,
     .extended_key_usage = {kNone, kNone},
     .ca = true,
     .points_to_status = true,
     .ocsp_no_check = false},
    {.profile = v1::CERTIFICATE_PROFILE_OCSP_SIGNER,
     .name = "ocsp-signer",
     .default_lifetime = Days(30),
     .max_lifetime = Days(90),
     .name_kinds = kNoNames,
     .needs = NeededName::kSubject,
     .common_name_is_alternative = false,
     .min_rsa_bits = 2048,
     .key_usage = pki::kDigitalSignature,
     .rsa_key_usage = 0,
     .extended_key_usage = {pki::kOidOcspSigning, kNone},
     .ca = false,
     .points_to_status = false,
     .ocsp_no_check = true},
    {.profile = v1::CERTIFICATE_PROFILE_SHORT_LIVED,
     .name = "short-lived",
     .default_lifetime = Days(6),
     .max_lifetime = Days(7),
     .name_kinds = kHostNames,
     .needs = NeededName::kAlternativeName,
     .common_name_is_alternative = true,
     .min_rsa_bits = 2048,
     .key_usage = pki::kDigitalSignature,
     .rsa_key_usage = pki::kKeyEncipherment,
     .extended_key_usage = {pki::kOidServerAuth, pki::kOidClientAuth},
     .ca = false,
     .points_to_status = false,
     .ocsp_no_check = false},
};

absl::Status Forbids(const ProfileRules& rules, absl::string_view what) {
  return ArgumentError(kProfile, absl::StrCat("profile ", rules.name, " ", what));
}

uint8_t KindOf(const GeneralName& name) {
  switch (name.kind) {
    case GeneralName::Kind::kDns:
      return kDnsNames;
    case GeneralName::Kind::kIp:
      return kIpNames;
    case GeneralName::Kind::kEmail:
      return kEmailNames;
    case GeneralName::Kind::kUri:
      return kUriNames;
    case GeneralName::Kind::kDirectory:
    case GeneralName::Kind::kOther:
      break;
  }
  return kNoNames;
}

absl::string_view KindsText(uint8_t kinds) {
  switch (kinds) {
    case kNoNames:
      return "no alternative names";
    case kHostNames:
      return "DNS names and IP addresses alone";
    case kEmailNames | kUriNames:
      return "e-mail addresses and URIs alone";
    default:
      return "DNS names, IP addresses, e-mail addresses and URIs alone";
  }
}

absl::Status FitAlternativeNames(const ProfileRules& rules, std::vector<GeneralName>* names) {
  if (names->size() > kMaxNames) {
    return Forbids(rules, absl::StrCat("takes at most ", kMaxNames, " alternative names"));
  }
  for (GeneralName& name : *names) {
    if ((KindOf(name) & rules.name_kinds) == 0) {
      return Forbids(rules, absl::StrCat("allows ", KindsText(rules.name_kinds), ", not ",
                                         pki::FormatGeneralName(name)));
    }
    if (name.kind == GeneralName::Kind::kDns) absl::AsciiStrToLower(&name.value);
    if (const absl::Status syntax = pki::CheckSyntax(name); !syntax.ok()) {
      return ArgumentError(kBadName, syntax.message());
    }
  }
  if (names->size() < 2) return absl::OkStatus();
  absl::flat_hash_set<std::pair<GeneralName::Kind, absl::string_view>> seen;
  std::vector<GeneralName> once;
  once.reserve(names->size());
  for (GeneralName& name : *names) {
    if (seen.contains({name.kind, name.value})) continue;
    once.push_back(std::move(name));  // never moved again: `once` has room for all
    seen.insert({once.back().kind, once.back().value});
  }
  *names = std::move(once);
  return absl::OkStatus();
}

// The text of the alternative name that a common name stands for; empty when it is none.
std::string AlternativeFor(absl::string_view common_name, const std::vector<GeneralName>& names) {
  for (const GeneralName& name : names) {
    const std::string text =
        name.kind == GeneralName::Kind::kIp ? pki::FormatIp(name.value) : name.value;
    if (absl::EqualsIgnoreCase(text, common_name)) return text;
  }
  return "";
}

// Leaves one common name, spelt as the alternative name, or none.
void FitCommonName(const std::vector<GeneralName>& names, Name* subject) {
  bool kept = false;
  for (auto& rdn : subject->rdns) {
    std::vector<NameAttribute> attributes;
    for (NameAttribute& attribute : rdn) {
      if (attribute.oid == pki::kOidCommonName) {
        attribute.value = kept ? "" : AlternativeFor(attribute.value, names);
        if (attribute.value.empty()) continue;
        kept = true;
      }
      attributes.push_back(std::move(attribute));
    }
    rdn = std::move(attributes);
  }
  subject->rdns.erase(std::remove_if(subject->rdns.begin(), subject->rdns.end(),
                                     [](const auto& rdn) { return rdn.empty(); }),
                      subject->rdns.end());
}

absl::Status BadValidity(absl::string_view what) { return ArgumentError(kBadValidity, what); }

std::string Text(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

}  // namespace

const ProfileRules* FindProfile(v1::CertificateProfile profile) {
  for (const ProfileRules& rules : kRules) {
    if (rules.profile == profile) return &rules;
  }
  return nullptr;
}

absl::Status CheckKey(const ProfileRules& rules, const crypto::PublicKey& key) {
  switch (key.type()) {
    case crypto::KeyType::kEd25519:
    case crypto::KeyType::kEcP256:
    case crypto::KeyType::kEcP384:
      return absl::OkStatus();
    case crypto::KeyType::kRsa:
      if (key.bits() >= rules.min_rsa_bits) return absl::OkStatus();
      return Forbids(rules, absl::StrCat("takes RSA keys of at least ", rules.min_rsa_bits,
                                         " bits, and this one has ", key.bits()));
    case crypto::KeyType::kX25519:
      break;
  }
  return Forbids(rules, "takes P-256, P-384, RSA and Ed25519 keys");
}

absl::Status FitNames(const ProfileRules& rules, Name* subject, std::vector<GeneralName>* names) {
  RETURN_IF_ERROR(FitAlternativeNames(rules, names));
  if (rules.common_name_is_alternative && !subject->empty()) FitCommonName(*names, subject);
  switch (rules.needs) {
    case NeededName::kAlternativeName:
      if (!names->empty()) return absl::OkStatus();
      return Forbids(rules,
                     "needs a DNS name or an IP address as a subject alternative name: have the "
                     "request ask for one, or give subject_alt_names");
    case NeededName::kCommonName:
      if (!subject->CommonName().empty()) return absl::OkStatus();
      return Forbids(rules, "needs a common name in the subject");
    case NeededName::kSubject:
      if (!subject->empty()) return absl::OkStatus();
      return Forbids(rules, "needs a subject");
    case NeededName::kSubjectOrAlternativeName:
      if (!subject->empty() || !names->empty()) return absl::OkStatus();
      return Forbids(rules, "needs a subject or a subject alternative name");
  }
  return absl::OkStatus();
}

absl::StatusOr<Validity> FitValidity(const ProfileRules& rules, const ValidityRequest& request) {
  if (request.lifetime < absl::ZeroDuration()) return BadValidity("lifetime must not be negative");
  if (request.lifetime > rules.max_lifetime) {
    return BadValidity(absl::StrCat("profile ", rules.name, " allows a life of ",
                                    absl::ToInt64Hours(rules.max_lifetime) / 24, " days"));
  }
  const bool usual = request.lifetime == absl::ZeroDuration();
  const absl::Duration lifetime = usual ? rules.default_lifetime : request.lifetime;
  Validity validity;
  if (request.not_before.has_value()) {
    validity.not_before = *request.not_before;
    if (validity.not_before < request.now - kEarliest ||
        validity.not_before > request.now + kLatest) {
      return BadValidity(
          absl::StrCat("not_before must be at most two days ago and at most a year from now, not ",
                       Text(validity.not_before)));
    }
    if (validity.not_before < request.issuer.not_before) {
      return BadValidity(
          absl::StrCat("not_before is before the issuer's, ", Text(request.issuer.not_before)));
    }
  } else {
    validity.not_before = std::max(request.now - kBackdated, request.issuer.not_before);
  }
  const auto whole = [](absl::Time time) {
    return absl::FromUnixSeconds(absl::ToUnixSeconds(time));
  };
  validity.not_before = whole(validity.not_before);
  // The last second counts (RFC 5280 section 4.1.2.5).
  validity.not_after = whole(validity.not_before + lifetime - absl::Seconds(1));
  if (usual) {
    validity.not_after = std::min(validity.not_after, request.issuer.not_after);
  } else if (validity.not_after > request.issuer.not_after) {
    return BadValidity(absl::StrCat("it would be valid until ", Text(validity.not_after),
                                    ", after the issuer's end, ", Text(request.issuer.not_after)));
  }
  if (validity.not_after <= request.now || validity.not_after < validity.not_before) {
    return BadValidity("it would have expired already");
  }
  return validity;
}

void ApplyRules(const ProfileRules& rules, crypto::KeyType key, pki::CertificateTemplate* what) {
  if (rules.ca) {
    // A request cannot say how many authorities shall stand below it: none.
    what->basic_constraints = pki::BasicConstraints{.ca = true, .path_length = 0};
  }
  what->key_usage = rules.key_usage;
  if (key == crypto::KeyType::kRsa) what->key_usage |= rules.rsa_key_usage;
  for (const absl::string_view usage : rules.extended_key_usage) {
    if (!usage.empty()) what->extended_key_usage.emplace_back(usage);
  }
  what->ocsp_no_check = rules.ocsp_no_check;
}

absl::Time RenewTime(const Validity& validity, double where) {
  const absl::Duration life = validity.not_after - validity.not_before;
  const double part = 2.0 / 3 - 0.05 + 0.1 * where;
  return absl::FromUnixSeconds(absl::ToUnixSeconds(validity.not_before + life * part));
}

}  // namespace countersign::sign
