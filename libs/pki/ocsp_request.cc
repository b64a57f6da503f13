#include "libs/pki/ocsp_request.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/sha1.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

constexpr size_t kMaxCertIds = 1000;
constexpr size_t kMaxNonceBytes = 128;

// id-pkix-ocsp-response (RFC 6960 section 4.4.3).
constexpr auto kAcceptableResponses = OidContents("\x2B\x06\x01\x05\x05\x07\x30\x01\x04");

struct HashAlgorithm {
  OcspHash hash;
  absl::string_view oid;
};
constexpr std::array<HashAlgorithm, 4> kHashAlgorithms = {{
    {OcspHash::kSha1, kOidSha1},
    {OcspHash::kSha256, kOidSha256},
    {OcspHash::kSha384, kOidSha384},
    {OcspHash::kSha512, kOidSha512},
}};

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not an OCSP request: ", what));
}

// Whether the AcceptableResponses (section 4.4.3) name the basic response.
bool AcceptsBasic(absl::string_view value) {
  DerReader in(value);
  DerReader types;
  if (!in.Read(kSequence, &types) || !in.empty()) return false;
  bool basic = false;
  while (!types.empty()) {
    absl::string_view oid;
    if (!types.Read(kOid, &oid)) return false;
    basic = basic || oid == kOidOcspBasic;
  }
  return basic;
}

absl::Status ReadNonce(absl::string_view value, OcspRequest* request) {
  DerReader in(value);
  if (request->has_nonce) return Malformed("two nonces");
  if (!in.Read(kOctetString, &request->nonce) || !in.empty()) {
    return Malformed("its nonce is no OCTET STRING");
  }
  if (request->nonce.empty() || request->nonce.size() > kMaxNonceBytes) {
    return Malformed(absl::StrCat("its nonce has ", request->nonce.size(),
                                  " bytes, and 1 to 128 are allowed (RFC 9654 section 2.1)"));
  }
  request->has_nonce = true;
  return absl::OkStatus();
}

// The contents of an [n] EXPLICIT Extensions; `of_request` says whose they are. A FALSE that is
// spelt out is let pass here and below, as is the version v1: senders that do so mean no harm, and
// nothing here is signed.
absl::Status ReadExtensions(absl::string_view contents, bool of_request, OcspRequest* request) {
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
    if (of_request && oid == kOidOcspNonce) {
      if (absl::Status status = ReadNonce(value, request); !status.ok()) return status;
    } else if (of_request && oid == kOidOcspPreferredSignatures) {
      request->preferred_algorithms = value;
    } else if (critical && !(of_request && oid == kAcceptableResponses && AcceptsBasic(value))) {
      request->unknown_critical_extension = true;
    }
  }
  return absl::OkStatus();
}

// One Request of the requestList.
absl::Status ReadRequest(DerReader* list, OcspRequest* request) {
  DerReader one;
  absl::string_view extensions;
  bool has_extensions;
  OcspCertId& id = request->cert_ids.emplace_back();
  if (!list->Read(kSequence, &one) || !ReadOcspCertId(&one, &id)) {
    return Malformed("a CertID of it is none");
  }
  if (!one.ReadOptional(ContextConstructed(0), &extensions, &has_extensions) || !one.empty()) {
    return Malformed("something follows a CertID");
  }
  return has_extensions ? ReadExtensions(extensions, false, request) : absl::OkStatus();
}

constexpr uint8_t kNotBase64 = 0xFF;

constexpr std::array<uint8_t, 256> MakeBase64Values() {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = kNotBase64;
  for (uint8_t i = 0; i < 64; ++i) values[static_cast<uint8_t>(kAlphabet[i])] = i;
  values[' '] = values['+'];  // what form decoding in between made of a '+'
  return values;
}
constexpr std::array<uint8_t, 256> kBase64Values = MakeBase64Values();

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

absl::StatusOr<OcspRequest> ParseOcspRequest(absl::string_view der) {
  DerReader in(der);
  DerReader request;
  DerReader tbs;
  if (!in.Read(kSequence, &request) || !in.empty() || !request.Read(kSequence, &tbs)) {
    return Malformed("it is not one SEQUENCE in DER");
  }
  absl::StatusOr<OcspRequest> result(absl::in_place);

  absl::string_view optional;
  bool present;
  if (!request.ReadOptional(ContextConstructed(0), &optional, &result->has_signature) ||
      !request.empty()) {
    return Malformed("something follows the signature");
  }
  if (result->has_signature) {
    DerReader signature(optional);
    absl::string_view fields;
    if (!signature.Read(kSequence, &fields) || !signature.empty()) {
      return Malformed("its signature is none");
    }
  }

  if (!tbs.ReadOptional(ContextConstructed(0), &optional, &present)) {
    return Malformed("its version is none");
  }
  if (present) {
    DerReader version(optional);
    int64_t number;
    if (!version.ReadInt64(&number) || !version.empty() || number != 0) {
      return Malformed("its version is not v1");
    }
  }
  if (!tbs.ReadOptional(ContextConstructed(1), &optional, &present)) {
    return Malformed("its requestorName is none");
  }
  if (present) {
    DerReader name(optional);
    uint8_t tag;
    absl::string_view contents;
    if (!name.ReadAny(&tag, &contents) || !name.empty()) {
      return Malformed("its requestorName is none");
    }
  }
  DerReader list;
  if (!tbs.Read(kSequence, &list) || list.empty()) return Malformed("it names no certificate");
  while (!list.empty()) {
    if (result->cert_ids.size() == kMaxCertIds) {
      return Malformed(absl::StrCat("it names more than ", kMaxCertIds, " certificates"));
    }
    if (absl::Status status = ReadRequest(&list, &*result); !status.ok()) return status;
  }
  if (!tbs.ReadOptional(ContextConstructed(2), &optional, &present) || !tbs.empty()) {
    return Malformed("something follows its extensions");
  }
  if (present) {
    if (absl::Status status = ReadExtensions(optional, true, &*result); !status.ok()) return status;
  }
  return result;
}

bool DecodeOcspPath(absl::string_view path, std::string* out) {
  out->resize(path.size());  // base64 takes more room than its bytes
  char* to = out->data();
  const auto put = [&to](uint32_t group, int bytes) {
    for (int i = 0; i < bytes; ++i) *to++ = static_cast<char>(group >> (16 - 8 * i));
  };
  const auto value_at = [&path](size_t i) { return kBase64Values[static_cast<uint8_t>(path[i])]; };
  uint32_t group = 0;  // the group of four characters that is begun, and how many it has
  int count = 0;
  int padding = 0;  // '=' seen
  bool begun = false;
  for (size_t i = 0; i < path.size(); ++i) {
    if (begun && count == 0 && padding == 0) {
      // Whole groups while no character needs a second look.
      for (; path.size() - i >= 4; i += 4) {
        const uint32_t a = value_at(i);
        const uint32_t b = value_at(i + 1);
        const uint32_t c = value_at(i + 2);
        const uint32_t d = value_at(i + 3);
        if ((a | b | c | d) >= 64) break;
        put(a << 18 | b << 12 | c << 6 | d, 3);
      }
      if (i == path.size()) break;
    }
    char c = path[i];
    if (c == '%') {
      if (path.size() - i < 3) return false;
      const int high = HexValue(path[i + 1]);
      const int low = HexValue(path[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high << 4 | low);
      i += 2;
    }
    // DER begins with 0x30 and its base64 with 'M', so this is the path's.
    if (c == '/' && !begun) continue;
    begun = true;
    if (c == '=') {
      ++padding;
      continue;
    }
    const uint8_t value = kBase64Values[static_cast<uint8_t>(c)];
    if (value == kNotBase64 || padding != 0) return false;
    group = group << 6 | value;
    if (++count == 4) {
      put(group, 3);
      group = 0;
      count = 0;
    }
  }
  if (!begun || count == 1 || (padding != 0 && (count == 0 || count + padding != 4))) return false;
  // What is left has a byte or two, and then zero bits.
  group <<= 6 * (4 - count);
  if (count != 0) put(group, count - 1);
  out->resize(to - out->data());
  return count == 0 || (group & (count == 2 ? 0xFFFF : 0xFF)) == 0;
}

std::string BuildOcspRequest(OcspHash hash, absl::string_view issuer_name_der,
                             absl::string_view issuer_key_bits, absl::string_view serial,
                             absl::string_view nonce) {
  DerWriter out;
  const size_t request = out.Begin(kSequence);
  const size_t tbs = out.Begin(kSequence);
  const size_t list = out.Begin(kSequence);
  const size_t one = out.Begin(kSequence);
  const size_t id = out.Begin(kSequence);
  out.AddRaw(OcspHashAlgorithmDer(hash));
  out.Add(kOctetString, OcspDigest(hash, issuer_name_der));
  out.Add(kOctetString, OcspDigest(hash, issuer_key_bits));
  out.AddUnsigned(serial);
  out.End(id);
  out.End(one);
  out.End(list);
  if (!nonce.empty()) {
    const size_t tagged = out.Begin(ContextConstructed(2));
    const size_t extensions = out.Begin(kSequence);
    WriteOcspNonce(nonce, &out);
    out.End(extensions);
    out.End(tagged);
  }
  out.End(tbs);
  out.End(request);
  return out.Take();
}

bool ReadOcspCertId(DerReader* in, OcspCertId* id) {
  DerReader fields;
  DerReader algorithm;
  absl::string_view oid;
  absl::string_view parameters;
  bool has_parameters;
  if (!in->ReadElement(kSequence, &id->element) ||
      !DerReader(id->element).Read(kSequence, &fields) || !fields.Read(kSequence, &algorithm) ||
      !algorithm.Read(kOid, &oid)) {
    return false;
  }
  id->known_hash = false;
  for (const HashAlgorithm& known : kHashAlgorithms) {
    if (oid != known.oid) continue;
    if (!algorithm.ReadOptional(kNull, &parameters, &has_parameters) || !parameters.empty() ||
        !algorithm.empty()) {
      return false;
    }
    id->hash = known.hash;
    id->known_hash = true;
    break;
  }
  if (!fields.Read(kOctetString, &id->issuer_name_hash) ||
      !fields.Read(kOctetString, &id->issuer_key_hash)) {
    return false;
  }
  if (!fields.ReadUnsigned(&id->serial)) {
    // A negative one, still in its shortest form.
    if (!fields.Read(kInteger, &id->serial) || id->serial.empty() ||
        (id->serial.size() > 1 && id->serial[0] == '\xFF' && (id->serial[1] & 0x80) != 0) ||
        (id->serial[0] & 0x80) == 0) {
      return false;
    }
    id->negative_serial = true;
  }
  return fields.empty();
}

void WriteOcspNonce(absl::string_view nonce, DerWriter* out) {
  const size_t extension = out->Begin(kSequence);
  out->Add(kOid, kOidOcspNonce);
  const size_t value = out->Begin(kOctetString);
  out->Add(kOctetString, nonce);
  out->End(value);
  out->End(extension);
}

absl::string_view OcspHashAlgorithmDer(OcspHash hash) {
  switch (hash) {
    case OcspHash::kSha1:
      return OidContents("\x30\x09\x06\x05\x2B\x0E\x03\x02\x1A\x05\x00");
    case OcspHash::kSha256:
      return OidContents("\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00");
    case OcspHash::kSha384:
      return OidContents("\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00");
    case OcspHash::kSha512:
      return OidContents("\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00");
  }
  return "";
}

std::string OcspDigest(OcspHash hash, absl::string_view data) {
  switch (hash) {
    case OcspHash::kSha1:
      return std::string(base::AsBytes(crypto::Sha1(data)));
    case OcspHash::kSha256:
      return crypto::Digest(crypto::DigestAlgorithm::kSha256, data);
    case OcspHash::kSha384:
      return crypto::Digest(crypto::DigestAlgorithm::kSha384, data);
    case OcspHash::kSha512:
      return crypto::Digest(crypto::DigestAlgorithm::kSha512, data);
  }
  return "";
}

}  // namespace countersign::pki
