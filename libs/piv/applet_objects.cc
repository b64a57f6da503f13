#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/piv/applet.h"
#include "libs/piv/status_words.h"
#include "libs/piv/tlv.h"
#include "libs/pki/der.h"
#include "libs/tlog/gzip.h"

namespace countersign::piv {
namespace {

// P1 and P2 of GET DATA and PUT DATA: the current application's objects.
constexpr uint8_t kObjectsP1 = 0x3F;
constexpr uint8_t kObjectsP2 = 0xFF;
constexpr uint32_t kTagList = 0x5C;
constexpr uint32_t kData = 0x53;
// Elements of a certificate object (SP 800-73-4 part 1 appendix A).
constexpr uint32_t kCertificate = 0x70;
constexpr uint32_t kCertificateInfo = 0x71;
constexpr uint32_t kErrorDetection = 0xFE;
// In CertInfo: the certificate is compressed by gzip.
constexpr uint8_t kCompressed = 0x01;
// No certificate that fits into an object after compression is longer.
constexpr size_t kMaxCertificateBytes = 16 * 1024;

std::string TagList(uint32_t object) {
  std::string tag;
  for (int shift = 16; shift >= 0; shift -= 8) {
    if (shift == 0 || object >> shift != 0) tag.push_back(static_cast<char>(object >> shift));
  }
  return Tlv(kTagList, tag);
}

std::string NameOf(uint32_t object) { return absl::StrCat("object ", absl::Hex(object)); }

bool IsDer(absl::string_view der) {
  pki::DerReader reader(der);
  absl::string_view contents;
  return reader.Read(pki::kSequence, &contents) && reader.empty();
}

absl::StatusOr<uint32_t> ObjectOf(Slot slot) {
  const uint32_t object = CertificateObject(slot);
  if (object != 0) return object;
  return absl::InvalidArgumentError(absl::StrCat("slot ", SlotName(slot), " has no certificate"));
}

}  // namespace

absl::StatusOr<std::string> Applet::ReadObject(uint32_t object) {
  ASSIGN_OR_RETURN(const std::string answer,
                   Exchange(transport_, {0, kGetData, kObjectsP1, kObjectsP2, TagList(object)},
                            Concern::kReading, absl::StrCat("reading ", NameOf(object))));
  TlvReader reader(answer);
  absl::string_view contents;
  // The discovery object is its own template.
  const uint32_t tag = object == kObjectDiscovery ? kObjectDiscovery : kData;
  if (!reader.Read(tag, &contents) || !reader.empty()) {
    return absl::DataLossError(absl::StrCat(NameOf(object), " is malformed"));
  }
  return std::string(contents);
}

absl::Status Applet::WriteObject(uint32_t object, absl::string_view contents) {
  if (contents.size() > kMaxObjectBytes) {
    return absl::InvalidArgumentError(absl::StrCat(NameOf(object), " would have ", contents.size(),
                                                   " bytes, and a card takes ", kMaxObjectBytes));
  }
  Command command{0, kPutData, kObjectsP1, kObjectsP2, TagList(object)};
  AppendTlv(kData, contents, &command.data);
  return Exchange(transport_, std::move(command), Concern::kManagement,
                  absl::StrCat("writing ", NameOf(object)))
      .status();
}

absl::StatusOr<std::string> Applet::ReadCertificate(Slot slot) {
  ASSIGN_OR_RETURN(const uint32_t object, ObjectOf(slot));
  ASSIGN_OR_RETURN(const std::string contents, ReadObject(object));
  if (contents.empty()) {
    return absl::NotFoundError(absl::StrCat("slot ", SlotName(slot), " has no certificate"));
  }
  const auto bad = [&](absl::string_view why) {
    return absl::DataLossError(
        absl::StrCat("the certificate object of slot ", SlotName(slot), " ", why));
  };
  absl::string_view certificate;
  absl::string_view info;
  uint32_t tag;
  absl::string_view value;
  TlvReader reader(contents);
  while (reader.Read(&tag, &value)) {
    if (tag == kCertificate) certificate = value;
    if (tag == kCertificateInfo) info = value;
  }
  if (!reader.empty() || info.size() > 1) return bad("is malformed");
  std::string der(certificate);
  if (!info.empty() && (static_cast<uint8_t>(info[0]) & kCompressed) != 0) {
    absl::StatusOr<std::string> inflated = tlog::Gunzip(certificate, kMaxCertificateBytes);
    if (!inflated.ok()) return bad(absl::StrCat("is compressed: ", inflated.status().message()));
    der = *std::move(inflated);
  }
  if (!IsDer(der)) return bad("holds no certificate");
  return der;
}

absl::Status Applet::WriteCertificate(Slot slot, absl::string_view der) {
  ASSIGN_OR_RETURN(const uint32_t object, ObjectOf(slot));
  if (!IsDer(der)) return absl::InvalidArgumentError("this is not the DER of a certificate");
  std::string contents;
  AppendTlv(kCertificate, der, &contents);
  AppendTlv(kCertificateInfo, absl::string_view("\0", 1), &contents);
  AppendTlv(kErrorDetection, "", &contents);
  return WriteObject(object, contents);
}

absl::Status Applet::DeleteCertificate(Slot slot) {
  ASSIGN_OR_RETURN(const uint32_t object, ObjectOf(slot));
  return WriteObject(object, "");
}

}  // namespace countersign::piv
