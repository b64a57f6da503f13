#include "libs/pki/ocsp_responder.h"

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"
#include "libs/pki/signature.h"

namespace countersign::pki {
namespace {

// The OBJECT IDENTIFIER element id-pkix-ocsp-basic.
constexpr auto kBasicResponse = OidContents("\x06\x09\x2B\x06\x01\x05\x05\x07\x30\x01\x01");
// ENUMERATED successful.
constexpr auto kSuccessful = OidContents("\x0A\x01\x00");

constexpr size_t kTimeSize = 17;    // a GeneralizedTime
constexpr size_t kTaggedTime = 19;  // in an [n] EXPLICIT
constexpr size_t kReasonSize = 5;   // CRLReason in its [0] EXPLICIT
constexpr size_t kGoodSize = 2;

size_t ElementSize(size_t contents) { return DerHeaderSize(contents) + contents; }

// Writes at a place in a buffer that is known to be large enough.
class Cursor {
 public:
  explicit Cursor(char* at) : at_(at) {}

  char* at() const { return at_; }
  void Byte(uint8_t byte) { *at_++ = static_cast<char>(byte); }
  void Bytes(absl::string_view bytes) {
    std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }
  void Header(uint8_t tag, size_t size) {
    Byte(tag);
    if (size < 0x80) return Byte(static_cast<uint8_t>(size));
    const size_t count = DerHeaderSize(size) - 2;
    Byte(static_cast<uint8_t>(0x80 | count));
    for (size_t i = count; i > 0; --i) Byte(static_cast<uint8_t>(size >> (8 * (i - 1))));
  }
  // GeneralizedTime YYYYMMDDHHMMSSZ of seconds since 1970, between the years 1970 and 9999.
  void Time(int64_t seconds);

 private:
  void Digits(unsigned value) {
    Byte(static_cast<uint8_t>('0' + value / 10));
    Byte(static_cast<uint8_t>('0' + value % 10));
  }

  char* at_;
};

void Cursor::Time(int64_t seconds) {
  constexpr int64_t kLast = 253402300799;  // 9999-12-31T23:59:59Z
  seconds = seconds < 0 ? 0 : seconds > kLast ? kLast : seconds;
  const unsigned of_day = static_cast<unsigned>(seconds % 86400);
  // Years that begin in March have their leap day last, so that months are a linear function of
  // days; the first era of 400 years begins in the year 0.
  const unsigned days = static_cast<unsigned>(seconds / 86400) + 719468;
  const unsigned era = days / 146097;
  const unsigned of_era = days % 146097;
  const unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned month_from_march = (5 * of_year + 2) / 153;
  const unsigned day = of_year - (153 * month_from_march + 2) / 5 + 1;
  const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const unsigned year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  Byte(kGeneralizedTime);
  Byte(15);
  Digits(year / 100);
  Digits(year % 100);
  Digits(month);
  Digits(day);
  Digits(of_day / 3600);
  Digits(of_day / 60 % 60);
  Digits(of_day % 60);
  Byte('Z');
}

bool HasSign(absl::string_view magnitude) {
  return magnitude.empty() || (static_cast<uint8_t>(magnitude[0]) & 0x80) != 0;
}

// CertStatus (section 4.2.1) and the times behind it.
struct Said {
  bool revoked = false;
  bool unknown = false;
  int64_t revocation_time = 0;
  uint8_t reason = 0;
  int64_t this_update = 0;
  int64_t next_update = 0;
};

size_t RevokedContents(const Said& said) {
  return kTimeSize + (said.reason != 0 ? kReasonSize : 0);
}

// What follows the CertID in a SingleResponse.
size_t SaidSize(const Said& said) {
  return (said.revoked ? ElementSize(RevokedContents(said)) : kGoodSize) + kTimeSize + kTaggedTime;
}

void PutSaid(const Said& said, Cursor* out) {
  if (said.revoked) {
    out->Header(ContextConstructed(1), RevokedContents(said));
    out->Time(said.revocation_time);
    if (said.reason != 0) {
      out->Header(ContextConstructed(0), kReasonSize - 2);
      out->Header(kEnumerated, 1);
      out->Byte(said.reason);
    }
  } else {
    out->Header(ContextTag(said.unknown ? 2 : 0), 0);
  }
  out->Time(said.this_update);
  out->Header(ContextConstructed(0), kTimeSize);
  out->Time(said.next_update);
}

Said SaidOf(const OcspStatus& status) {
  return {.revoked = status.revoked,
          .revocation_time = status.revocation_time,
          .reason = status.reason,
          .this_update = status.this_update,
          .next_update = status.next_update};
}

}  // namespace

absl::string_view OcspErrorResponse(OcspError error) {
  switch (error) {
    case OcspError::kMalformedRequest:
      return "\x30\x03\x0A\x01\x01";
    case OcspError::kInternalError:
      return "\x30\x03\x0A\x01\x02";
    case OcspError::kTryLater:
      return "\x30\x03\x0A\x01\x03";
    case OcspError::kSigRequired:
      return "\x30\x03\x0A\x01\x05";
    case OcspError::kUnauthorized:
      return "\x30\x03\x0A\x01\x06";
  }
  return "\x30\x03\x0A\x01\x02";
}

struct OcspResponder::Parts {
  // What is fixed of a CertID under one hash.
  struct Issuer {
    std::string name_hash;
    std::string key_hash;
    std::string before_serial;  // algorithm and hashes, as a CertID has them
  };

  // The sizes of the nested elements of a response about one certificate, from the inside out.
  struct Layout {
    size_t cert_id;  // contents each
    size_t single;
    size_t responses;
    size_t tbs;
  };

  Layout LayOut(const Said& said, OcspHash hash, absl::string_view serial) const;
  void PutTbs(const Said& said, OcspHash hash, absl::string_view serial, const Layout& layout,
              Cursor* out) const;
  // All around a ResponseData of `tbs_size` bytes: the front, `put_tbs`, and the signature.
  template <typename Put>
  void Append(size_t tbs_size, absl::string_view signature, std::string* out,
              const Put& put_tbs) const;

  std::array<Issuer, 4> issuer;  // by OcspHash
  std::string responder_id;      // [2] byKey
  std::string algorithm;         // AlgorithmIdentifier of signatures
  std::string certificates;      // [0] with the delegate's; empty when the issuer signs itself
  std::string signer_spki;
};

OcspResponder::Parts::Layout OcspResponder::Parts::LayOut(const Said& said, OcspHash hash,
                                                          absl::string_view serial) const {
  Layout layout;
  const size_t serial_size = serial.size() + (HasSign(serial) ? 1 : 0);
  layout.cert_id =
      issuer[static_cast<size_t>(hash)].before_serial.size() + ElementSize(serial_size);
  layout.single = ElementSize(layout.cert_id) + SaidSize(said);
  layout.responses = ElementSize(layout.single);
  layout.tbs = responder_id.size() + kTimeSize + ElementSize(layout.responses);
  return layout;
}

void OcspResponder::Parts::PutTbs(const Said& said, OcspHash hash, absl::string_view serial,
                                  const Layout& layout, Cursor* out) const {
  out->Header(kSequence, layout.tbs);
  out->Bytes(responder_id);
  out->Time(said.this_update);
  out->Header(kSequence, layout.responses);
  out->Header(kSequence, layout.single);
  out->Header(kSequence, layout.cert_id);
  out->Bytes(issuer[static_cast<size_t>(hash)].before_serial);
  const bool sign = HasSign(serial);
  out->Header(kInteger, serial.size() + (sign ? 1 : 0));
  if (sign) out->Byte(0);
  out->Bytes(serial);
  PutSaid(said, out);
}

template <typename Put>
void OcspResponder::Parts::Append(size_t tbs_size, absl::string_view signature, std::string* out,
                                  const Put& put_tbs) const {
  const size_t basic =
      tbs_size + algorithm.size() + ElementSize(signature.size() + 1) + certificates.size();
  const size_t octets = ElementSize(basic);
  const size_t bytes = kBasicResponse.size() + ElementSize(octets);
  const size_t tagged = ElementSize(bytes);
  const size_t response = kSuccessful.size() + ElementSize(tagged);
  const size_t before = out->size();
  out->resize(before + ElementSize(response));
  Cursor cursor(out->data() + before);
  cursor.Header(kSequence, response);
  cursor.Bytes(kSuccessful);
  cursor.Header(ContextConstructed(0), tagged);
  cursor.Header(kSequence, bytes);
  cursor.Bytes(kBasicResponse);
  cursor.Header(kOctetString, octets);
  cursor.Header(kSequence, basic);
  put_tbs(&cursor);
  cursor.Bytes(algorithm);
  cursor.Header(kBitString, signature.size() + 1);
  cursor.Byte(0);
  cursor.Bytes(signature);
  cursor.Bytes(certificates);
}

OcspResponder::OcspResponder(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
OcspResponder::~OcspResponder() = default;

absl::StatusOr<std::unique_ptr<const OcspResponder>> OcspResponder::Create(
    const Certificate& issuer, const Certificate& signer, crypto::Algorithm algorithm) {
  const bool delegated = signer.der != issuer.der;
  if (delegated) {
    if (absl::Status status = signer.CheckIssuedBy(issuer); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the responder's certificate is not the issuer's: ", status.message()));
    }
    if (!signer.extensions.HasExtendedKeyUsage(kOidOcspSigning)) {
      return absl::InvalidArgumentError(
          "the responder's certificate has no id-kp-OCSPSigning (RFC 6960 section 4.2.2.2)");
    }
  }
  ASSIGN_OR_RETURN(const crypto::PublicKey key, signer.Key());
  RETURN_IF_ERROR(key.Check(algorithm));
  auto parts = std::make_unique<Parts>();
  parts->algorithm = std::string(SignatureAlgorithmDer(algorithm));
  if (parts->algorithm.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("OCSP responses cannot be signed with ", crypto::AlgorithmName(algorithm)));
  }
  for (const OcspHash hash :
       {OcspHash::kSha1, OcspHash::kSha256, OcspHash::kSha384, OcspHash::kSha512}) {
    Parts::Issuer& one = parts->issuer[static_cast<size_t>(hash)];
    one.name_hash = OcspDigest(hash, issuer.subject_der);
    one.key_hash = OcspDigest(hash, issuer.key_bits);
    DerWriter before;
    before.AddRaw(OcspHashAlgorithmDer(hash));
    before.Add(kOctetString, one.name_hash);
    before.Add(kOctetString, one.key_hash);
    one.before_serial = before.Take();
  }
  DerWriter id;
  const size_t by_key = id.Begin(ContextConstructed(2));
  id.Add(kOctetString, OcspDigest(OcspHash::kSha1, signer.key_bits));
  id.End(by_key);
  parts->responder_id = id.Take();
  if (delegated) {
    DerWriter certificates;
    const size_t tagged = certificates.Begin(ContextConstructed(0));
    certificates.Add(kSequence, signer.der);
    certificates.End(tagged);
    parts->certificates = certificates.Take();
  }
  parts->signer_spki = signer.spki_der;
  return std::unique_ptr<const OcspResponder>(new OcspResponder(std::move(parts)));
}

bool OcspResponder::Matches(const OcspCertId& id) const {
  if (!id.known_hash || id.negative_serial) return false;
  const Parts::Issuer& issuer = parts_->issuer[static_cast<size_t>(id.hash)];
  return id.issuer_key_hash == issuer.key_hash && id.issuer_name_hash == issuer.name_hash;
}

void OcspResponder::AppendTbs(const OcspStatus& status, OcspHash hash, std::string* out) const {
  const Said said = SaidOf(status);
  const Parts::Layout layout = parts_->LayOut(said, hash, status.serial);
  const size_t before = out->size();
  out->resize(before + ElementSize(layout.tbs));
  Cursor cursor(out->data() + before);
  parts_->PutTbs(said, hash, status.serial, layout, &cursor);
}

void OcspResponder::AppendResponse(const OcspStatus& status, OcspHash hash,
                                   absl::string_view signature, std::string* out) const {
  const Said said = SaidOf(status);
  const Parts::Layout layout = parts_->LayOut(said, hash, status.serial);
  parts_->Append(ElementSize(layout.tbs), signature, out, [&](Cursor* cursor) {
    parts_->PutTbs(said, hash, status.serial, layout, cursor);
  });
}

absl::StatusOr<OcspRecord> OcspResponder::Sign(const OcspStatus& status,
                                               const crypto::PrivateKey& key, std::string* sha1,
                                               std::string* sha256) const {
  if (key.public_key().spki_der() != parts_->signer_spki) {
    return absl::InvalidArgumentError("the key is not that of the responder's certificate");
  }
  OcspRecord record;
  record.status = status;
  std::string tbs;
  AppendTbs(status, OcspHash::kSha1, &tbs);
  ASSIGN_OR_RETURN(*sha1, key.SignMessage(tbs));
  tbs.clear();
  AppendTbs(status, OcspHash::kSha256, &tbs);
  ASSIGN_OR_RETURN(*sha256, key.SignMessage(tbs));
  record.sha1_signature = *sha1;
  record.sha256_signature = *sha256;
  return record;
}

std::string OcspResponder::BuildTbs(absl::Span<const Answer> answers, absl::string_view nonce,
                                    int64_t this_update, int64_t next_update) const {
  const auto said_of = [&](const Answer& answer) {
    return Said{.revoked = answer.kind == Answer::Kind::kRevoked,
                .unknown = answer.kind == Answer::Kind::kUnknown,
                .revocation_time = answer.revocation_time,
                .reason = answer.reason,
                .this_update = this_update,
                .next_update = next_update};
  };
  const auto single_size = [&](const Answer& answer) {
    return answer.id.element.size() + SaidSize(said_of(answer));
  };
  // A CertID that is asked for twice is answered once: two answers could be taken for a conflict.
  std::vector<const Answer*> distinct;
  distinct.reserve(answers.size());
  if (answers.size() == 1) {
    distinct.push_back(&answers[0]);
  } else {
    absl::flat_hash_set<absl::string_view> seen;
    for (const Answer& answer : answers) {
      if (seen.insert(answer.id.element).second) distinct.push_back(&answer);
    }
  }
  size_t responses = 0;
  for (const Answer* answer : distinct) responses += ElementSize(single_size(*answer));
  std::string extensions;
  if (!nonce.empty()) {
    DerWriter writer;
    const size_t tagged = writer.Begin(ContextConstructed(1));
    const size_t list = writer.Begin(kSequence);
    WriteOcspNonce(nonce, &writer);
    writer.End(list);
    writer.End(tagged);
    extensions = writer.Take();
  }
  const size_t size =
      parts_->responder_id.size() + kTimeSize + ElementSize(responses) + extensions.size();
  std::string tbs(ElementSize(size), '\0');
  Cursor out(tbs.data());
  out.Header(kSequence, size);
  out.Bytes(parts_->responder_id);
  out.Time(this_update);
  out.Header(kSequence, responses);
  for (const Answer* answer : distinct) {
    out.Header(kSequence, single_size(*answer));
    out.Bytes(answer->id.element);
    PutSaid(said_of(*answer), &out);
  }
  out.Bytes(extensions);
  return tbs;
}

std::string OcspResponder::Assemble(absl::string_view tbs, absl::string_view signature) const {
  std::string response;
  parts_->Append(tbs.size(), signature, &response, [&](Cursor* cursor) { cursor->Bytes(tbs); });
  return response;
}

}  // namespace countersign::pki
