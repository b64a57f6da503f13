#include "libs/pki/crl.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"
#include "libs/pki/signature.h"

namespace countersign::pki {
namespace {

constexpr int64_t kVersion2 = 1;
constexpr uint8_t kUriTag = ContextTag(6);
// A guess at an entry's size, to make room once.
constexpr size_t kEntryBytes = 56;

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not a CRL: ", what));
}

// Reasons that RFC 5280 section 5.3.1 numbers; removeFromCRL (8) belongs to delta CRLs.
bool IsReason(int reason) { return reason >= 0 && reason <= 10 && reason != 7; }

void WriteExtension(absl::string_view oid, bool critical, absl::string_view value, DerWriter* out) {
  const size_t extension = out->Begin(kSequence);
  out->Add(kOid, oid);
  if (critical) out->AddBoolean(true);
  out->Add(kOctetString, value);
  out->End(extension);
}

void WriteEntry(const RevokedEntry& revoked, DerWriter* out) {
  const size_t entry = out->Begin(kSequence);
  out->AddUnsigned(revoked.serial);
  WriteTime(revoked.revocation_time, out);
  if (revoked.reason != 0) {
    // A SEQUENCE of the one extension reasonCode.
    constexpr auto kBefore = OidContents("\x30\x0C\x30\x0A\x06\x03\x55\x1D\x15\x04\x03\x0A\x01");
    const char reason = static_cast<char>(revoked.reason);
    out->AddRaw(kBefore);
    out->AddRaw(absl::string_view(&reason, 1));
  }
  out->End(entry);
}

std::string WriteExtensions(const CrlTemplate& what) {
  DerWriter out;
  const size_t tagged = out.Begin(ContextConstructed(0));
  const size_t list = out.Begin(kSequence);
  if (!what.authority_key_id.empty()) {
    DerWriter value;
    const size_t id = value.Begin(kSequence);
    value.Add(ContextTag(0), what.authority_key_id);
    value.End(id);
    WriteExtension(kOidAuthorityKeyId, false, value.der(), &out);
  }
  DerWriter number;
  number.AddInt64(what.number);
  WriteExtension(kOidCrlNumber, false, number.der(), &out);
  if (!what.distribution_point.empty()) {
    DerWriter value;
    const size_t idp = value.Begin(kSequence);
    const size_t point = value.Begin(ContextConstructed(0));
    const size_t full_name = value.Begin(ContextConstructed(0));
    value.Add(kUriTag, what.distribution_point);
    value.End(full_name);
    value.End(point);
    value.End(idp);
    WriteExtension(kOidIssuingDistributionPoint, true, value.der(), &out);
  }
  out.End(list);
  out.End(tagged);
  return out.Take();
}

// One Extension of a list.
struct RawExtension {
  absl::string_view oid;
  bool critical = false;
  absl::string_view value;
};

bool ReadExtension(DerReader* list, RawExtension* out) {
  DerReader in;
  out->critical = false;
  if (!list->Read(kSequence, &in) || !in.Read(kOid, &out->oid)) return false;
  // DER leaves the default out.
  if (in.PeekTag() == kBoolean && (!in.ReadBoolean(&out->critical) || !out->critical)) return false;
  return in.Read(kOctetString, &out->value) && in.empty();
}

absl::Status ReadEntryExtensions(DerReader list, RevokedEntry* entry) {
  if (list.empty()) return Malformed("an entry's extensions are none");
  while (!list.empty()) {
    RawExtension extension;
    if (!ReadExtension(&list, &extension)) return Malformed("an entry's extension is none");
    if (extension.oid == kOidCrlReason) {
      DerReader value(extension.value);
      absl::string_view reason;
      if (!value.Read(kEnumerated, &reason) || !value.empty() || reason.size() != 1 ||
          !IsReason(static_cast<uint8_t>(reason[0]))) {
        return Malformed("an entry's reason is none (RFC 5280 section 5.3.1)");
      }
      entry->reason = static_cast<uint8_t>(reason[0]);
    } else if (extension.critical) {
      return Malformed("an entry has a critical extension that is not understood");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadEntries(DerReader list, std::vector<RevokedEntry>* revoked) {
  if (list.empty()) {
    return Malformed("its list is empty, and must then be absent (RFC 5280 section 5.1.2.6)");
  }
  revoked->reserve(list.rest().size() / kEntryBytes);
  while (!list.empty()) {
    DerReader in;
    absl::string_view serial;
    RevokedEntry entry;
    if (!list.Read(kSequence, &in) || !in.ReadUnsigned(&serial) ||
        !ReadTime(&in, &entry.revocation_time)) {
      return Malformed("an entry of it is none");
    }
    entry.serial = std::string(serial);
    DerReader extensions;
    if (!in.empty()) {
      if (!in.Read(kSequence, &extensions) || !in.empty()) {
        return Malformed("something follows an entry");
      }
      RETURN_IF_ERROR(ReadEntryExtensions(extensions, &entry));
    }
    revoked->push_back(std::move(entry));
  }
  return absl::OkStatus();
}

// RFC 5280 section 5.2.5, as far as a list for everything that its URL stands for: what narrows it
// to some reasons, other issuers' or attribute certificates is refused.
absl::Status ReadDistributionPoint(absl::string_view der, Crl* crl) {
  DerReader value(der);
  DerReader in;
  absl::string_view point;
  bool present;
  if (!value.Read(kSequence, &in) || !value.empty() ||
      !in.ReadOptional(ContextConstructed(0), &point, &present)) {
    return Malformed("its issuingDistributionPoint is none");
  }
  if (present) {
    DerReader names(point);
    DerReader full_name;
    if (!names.Read(ContextConstructed(0), &full_name) || !names.empty()) {
      return Malformed("its distribution point has no full name");
    }
    while (!full_name.empty()) {
      uint8_t tag;
      absl::string_view name;
      if (!full_name.ReadAny(&tag, &name)) return Malformed("its distribution point is none");
      if (tag == kUriTag && crl->distribution_point.empty()) {
        crl->distribution_point = std::string(name);
      }
    }
  }
  for (const auto& [tag, only] : {std::pair(ContextTag(1), &crl->only_user_certificates),
                                  std::pair(ContextTag(2), &crl->only_ca_certificates)}) {
    absl::string_view flag;
    if (!in.ReadOptional(tag, &flag, only) || (*only && flag != "\xFF")) {
      return Malformed("its issuingDistributionPoint is none");
    }
  }
  if (!in.empty()) {
    return Malformed(
        "it is for some reasons, other issuers' or attribute certificates only, which is not "
        "supported");
  }
  return absl::OkStatus();
}

absl::Status ReadCrlExtensions(absl::string_view contents, Crl* crl) {
  DerReader tagged(contents);
  DerReader list;
  if (!tagged.Read(kSequence, &list) || !tagged.empty() || list.empty()) {
    return Malformed("its extensions are none");
  }
  bool has_number = false;
  while (!list.empty()) {
    RawExtension extension;
    if (!ReadExtension(&list, &extension)) return Malformed("an extension of it is none");
    DerReader value(extension.value);
    if (extension.oid == kOidCrlNumber) {
      if (has_number || !value.ReadInt64(&crl->number) || !value.empty() || crl->number < 0) {
        return Malformed("its number is none");
      }
      has_number = true;
    } else if (extension.oid == kOidAuthorityKeyId) {
      DerReader in;
      absl::string_view id;
      bool present;
      if (!value.Read(kSequence, &in) || !value.empty() ||
          !in.ReadOptional(ContextTag(0), &id, &present)) {
        return Malformed("its authorityKeyIdentifier is none");
      }
      crl->authority_key_id = std::string(id);
    } else if (extension.oid == kOidIssuingDistributionPoint) {
      RETURN_IF_ERROR(ReadDistributionPoint(extension.value, crl));
    } else if (extension.critical) {
      return Malformed(absl::StrCat("it has a critical extension that is not understood, ",
                                    FormatOid(extension.oid)));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadTbs(Crl* crl) {
  DerReader in;
  int64_t version;
  absl::string_view algorithm;
  absl::string_view issuer;
  if (!DerReader(crl->tbs).Read(kSequence, &in) || !in.ReadInt64(&version) ||
      version != kVersion2) {
    return Malformed("its version is not 2");
  }
  if (!in.ReadElement(kSequence, &algorithm) || algorithm != crl->signature_algorithm) {
    return Malformed("its two signature algorithms differ (RFC 5280 section 5.1.1.2)");
  }
  if (!in.ReadElement(kSequence, &issuer)) return Malformed("its issuer is none");
  crl->issuer_der = std::string(issuer);
  if (!ReadTime(&in, &crl->this_update)) return Malformed("its thisUpdate is none");
  if (!ReadTime(&in, &crl->next_update)) return Malformed("its nextUpdate is none");
  DerReader list;
  if (in.PeekTag() == kSequence) {
    if (!in.Read(kSequence, &list)) return Malformed("its list is none");
    RETURN_IF_ERROR(ReadEntries(list, &crl->revoked));
  }
  absl::string_view extensions;
  bool present;
  if (!in.ReadOptional(ContextConstructed(0), &extensions, &present) || !in.empty()) {
    return Malformed("something follows its extensions");
  }
  return present ? ReadCrlExtensions(extensions, crl) : absl::OkStatus();
}

}  // namespace

std::string BuildTbsCertList(const CrlTemplate& what) {
  DerWriter front;
  front.AddInt64(kVersion2);
  front.AddRaw(SignatureAlgorithmDer(what.signature_algorithm));
  front.AddRaw(what.issuer_der);
  WriteTime(what.this_update, &front);
  WriteTime(what.next_update, &front);
  DerWriter entries(what.revoked.size() * kEntryBytes);
  for (const RevokedEntry& revoked : what.revoked) WriteEntry(revoked, &entries);
  const std::string extensions = WriteExtensions(what);

  const size_t list_size = entries.der().size();
  const size_t size = front.der().size() + extensions.size() +
                      (list_size == 0 ? 0 : DerHeaderSize(list_size) + list_size);
  std::string tbs;
  tbs.reserve(DerHeaderSize(size) + size);
  AppendDerHeader(kSequence, size, &tbs);
  tbs.append(front.der());
  if (list_size != 0) {
    AppendDerHeader(kSequence, list_size, &tbs);
    tbs.append(entries.der());
  }
  tbs.append(extensions);
  return tbs;
}

absl::StatusOr<Crl> ParseCrl(absl::string_view der) {
  DerReader outer(der);
  DerReader in;
  absl::string_view tbs;
  absl::string_view algorithm;
  absl::string_view signature;
  if (!outer.Read(kSequence, &in) || !outer.empty() || !in.ReadElement(kSequence, &tbs) ||
      !in.ReadElement(kSequence, &algorithm) || !in.ReadBitStringBytes(&signature) || !in.empty()) {
    return Malformed("it is not one SEQUENCE in DER");
  }
  Crl crl;
  crl.der = std::string(der);
  crl.tbs = std::string(tbs);
  crl.signature_algorithm = std::string(algorithm);
  crl.signature = std::string(signature);
  RETURN_IF_ERROR(ReadTbs(&crl));
  return crl;
}

}  // namespace countersign::pki
