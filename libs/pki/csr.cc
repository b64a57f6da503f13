#include "libs/pki/csr.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/pki/der.h"
#include "libs/pki/extensions.h"
#include "libs/pki/oid.h"
#include "libs/pki/pem.h"
#include "libs/pki/signature.h"
#include "libs/pki/spki.h"

namespace countersign::pki {
namespace {

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("certification request: ", what));
}

// With the reason, when there was one beside the signature's being wrong.
absl::Status NotProven(const absl::Status& reason) {
  return absl::FailedPreconditionError(
      absl::StrCat("the certification request is not signed by its own key",
                   reason.ok() ? "" : absl::StrCat(": ", reason.message())));
}

// The values of an extensionRequest: one list of extensions.
absl::Status ParseExtensionRequest(DerReader values, Extensions* extensions) {
  DerReader list;
  if (!values.Read(kSequence, &list) || !values.empty()) {
    return Bad("the extensionRequest is not one list of extensions");
  }
  absl::StatusOr<Extensions> parsed = ParseExtensions(list);
  if (!parsed.ok()) return Bad(parsed.status().message());
  *extensions = *std::move(parsed);
  return absl::OkStatus();
}

// A SET OF Attribute, of which extensionRequest alone counts.
absl::Status ParseAttributes(DerReader attributes, Extensions* extensions) {
  bool requested = false;
  absl::string_view before;
  while (!attributes.empty()) {
    absl::string_view element;
    DerReader attribute;
    absl::string_view type;
    DerReader values;
    if (!attributes.ReadElement(kSequence, &element) ||
        !DerReader(element).Read(kSequence, &attribute) || !attribute.Read(kOid, &type) ||
        !IsOid(type) || !attribute.Read(kSet, &values) || !attribute.empty() || values.empty()) {
      return Bad("an attribute is not a type and a SET of values");
    }
    if (element < before) return Bad("the attributes are not in the order of DER");
    before = element;
    if (type != kOidExtensionRequest) continue;
    if (requested) return Bad("there are two extensionRequest attributes");
    requested = true;
    RETURN_IF_ERROR(ParseExtensionRequest(values, extensions));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Csr> ParseCsr(absl::string_view der) {
  DerReader in(der);
  DerReader outer;
  absl::string_view info_element;
  absl::string_view algorithm;
  absl::string_view signature;
  if (!in.Read(kSequence, &outer) || !in.empty() || !outer.ReadElement(kSequence, &info_element) ||
      !outer.ReadElement(kSequence, &algorithm) || !IsAlgorithmIdentifier(algorithm) ||
      !outer.ReadBitStringBytes(&signature) || !outer.empty()) {
    return Bad("this is not the DER of one PKCS#10 request and nothing else");
  }
  DerReader info;
  DerReader(info_element).Read(kSequence, &info);
  int64_t version;
  if (!info.ReadInt64(&version) || version != 0) return Bad("the version is not 0");
  absl::string_view subject;
  if (!info.ReadElement(kSequence, &subject)) return Bad("no subject name");
  absl::StatusOr<Name> name = ParseName(subject);
  if (!name.ok()) return Bad(absl::StrCat("subject ", name.status().message()));
  absl::string_view spki;
  absl::string_view key_bits;
  if (!info.ReadElement(kSequence, &spki) || !ReadSpki(spki, &key_bits)) {
    return Bad("no public key");
  }
  DerReader attributes;
  if (!info.Read(ContextConstructed(0), &attributes) || !info.empty()) {
    return Bad("what follows the key is not a SET of attributes");
  }
  Csr csr;
  RETURN_IF_ERROR(ParseAttributes(attributes, &csr.extensions));
  csr.der = std::string(der);
  csr.info = std::string(info_element);
  csr.subject = *std::move(name);
  csr.subject_der = std::string(subject);
  csr.spki_der = std::string(spki);
  csr.signature_algorithm = std::string(algorithm);
  csr.signature = std::string(signature);
  return csr;
}

absl::StatusOr<Csr> ParseCsrDerOrPem(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const std::string der, DerFromDerOrPem(bytes, "CERTIFICATE REQUEST"));
  return ParseCsr(der);
}

absl::StatusOr<crypto::PublicKey> Csr::Key() const {
  return crypto::PublicKey::FromSpkiDer(spki_der);
}

absl::Status Csr::CheckSignature() const {
  const absl::StatusOr<crypto::PublicKey> key = Key();
  if (!key.ok()) return NotProven(key.status());
  return CheckSignature(*key);
}

absl::Status Csr::CheckSignature(const crypto::PublicKey& key) const {
  const absl::StatusOr<bool> holds = pki::CheckSignature(key, signature_algorithm, info, signature);
  return holds.ok() && *holds ? absl::OkStatus() : NotProven(holds.status());
}

absl::StatusOr<std::string> BuildCsr(const Name& subject, const std::vector<GeneralName>& names,
                                     const crypto::PrivateKey& key) {
  DerWriter out(512);
  const size_t info = out.Begin(kSequence);
  out.AddInt64(0);
  out.AddRaw(EncodeName(subject));
  out.AddRaw(key.public_key().spki_der());
  const size_t attributes = out.Begin(ContextConstructed(0));
  if (!names.empty()) {
    const size_t attribute = out.Begin(kSequence);
    out.Add(kOid, kOidExtensionRequest);
    const size_t values = out.Begin(kSet);
    const size_t list = out.Begin(kSequence);
    WriteSubjectAltNames(names, /*critical=*/subject.empty(), &out);
    out.End(list);
    out.End(values);
    out.End(attribute);
  }
  out.End(attributes);
  out.End(info);
  return SignAndAssemble(out.der(), key);
}

}  // namespace countersign::pki
