#include "libs/pki/certificate.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/pki/extensions.h"
#include "libs/pki/oid.h"
#include "libs/pki/pem.h"
#include "libs/pki/signature.h"
#include "libs/pki/spki.h"

namespace countersign::pki {
namespace {

constexpr size_t kMostSerialBytes = 20;
constexpr int kFirstUtcYear = 1950;
constexpr int kLastUtcYear = 2049;

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("certificate: ", what));
}

// Two digits off the front of `*text`.
bool TakeTwo(absl::string_view* text, int* value) {
  if (text->size() < 2) return false;
  const auto high = static_cast<unsigned>((*text)[0] - '0');
  const auto low = static_cast<unsigned>((*text)[1] - '0');
  if (high > 9 || low > 9) return false;
  *value = static_cast<int>(10 * high + low);
  text->remove_prefix(2);
  return true;
}

void AppendTwo(int value, std::string* out) {
  out->push_back(static_cast<char>('0' + value / 10));
  out->push_back(static_cast<char>('0' + value % 10));
}

absl::CivilSecond Civil(absl::Time time) {
  constexpr absl::CivilSecond kFirst(0, 1, 1, 0, 0, 0);
  // What RFC 5280 section 4.1.2.5 has stand for no end.
  constexpr absl::CivilSecond kLast(9999, 12, 31, 23, 59, 59);
  if (time == absl::InfiniteFuture()) return kLast;
  if (time == absl::InfinitePast()) return kFirst;
  const absl::CivilSecond civil = absl::CivilSecond(1970, 1, 1) + absl::ToUnixSeconds(time);
  return civil < kFirst ? kFirst : civil > kLast ? kLast : civil;
}

void WriteCivil(const absl::CivilSecond& civil, uint8_t tag, DerWriter* out) {
  std::string text;
  const int year = static_cast<int>(civil.year());
  if (tag == kGeneralizedTime) AppendTwo(year / 100, &text);
  for (int part :
       {year % 100, civil.month(), civil.day(), civil.hour(), civil.minute(), civil.second()}) {
    AppendTwo(part, &text);
  }
  text.push_back('Z');
  out->Add(tag, text);
}

// As ReadTime, of the form alone that a Validity has for that year.
bool ReadValidityTime(DerReader* in, absl::Time* time) {
  const bool generalized = in->PeekTag() == kGeneralizedTime;
  if (!ReadTime(in, time)) return false;
  const absl::civil_year_t year = Civil(*time).year();
  return generalized == (year < kFirstUtcYear || year > kLastUtcYear);
}

bool ReadAlgorithm(DerReader* in, absl::string_view* element) {
  return in->ReadElement(kSequence, element) && IsAlgorithmIdentifier(*element);
}

absl::Status ParseVersion(DerReader* tbs, int* version) {
  DerReader explicit_version;
  *version = 1;
  if (tbs->PeekTag() != ContextConstructed(0)) return absl::OkStatus();
  int64_t number;
  // 0, version 1, is the default, and DER leaves the default out.
  if (!tbs->Read(ContextConstructed(0), &explicit_version) ||
      !explicit_version.ReadInt64(&number) || !explicit_version.empty() || number < 1 ||
      number > 2) {
    return Bad("the version is not 1 (left out), 2 or 3");
  }
  *version = static_cast<int>(number) + 1;
  return absl::OkStatus();
}

absl::Status ParseSerial(DerReader* tbs, std::string* serial) {
  absl::string_view magnitude;
  if (!tbs->ReadUnsigned(&magnitude) || magnitude.size() > kMostSerialBytes) {
    return Bad("the serial number is no INTEGER from 0 on of at most 20 bytes");
  }
  serial->assign(magnitude.data(), magnitude.size());
  return absl::OkStatus();
}

absl::Status ParseSubjectName(DerReader* tbs, absl::string_view whose, std::string* der,
                              Name* name) {
  absl::string_view element;
  if (!tbs->ReadElement(kSequence, &element)) return Bad(absl::StrCat("no ", whose, " name"));
  absl::StatusOr<Name> parsed = ParseName(element);
  if (!parsed.ok()) return Bad(absl::StrCat(whose, " ", parsed.status().message()));
  der->assign(element.data(), element.size());
  *name = *std::move(parsed);
  return absl::OkStatus();
}

absl::Status ParseValidity(DerReader* tbs, Certificate* out) {
  DerReader validity;
  if (!tbs->Read(kSequence, &validity) || !ReadValidityTime(&validity, &out->not_before) ||
      !ReadValidityTime(&validity, &out->not_after) || !validity.empty()) {
    return Bad(
        "the validity is not two times, UTCTime until 2049 and GeneralizedTime from 2050 on, with "
        "seconds and Z");
  }
  return absl::OkStatus();
}

// The unique identifiers of version 2, which nothing uses, and the extensions of version 3.
absl::Status ParseTail(DerReader* tbs, Certificate* out) {
  for (const int number : {1, 2}) {
    absl::string_view bits;
    bool present;
    if (!tbs->ReadOptional(ContextTag(number), &bits, &present) ||
        (present && (out->version == 1 || bits.empty() || static_cast<uint8_t>(bits[0]) > 7))) {
      return Bad("a unique identifier is malformed, or in a certificate of version 1");
    }
  }
  if (tbs->empty()) return absl::OkStatus();
  DerReader explicit_list;
  DerReader list;
  if (out->version != 3 || !tbs->Read(ContextConstructed(3), &explicit_list) || !tbs->empty() ||
      !explicit_list.Read(kSequence, &list) || !explicit_list.empty()) {
    return Bad("what follows the key is not the extensions of a certificate of version 3");
  }
  absl::StatusOr<Extensions> extensions = ParseExtensions(list);
  if (!extensions.ok()) return Bad(extensions.status().message());
  out->extensions = *std::move(extensions);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Certificate> ParseCertificate(absl::string_view der) {
  DerReader in(der);
  DerReader outer;
  absl::string_view tbs_element;
  absl::string_view outer_algorithm;
  absl::string_view signature;
  if (!in.Read(kSequence, &outer) || !in.empty() || !outer.ReadElement(kSequence, &tbs_element) ||
      !ReadAlgorithm(&outer, &outer_algorithm) || !outer.ReadBitStringBytes(&signature) ||
      !outer.empty()) {
    return Bad("this is not the DER of one X.509 certificate and nothing else");
  }
  Certificate out;
  DerReader tbs;
  DerReader(tbs_element).Read(kSequence, &tbs);
  RETURN_IF_ERROR(ParseVersion(&tbs, &out.version));
  RETURN_IF_ERROR(ParseSerial(&tbs, &out.serial));
  absl::string_view algorithm;
  if (!ReadAlgorithm(&tbs, &algorithm)) return Bad("no signature algorithm");
  if (algorithm != outer_algorithm) {
    return Bad("the signature algorithms inside and outside differ");
  }
  RETURN_IF_ERROR(ParseSubjectName(&tbs, "issuer", &out.issuer_der, &out.issuer));
  RETURN_IF_ERROR(ParseValidity(&tbs, &out));
  RETURN_IF_ERROR(ParseSubjectName(&tbs, "subject", &out.subject_der, &out.subject));
  absl::string_view spki;
  absl::string_view key_bits;
  if (!tbs.ReadElement(kSequence, &spki) || !ReadSpki(spki, &key_bits)) {
    return Bad("no public key");
  }
  RETURN_IF_ERROR(ParseTail(&tbs, &out));
  out.der = std::string(der);
  out.tbs = std::string(tbs_element);
  out.signature_algorithm = std::string(algorithm);
  out.signature = std::string(signature);
  out.spki_der = std::string(spki);
  out.key_bits = std::string(key_bits);
  return out;
}

absl::StatusOr<Certificate> ParseCertificateDerOrPem(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const std::string der, DerFromDerOrPem(bytes, "CERTIFICATE"));
  return ParseCertificate(der);
}

absl::StatusOr<crypto::PublicKey> Certificate::Key() const {
  return crypto::PublicKey::FromSpkiDer(spki_der);
}

absl::Status Certificate::CheckIssuedBy(const Certificate& by) const {
  if (issuer_der != by.subject_der && !SameName(issuer, by.subject)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the certificate of \"", FormatName(subject), "\" names \"",
                     FormatName(issuer), "\" as its issuer, not \"", FormatName(by.subject), "\""));
  }
  const absl::StatusOr<crypto::PublicKey> key = by.Key();
  if (!key.ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the key of the issuer \"", FormatName(by.subject), "\": ", key.status().message()));
  }
  const absl::StatusOr<bool> holds = CheckSignature(*key, signature_algorithm, tbs, signature);
  if (holds.ok() && *holds) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the certificate of \"", FormatName(subject),
                   "\" is not signed by the key of its issuer \"", FormatName(by.subject), "\"",
                   holds.ok() ? "" : absl::StrCat(": ", holds.status().message())));
}

std::string Certificate::Fingerprint() const {
  return std::string(base::AsBytes(crypto::Sha256(der)));
}

std::string Certificate::SerialHex() const { return base::HexEncode(serial); }

void WriteTime(absl::Time time, DerWriter* out) {
  const absl::CivilSecond civil = Civil(time);
  const bool utc = civil.year() >= kFirstUtcYear && civil.year() <= kLastUtcYear;
  WriteCivil(civil, utc ? kUtcTime : kGeneralizedTime, out);
}

void WriteGeneralizedTime(absl::Time time, DerWriter* out) {
  WriteCivil(Civil(time), kGeneralizedTime, out);
}

bool ReadTime(DerReader* in, absl::Time* time) {
  DerReader at = *in;
  uint8_t tag;
  absl::string_view text;
  if (!at.ReadAny(&tag, &text)) return false;
  int century = 0;
  int part[6];  // year of the century, month, day, hour, minute, second
  if (tag == kGeneralizedTime ? !TakeTwo(&text, &century) : tag != kUtcTime) return false;
  for (int& two : part) {
    if (!TakeTwo(&text, &two)) return false;
  }
  if (text != "Z") return false;
  if (tag == kUtcTime) century = part[0] < kFirstUtcYear % 100 ? 20 : 19;
  const absl::CivilSecond civil(100 * century + part[0], part[1], part[2], part[3], part[4],
                                part[5]);
  // A civil time is normalised: it differs where a field is out of its range.
  if (civil.month() != part[1] || civil.day() != part[2] || civil.hour() != part[3] ||
      civil.minute() != part[4] || civil.second() != part[5]) {
    return false;
  }
  *time = absl::FromUnixSeconds(civil - absl::CivilSecond(1970, 1, 1));
  *in = at;
  return true;
}

}  // namespace countersign::pki
