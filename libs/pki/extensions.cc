#include "libs/pki/extensions.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

// The contents of the one SEQUENCE that `value` is.
bool Sequence(absl::string_view value, DerReader* contents) {
  DerReader in(value);
  return in.Read(kSequence, contents) && in.empty();
}

bool ReadBasicConstraints(absl::string_view value, Extensions* out) {
  DerReader in;
  if (!Sequence(value, &in)) return false;
  BasicConstraints& parsed = out->basic_constraints.emplace();
  // cA is FALSE by default, and DER leaves the default out.
  if (in.PeekTag() == kBoolean && !(in.ReadBoolean(&parsed.ca) && parsed.ca)) return false;
  if (in.empty()) return true;
  int64_t path_length;
  if (!in.ReadInt64(&path_length) || path_length < 0) return false;
  parsed.path_length = path_length;
  return in.empty();
}

// A named bit list: DER ends it with the last bit that is set (X.690 section 11.2.2).
bool ReadKeyUsage(absl::string_view value, Extensions* out) {
  DerReader in(value);
  absl::string_view bits;
  if (!in.Read(kBitString, &bits) || !in.empty() || bits.empty() || bits.size() > 3) return false;
  const auto unused = static_cast<uint8_t>(bits[0]);
  bits.remove_prefix(1);
  if (unused > 7 || (bits.empty() && unused != 0)) return false;
  uint16_t usage = 0;
  for (size_t i = 0; i < 8 * bits.size(); ++i) {
    if ((static_cast<uint8_t>(bits[i / 8]) >> (7 - i % 8) & 1) == 0) continue;
    if (i > 8) return false;
    usage |= static_cast<uint16_t>(1 << i);
  }
  out->key_usage = usage;
  return bits.empty() || (static_cast<uint8_t>(bits.back()) & ((2 << unused) - 1)) == 1 << unused;
}

bool ReadOids(absl::string_view value, std::vector<std::string>* oids) {
  DerReader in;
  if (!Sequence(value, &in) || in.empty()) return false;
  while (!in.empty()) {
    absl::string_view oid;
    if (!in.Read(kOid, &oid) || !IsOid(oid)) return false;
    oids->emplace_back(oid);
  }
  return true;
}

bool ReadPolicies(absl::string_view value, std::vector<std::string>* policies) {
  DerReader in;
  if (!Sequence(value, &in) || in.empty()) return false;
  while (!in.empty()) {
    DerReader information;
    absl::string_view oid;
    if (!in.Read(kSequence, &information) || !information.Read(kOid, &oid) || !IsOid(oid)) {
      return false;
    }
    absl::string_view qualifiers;
    bool present;
    if (!information.ReadOptional(kSequence, &qualifiers, &present) || !information.empty() ||
        (present && qualifiers.empty())) {
      return false;
    }
    policies->emplace_back(oid);
  }
  return true;
}

bool ReadAuthorityKeyId(absl::string_view value, Extensions* out) {
  DerReader in;
  if (!Sequence(value, &in)) return false;
  absl::string_view key_id;
  absl::string_view issuer;
  absl::string_view serial;
  bool has_key_id;
  bool has_issuer;
  bool has_serial;
  if (!in.ReadOptional(ContextTag(0), &key_id, &has_key_id) ||
      !in.ReadOptional(ContextConstructed(1), &issuer, &has_issuer) ||
      !in.ReadOptional(ContextTag(2), &serial, &has_serial) || !in.empty() ||
      has_issuer != has_serial || (has_key_id && key_id.empty())) {
    return false;
  }
  out->authority_key_id = std::string(key_id);
  return !has_issuer || ReadGeneralNames(DerReader(issuer)).ok();
}

bool ReadSubjectKeyId(absl::string_view value, Extensions* out) {
  DerReader in(value);
  absl::string_view key_id;
  if (!in.Read(kOctetString, &key_id) || !in.empty() || key_id.empty()) return false;
  out->subject_key_id = std::string(key_id);
  return true;
}

bool ReadAuthorityInfoAccess(absl::string_view value, Extensions* out) {
  DerReader in;
  if (!Sequence(value, &in) || in.empty()) return false;
  while (!in.empty()) {
    DerReader description;
    absl::string_view method;
    GeneralName location;
    if (!in.Read(kSequence, &description) || !description.Read(kOid, &method) || !IsOid(method) ||
        !ReadGeneralName(&description, /*subtree=*/false, &location) || !description.empty()) {
      return false;
    }
    if (location.kind != GeneralName::Kind::kUri) continue;
    if (method == kOidAccessOcsp) out->ocsp_urls.push_back(std::move(location.value));
    if (method == kOidAccessCaIssuers) out->issuer_urls.push_back(std::move(location.value));
  }
  return true;
}

// The contents of DistributionPoint's [0].
bool ReadDistributionPointName(absl::string_view contents, std::vector<GeneralName>* names) {
  DerReader in(contents);
  absl::string_view full;
  bool is_full;
  if (!in.ReadOptional(ContextConstructed(0), &full, &is_full)) return false;
  if (is_full) {
    absl::StatusOr<std::vector<GeneralName>> parsed = ReadGeneralNames(DerReader(full));
    if (!parsed.ok()) return false;
    *names = *std::move(parsed);
  } else if (absl::string_view relative; !in.Read(ContextConstructed(1), &relative)) {
    return false;
  }
  return in.empty();
}

bool ReadCrlDistributionPoints(absl::string_view value, Extensions* out) {
  DerReader in;
  if (!Sequence(value, &in) || in.empty()) return false;
  while (!in.empty()) {
    DerReader point;
    absl::string_view name;
    absl::string_view reasons;
    absl::string_view issuer;
    bool has_name;
    bool has_reasons;
    bool has_issuer;
    if (!in.Read(kSequence, &point) ||
        !point.ReadOptional(ContextConstructed(0), &name, &has_name) ||
        !point.ReadOptional(ContextTag(1), &reasons, &has_reasons) ||
        !point.ReadOptional(ContextConstructed(2), &issuer, &has_issuer) || !point.empty() ||
        (!has_name && !has_issuer)) {
      return false;
    }
    std::vector<GeneralName> names;
    if (has_name && !ReadDistributionPointName(name, &names)) return false;
    if (has_issuer && !ReadGeneralNames(DerReader(issuer)).ok()) return false;
    // The CRL of another issuer is none of this certificate's issuer either.
    if (has_reasons || has_issuer) continue;
    for (GeneralName& full : names) {
      if (full.kind == GeneralName::Kind::kUri) out->crl_urls.push_back(std::move(full.value));
    }
  }
  return true;
}

enum class Outcome { kRead, kBad, kUnknown };

Outcome Read(bool parsed) { return parsed ? Outcome::kRead : Outcome::kBad; }

template <typename T, typename U>
Outcome Take(absl::StatusOr<T> parsed, U* out) {
  if (parsed.ok()) *out = *std::move(parsed);
  return Read(parsed.ok());
}

Outcome Understand(absl::string_view oid, absl::string_view value, Extensions* out) {
  // All known ones but two are 2.5.29.x.
  if (oid == kOidAuthorityInfoAccess) return Read(ReadAuthorityInfoAccess(value, out));
  if (oid == kOidOcspNoCheck) {
    out->ocsp_no_check = true;
    return Read(value == OidContents("\x05\x00"));
  }
  if (oid.size() != 3 || oid[0] != '\x55' || oid[1] != '\x1D') return Outcome::kUnknown;
  if (oid == kOidBasicConstraints) return Read(ReadBasicConstraints(value, out));
  if (oid == kOidKeyUsage) return Read(ReadKeyUsage(value, out));
  if (oid == kOidExtendedKeyUsage) return Read(ReadOids(value, &out->extended_key_usage));
  if (oid == kOidSubjectKeyId) return Read(ReadSubjectKeyId(value, out));
  if (oid == kOidAuthorityKeyId) return Read(ReadAuthorityKeyId(value, out));
  if (oid == kOidCrlDistributionPoints) return Read(ReadCrlDistributionPoints(value, out));
  if (oid == kOidCertificatePolicies) return Read(ReadPolicies(value, &out->policies));
  if (oid == kOidSubjectAltName) {
    DerReader names;
    if (!Sequence(value, &names)) return Outcome::kBad;
    return Take(ReadGeneralNames(names), &out->subject_alt_names);
  }
  if (oid == kOidNameConstraints) {
    return Take(ReadNameConstraints(DerReader(value)), &out->name_constraints);
  }
  return Outcome::kUnknown;
}

absl::Status Bad(absl::string_view oid, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("extension ", FormatOid(oid), " ", what));
}

// Sorted, so that a list of thousands costs no square of it.
absl::Status CheckNoneTwice(const std::vector<Extension>& all) {
  std::vector<absl::string_view> oids(all.size());
  std::transform(all.begin(), all.end(), oids.begin(),
                 [](const Extension& extension) { return absl::string_view(extension.oid); });
  std::sort(oids.begin(), oids.end());
  const auto twice = std::adjacent_find(oids.begin(), oids.end());
  return twice == oids.end() ? absl::OkStatus() : Bad(*twice, "is there twice");
}

}  // namespace

bool Extensions::HasExtendedKeyUsage(absl::string_view oid) const {
  return std::find(extended_key_usage.begin(), extended_key_usage.end(), oid) !=
         extended_key_usage.end();
}

bool ReadExtension(DerReader* list, absl::string_view* oid, bool* critical,
                   absl::string_view* value) {
  DerReader extension;
  if (!list->Read(kSequence, &extension) || !extension.Read(kOid, oid) || !IsOid(*oid)) {
    return false;
  }
  *critical = false;
  // FALSE is the default, and DER leaves the default out.
  if (extension.PeekTag() == kBoolean && !(extension.ReadBoolean(critical) && *critical)) {
    return false;
  }
  return extension.Read(kOctetString, value) && extension.empty();
}

absl::StatusOr<Extensions> ParseExtensions(DerReader list) {
  if (list.empty()) return absl::InvalidArgumentError("the list of extensions is empty");
  Extensions extensions;
  extensions.all.reserve(10);
  while (!list.empty()) {
    absl::string_view oid;
    bool critical;
    absl::string_view value;
    if (!ReadExtension(&list, &oid, &critical, &value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("extension number ", extensions.all.size() + 1, " does not parse"));
    }
    extensions.all.push_back({std::string(oid), critical, std::string(value)});
  }
  RETURN_IF_ERROR(CheckNoneTwice(extensions.all));
  for (const Extension& extension : extensions.all) {
    switch (Understand(extension.oid, extension.value, &extensions)) {
      case Outcome::kRead:
        break;
      case Outcome::kBad:
        return Bad(extension.oid, "does not parse");
      case Outcome::kUnknown:
        extensions.others.push_back(extension);
        break;
    }
  }
  return extensions;
}

ExtensionWriter::ExtensionWriter(absl::string_view oid, bool critical, DerWriter* out)
    : out_(out), extension_(out->Begin(kSequence)) {
  out->Add(kOid, oid);
  if (critical) out->AddBoolean(true);
  value_ = out->Begin(kOctetString);
}

ExtensionWriter::~ExtensionWriter() {
  out_->End(value_);
  out_->End(extension_);
}

void WriteSubjectAltNames(const std::vector<GeneralName>& names, bool critical, DerWriter* out) {
  ExtensionWriter extension(kOidSubjectAltName, critical, out);
  const size_t sequence = out->Begin(kSequence);
  for (const GeneralName& name : names) WriteGeneralName(name, out);
  out->End(sequence);
}

}  // namespace countersign::pki
