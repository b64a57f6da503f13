#include "benchmarks/ocsp_database.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "countersign/sign/v1/certificates.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/name.h"
#include "libs/pki/oid.h"
#include "libs/pki/signature.h"
#include "libs/storage/database.h"
#include "services/sign/schema.h"

namespace countersign::bench {
namespace {

using ::countersign::storage::Row;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

constexpr absl::Duration kLifetime = absl::Hours(4 * 24);
constexpr int64_t kRowsPerTransaction = 20'000;

uint64_t Mix(uint64_t z) {
  z += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

absl::StatusOr<std::string> EncodedName(absl::string_view text) {
  ASSIGN_OR_RETURN(const pki::Name name, pki::ParseNameText(text));
  return pki::EncodeName(name);
}

absl::StatusOr<pki::Certificate> Certify(const pki::CertificateTemplate& what,
                                         const crypto::PrivateKey& key) {
  ASSIGN_OR_RETURN(const std::string der,
                   pki::SignAndAssemble(pki::BuildTbsCertificate(what), key));
  return pki::ParseCertificate(der);
}

std::string Settings() {
  sign::v1::AuthoritySettings settings;
  settings.set_crl_shards(1);
  settings.mutable_crl_lifetime()->set_seconds(7 * 24 * 3600);
  settings.mutable_ocsp_lifetime()->set_seconds(absl::ToInt64Seconds(kLifetime));
  settings.mutable_ocsp_max_age()->set_seconds(3600);
  settings.set_ocsp_nonces(true);
  return settings.SerializeAsString();
}

}  // namespace

OcspDatabase::OcspDatabase(crypto::PrivateKey authority_key, crypto::PrivateKey signer_key)
    : authority_key_(std::move(authority_key)), signer_key_(std::move(signer_key)) {}

absl::StatusOr<std::unique_ptr<const OcspDatabase>> OcspDatabase::Create(int64_t certificates) {
  ASSIGN_OR_RETURN(auto authority_key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  ASSIGN_OR_RETURN(auto signer_key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  std::unique_ptr<OcspDatabase> database(
      new OcspDatabase(std::move(authority_key), std::move(signer_key)));
  RETURN_IF_ERROR(database->MakeCertificates());
  RETURN_IF_ERROR(database->SignRecords(certificates));
  return database;
}

absl::Status OcspDatabase::MakeCertificates() {
  const absl::Time minute = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()) / 60 * 60);
  this_update_ = absl::ToUnixSeconds(minute - absl::Minutes(1));
  ASSIGN_OR_RETURN(const std::string name, EncodedName("CN=Benchmark CA,O=Countersign"));
  pki::CertificateTemplate authority;
  authority.serial = pki::RandomSerial();
  authority.issuer_der = name;
  authority.subject_der = name;
  authority.not_before = minute - absl::Hours(24);
  authority.not_after = minute + absl::Hours(24 * 3650);
  authority.spki_der = authority_key_.public_key().spki_der();
  authority.basic_constraints = pki::BasicConstraints{.ca = true};
  authority.key_usage = pki::kKeyCertSign | pki::kCrlSign;
  authority.subject_key_id = pki::KeyIdentifier(authority.spki_der);
  ASSIGN_OR_RETURN(authority_, Certify(authority, authority_key_));

  pki::CertificateTemplate signer;
  signer.serial = pki::RandomSerial();
  signer.issuer_der = name;
  ASSIGN_OR_RETURN(signer.subject_der, EncodedName("CN=Benchmark CA OCSP,O=Countersign"));
  signer.not_before = minute - absl::Hours(1);
  signer.not_after = minute + absl::Hours(24 * 30);
  signer.spki_der = signer_key_.public_key().spki_der();
  signer.key_usage = pki::kDigitalSignature;
  signer.extended_key_usage = {std::string(pki::kOidOcspSigning)};
  signer.authority_key_id = authority.subject_key_id;
  signer.ocsp_no_check = true;
  ASSIGN_OR_RETURN(signer_, Certify(signer, authority_key_));
  ASSIGN_OR_RETURN(responder_,
                   pki::OcspResponder::Create(authority_, signer_, signer_key_.algorithm()));
  return absl::OkStatus();
}

absl::Status OcspDatabase::SignRecords(int64_t certificates) {
  records_.resize(static_cast<size_t>(certificates));
  const int64_t threads = std::max(1u, std::thread::hardware_concurrency());
  base::Mutex mutex;
  absl::Status failure;
  const auto sign_from = [&](int64_t first) -> absl::Status {
    for (int64_t i = first; i < certificates; i += threads) {
      const std::string serial = Serial(i);
      pki::OcspStatus status;
      status.serial = serial;
      status.revoked = i % 10 == 9;
      status.revocation_time = status.revoked ? this_update_ - 3600 : 0;
      status.reason = status.revoked ? 1 : 0;
      status.this_update = this_update_;
      status.next_update = this_update_ + absl::ToInt64Seconds(kLifetime);
      std::string sha1;
      std::string sha256;
      ASSIGN_OR_RETURN(pki::OcspRecord record,
                       responder_->Sign(status, signer_key_, &sha1, &sha256));
      record.not_after = this_update_ + 365 * 24 * 3600;
      record.signer_id = kSignerId;
      records_[static_cast<size_t>(i)] = pki::PackOcspRecord(record);
    }
    return absl::OkStatus();
  };
  std::vector<std::thread> workers;
  for (int64_t t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      const absl::Status status = sign_from(t);
      base::MutexLock lock(&mutex);
      failure.Update(status);
    });
  }
  for (std::thread& worker : workers) worker.join();
  return failure;
}

absl::Status OcspDatabase::Fill(const std::string& url, const crypto::Kek& kek) const {
  ASSIGN_OR_RETURN(const auto database, storage::Database::Open(url));
  RETURN_IF_ERROR(sign::MigrateSchema(*database));
  ASSIGN_OR_RETURN(const crypto::SecretBytes pkcs8, signer_key_.ToPkcs8());
  ASSIGN_OR_RETURN(const std::string sealed,
                   kek.Seal(pkcs8, absl::StrCat("ocsp-signers/", kSignerId)));
  ASSIGN_OR_RETURN(const std::string check,
                   kek.Seal(crypto::SecretBytes("countersign"), "countersign ocsp kek check v1"));
  const int64_t now = absl::ToUnixMicros(absl::Now());
  RETURN_IF_ERROR(database->InTransaction([&](Transaction& transaction) -> absl::Status {
    RETURN_IF_ERROR(
        transaction.Run("INSERT INTO kek_check (id, sealed) VALUES (2, $1)", {Value::Bytes(check)})
            .status());
    RETURN_IF_ERROR(
        transaction
            .Run("INSERT INTO authorities (authority_id, tenant, name, key_version, issuer,"
                 " certificate, issuers, cross_certificates, settings, disabled, crl_number,"
                 " create_time, update_time)"
                 " VALUES ($1, 'default', 'bench', '', '', $2, $3, $3, $4, 0, 0, $5, $5)",
                 {kAuthorityId, Value::Bytes(authority_.der), Value::Bytes(""),
                  Value::Bytes(Settings()), now})
            .status());
    return transaction
        .Run(
            "INSERT INTO ocsp_signers (signer_id, authority_id, algorithm, certificate, sealed_key,"
            " not_before, not_after) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            {kSignerId, kAuthorityId, Value::Text(crypto::AlgorithmName(signer_key_.algorithm())),
             Value::Bytes(signer_.der), Value::Bytes(sealed),
             absl::ToUnixMicros(signer_.not_before), absl::ToUnixMicros(signer_.not_after)})
        .status();
  }));
  for (int64_t first = 0; first < certificates(); first += kRowsPerTransaction) {
    const int64_t end = std::min(first + kRowsPerTransaction, certificates());
    std::vector<Row> rows;
    rows.reserve(static_cast<size_t>(end - first));
    for (int64_t i = first; i < end; ++i) {
      rows.emplace_back(std::vector<Value>{kAuthorityId, Value::Bytes(Serial(i)), i + 1,
                                           Value::Bytes(record(i))});
    }
    RETURN_IF_ERROR(database->InTransaction([&](Transaction& transaction) -> absl::Status {
      RETURN_IF_ERROR(transaction
                          .BulkInsert("ocsp_records",
                                      {"authority_id", "serial", "change_number", "record"}, rows)
                          .status());
      return transaction.Run("UPDATE ocsp_head SET change_number = $1 WHERE id = 1", {end})
          .status();
    }));
  }
  return absl::OkStatus();
}

std::string OcspDatabase::Serial(int64_t index) {
  std::string serial;
  base::AppendU64(&serial, Mix(static_cast<uint64_t>(index) * 2));
  base::AppendU64(&serial, Mix(static_cast<uint64_t>(index) * 2 + 1));
  // Positive, and as long for every certificate.
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);
  return serial;
}

std::string OcspDatabase::Request(int64_t index, pki::OcspHash hash,
                                  absl::string_view nonce) const {
  return pki::BuildOcspRequest(hash, authority_.subject_der, authority_.key_bits, Serial(index),
                               nonce);
}

std::string OcspDatabase::Response(int64_t index, pki::OcspHash hash) const {
  const absl::StatusOr<pki::OcspRecord> unpacked = pki::UnpackOcspRecord(record(index));
  std::string response;
  responder_->AppendResponse(
      unpacked->status, hash,
      hash == pki::OcspHash::kSha1 ? unpacked->sha1_signature : unpacked->sha256_signature,
      &response);
  return response;
}

}  // namespace countersign::bench
