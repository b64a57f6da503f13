// Changes of an authority's settings.
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/message_differencer.h"
#include "services/sign/certificates/authorities_impl.h"
#include "services/sign/certificates/authority_settings.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

constexpr int64_t kLooked = 256;

// Whether an authority has issued anything but what it needs itself: its own certificate and its
// OCSP signers'.
absl::StatusOr<bool> HasIssued(Transaction& transaction, const AuthorityRow& row) {
  ASSIGN_OR_RETURN(const Rows serials,
                   transaction.Query("SELECT serial FROM ocsp_records WHERE authority_id = $1"
                                     " LIMIT $2",
                                     {row.id, kLooked}));
  if (static_cast<int64_t>(serials.size()) == kLooked) return true;
  for (const Row& serial : serials) {
    ASSIGN_OR_RETURN(
        const Rows profiles,
        transaction.Query("SELECT profile FROM certificates"
                          " WHERE tenant = $1 AND certificate_id = $2",
                          {Value::Text(row.tenant), Value::Text(SerialHex(serial.Bytes(0)))}));
    for (const Row& profile : profiles) {
      if (profile.Int(0) != v1::CERTIFICATE_PROFILE_ROOT_CA &&
          profile.Int(0) != v1::CERTIFICATE_PROFILE_OCSP_SIGNER) {
        return true;
      }
    }
  }
  return false;
}

template <typename Names>
bool Same(const Names& a, const Names& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

absl::Status Authorities::Impl::ChangeSettings(Transaction& transaction,
                                               const v1::AuthoritySettings& settings,
                                               AuthorityRow* row) {
  v1::AuthoritySettings changed = settings;
  // The constraints stand in the certificate.
  if (changed.permitted_names().empty() && changed.excluded_names().empty()) {
    *changed.mutable_permitted_names() = row->settings.permitted_names();
    *changed.mutable_excluded_names() = row->settings.excluded_names();
  } else if (!Same(changed.permitted_names(), row->settings.permitted_names()) ||
             !Same(changed.excluded_names(), row->settings.excluded_names())) {
    return FieldError("authority.settings",
                      "permitted_names and excluded_names stand in the authority's certificate and "
                      "cannot be changed; leave them out");
  }
  // What was issued points at its shard's CRL, and that names the same URL (RFC 5280
  // section 5.2.5).
  const bool moved = changed.crl_shards() != row->settings.crl_shards() ||
                     (changed.crl_shards() > 1 && changed.crl_url() != row->settings.crl_url());
  if (moved) {
    ASSIGN_OR_RETURN(const bool issued, HasIssued(transaction, *row));
    if (issued) {
      return PreconditionError(
          kSettingsFixed,
          absl::StrCat("authority.settings: ", row->name,
                       " has issued certificates: crl_shards, "
                       "and with several shards crl_url, can no longer be changed"));
    }
    RETURN_IF_ERROR(transaction
                        .Run("DELETE FROM crls WHERE authority_id = $1 AND shard >= $2",
                             {row->id, changed.crl_shards()})
                        .status());
  }
  row->settings = std::move(changed);
  return absl::OkStatus();
}

absl::StatusOr<v1::UpdateAuthorityResponse> Authorities::UpdateAuthority(
    const v1::UpdateAuthorityRequest& request) {
  const v1::Authority& wanted = request.authority();
  ASSIGN_OR_RETURN(const AuthorityName name, ParseAuthorityName("authority.name", wanted.name()));
  bool settings = request.update_mask().paths().empty();
  bool disabled = settings;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "settings") {
      settings = true;
    } else if (path == "disabled") {
      disabled = true;
    } else {
      return FieldError("update_mask",
                        absl::StrCat("settings and disabled can be changed, not \"", path, "\""));
    }
  }
  v1::AuthoritySettings complete;
  if (settings) {
    ASSIGN_OR_RETURN(complete, CompleteSettings("authority.settings", wanted.settings()));
  }
  ASSIGN_OR_RETURN(
      v1::UpdateAuthorityResponse response,
      impl_->Change<v1::UpdateAuthorityResponse>(
          name.tenant, "UpdateAuthority", request,
          [&](Transaction& transaction, int64_t number,
              absl::Time now) -> absl::StatusOr<v1::UpdateAuthorityResponse> {
            ASSIGN_OR_RETURN(AuthorityRow row, impl_->Read(transaction, wanted.name()));
            if (settings) RETURN_IF_ERROR(impl_->ChangeSettings(transaction, complete, &row));
            if (disabled) row.disabled = wanted.disabled();
            RETURN_IF_ERROR(impl_->Update(transaction, &row, now));
            v1::UpdateAuthorityResponse answer;
            ASSIGN_OR_RETURN(*answer.mutable_authority(), impl_->Describe(transaction, row));
            return answer;
          }));
  impl_->Forget(wanted.name());
  return response;
}

}  // namespace countersign::sign
