#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/der.h"
#include "libs/pki/extensions.h"
#include "libs/pki/oid.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace pki = countersign::pki;

namespace {

// The extensions written again as they were read.
std::string Rewritten(const std::vector<pki::Extension>& extensions) {
  pki::DerWriter out;
  for (const pki::Extension& extension : extensions) {
    pki::ExtensionWriter writer(extension.oid, extension.critical, &out);
    out.AddRaw(extension.value);
  }
  return out.Take();
}

void CheckExtensions(const pki::Certificate& certificate) {
  const pki::Extensions& extensions = certificate.extensions;
  const std::string written = Rewritten(extensions.all);
  Holds(certificate.tbs.find(written) != std::string::npos, "extensions have one encoding");
  for (const pki::GeneralName& name : extensions.subject_alt_names) {
    Holds(!pki::FormatGeneralName(name).empty(), "a name has a text");
    if (!pki::CheckSyntax(name).ok()) continue;
    const auto again = pki::ParseGeneralName(pki::FormatGeneralName(name));
    Holds(name.kind == pki::GeneralName::Kind::kDirectory || (again.ok() && *again == name),
          "a name that is well spelt reads back from its text");
    pki::NameConstraints itself;
    itself.excluded = {name};
    if (name.kind == pki::GeneralName::Kind::kDns) {
      Holds(!pki::CheckConstraints(itself, name).ok(), "a DNS name is within itself");
    }
  }
  if (!extensions.subject_alt_names.empty()) {
    pki::DerWriter names;
    for (const pki::GeneralName& name : extensions.subject_alt_names) {
      pki::WriteGeneralName(name, &names);
    }
    const auto read = pki::ReadGeneralNames(pki::DerReader(names.der()));
    Holds(read.ok() && *read == extensions.subject_alt_names, "alternative names read back");
  }
  if (extensions.name_constraints.has_value()) {
    pki::DerWriter out;
    pki::WriteNameConstraints(*extensions.name_constraints, &out);
    Holds(certificate.tbs.find(out.der()) != std::string::npos, "constraints have one encoding");
    for (const pki::GeneralName& name : extensions.subject_alt_names) {
      (void)pki::CheckConstraints(*extensions.name_constraints, name);
    }
    (void)pki::CheckConstraints(*extensions.name_constraints, certificate.subject);
  }
}

// A certificate with the same fields reads back with the same fields.
void CheckRebuilt(const pki::Certificate& certificate) {
  const pki::Extensions& extensions = certificate.extensions;
  pki::CertificateTemplate what;
  what.serial = certificate.serial;
  what.issuer_der = certificate.issuer_der;
  what.subject_der = certificate.subject_der;
  what.not_before = certificate.not_before;
  what.not_after = certificate.not_after;
  what.spki_der = certificate.spki_der;
  what.basic_constraints = extensions.basic_constraints;
  what.key_usage = extensions.key_usage.value_or(0);
  what.extended_key_usage = extensions.extended_key_usage;
  what.subject_alt_names = extensions.subject_alt_names;
  what.subject_key_id = extensions.subject_key_id;
  what.authority_key_id = extensions.authority_key_id;
  what.ocsp_urls = extensions.ocsp_urls;
  what.issuer_urls = extensions.issuer_urls;
  what.ocsp_no_check = extensions.ocsp_no_check;
  if (extensions.name_constraints.has_value()) what.name_constraints = *extensions.name_constraints;
  // An empty signature, by nobody.
  const std::string tbs = pki::BuildTbsCertificate(what);
  pki::DerWriter out;
  const size_t sequence = out.Begin(pki::kSequence);
  out.AddRaw(tbs);
  out.AddRaw(pki::OidContents("\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02"));
  out.AddBitStringBytes("");
  out.End(sequence);
  const auto read = pki::ParseCertificate(out.der());
  Holds(read.ok(), "what is built parses");
  Holds(read->tbs == tbs && read->serial == certificate.serial &&
            read->issuer == certificate.issuer && read->subject == certificate.subject &&
            read->not_before == certificate.not_before &&
            read->not_after == certificate.not_after && read->spki_der == certificate.spki_der,
        "the fields are what they were");
  Holds(read->extensions.key_usage.value_or(0) == what.key_usage &&
            read->extensions.extended_key_usage == what.extended_key_usage &&
            read->extensions.subject_alt_names == what.subject_alt_names &&
            read->extensions.ocsp_urls == what.ocsp_urls &&
            read->extensions.issuer_urls == what.issuer_urls &&
            read->extensions.ocsp_no_check == what.ocsp_no_check,
        "the extensions are what they were");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto parsed = pki::ParseCertificate(input);
  if (!parsed.ok()) return 0;
  Holds(parsed->der == input, "a certificate has one encoding");
  Holds(!parsed->serial.empty() && parsed->serial.size() <= 20,
        "a serial number has 1 to 20 bytes");
  Holds(input.find(parsed->tbs) != absl::string_view::npos, "what is signed is part of it");
  (void)parsed->Key();
  (void)parsed->CheckIssuedBy(*parsed);
  if (!parsed->extensions.all.empty()) CheckExtensions(*parsed);
  CheckRebuilt(*parsed);
  return 0;
}
