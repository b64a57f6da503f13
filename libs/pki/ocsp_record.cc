#include "libs/pki/ocsp_record.h"

#include "libs/base/bytes.h"

namespace countersign::pki {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kRevoked = 1;
constexpr size_t kMaxSerialBytes = 20;
constexpr size_t kFixedBytes = 3 + 1 + 4 * 8 + 4 + 2 * 2;

void AppendBytes(absl::string_view bytes, std::string* out) {
  out->append(bytes.data(), bytes.size());
}

}  // namespace

void AppendOcspRecord(const OcspRecord& record, std::string* out) {
  const OcspStatus& status = record.status;
  out->push_back(static_cast<char>(kVersion));
  out->push_back(static_cast<char>(status.revoked ? kRevoked : 0));
  out->push_back(static_cast<char>(status.serial.size()));
  AppendBytes(status.serial, out);
  out->push_back(static_cast<char>(status.reason));
  base::AppendU64(out, static_cast<uint64_t>(status.revocation_time));
  base::AppendU64(out, static_cast<uint64_t>(status.this_update));
  base::AppendU64(out, static_cast<uint64_t>(status.next_update));
  base::AppendU64(out, static_cast<uint64_t>(record.not_after));
  base::AppendU32(out, record.signer_id);
  base::AppendU16(out, static_cast<uint16_t>(record.sha1_signature.size()));
  AppendBytes(record.sha1_signature, out);
  base::AppendU16(out, static_cast<uint16_t>(record.sha256_signature.size()));
  AppendBytes(record.sha256_signature, out);
}

std::string PackOcspRecord(const OcspRecord& record) {
  std::string packed;
  packed.reserve(kFixedBytes + record.status.serial.size() + record.sha1_signature.size() +
                 record.sha256_signature.size());
  AppendOcspRecord(record, &packed);
  return packed;
}

absl::StatusOr<OcspRecord> UnpackOcspRecord(absl::string_view packed) {
  base::ByteReader in(packed);
  OcspRecord record;
  OcspStatus& status = record.status;
  uint8_t version;
  uint8_t flags;
  uint8_t serial_size;
  uint64_t times[4];
  uint16_t signature_size;
  if (!in.ReadU8(&version) || version != kVersion || !in.ReadU8(&flags) || flags > kRevoked ||
      !in.ReadU8(&serial_size) || serial_size == 0 || serial_size > kMaxSerialBytes ||
      !in.ReadBytes(serial_size, &status.serial) || !in.ReadU8(&status.reason) ||
      !in.ReadU64(&times[0]) || !in.ReadU64(&times[1]) || !in.ReadU64(&times[2]) ||
      !in.ReadU64(&times[3]) || !in.ReadU32(&record.signer_id) || !in.ReadU16(&signature_size) ||
      !in.ReadBytes(signature_size, &record.sha1_signature) || !in.ReadU16(&signature_size) ||
      !in.ReadBytes(signature_size, &record.sha256_signature) || !in.empty()) {
    return absl::DataLossError("an OCSP record is malformed");
  }
  status.revoked = flags == kRevoked;
  status.revocation_time = static_cast<int64_t>(times[0]);
  status.this_update = static_cast<int64_t>(times[1]);
  status.next_update = static_cast<int64_t>(times[2]);
  record.not_after = static_cast<int64_t>(times[3]);
  return record;
}

}  // namespace countersign::pki
