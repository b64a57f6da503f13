#include "libs/pki/ocsp_response.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/sha1.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"
#include "libs/pki/signature.h"

namespace countersign::pki {
namespace {

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not an OCSP response: ", what));
}

bool ReadEnumerated(DerReader* in, int* value) {
  absl::string_view contents;
  if (!in->Read(kEnumerated, &contents) || contents.size() != 1) return false;
  *value = static_cast<uint8_t>(contents[0]);
  return true;
}

bool ReadGeneralizedTime(DerReader* in, absl::Time* time) {
  return in->PeekTag() == kGeneralizedTime && ReadTime(in, time);
}

bool ReadRevoked(absl::string_view contents, OcspResponse::Single* single) {
  DerReader in(contents);
  absl::string_view tagged;
  bool has_reason;
  if (!ReadGeneralizedTime(&in, &single->revocation_time) ||
      !in.ReadOptional(ContextConstructed(0), &tagged, &has_reason) || !in.empty()) {
    return false;
  }
  if (!has_reason) return true;
  DerReader reason(tagged);
  return ReadEnumerated(&reason, &single->reason) && reason.empty() && single->reason <= 10 &&
         single->reason != 7;
}

bool ReadStatus(DerReader* in, OcspResponse::Single* single) {
  uint8_t tag;
  absl::string_view contents;
  if (!in->ReadAny(&tag, &contents)) return false;
  switch (tag) {
    case ContextTag(0):
      single->kind = OcspResponse::Single::Kind::kGood;
      return contents.empty();
    case ContextConstructed(1):
      single->kind = OcspResponse::Single::Kind::kRevoked;
      return ReadRevoked(contents, single);
    case ContextTag(2):
      single->kind = OcspResponse::Single::Kind::kUnknown;
      return contents.empty();
    default:
      return false;
  }
}

// The contents of an [n] EXPLICIT Extensions. Those of a single answer have no nonce.
absl::Status ReadExtensions(absl::string_view contents, std::string* nonce) {
  DerReader in(contents);
  DerReader extensions;
  if (!in.Read(kSequence, &extensions) || !in.empty() || extensions.empty()) {
    return Malformed("its extensions are none");
  }
  while (!extensions.empty()) {
    DerReader extension;
    absl::string_view oid;
    absl::string_view value;
    bool critical = false;
    if (!extensions.Read(kSequence, &extension) || !extension.Read(kOid, &oid) ||
        (extension.PeekTag() == kBoolean && !extension.ReadBoolean(&critical)) ||
        !extension.Read(kOctetString, &value) || !extension.empty()) {
      return Malformed("an extension of it is none");
    }
    if (nonce != nullptr && oid == kOidOcspNonce) {
      DerReader wrapped(value);
      absl::string_view bytes;
      if (!wrapped.Read(kOctetString, &bytes) || !wrapped.empty()) {
        return Malformed("its nonce is no OCTET STRING");
      }
      *nonce = std::string(bytes);
    } else if (critical && oid != kOidOcspExtendedRevoke) {
      return Malformed("it has a critical extension that is not understood");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<OcspResponse::Single> ReadSingle(DerReader* list) {
  DerReader in;
  OcspCertId id;
  if (!list->Read(kSequence, &in) || !ReadOcspCertId(&in, &id)) {
    return Malformed("a CertID of it is none");
  }
  if (!id.known_hash || id.negative_serial) {
    return Malformed("a CertID of it has another hash than SHA-1 or SHA-2, or a negative serial");
  }
  OcspResponse::Single single;
  single.hash = id.hash;
  single.issuer_name_hash = std::string(id.issuer_name_hash);
  single.issuer_key_hash = std::string(id.issuer_key_hash);
  single.serial = std::string(id.serial);
  absl::string_view tagged;
  bool present;
  if (!ReadStatus(&in, &single)) return Malformed("a status of it is none");
  if (!ReadGeneralizedTime(&in, &single.this_update)) return Malformed("a thisUpdate is none");
  if (!in.ReadOptional(ContextConstructed(0), &tagged, &present)) {
    return Malformed("a nextUpdate is none");
  }
  if (present) {
    DerReader next(tagged);
    if (!ReadGeneralizedTime(&next, &single.next_update) || !next.empty()) {
      return Malformed("a nextUpdate is none");
    }
  }
  if (!in.ReadOptional(ContextConstructed(1), &tagged, &present) || !in.empty()) {
    return Malformed("something follows an answer");
  }
  if (present) RETURN_IF_ERROR(ReadExtensions(tagged, nullptr));
  return single;
}

absl::Status ReadResponderId(DerReader* in, OcspResponse* response) {
  uint8_t tag;
  absl::string_view contents;
  if (!in->ReadAny(&tag, &contents)) return Malformed("its responderID is none");
  DerReader inner(contents);
  absl::string_view value;
  if (tag == ContextConstructed(1) && inner.ReadElement(kSequence, &value) && inner.empty()) {
    response->responder_name_der = std::string(value);
    return absl::OkStatus();
  }
  if (tag == ContextConstructed(2) && inner.Read(kOctetString, &value) && inner.empty() &&
      value.size() == 20) {
    response->responder_key_hash = std::string(value);
    return absl::OkStatus();
  }
  return Malformed("its responderID is none");
}

absl::Status ReadResponseData(absl::string_view tbs, OcspResponse* response) {
  DerReader in;
  absl::string_view tagged;
  bool present;
  if (!DerReader(tbs).Read(kSequence, &in) ||
      !in.ReadOptional(ContextConstructed(0), &tagged, &present)) {
    return Malformed("its ResponseData is none");
  }
  if (present) {
    DerReader version(tagged);
    int64_t number;
    if (!version.ReadInt64(&number) || number != 0 || !version.empty()) {
      return Malformed("its version is not v1");
    }
  }
  RETURN_IF_ERROR(ReadResponderId(&in, response));
  DerReader list;
  if (!ReadGeneralizedTime(&in, &response->produced_at) || !in.Read(kSequence, &list)) {
    return Malformed("its ResponseData is none");
  }
  while (!list.empty()) {
    ASSIGN_OR_RETURN(OcspResponse::Single single, ReadSingle(&list));
    response->singles.push_back(std::move(single));
  }
  if (!in.ReadOptional(ContextConstructed(1), &tagged, &present) || !in.empty()) {
    return Malformed("something follows its ResponseData");
  }
  return present ? ReadExtensions(tagged, &response->nonce) : absl::OkStatus();
}

absl::Status ReadBasic(absl::string_view der, OcspResponse* response) {
  DerReader outer(der);
  DerReader basic;
  absl::string_view tbs;
  absl::string_view algorithm;
  absl::string_view signature;
  absl::string_view tagged;
  bool present;
  if (!outer.Read(kSequence, &basic) || !outer.empty() || !basic.ReadElement(kSequence, &tbs) ||
      !basic.ReadElement(kSequence, &algorithm) || !basic.ReadBitStringBytes(&signature) ||
      !basic.ReadOptional(ContextConstructed(0), &tagged, &present) || !basic.empty()) {
    return Malformed("its BasicOCSPResponse is none");
  }
  response->tbs = std::string(tbs);
  response->signature_algorithm = std::string(algorithm);
  response->signature = std::string(signature);
  if (present) {
    DerReader in(tagged);
    DerReader certificates;
    if (!in.Read(kSequence, &certificates) || !in.empty()) {
      return Malformed("its certificates are none");
    }
    while (!certificates.empty()) {
      absl::string_view certificate;
      if (!certificates.ReadElement(kSequence, &certificate)) {
        return Malformed("its certificates are none");
      }
      response->certificates.emplace_back(certificate);
    }
  }
  return ReadResponseData(response->tbs, response);
}

bool IsResponder(const OcspResponse& response, const Certificate& certificate) {
  if (response.responder_key_hash.empty()) {
    return response.responder_name_der == certificate.subject_der;
  }
  return response.responder_key_hash == base::AsBytes(crypto::Sha1(certificate.key_bits));
}

absl::Status Refused(absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("the OCSP response does not hold: ", why));
}

// Whether `delegate` may sign for `issuer` (section 4.2.2.2).
absl::Status CheckDelegate(const Certificate& delegate, const Certificate& issuer, absl::Time now) {
  if (absl::Status status = delegate.CheckIssuedBy(issuer); !status.ok()) {
    return Refused(absl::StrCat("its signer is not the issuer's: ", status.message()));
  }
  if (!delegate.extensions.HasExtendedKeyUsage(kOidOcspSigning)) {
    return Refused("its signer has no id-kp-OCSPSigning (RFC 6960 section 4.2.2.2)");
  }
  if (now < delegate.not_before || now > delegate.not_after) {
    return Refused("its signer's certificate is not valid at this time");
  }
  return absl::OkStatus();
}

absl::Status CheckSigner(const OcspResponse& response, const Certificate& signer) {
  absl::StatusOr<crypto::PublicKey> key = signer.Key();
  if (!key.ok()) return Refused(key.status().message());
  absl::StatusOr<bool> valid =
      CheckSignature(*key, response.signature_algorithm, response.tbs, response.signature);
  if (!valid.ok()) return Refused(valid.status().message());
  return *valid ? absl::OkStatus() : Refused("its signature is wrong");
}

}  // namespace

absl::StatusOr<OcspResponse> ParseOcspResponse(absl::string_view der) {
  DerReader outer(der);
  DerReader in;
  OcspResponse response;
  absl::string_view tagged;
  bool present;
  if (!outer.Read(kSequence, &in) || !outer.empty() ||
      !ReadEnumerated(&in, &response.response_status) ||
      !in.ReadOptional(ContextConstructed(0), &tagged, &present) || !in.empty()) {
    return Malformed("it is not one SEQUENCE in DER");
  }
  if (response.response_status > 6 || response.response_status == 4) {
    return Malformed("its status is none");
  }
  if (present != (response.response_status == 0)) {
    return Malformed("an error has no answer, and success has one (RFC 6960 section 4.2.1)");
  }
  if (!present) return response;
  DerReader bytes(tagged);
  DerReader fields;
  absl::string_view type;
  absl::string_view basic;
  if (!bytes.Read(kSequence, &fields) || !bytes.empty() || !fields.Read(kOid, &type) ||
      !fields.Read(kOctetString, &basic) || !fields.empty()) {
    return Malformed("its ResponseBytes are none");
  }
  if (type != kOidOcspBasic) return Malformed("it is of another type than id-pkix-ocsp-basic");
  RETURN_IF_ERROR(ReadBasic(basic, &response));
  return response;
}

absl::Status CheckOcspResponse(const OcspResponse& response, const Certificate& issuer,
                               absl::Time now) {
  if (response.response_status != 0) {
    return Refused(absl::StrCat("it is the error ", response.response_status));
  }
  if (response.singles.empty()) return Refused("it answers nothing");
  for (const OcspResponse::Single& single : response.singles) {
    if (single.issuer_name_hash != OcspDigest(single.hash, issuer.subject_der) ||
        single.issuer_key_hash != OcspDigest(single.hash, issuer.key_bits)) {
      return Refused("it speaks of another issuer's certificate");
    }
    if (now < single.this_update) return Refused("it is not valid yet");
    if (now >= single.next_update) return Refused("it is out of date");
  }
  if (IsResponder(response, issuer)) return CheckSigner(response, issuer);
  for (const std::string& der : response.certificates) {
    absl::StatusOr<Certificate> delegate = ParseCertificate(der);
    if (!delegate.ok()) return Refused(delegate.status().message());
    if (!IsResponder(response, *delegate)) continue;
    RETURN_IF_ERROR(CheckDelegate(*delegate, issuer, now));
    return CheckSigner(response, *delegate);
  }
  return Refused("its signer is neither the issuer nor one whose certificate it carries");
}

}  // namespace countersign::pki
