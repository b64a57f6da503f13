#include "libs/piv/attestation.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/pki/certificate.h"
#include "libs/pki/der.h"
#include "libs/pki/name.h"
#include "libs/pki/oid.h"
#include "libs/pki/pem.h"

namespace countersign::piv {
namespace {

using pki::Certificate;
using pki::Extension;
using pki::OidContents;

// 1.3.6.1.4.1.41482.3.*.
constexpr auto kOidFirmware = OidContents("\x2B\x06\x01\x04\x01\x82\xC4\x0A\x03\x03");
constexpr auto kOidSerial = OidContents("\x2B\x06\x01\x04\x01\x82\xC4\x0A\x03\x07");
constexpr auto kOidPolicy = OidContents("\x2B\x06\x01\x04\x01\x82\xC4\x0A\x03\x08");
constexpr auto kOidFormFactor = OidContents("\x2B\x06\x01\x04\x01\x82\xC4\x0A\x03\x09");
constexpr auto kOidFips = OidContents("\x2B\x06\x01\x04\x01\x82\xC4\x0A\x03\x0A");
constexpr auto kOidCspn = OidContents("\x2B\x06\x01\x04\x01\x82\xC4\x0A\x03\x0B");

// The bits of the form factor that are not flags.
constexpr uint8_t kFormFactorBits = 0x0F;
constexpr size_t kMostSerialBytes = 5;  // a sign, and 32 bits
// Card, manufacturer and those between: more is no chain of attestations.
constexpr size_t kMostIssuers = 8;
constexpr size_t kMostCandidates = 64;

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("attestation: ", what));
}

const std::string* Find(const Certificate& certificate, absl::string_view oid) {
  for (const Extension& extension : certificate.extensions.others) {
    if (extension.oid == oid) return &extension.value;
  }
  return nullptr;
}

FormFactor ToFormFactor(uint8_t value) {
  value &= kFormFactorBits;
  return value <= static_cast<uint8_t>(FormFactor::kUsbCBio) ? static_cast<FormFactor>(value)
                                                             : FormFactor::kUnknown;
}

// The last word of "YubiKey PIV Attestation 9a".
void ReadSlot(const Certificate& certificate, Slot* slot) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(certificate.subject.CommonName(), ' ');
  if (const auto named = ParseSlot(words.back()); named.ok()) *slot = *named;
}

absl::StatusOr<Attestation> Read(const Certificate& certificate) {
  Attestation out;
  out.spki_der = certificate.spki_der;
  ReadSlot(certificate, &out.slot);
  const std::string* firmware = Find(certificate, kOidFirmware);
  if (firmware == nullptr || firmware->size() != 3) {
    return Malformed("no extension with the three bytes of the firmware's version");
  }
  out.firmware = {static_cast<uint8_t>((*firmware)[0]), static_cast<uint8_t>((*firmware)[1]),
                  static_cast<uint8_t>((*firmware)[2])};
  const std::string* policy = Find(certificate, kOidPolicy);
  if (policy == nullptr || policy->size() != 2) {
    return Malformed("no extension with the two bytes of the key's policies");
  }
  out.pin_policy = static_cast<PinPolicy>(static_cast<uint8_t>((*policy)[0]));
  out.touch_policy = static_cast<TouchPolicy>(static_cast<uint8_t>((*policy)[1]));
  if (const std::string* serial = Find(certificate, kOidSerial); serial != nullptr) {
    // Cards write four bytes whether the number needs them or not.
    pki::DerReader in(*serial);
    absl::string_view bytes;
    if (!in.Read(pki::kInteger, &bytes) || !in.empty() || bytes.empty() ||
        bytes.size() > kMostSerialBytes) {
      return Malformed("the serial number is no INTEGER of 32 bits");
    }
    uint64_t number = 0;
    for (const char byte : bytes) number = number << 8 | static_cast<uint8_t>(byte);
    if ((bytes[0] & 0x80) != 0 || number > UINT32_MAX) {
      return Malformed("the serial number is no INTEGER of 32 bits");
    }
    out.serial = static_cast<uint32_t>(number);
  }
  if (const std::string* form = Find(certificate, kOidFormFactor); form != nullptr) {
    if (form->size() != 1) return Malformed("the form factor has more or less than a byte");
    out.form_factor = ToFormFactor(static_cast<uint8_t>((*form)[0]));
  }
  out.fips = Find(certificate, kOidFips) != nullptr;
  out.cspn = Find(certificate, kOidCspn) != nullptr;
  return out;
}

absl::Status Refused(const Certificate& certificate, absl::string_view why) {
  return absl::FailedPreconditionError(
      absl::StrCat("the certificate of \"", pki::FormatName(certificate.subject), "\" ", why));
}

bool IsYubicos(absl::string_view oid) {
  return oid.substr(0, kOidFirmware.size() - 1) == kOidFirmware.substr(0, kOidFirmware.size() - 1);
}

// Whether `issuer` may stand above `below` others that issued, the attestation not among them.
absl::Status CheckIssuer(const Certificate& issuer, size_t below, absl::Time now) {
  // An attested key signs what its owner likes, further certificates too: it attests nothing.
  if (Find(issuer, kOidPolicy) != nullptr) {
    return Refused(issuer,
                   "is an attestation itself, which does not make its key one that attests");
  }
  if (const auto& constraints = issuer.extensions.basic_constraints; constraints.has_value()) {
    if (!constraints->ca) return Refused(issuer, "issues certificates and is no CA");
    if (constraints->path_length.has_value() &&
        static_cast<int64_t>(below) > *constraints->path_length) {
      return Refused(issuer, absl::StrCat("allows ", *constraints->path_length,
                                          " CA certificates below it, and there are ", below));
    }
  } else if (below > 0) {
    return Refused(issuer, "is not a card's own, issues certificates and is no CA");
  }
  if (const auto& usage = issuer.extensions.key_usage;
      usage.has_value() && (*usage & pki::kKeyCertSign) == 0) {
    return Refused(issuer, "issues certificates without keyCertSign");
  }
  for (const Extension& extension : issuer.extensions.others) {
    if (extension.critical && !IsYubicos(extension.oid)) {
      return Refused(issuer,
                     absl::StrCat("has the critical extension ", pki::FormatOid(extension.oid),
                                  ", which is not understood"));
    }
  }
  if (now < issuer.not_before) {
    return Refused(issuer, absl::StrCat("is not valid before ",
                                        absl::FormatTime(issuer.not_before, absl::UTCTimeZone())));
  }
  if (now >= issuer.not_after + absl::Seconds(1)) {
    return Refused(issuer, absl::StrCat("expired at ",
                                        absl::FormatTime(issuer.not_after, absl::UTCTimeZone())));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Certificate>> ParseAll(absl::Span<const std::string> ders,
                                                  absl::string_view what) {
  std::vector<Certificate> out;
  for (size_t i = 0; i < ders.size(); ++i) {
    absl::StatusOr<Certificate> certificate = pki::ParseCertificate(ders[i]);
    if (!certificate.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " ", i + 1, ": ", certificate.status().message()));
    }
    out.push_back(*std::move(certificate));
  }
  return out;
}

// The first of `candidates` that issued `certificate` and may have; else null, and `*why_not` what
// is wrong with one that has the issuer's name.
const Certificate* FindIssuer(const Certificate& certificate, size_t below, absl::Time now,
                              const std::vector<Certificate>& candidates, absl::Status* why_not) {
  for (const Certificate& candidate : candidates) {
    if (!pki::SameName(certificate.issuer, candidate.subject)) continue;
    absl::Status status = certificate.CheckIssuedBy(candidate);
    if (status.ok()) status = CheckIssuer(candidate, below, now);
    if (status.ok()) return &candidate;
    *why_not = std::move(status);
  }
  return nullptr;
}

}  // namespace

absl::string_view FormFactorName(FormFactor form_factor) {
  switch (form_factor) {
    case FormFactor::kUnknown:
      break;
    case FormFactor::kUsbAKeychain:
      return "USB-A keychain";
    case FormFactor::kUsbANano:
      return "USB-A nano";
    case FormFactor::kUsbCKeychain:
      return "USB-C keychain";
    case FormFactor::kUsbCNano:
      return "USB-C nano";
    case FormFactor::kUsbCLightning:
      return "USB-C and Lightning";
    case FormFactor::kUsbABio:
      return "USB-A, fingerprint";
    case FormFactor::kUsbCBio:
      return "USB-C, fingerprint";
  }
  return "";
}

absl::StatusOr<Attestation> ParseAttestation(absl::string_view certificate_der) {
  ASSIGN_OR_RETURN(const Certificate certificate, pki::ParseCertificate(certificate_der));
  return Read(certificate);
}

absl::StatusOr<Attestation> VerifyAttestation(absl::string_view certificate,
                                              absl::Span<const std::string> intermediates,
                                              absl::Span<const std::string> roots, absl::Time now) {
  if (roots.empty()) {
    return absl::InvalidArgumentError("there is no root that the attestation could lead to");
  }
  if (intermediates.size() > kMostCandidates || roots.size() > kMostCandidates) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", kMostCandidates, " intermediate certificates or roots"));
  }
  ASSIGN_OR_RETURN(const Certificate leaf, pki::ParseCertificate(certificate));
  ASSIGN_OR_RETURN(Attestation attestation, Read(leaf));
  ASSIGN_OR_RETURN(const std::vector<Certificate> pool,
                   ParseAll(intermediates, "intermediate certificate"));
  ASSIGN_OR_RETURN(const std::vector<Certificate> trusted, ParseAll(roots, "root"));
  const Certificate* at = &leaf;
  for (size_t below = 0; below < kMostIssuers; ++below) {
    absl::Status why_not =
        Refused(*at, absl::StrCat("was issued by \"", pki::FormatName(at->issuer),
                                  "\", which is neither among the intermediates nor the roots"));
    const Certificate* issuer = FindIssuer(*at, below, now, trusted, &why_not);
    const bool reached = issuer != nullptr;
    if (!reached) issuer = FindIssuer(*at, below, now, pool, &why_not);
    if (issuer == nullptr) return why_not;
    // FIPS keys before the 5 series say so in the card's certificate alone.
    if (below == 0 && Find(*issuer, kOidFips) != nullptr) attestation.fips = true;
    if (reached) return attestation;
    at = issuer;
  }
  return Refused(leaf, absl::StrCat("leads through ", kMostIssuers, " others to no root"));
}

absl::StatusOr<std::vector<std::string>> ParseAttestationRoots(absl::string_view pem) {
  ASSIGN_OR_RETURN(std::vector<pki::PemBlock> blocks, pki::ParsePem(pem));
  std::vector<std::string> roots;
  for (pki::PemBlock& block : blocks) {
    if (block.label != "CERTIFICATE") {
      return absl::InvalidArgumentError(
          absl::StrCat("a block of \"", block.label, "\" where certificates are expected"));
    }
    RETURN_IF_ERROR(pki::ParseCertificate(block.der).status());
    roots.push_back(std::move(block.der));
  }
  if (roots.empty()) return absl::InvalidArgumentError("no certificate in PEM");
  return roots;
}

}  // namespace countersign::piv
