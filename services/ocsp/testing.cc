#include "services/ocsp/testing.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/secret.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/der.h"
#include "libs/pki/name.h"
#include "libs/pki/signature.h"
#include "libs/testing/matchers.h"

namespace countersign::ocsp {
namespace {

using storage::Row;
using storage::Transaction;
using storage::Value;
using testing::RequireOk;

constexpr absl::string_view kOcspSigning("\x2B\x06\x01\x05\x05\x07\x03\x09", 8);

std::string NameOf(absl::string_view common_name) {
  return pki::EncodeName(RequireOk(pki::ParseNameText(absl::StrCat("CN=", common_name))));
}

pki::Certificate Issue(const pki::CertificateTemplate& what, const crypto::PrivateKey& issuer) {
  return RequireOk(pki::ParseCertificate(
      RequireOk(pki::SignAndAssemble(pki::BuildTbsCertificate(what), issuer))));
}

}  // namespace

const crypto::Kek& TestKek() {
  static const auto* const kek =
      new crypto::Kek(RequireOk(crypto::Kek::FromBytes(crypto::SecretBytes(std::string(32, 'k')))));
  return *kek;
}

TestAuthority::TestAuthority(int64_t id, absl::string_view name, absl::Time now,
                             sign::v1::AuthoritySettings settings,
                             crypto::Algorithm signer_algorithm)
    : signer_algorithm(signer_algorithm) {
  const auto algorithm = crypto::Algorithm::kEcdsaP256Sha256;
  auto made =
      std::make_shared<crypto::PrivateKey>(RequireOk(crypto::PrivateKey::Generate(algorithm)));
  const std::string subject = NameOf(name);
  const std::string& spki = made->public_key().spki_der();
  certificate = Issue({.serial = pki::RandomSerial(),
                       .signature_algorithm = algorithm,
                       .issuer_der = subject,
                       .subject_der = subject,
                       .not_before = now - absl::Hours(24 * 365 * 5),
                       .not_after = now + absl::Hours(24 * 365 * 5),
                       .spki_der = spki,
                       .basic_constraints = pki::BasicConstraints{.ca = true},
                       .key_usage = pki::kKeyCertSign | pki::kCrlSign,
                       .subject_key_id = pki::KeyIdentifier(spki)},
                      *made);
  key = std::move(made);
  row.authority_id = id;
  row.tenant = "default";
  row.name = absl::StrCat("tenants/default/authorities/", name);
  row.certificate = certificate.der;
  row.settings = settings.SerializeAsString();
  AddSigner(id * 10, now - absl::Hours(24), now + absl::Hours(24 * 30));
}

void TestAuthority::AddSigner(int64_t signer_id, absl::Time not_before, absl::Time not_after) {
  auto made = std::make_shared<crypto::PrivateKey>(
      RequireOk(crypto::PrivateKey::Generate(signer_algorithm)));
  const std::string& spki = made->public_key().spki_der();
  const pki::Certificate delegate =
      Issue({.serial = pki::RandomSerial(),
             .signature_algorithm = key->algorithm(),
             .issuer_der = certificate.subject_der,
             .subject_der = NameOf(absl::StrCat("OCSP ", signer_id)),
             .not_before = not_before,
             .not_after = not_after,
             .spki_der = spki,
             .key_usage = pki::kDigitalSignature,
             .extended_key_usage = {std::string(kOcspSigning)},
             .subject_key_id = pki::KeyIdentifier(spki),
             .authority_key_id = certificate.extensions.subject_key_id,
             .ocsp_no_check = true},
            *key);
  TestSigner signer;
  signer.row = {.signer_id = signer_id,
                .authority_id = row.authority_id,
                .algorithm = std::string(crypto::AlgorithmName(signer_algorithm)),
                .certificate = delegate.der,
                .sealed_key = RequireOk(TestKek().Seal(RequireOk(made->ToPkcs8()),
                                                       absl::StrCat("ocsp-signers/", signer_id)))};
  signer.responder = RequireOk(pki::OcspResponder::Create(certificate, delegate, signer_algorithm));
  signer.key = std::move(made);
  signers.push_back(std::move(signer));
}

std::string TestAuthority::SignRecord(absl::string_view serial, absl::Time now, bool revoked,
                                      int64_t revocation_time, uint8_t reason,
                                      absl::Duration lifetime,
                                      absl::Duration certificate_life) const {
  const int64_t seconds = absl::ToUnixSeconds(now);
  std::string sha1;
  std::string sha256;
  pki::OcspRecord record = RequireOk(signers.back().responder->Sign(
      {.serial = serial,
       .revoked = revoked,
       .revocation_time = revocation_time,
       .reason = reason,
       .this_update = seconds - seconds % 60,
       .next_update = seconds - seconds % 60 + absl::ToInt64Seconds(lifetime)},
      *signers.back().key, &sha1, &sha256));
  record.not_after = absl::ToUnixSeconds(now + certificate_life);
  record.signer_id = static_cast<uint32_t>(signers.back().row.signer_id);
  return pki::PackOcspRecord(record);
}

std::string TestAuthority::Request(absl::string_view serial, pki::OcspHash hash,
                                   absl::string_view nonce) const {
  return pki::BuildOcspRequest(hash, certificate.subject_der, certificate.key_bits, serial, nonce);
}

std::string TestSerial(int64_t number) {
  std::string serial(8, '\x4f');
  base::AppendU64(&serial, static_cast<uint64_t>(number));
  return serial;
}

void SetDirectory(absl::Span<const TestAuthority* const> authorities, Responses* responses) {
  std::vector<AuthorityRow> rows;
  std::vector<SignerRow> signers;
  for (const TestAuthority* authority : authorities) {
    rows.push_back(authority->row);
    for (const TestSigner& signer : authority->signers) signers.push_back(signer.row);
  }
  const std::shared_ptr<const Directory> previous = responses->directory();
  responses->SetDirectory(Directory::Build(rows, signers, TestKek(), previous.get()));
}

std::string JoinRequests(absl::Span<const std::string> requests) {
  pki::DerWriter out;
  const size_t request = out.Begin(pki::kSequence);
  const size_t tbs = out.Begin(pki::kSequence);
  const size_t list = out.Begin(pki::kSequence);
  for (const std::string& one : requests) {
    const pki::OcspRequest parsed = RequireOk(pki::ParseOcspRequest(one));
    const size_t element = out.Begin(pki::kSequence);
    out.AddRaw(parsed.cert_ids[0].element);
    out.End(element);
  }
  out.End(list);
  out.End(tbs);
  out.End(request);
  return out.Take();
}

void CreateTables(storage::Database& database) {
  RequireOk(database.InTransaction([](Transaction& transaction) {
    return transaction.RunScript(R"sql(
CREATE TABLE authorities (
  authority_id BIGINT PRIMARY KEY,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  certificate BYTEA NOT NULL,
  settings BYTEA NOT NULL,
  update_time BIGINT NOT NULL
);
CREATE TABLE ocsp_signers (
  signer_id BIGINT PRIMARY KEY,
  authority_id BIGINT NOT NULL,
  algorithm TEXT NOT NULL,
  certificate BYTEA NOT NULL,
  sealed_key BYTEA NOT NULL
);
CREATE TABLE ocsp_head (
  id BIGINT PRIMARY KEY CHECK (id = 1),
  change_number BIGINT NOT NULL
);
INSERT INTO ocsp_head VALUES (1, 0);
CREATE TABLE ocsp_records (
  authority_id BIGINT NOT NULL,
  serial BYTEA NOT NULL,
  change_number BIGINT NOT NULL,
  record BYTEA NOT NULL,
  PRIMARY KEY (authority_id, serial)
);
CREATE INDEX ocsp_records_by_change ON ocsp_records (change_number);
CREATE TABLE crls (
  authority_id BIGINT NOT NULL,
  shard BIGINT NOT NULL,
  number BIGINT NOT NULL,
  der BYTEA NOT NULL,
  PRIMARY KEY (authority_id, shard)
);
)sql");
  }));
}

void StoreAuthority(storage::Database& database, const TestAuthority& authority) {
  RequireOk(database.InTransaction([&](Transaction& transaction) -> absl::Status {
    const AuthorityRow& row = authority.row;
    absl::Status status =
        transaction
            .Run(
                "INSERT INTO authorities VALUES ($1, $2, $3, $4, $5, 1) "
                "ON CONFLICT (authority_id) DO UPDATE SET certificate = excluded.certificate, "
                "settings = excluded.settings, update_time = authorities.update_time + 1",
                {row.authority_id, Value::Text(row.tenant), Value::Text(row.name),
                 Value::Bytes(row.certificate), Value::Bytes(row.settings)})
            .status();
    for (const TestSigner& signer : authority.signers) {
      if (!status.ok()) return status;
      status =
          transaction
              .Run(
                  "INSERT INTO ocsp_signers VALUES ($1, $2, $3, $4, $5) "
                  "ON CONFLICT (signer_id) DO NOTHING",
                  {signer.row.signer_id, signer.row.authority_id, Value::Text(signer.row.algorithm),
                   Value::Bytes(signer.row.certificate), Value::Bytes(signer.row.sealed_key)})
              .status();
    }
    return status;
  }));
}

absl::StatusOr<int64_t> StoreRecords(storage::Database& database,
                                     absl::Span<const StoredRecord> records) {
  int64_t number = 0;
  const absl::Status status = database.InTransaction([&](Transaction& transaction) -> absl::Status {
    // The head's row is locked until the commit, as the sign service does it.
    const auto head = transaction.Query(
        "UPDATE ocsp_head SET change_number = change_number + $1 WHERE id = 1 "
        "RETURNING change_number",
        {static_cast<int64_t>(records.size())});
    if (!head.ok()) return head.status();
    number = (*head)[0].Int(0) - static_cast<int64_t>(records.size());
    for (const StoredRecord& record : records) {
      const auto stored = transaction.Run(
          "INSERT INTO ocsp_records VALUES ($1, $2, $3, $4) "
          "ON CONFLICT (authority_id, serial) DO UPDATE SET change_number = "
          "excluded.change_number, record = excluded.record",
          {record.authority_id, Value::Bytes(record.serial), ++number,
           Value::Bytes(record.record)});
      if (!stored.ok()) return stored.status();
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return number;
}

}  // namespace countersign::ocsp
