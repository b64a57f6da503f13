// What the parts of Authorities share. For this folder alone.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITIES_IMPL_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITIES_IMPL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/pki/weak_keys.h"
#include "libs/storage/database.h"
#include "services/sign/certificates/authorities.h"
#include "services/sign/certificates/authority_certificates.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/requests.h"

namespace countersign::sign {

// A row of table `authorities` (FORMAT.md).
struct AuthorityRow {
  int64_t id = 0;
  std::string tenant;
  std::string name;  // resource name
  std::string key_version;
  std::string issuer;
  std::string certificate;
  std::vector<std::string> issuers;
  std::vector<std::string> cross_certificates;
  v1::AuthoritySettings settings;
  bool disabled = false;
  int64_t crl_number = 0;
  int64_t create_time = 0;  // microseconds
  int64_t update_time = 0;
};

struct Authorities::Impl {
  explicit Impl(Options options);

  storage::Database* database() const { return options.keys->database(); }
  absl::Time Now() const { return options.clock->Now(); }

  // Reads in the caller's transaction or snapshot. NotFound.
  absl::StatusOr<AuthorityRow> Read(storage::Transaction& transaction, const std::string& name);
  // `rows` as the contract shows them, with their algorithms and signers.
  absl::StatusOr<std::vector<v1::Authority>> Describe(storage::Transaction& transaction,
                                                      absl::Span<const AuthorityRow> rows);
  absl::StatusOr<v1::Authority> Describe(storage::Transaction& transaction,
                                         const AuthorityRow& row);
  // Writes a new row with the next number, which is returned. AlreadyExists when the name is taken,
  // or another authority has this subject and key.
  absl::StatusOr<int64_t> Insert(storage::Transaction& transaction, const AuthorityRow& row);
  // Writes settings, cross_certificates and disabled, and moves update_time.
  absl::Status Update(storage::Transaction& transaction, AuthorityRow* row, absl::Time now);

  // Reads the authority that `where` finds, as LoadById does; `what` names it when there is none.
  absl::StatusOr<std::shared_ptr<const LiveAuthority>> LoadWhere(absl::string_view where,
                                                                 storage::Params params,
                                                                 absl::string_view what);
  void Forget(const std::string& name);

  // An authority to be made, checked and certified before anything is written.
  struct Draft {
    AuthorityRow row;
    std::shared_ptr<const LiveKey> key;
    bool new_key = false;  // it is in no database yet
    bool imported = false;
    std::shared_ptr<const LiveAuthority> issuer;  // null for a root, and an imported one
    pki::Certificate certificate;
    std::optional<OcspSigner> signer;
  };
  // Sets the draft's key as `wanted` asks; certifies it.
  absl::Status ChooseKey(const std::string& tenant, const v1::Authority& wanted, Draft* draft);
  absl::Status Certify(const pki::Name& subject, const pki::NameConstraints& constraints,
                       const v1::Authority& wanted, Draft* draft);
  // Writes key, authority, signer and certificates. Returns the row.
  absl::StatusOr<AuthorityRow> Write(storage::Transaction& transaction, const Draft& draft,
                                     int64_t change_number, absl::Time now);

  absl::StatusOr<pki::Certificate> CrossCertify(const LiveAuthority& signer,
                                                const pki::Certificate& subject,
                                                const v1::CrossSignAuthorityRequest& request);
  // Puts `settings` in the place of the row's, as far as they can change.
  absl::Status ChangeSettings(storage::Transaction& transaction,
                              const v1::AuthoritySettings& settings, AuthorityRow* row);
  // Reads key, certificate and issuers of an authority that was made elsewhere into the draft.
  absl::Status ReadImport(const v1::ImportAuthorityRequest& request, Draft* draft);

  // Seals and inserts `signer` for the authority, forgets those long ended, and completes `*live`
  // with it. Its certificate, to be inserted, is added to `*certificates`.
  absl::Status InsertSigner(storage::Transaction& transaction, OcspSigner signer,
                            LiveAuthority* live, absl::Time now,
                            std::vector<NewCertificate>* certificates);
  // Makes `*live` use the signer of a row (signer_id, algorithm, certificate, sealed_key).
  absl::Status OpenSigner(const storage::Row& row, LiveAuthority* live);
  // Puts `signer` in the place of the one in use, unless that was rotated meanwhile and `always` is
  // false: then returns false. `*row` becomes the authority's row.
  absl::StatusOr<bool> Rotate(storage::Transaction& transaction, int64_t change_number,
                              absl::Time now, const LiveAuthority& authority, OcspSigner signer,
                              bool always, AuthorityRow* row);
  absl::Status RotateIfExpiring(Authorities* authorities, int64_t id);

  // Inserts into the inventory as part of the caller's transaction. Those that are there stay as
  // they are. The certificates as the contract shows them.
  absl::StatusOr<std::vector<v1::Certificate>> InsertCertificates(
      storage::Transaction& transaction, absl::Span<const NewCertificate> certificates,
      int64_t change_number, absl::Time now);

  // Runs `body` in a transaction that holds the row of ocsp_head, with the number that the change
  // gets; tells `on_change` of it after the commit. Writers of authorities so take turns. With a
  // request id, `body` does not run when it was answered before.
  template <typename Response, typename Request>
  absl::StatusOr<Response> Change(
      const std::string& tenant, absl::string_view method, const Request& request,
      const std::function<absl::StatusOr<Response>(storage::Transaction&, int64_t change_number,
                                                   absl::Time now)>& body);
  absl::Status ChangeTables(
      const std::function<absl::Status(storage::Transaction&, int64_t change_number)>& body);

  // The answer kept for the request's id, if any: what costs much is not done again.
  template <typename Response, typename Request>
  absl::StatusOr<std::optional<Response>> Answered(const std::string& tenant,
                                                   absl::string_view method,
                                                   const Request& request);

  const Options options;
  const pki::WeakKeys default_weak_keys;
  const pki::WeakKeys& weak_keys;

  struct Cached {
    std::shared_ptr<const LiveAuthority> authority;
    int64_t update_time;
    absl::Time read;
  };
  base::Mutex mutex;
  // By resource name. An authority whose key cannot be used is here too, without its key.
  absl::flat_hash_map<std::string, Cached> cache ABSL_GUARDED_BY(mutex);
  // Guards against putting back what was read before a change.
  uint64_t changes ABSL_GUARDED_BY(mutex) = 0;
};

// An authority with all but its key and its OCSP signer.
absl::StatusOr<std::unique_ptr<LiveAuthority>> MakeLive(const AuthorityRow& row);

// Whether a signer with this validity is to be replaced: less than a third of its life is left, and
// another would last longer.
bool RotationDue(absl::Time not_before, absl::Time not_after, absl::Time authority_not_after,
                 absl::Time now);

// A certificate that `issuer` has issued, for the inventory: with its first OCSP record.
absl::StatusOr<NewCertificate> Issued(const LiveAuthority& issuer,
                                      const pki::Certificate& certificate,
                                      v1::CertificateProfile profile, absl::Time now);
// What the making of certificates needs.
absl::Time ToWholeSecond(absl::Time time);
// The authority's certificate and its issuers'.
absl::StatusOr<std::vector<pki::Certificate>> ParseChain(const LiveAuthority& authority);
// When a certificate shall end: at `timestamp` when that is `wanted`, else at `usual` but not after
// `limit`. FailedPrecondition with reason ISSUER_CANNOT when it is wanted to end after that.
absl::StatusOr<absl::Time> EndOf(absl::string_view field, bool wanted,
                                 const google::protobuf::Timestamp& timestamp, absl::Time usual,
                                 absl::Time limit, absl::Time now);
// Checks what an authority has signed as its clients will, before it is let out.
// FailedPrecondition with reason ISSUER_CANNOT.
absl::Status CheckNewPath(const pki::Certificate& certificate,
                          absl::Span<const pki::Certificate> issuers, absl::Time now);

template <typename Response, typename Request>
absl::StatusOr<std::optional<Response>> Authorities::Impl::Answered(const std::string& tenant,
                                                                    absl::string_view method,
                                                                    const Request& request) {
  if (request.request_id().empty()) return std::nullopt;
  ASSIGN_OR_RETURN(const auto answer, options.keys->Recall(tenant, request.request_id(),
                                                           RequestFingerprint(method, request)));
  Response response;
  if (!answer.has_value() || !response.ParseFromString(*answer)) return std::nullopt;
  return response;
}

template <typename Response, typename Request>
absl::StatusOr<Response> Authorities::Impl::Change(
    const std::string& tenant, absl::string_view method, const Request& request,
    const std::function<absl::StatusOr<Response>(storage::Transaction&, int64_t, absl::Time)>&
        body) {
  ASSIGN_OR_RETURN(const std::string id, CheckRequestId(request.request_id()));
  const std::string fingerprint = id.empty() ? "" : RequestFingerprint(method, request);
  const absl::Time now = Now();
  Response response;
  RETURN_IF_ERROR(ChangeTables([&](storage::Transaction& transaction,
                                   int64_t number) -> absl::Status {
    if (!id.empty()) {
      ASSIGN_OR_RETURN(const auto answer, FindAnswer(transaction, tenant, id, fingerprint, now));
      if (answer.has_value()) {
        return response.ParseFromString(*answer)
                   ? absl::OkStatus()
                   : absl::DataLossError("the kept answer of this request id is damaged");
      }
    }
    ASSIGN_OR_RETURN(response, body(transaction, number, now));
    if (id.empty()) return absl::OkStatus();
    return SaveAnswer(transaction, tenant, id, fingerprint, response.SerializeAsString(), now);
  }));
  return response;
}

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITIES_IMPL_H_
