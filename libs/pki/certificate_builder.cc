#include "libs/pki/certificate_builder.h"

#include <cstddef>
#include <cstdint>

#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/random.h"
#include "libs/pki/der.h"
#include "libs/pki/extensions.h"
#include "libs/pki/oid.h"
#include "libs/pki/signature.h"
#include "libs/pki/spki.h"

namespace countersign::pki {
namespace {

constexpr size_t kKeyIdentifierBytes = 20;

// A named bit list ends with the last bit that is set (X.690 section 11.2.2).
void WriteKeyUsage(uint16_t usage, DerWriter* out) {
  ExtensionWriter extension(kOidKeyUsage, /*critical=*/true, out);
  char bits[3] = {};
  int last = 0;
  for (int i = 0; i <= 8; ++i) {
    if ((usage >> i & 1) == 0) continue;
    bits[1 + i / 8] |= static_cast<char>(0x80 >> (i % 8));
    last = i;
  }
  bits[0] = static_cast<char>(7 - last % 8);
  out->Add(kBitString, absl::string_view(bits, static_cast<size_t>(2 + last / 8)));
}

void WriteExtendedKeyUsage(const std::vector<std::string>& usages, bool critical, DerWriter* out) {
  ExtensionWriter extension(kOidExtendedKeyUsage, critical, out);
  const size_t sequence = out->Begin(kSequence);
  for (const std::string& usage : usages) out->Add(kOid, usage);
  out->End(sequence);
}

void WriteBasicConstraints(const BasicConstraints& constraints, DerWriter* out) {
  ExtensionWriter extension(kOidBasicConstraints, /*critical=*/true, out);
  const size_t sequence = out->Begin(kSequence);
  if (constraints.ca) out->AddBoolean(true);
  if (constraints.path_length.has_value()) out->AddInt64(*constraints.path_length);
  out->End(sequence);
}

void WriteUri(absl::string_view uri, DerWriter* out) { out->Add(ContextTag(6), uri); }

void WriteAccess(absl::string_view method, const std::vector<std::string>& urls, DerWriter* out) {
  for (const std::string& url : urls) {
    const size_t description = out->Begin(kSequence);
    out->Add(kOid, method);
    WriteUri(url, out);
    out->End(description);
  }
}

void WriteAuthorityInfoAccess(const CertificateTemplate& what, DerWriter* out) {
  ExtensionWriter extension(kOidAuthorityInfoAccess, /*critical=*/false, out);
  const size_t sequence = out->Begin(kSequence);
  WriteAccess(kOidAccessOcsp, what.ocsp_urls, out);
  WriteAccess(kOidAccessCaIssuers, what.issuer_urls, out);
  out->End(sequence);
}

void WriteCrlDistributionPoint(absl::string_view url, DerWriter* out) {
  ExtensionWriter extension(kOidCrlDistributionPoints, /*critical=*/false, out);
  const size_t sequence = out->Begin(kSequence);
  const size_t point = out->Begin(kSequence);
  const size_t name = out->Begin(ContextConstructed(0));
  const size_t full_name = out->Begin(ContextConstructed(0));
  WriteUri(url, out);
  out->End(full_name);
  out->End(name);
  out->End(point);
  out->End(sequence);
}

void WriteExtensions(const CertificateTemplate& what, bool empty_subject, DerWriter* out) {
  if (what.key_usage != 0) WriteKeyUsage(what.key_usage, out);
  if (!what.extended_key_usage.empty()) {
    WriteExtendedKeyUsage(what.extended_key_usage, what.critical_extended_key_usage, out);
  }
  if (what.basic_constraints.has_value()) WriteBasicConstraints(*what.basic_constraints, out);
  if (!what.subject_key_id.empty()) {
    ExtensionWriter extension(kOidSubjectKeyId, /*critical=*/false, out);
    out->Add(kOctetString, what.subject_key_id);
  }
  if (!what.authority_key_id.empty()) {
    ExtensionWriter extension(kOidAuthorityKeyId, /*critical=*/false, out);
    const size_t sequence = out->Begin(kSequence);
    out->Add(ContextTag(0), what.authority_key_id);
    out->End(sequence);
  }
  if (!what.ocsp_urls.empty() || !what.issuer_urls.empty()) WriteAuthorityInfoAccess(what, out);
  if (!what.subject_alt_names.empty()) {
    WriteSubjectAltNames(what.subject_alt_names, empty_subject, out);
  }
  if (!what.crl_url.empty()) WriteCrlDistributionPoint(what.crl_url, out);
  if (!what.name_constraints.empty()) {
    ExtensionWriter extension(kOidNameConstraints, /*critical=*/true, out);
    WriteNameConstraints(what.name_constraints, out);
  }
  if (what.ocsp_no_check) {
    ExtensionWriter extension(kOidOcspNoCheck, /*critical=*/false, out);
    out->AddNull();
  }
}

}  // namespace

std::string BuildTbsCertificate(const CertificateTemplate& what) {
  constexpr size_t kUsualExtensionsBytes = 640;
  // An empty Name is a SEQUENCE of nothing.
  const bool empty_subject = what.subject_der.size() <= 2;
  DerWriter out(what.issuer_der.size() + what.subject_der.size() + what.spki_der.size() +
                kUsualExtensionsBytes);
  const size_t tbs = out.Begin(kSequence);
  const size_t version = out.Begin(ContextConstructed(0));
  out.AddInt64(2);
  out.End(version);
  out.AddUnsigned(what.serial);
  out.AddRaw(SignatureAlgorithmDer(what.signature_algorithm));
  out.AddRaw(what.issuer_der);
  const size_t validity = out.Begin(kSequence);
  WriteTime(what.not_before, &out);
  WriteTime(what.not_after, &out);
  out.End(validity);
  out.AddRaw(what.subject_der);
  out.AddRaw(what.spki_der);

  DerWriter list(kUsualExtensionsBytes);
  WriteExtensions(what, empty_subject, &list);
  if (!list.der().empty()) {
    const size_t extensions = out.Begin(ContextConstructed(3));
    out.Add(kSequence, list.der());
    out.End(extensions);
  }
  out.End(tbs);
  return out.Take();
}

std::string KeyIdentifier(absl::string_view spki_der) {
  absl::string_view key_bits;
  if (!ReadSpki(spki_der, &key_bits)) return "";
  const auto digest = crypto::Sha256(key_bits);
  return std::string(base::AsBytes(digest).substr(0, kKeyIdentifierBytes));
}

std::string RandomSerial() {
  std::string serial = crypto::RandomBytes(16);
  serial[0] = static_cast<char>((serial[0] & 0x7F) | 0x40);
  return serial;
}

}  // namespace countersign::pki
