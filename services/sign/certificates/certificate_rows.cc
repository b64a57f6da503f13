#include "services/sign/certificates/certificate_rows.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/pki/general_name.h"
#include "libs/pki/name.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/labels.h"

namespace countersign::sign {
namespace {

using storage::Row;
using storage::Value;

enum Column : size_t {
  kTenant,
  kId,
  kAuthority,
  kSerial,
  kProfile,
  kStatus,
  kSubject,
  kIssuer,
  kNotBefore,
  kNotAfter,
  kRenewTime,
  kFingerprint,
  kKey,
  kHostNames,
  kOwnerTeam,
  kEnvironment,
  kLabels,
  kCrlShard,
  kRevocationTime,
  kRevocationReason,
  kReplaces,
  kCreateTime,
  kUpdateTime,
  kDer,
  kCsr,
  kColumns,
};
static_assert(kTenant == kTenantColumn && kId == kIdColumn && kAuthority == kAuthorityColumn &&
              kSerial == kSerialColumn && kNotAfter == kNotAfterColumn &&
              kFingerprint == kFingerprintColumn);

constexpr size_t kMaxHostNameBytes = 253;
// The years 1 to 9999, which a Timestamp may hold.
constexpr int64_t kMinSeconds = -62135596800;
constexpr int64_t kMaxSeconds = 253402300799;

// A name that could be looked for. Certificates of others may have anything in its place.
bool IsHostName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxHostNameBytes &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
}

std::string HostNames(const std::vector<pki::GeneralName>& names) {
  std::string joined;
  for (const pki::GeneralName& name : names) {
    std::string host;
    if (name.kind == pki::GeneralName::Kind::kDns) {
      host = absl::AsciiStrToLower(name.value);
    } else if (name.kind == pki::GeneralName::Kind::kIp) {
      host = pki::FormatIp(name.value);
    }
    if (!IsHostName(host)) continue;
    if (!joined.empty()) joined.push_back(' ');
    joined.append(host);
  }
  return joined;
}

std::string LabelsOf(const NewCertificate& certificate) {
  Labels labels;
  for (const auto& [key, value] : certificate.labels) labels[key] = value;
  return FormatLabels(labels);
}

Value Sha256(absl::string_view bytes) { return Value::Bytes(base::AsBytes(crypto::Sha256(bytes))); }

Value Micros(absl::Time time) { return absl::ToUnixMicros(time); }

}  // namespace

const std::vector<std::string>& CertificateColumns() {
  static const auto& columns = *new std::vector<std::string>{
      "tenant",     "certificate_id", "authority_id",    "serial",
      "profile",    "status",         "subject",         "issuer",
      "not_before", "not_after",      "renew_time",      "fingerprint_sha256",
      "key_sha256", "host_names",     "owner_team",      "environment",
      "labels",     "crl_shard",      "revocation_time", "revocation_reason",
      "replaces",   "create_time",    "update_time",     "der",
      "csr"};
  return columns;
}

absl::string_view CertificateSelectList(bool with_der) {
  static const auto list = [](size_t columns) {
    const std::vector<std::string>& all = CertificateColumns();
    return new std::string(
        absl::StrJoin(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(columns), ", "));
  };
  static const std::string& short_list = *list(kDer);
  static const std::string& long_list = *list(kCsr);
  return with_der ? long_list : short_list;
}

std::string CertificateId(const NewCertificate& certificate) {
  if (certificate.authority_id != 0) return SerialHex(certificate.certificate.serial);
  return absl::StrCat("fp-",
                      base::HexEncode(base::AsBytes(crypto::Sha256(certificate.certificate.der))));
}

Row ToRow(const NewCertificate& what, absl::Time now) {
  const pki::Certificate& certificate = what.certificate;
  std::vector<Value> row(kColumns);
  row[kTenant] = Value::Text(what.tenant);
  row[kId] = Value::Text(CertificateId(what));
  if (what.authority_id != 0) {
    row[kAuthority] = what.authority_id;
    row[kCrlShard] = what.crl_shard;
  }
  row[kSerial] = Value::Bytes(certificate.serial);
  row[kProfile] = static_cast<int64_t>(what.profile);
  row[kStatus] = static_cast<int64_t>(v1::CERTIFICATE_STATUS_ACTIVE);
  row[kSubject] = Value::Text(pki::FormatName(certificate.subject));
  row[kIssuer] = Value::Text(pki::FormatName(certificate.issuer));
  row[kNotBefore] = Micros(certificate.not_before);
  row[kNotAfter] = Micros(certificate.not_after);
  if (what.renew_time.has_value()) row[kRenewTime] = Micros(*what.renew_time);
  row[kFingerprint] = Sha256(certificate.der);
  row[kKey] = Sha256(certificate.spki_der);
  row[kHostNames] = Value::Text(HostNames(certificate.extensions.subject_alt_names));
  row[kOwnerTeam] = Value::Text(what.owner_team);
  row[kEnvironment] = Value::Text(what.environment);
  row[kLabels] = Value::Text(LabelsOf(what));
  row[kReplaces] = Value::Text(what.replaces);
  row[kCreateTime] = Micros(now);
  row[kUpdateTime] = Micros(now);
  row[kDer] = Value::Bytes(certificate.der);
  if (!what.csr.empty()) row[kCsr] = Value::Bytes(what.csr);
  return Row(std::move(row));
}

v1::Certificate FromRow(const Row& row, absl::string_view authority) {
  const std::string& tenant = row.Text(kTenant);
  v1::Certificate certificate;
  certificate.set_name(absl::StrCat("tenants/", tenant, "/certificates/", row.Text(kId)));
  certificate.set_authority(std::string(authority));
  certificate.set_serial_number(SerialHex(row.Bytes(kSerial)));
  certificate.set_profile(static_cast<v1::CertificateProfile>(row.Int(kProfile)));
  certificate.set_status(static_cast<v1::CertificateStatus>(row.Int(kStatus)));
  certificate.set_subject(row.Text(kSubject));
  certificate.set_issuer(row.Text(kIssuer));
  *certificate.mutable_not_before() = ToTimestamp(row.Int(kNotBefore));
  *certificate.mutable_not_after() = ToTimestamp(row.Int(kNotAfter));
  if (!row.IsNull(kRenewTime)) *certificate.mutable_renew_time() = ToTimestamp(row.Int(kRenewTime));
  certificate.set_fingerprint_sha256(base::HexEncode(row.Bytes(kFingerprint)));
  certificate.set_key_fingerprint(base::HexEncode(row.Bytes(kKey)));
  if (const std::string& names = row.Text(kHostNames); !names.empty()) {
    for (const absl::string_view name : absl::StrSplit(names, ' ')) {
      certificate.add_host_names(name.data(), name.size());
    }
  }
  certificate.set_owner_team(row.Text(kOwnerTeam));
  certificate.set_environment(row.Text(kEnvironment));
  ParseLabels(row.Text(kLabels), certificate.mutable_labels());
  if (!row.IsNull(kRevocationTime)) {
    *certificate.mutable_revocation_time() = ToTimestamp(row.Int(kRevocationTime));
    certificate.set_revocation_reason(
        static_cast<v1::RevocationReason>(row.Int(kRevocationReason)));
  }
  *certificate.mutable_create_time() = ToTimestamp(row.Int(kCreateTime));
  *certificate.mutable_update_time() = ToTimestamp(row.Int(kUpdateTime));
  if (row.size() > kDer) certificate.set_der(row.Bytes(kDer));
  if (const std::string& replaces = row.Text(kReplaces); !replaces.empty()) {
    certificate.set_replaces(absl::StrCat("tenants/", tenant, "/certificates/", replaces));
  }
  return certificate;
}

std::vector<std::string> HostNamesOf(const Row& row) {
  if (row.Text(kHostNames).empty()) return {};
  std::vector<std::string> names = absl::StrSplit(row.Text(kHostNames), ' ');
  std::vector<std::string> once;
  for (std::string& name : names) {
    if (std::find(once.begin(), once.end(), name) == once.end()) once.push_back(std::move(name));
  }
  return once;
}

google::protobuf::Timestamp ToTimestamp(int64_t micros) {
  google::protobuf::Timestamp timestamp;
  // Towards the past, so that nanos is never negative.
  int64_t seconds = micros / 1000000;
  int64_t rest = micros % 1000000;
  if (rest < 0) {
    rest += 1000000;
    --seconds;
  }
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(static_cast<int32_t>(rest * 1000));
  return timestamp;
}

int64_t ToMicros(const google::protobuf::Timestamp& timestamp) {
  return std::clamp(timestamp.seconds(), kMinSeconds, kMaxSeconds) * 1000000 +
         timestamp.nanos() / 1000;
}

}  // namespace countersign::sign
