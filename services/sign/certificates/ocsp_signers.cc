// The OCSP signers of authorities: at rest, in use, rotated.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "services/sign/certificates/authorities_impl.h"
#include "services/sign/certificates/authority_settings.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Rows;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

constexpr char kKekCheckText[] = "countersign";
constexpr char kKekCheckAad[] = "countersign ocsp kek check v1";
constexpr int64_t kKekCheckId = 2;
// How long the row of a signer whose certificate has ended is kept.
constexpr absl::Duration kKeptAfterEnd = absl::Hours(24);

std::string SealAad(int64_t signer_id) { return absl::StrCat("ocsp-signers/", signer_id); }

// Makes `*live` use the signer.
absl::Status Use(int64_t signer_id, OcspSigner signer, LiveAuthority* live) {
  ASSIGN_OR_RETURN(
      live->ocsp_responder,
      pki::OcspResponder::Create(live->certificate, signer.certificate, signer.key->algorithm()));
  live->ocsp_signer_id = static_cast<uint32_t>(signer_id);
  live->ocsp_not_before = signer.certificate.not_before;
  live->ocsp_not_after = signer.certificate.not_after;
  live->ocsp_key = std::move(signer.key);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> LiveAuthority::SignOcspRecord(pki::OcspStatus status,
                                                          absl::Time not_after,
                                                          absl::Time now) const {
  status.this_update =
      absl::ToUnixSeconds(absl::FromUnixSeconds(absl::ToUnixSeconds(now) / 60 * 60));
  status.this_update = std::max(status.this_update, absl::ToUnixSeconds(ocsp_not_before));
  if (status.revoked) status.this_update = std::max(status.this_update, status.revocation_time);
  status.next_update =
      std::min(status.this_update + absl::ToInt64Seconds(ToDuration(settings.ocsp_lifetime())),
               absl::ToUnixSeconds(ocsp_not_after));
  if (status.next_update <= absl::ToUnixSeconds(now)) {
    return PreconditionError(kIssuerExpired,
                             absl::StrCat("the OCSP signer of ", name, " has expired"));
  }
  std::string sha1;
  std::string sha256;
  ASSIGN_OR_RETURN(pki::OcspRecord record, ocsp_responder->Sign(status, *ocsp_key, &sha1, &sha256));
  record.not_after = absl::ToUnixSeconds(not_after);
  record.signer_id = ocsp_signer_id;
  return pki::PackOcspRecord(record);
}

absl::Status Authorities::CheckOcspKek() {
  const crypto::Kek& kek = impl_->options.ocsp_kek;
  return impl_->database()->InTransaction([&kek](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(
        const Rows rows,
        transaction.Query("SELECT sealed FROM kek_check WHERE id = $1", {kKekCheckId}));
    if (rows.empty()) {
      ASSIGN_OR_RETURN(
          const std::string sealed,
          kek.Seal(crypto::SecretBytes(absl::string_view(kKekCheckText)), kKekCheckAad));
      return transaction
          .Run("INSERT INTO kek_check (id, sealed) VALUES ($1, $2)",
               {kKekCheckId, Value::Bytes(sealed)})
          .status();
    }
    const auto opened = kek.Open(rows[0].Bytes(0), kKekCheckAad);
    if (opened.ok()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("the OCSP key-encryption key is not the one that this database's OCSP signers "
                     "are sealed under; restore the right one: ",
                     opened.status().message()));
  });
}

absl::Status Authorities::Impl::InsertSigner(Transaction& transaction, OcspSigner signer,
                                             LiveAuthority* live, absl::Time now,
                                             std::vector<NewCertificate>* certificates) {
  // The row of ocsp_head is held: nobody else takes a number.
  ASSIGN_OR_RETURN(const Rows last,
                   transaction.Query("SELECT COALESCE(MAX(signer_id), 0) FROM ocsp_signers"));
  const int64_t id = last[0].Int(0) + 1;
  ASSIGN_OR_RETURN(const crypto::SecretBytes pkcs8, signer.key->ToPkcs8());
  ASSIGN_OR_RETURN(const std::string sealed, options.ocsp_kek.Seal(pkcs8, SealAad(id)));
  const pki::Certificate certificate = signer.certificate;
  RETURN_IF_ERROR(
      transaction
          .Run("INSERT INTO ocsp_signers (signer_id, authority_id, algorithm, certificate,"
               " sealed_key, not_before, not_after) VALUES ($1, $2, $3, $4, $5, $6, $7)",
               {id, live->id, Value::Text(crypto::AlgorithmName(signer.key->algorithm())),
                Value::Bytes(certificate.der), Value::Bytes(sealed),
                absl::ToUnixMicros(certificate.not_before),
                absl::ToUnixMicros(certificate.not_after)})
          .status());
  // Never the newest of all, whose number would be given out again.
  RETURN_IF_ERROR(transaction
                      .Run("DELETE FROM ocsp_signers WHERE authority_id = $1 AND not_after < $2"
                           " AND signer_id < $3",
                           {live->id, absl::ToUnixMicros(now - kKeptAfterEnd), id})
                      .status());
  RETURN_IF_ERROR(Use(id, std::move(signer), live));
  ASSIGN_OR_RETURN(NewCertificate added,
                   Issued(*live, certificate, v1::CERTIFICATE_PROFILE_OCSP_SIGNER, now));
  certificates->push_back(std::move(added));
  return absl::OkStatus();
}

absl::Status Authorities::Impl::OpenSigner(const storage::Row& row, LiveAuthority* live) {
  OcspSigner signer;
  ASSIGN_OR_RETURN(const crypto::Algorithm algorithm, crypto::ParseAlgorithm(row.Text(1)));
  ASSIGN_OR_RETURN(signer.certificate, pki::ParseCertificate(row.Bytes(2)));
  ASSIGN_OR_RETURN(const crypto::SecretBytes pkcs8,
                   options.ocsp_kek.Open(row.Bytes(3), SealAad(row.Int(0))));
  ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::PrivateKey::FromPkcs8(pkcs8, algorithm));
  if (key.public_key().spki_der() != signer.certificate.spki_der) {
    return absl::DataLossError(absl::StrCat("the key and the certificate of OCSP signer ",
                                            row.Int(0), " do not belong together"));
  }
  signer.key = std::make_shared<const crypto::PrivateKey>(std::move(key));
  return Use(row.Int(0), std::move(signer), live);
}

absl::StatusOr<bool> Authorities::Impl::Rotate(Transaction& transaction, int64_t change_number,
                                               absl::Time now, const LiveAuthority& authority,
                                               OcspSigner signer, bool always, AuthorityRow* row) {
  ASSIGN_OR_RETURN(*row, Read(transaction, authority.name));
  if (!always) {
    ASSIGN_OR_RETURN(const Rows newest,
                     transaction.Query("SELECT not_before, not_after FROM ocsp_signers"
                                       " WHERE authority_id = $1 ORDER BY signer_id DESC LIMIT 1",
                                       {row->id}));
    if (!newest.empty() &&
        !RotationDue(absl::FromUnixMicros(newest[0].Int(0)), absl::FromUnixMicros(newest[0].Int(1)),
                     authority.certificate.not_after, now)) {
      return false;
    }
  }
  ASSIGN_OR_RETURN(std::unique_ptr<LiveAuthority> live, MakeLive(*row));
  std::vector<NewCertificate> certificates;
  RETURN_IF_ERROR(InsertSigner(transaction, std::move(signer), live.get(), now, &certificates));
  RETURN_IF_ERROR(InsertCertificates(transaction, certificates, change_number, now).status());
  RETURN_IF_ERROR(Update(transaction, row, now));
  return true;
}

bool RotationDue(absl::Time not_before, absl::Time not_after, absl::Time authority_not_after,
                 absl::Time now) {
  // One that ends with its authority could only be followed by one that ends with it too.
  if (not_after >= authority_not_after) return false;
  return not_after - now < (not_after - not_before) / 3;
}

absl::StatusOr<v1::RotateOcspSignerResponse> Authorities::RotateOcspSigner(
    const v1::RotateOcspSignerRequest& request) {
  ASSIGN_OR_RETURN(const AuthorityName name, ParseAuthorityName("name", request.name()));
  ASSIGN_OR_RETURN(const auto answered, impl_->Answered<v1::RotateOcspSignerResponse>(
                                            name.tenant, "RotateOcspSigner", request));
  if (answered.has_value()) return *answered;
  ASSIGN_OR_RETURN(const auto authority, Load(request.name()));
  ASSIGN_OR_RETURN(const OcspSigner signer,
                   MakeOcspSigner(authority->certificate, *authority->key, impl_->Now()));
  ASSIGN_OR_RETURN(
      v1::RotateOcspSignerResponse response,
      impl_->Change<v1::RotateOcspSignerResponse>(
          name.tenant, "RotateOcspSigner", request,
          [&](Transaction& transaction, int64_t number,
              absl::Time now) -> absl::StatusOr<v1::RotateOcspSignerResponse> {
            AuthorityRow row;
            RETURN_IF_ERROR(
                impl_->Rotate(transaction, number, now, *authority, signer, true, &row).status());
            v1::RotateOcspSignerResponse answer;
            ASSIGN_OR_RETURN(*answer.mutable_authority(), impl_->Describe(transaction, row));
            return answer;
          }));
  impl_->Forget(request.name());
  return response;
}

absl::Status Authorities::RotateExpiringOcspSigners() {
  ASSIGN_OR_RETURN(const std::vector<int64_t> ids, ListIds());
  absl::Status first;
  for (const int64_t id : ids) {
    const absl::Status status = impl_->RotateIfExpiring(this, id);
    if (status.ok()) continue;
    base::Log(base::Severity::kWarning, "an OCSP signer could not be rotated",
              {{"authority_id", absl::StrCat(id)}, {"error", std::string(status.message())}});
    if (first.ok()) first = status;
  }
  return first;
}

absl::Status Authorities::Impl::RotateIfExpiring(Authorities* authorities, int64_t id) {
  ASSIGN_OR_RETURN(const auto authority, authorities->LoadById(id));
  const absl::Time now = Now();
  if (now >= authority->certificate.not_after ||
      !RotationDue(authority->ocsp_not_before, authority->ocsp_not_after,
                   authority->certificate.not_after, now)) {
    return absl::OkStatus();
  }
  // What the key's owner has disabled is no failure.
  if (authority->key == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const OcspSigner signer,
                   MakeOcspSigner(authority->certificate, *authority->key, now));
  const absl::Status status =
      ChangeTables([&](Transaction& transaction, int64_t number) -> absl::Status {
        AuthorityRow row;
        return Rotate(transaction, number, now, *authority, signer, false, &row).status();
      });
  Forget(authority->name);
  return status;
}

}  // namespace countersign::sign
