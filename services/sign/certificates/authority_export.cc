// Authorities as files, PEM or PKCS#12.
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/crypto/pkcs12.h"
#include "libs/pki/pem.h"
#include "libs/runtime/error_details.h"
#include "services/sign/certificates/authorities_impl.h"
#include "services/sign/errors.h"

namespace countersign::sign {

using ::countersign::storage::Transaction;

// Of a PKCS#12 with a key.
constexpr size_t kMinPassphrase = 8;

absl::StatusOr<v1::ExportAuthorityResponse> Authorities::ExportAuthority(
    const v1::ExportAuthorityRequest& request) {
  const bool pkcs12 = request.format() == v1::EXPORT_FORMAT_PKCS12;
  if (!v1::ExportFormat_IsValid(request.format())) return FieldError("format", "is unknown");
  if (request.include_key() && !impl_->options.allow_key_export) {
    return runtime::AttachReason(
        absl::PermissionDeniedError(
            "private keys are not given out: the service was started without --allow-key-export"),
        kKeyExportForbidden);
  }
  if (pkcs12 && !request.include_key()) {
    return FieldError("include_key", "PKCS#12 is for the key; certificates alone are PEM");
  }
  if (pkcs12 && request.passphrase().size() < kMinPassphrase) {
    return FieldError("passphrase", absl::StrCat("at least ", kMinPassphrase, " bytes"));
  }
  AuthorityRow row;
  RETURN_IF_ERROR(impl_->database()->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(row, impl_->Read(transaction, request.name()));
    return absl::OkStatus();
  }));
  std::shared_ptr<const LiveKey> key;
  if (request.include_key()) {
    ASSIGN_OR_RETURN(key, impl_->options.key_ring->Load(row.key_version));
    if (key->key == nullptr) {
      return runtime::AttachReason(
          absl::PermissionDeniedError(absl::StrCat(
              "the private key of ", row.name,
              " is on a card, which does not give it out; export the certificates alone")),
          kKeyExportForbidden);
    }
    base::Log(base::Severity::kWarning, "the private key of an authority is exported",
              {{"authority", row.name}});
  }
  v1::ExportAuthorityResponse response;
  if (pkcs12) {
    ASSIGN_OR_RETURN(const AuthorityName name, ParseAuthorityName("name", row.name));
    ASSIGN_OR_RETURN(
        *response.mutable_data(),
        crypto::BuildPkcs12(*key->key, row.certificate, row.issuers, name.id,
                            crypto::SecretBytes(absl::string_view(request.passphrase()))));
    return response;
  }
  std::string* const text = response.mutable_data();
  *text = pki::FormatPem("CERTIFICATE", row.certificate);
  for (const std::string& der : row.issuers) *text += pki::FormatPem("CERTIFICATE", der);
  if (key != nullptr) {
    ASSIGN_OR_RETURN(const crypto::SecretBytes pkcs8, key->key->ToPkcs8());
    std::string block = pki::FormatPem("PRIVATE KEY", pkcs8.Expose(crypto::SecretAccess::Grant()));
    *text += block;
    crypto::Wipe(block.data(), block.size());
  }
  return response;
}

}  // namespace countersign::sign
