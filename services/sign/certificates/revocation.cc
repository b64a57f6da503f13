#include "services/sign/certificates/revocation.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "services/sign/certificates/authorities.h"
#include "services/sign/certificates/crl_publisher.h"
#include "services/sign/certificates/crl_shard.h"
#include "services/sign/certificates/ocsp_notifier.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/errors.h"
#include "services/sign/key_store.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

// How often a revocation is decided again because its certificate changed meanwhile.
constexpr int kTries = 10;
// How long the OCSP responders are waited for.
constexpr absl::Duration kLongestWait = absl::Seconds(1);
constexpr int kPage = 1000;
// Records that one thread signs in a row.
constexpr int kChunk = 64;

absl::StatusOr<v1::RevocationReason> CheckReason(v1::RevocationReason reason) {
  if (reason == v1::REVOCATION_REASON_UNSPECIFIED) {
    return v1::REVOCATION_REASON_UNSPECIFIED_REASON;
  }
  if (!v1::RevocationReason_IsValid(reason)) {
    return FieldError("reason", "is none of RFC 5280's reasons");
  }
  return reason;
}

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

// The CRLReason of RFC 5280 section 5.3.1.
uint8_t CrlReason(v1::RevocationReason reason) { return static_cast<uint8_t>(reason - 1); }

// Whether this call may find the certificate changed by another one and should look again.
bool ShouldRetry(const absl::Status& status, int tries) {
  return absl::IsAborted(status) && tries < kTries;
}

}  // namespace

// Changes on their way into the tables.
struct Revocation::Plan {
  std::vector<v1::Certificate> certificates;  // as they are
  std::vector<CertificateStore::StatusChange> changes;

  void Add(v1::Certificate certificate, CertificateStore::StatusChange change) {
    certificates.push_back(std::move(certificate));
    changes.push_back(std::move(change));
  }
};

Revocation::Revocation(Options options) : options_(options) {}

template <typename Response, typename Request>
absl::StatusOr<Response> Revocation::Once(const std::string& tenant, absl::string_view method,
                                          const Request& request,
                                          const std::function<absl::StatusOr<Response>()>& body) {
  if (request.request_id().empty()) return body();
  const std::string fingerprint = RequestFingerprint(method, request);
  Response response;
  ASSIGN_OR_RETURN(const auto known,
                   options_.keys->Recall(tenant, request.request_id(), fingerprint));
  if (known.has_value() && response.ParseFromString(*known)) return response;
  ASSIGN_OR_RETURN(response, body());
  ASSIGN_OR_RETURN(const std::string kept,
                   options_.keys->Remember(tenant, request.request_id(), fingerprint,
                                           response.SerializeAsString()));
  if (!response.ParseFromString(kept)) {
    return absl::DataLossError("the kept answer of this request id is damaged");
  }
  return response;
}

absl::StatusOr<std::optional<CertificateStore::StatusChange>> Revocation::Decide(
    const v1::Certificate& certificate, v1::RevocationReason reason) const {
  if (certificate.authority().empty()) {
    return PreconditionError(kNotOurs, absl::StrCat(certificate.name(),
                                                    " was issued by another authority: "
                                                    "only that one can revoke it"));
  }
  CertificateStore::StatusChange change;
  change.name = certificate.name();
  change.reason = reason;
  change.status = reason == v1::REVOCATION_REASON_CERTIFICATE_HOLD ? v1::CERTIFICATE_STATUS_ON_HOLD
                                                                   : v1::CERTIFICATE_STATUS_REVOKED;
  // Whole seconds, as CRLs and OCSP responses have them.
  change.time = absl::FromUnixSeconds(absl::ToUnixSeconds(options_.clock->Now()));
  switch (certificate.status()) {
    case v1::CERTIFICATE_STATUS_ON_HOLD:
      if (reason == v1::REVOCATION_REASON_CERTIFICATE_HOLD) return std::nullopt;
      // A hold that becomes a revocation keeps its date (X.509 section 9.5.3.1).
      change.time = ToTime(certificate.revocation_time());
      return change;
    case v1::CERTIFICATE_STATUS_REVOKED:
      if (certificate.revocation_reason() == reason) return std::nullopt;
      if (reason != v1::REVOCATION_REASON_KEY_COMPROMISE) {
        return PreconditionError(
            kAlreadyRevoked,
            absl::StrCat(certificate.name(), " is revoked already, for another reason (",
                         v1::RevocationReason_Name(certificate.revocation_reason()), ")"));
      }
      change.time = ToTime(certificate.revocation_time());
      return change;
    default:
      return change;
  }
}

absl::Status Revocation::Apply(Plan* plan) {
  const absl::Time now = options_.clock->Now();
  std::map<std::string, std::shared_ptr<const LiveAuthority>> authorities;
  for (const v1::Certificate& certificate : plan->certificates) {
    auto& authority = authorities[certificate.authority()];
    if (authority != nullptr) continue;
    ASSIGN_OR_RETURN(authority, options_.authorities->LoadByName(certificate.authority()));
  }
  const int count = static_cast<int>(plan->changes.size());
  std::vector<absl::Status> failures((count + kChunk - 1) / kChunk);
  const auto sign = [&](int i) -> absl::Status {
    const v1::Certificate& certificate = plan->certificates[i];
    CertificateStore::StatusChange& change = plan->changes[i];
    ASSIGN_OR_RETURN(const std::string serial,
                     ParseSerialHex("serial_number", certificate.serial_number()));
    pki::OcspStatus status;
    status.serial = serial;
    if (change.status != v1::CERTIFICATE_STATUS_ACTIVE) {
      status.revoked = true;
      status.revocation_time = absl::ToUnixSeconds(change.time);
      status.reason = CrlReason(change.reason);
    }
    ASSIGN_OR_RETURN(change.ocsp_record,
                     authorities.at(certificate.authority())
                         ->SignOcspRecord(status, ToTime(certificate.not_after()), now));
    return absl::OkStatus();
  };
  const auto sign_chunk = [&](int chunk) {
    for (int i = chunk * kChunk; i < std::min(count, (chunk + 1) * kChunk); ++i) {
      failures[chunk].Update(sign(i));
    }
  };
  if (options_.executor != nullptr && failures.size() > 1) {
    options_.executor->ParallelFor(static_cast<int>(failures.size()), sign_chunk);
  } else {
    for (size_t chunk = 0; chunk < failures.size(); ++chunk) sign_chunk(static_cast<int>(chunk));
  }
  for (const absl::Status& failure : failures) RETURN_IF_ERROR(failure);

  std::vector<v1::CertificateStatus> expected;
  for (const v1::Certificate& certificate : plan->certificates) {
    expected.push_back(certificate.status());
  }
  ASSIGN_OR_RETURN(const int64_t change_number,
                   options_.certificates->ChangeStatus(plan->changes, expected));
  if (!options_.notifier->NotifyAndWait(change_number, kLongestWait)) {
    base::Log(base::Severity::kWarning,
              "an OCSP responder was not told of a revocation and has to find it itself",
              {{"change_number", absl::StrCat(change_number)}});
  }
  std::set<std::pair<int64_t, int64_t>> compromised;
  for (int i = 0; i < count; ++i) {
    if (plan->changes[i].reason != v1::REVOCATION_REASON_KEY_COMPROMISE) continue;
    const LiveAuthority& authority = *authorities.at(plan->certificates[i].authority());
    ASSIGN_OR_RETURN(const std::string serial,
                     ParseSerialHex("serial_number", plan->certificates[i].serial_number()));
    compromised.insert({authority.id, CrlShardOf(serial, authority.settings.crl_shards())});
  }
  for (const auto& [authority_id, shard] : compromised) {
    const absl::Status status = options_.crls->PublishShard(authority_id, shard);
    if (status.ok()) continue;
    base::Log(base::Severity::kWarning, "the CRL could not be signed after a key compromise",
              {{"authority_id", absl::StrCat(authority_id)},
               {"shard", absl::StrCat(shard)},
               {"error", std::string(status.message())}});
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::RevokeCertificateResponse> Revocation::Revoke(
    const v1::RevokeCertificateRequest& request) {
  ASSIGN_OR_RETURN(const CertificateName name, ParseCertificateName("name", request.name()));
  ASSIGN_OR_RETURN(const v1::RevocationReason reason, CheckReason(request.reason()));
  return Once<v1::RevokeCertificateResponse>(
      name.tenant, "RevokeCertificate", request,
      [&]() -> absl::StatusOr<v1::RevokeCertificateResponse> {
        for (int tries = 1;; ++tries) {
          ASSIGN_OR_RETURN(v1::Certificate certificate, options_.certificates->Get(request.name()));
          ASSIGN_OR_RETURN(auto change, Decide(certificate, reason));
          v1::RevokeCertificateResponse response;
          if (!change.has_value()) {
            *response.mutable_certificate() = std::move(certificate);
            return response;
          }
          Plan plan;
          plan.Add(std::move(certificate), *std::move(change));
          const absl::Status status = Apply(&plan);
          if (ShouldRetry(status, tries)) continue;
          RETURN_IF_ERROR(status);
          ASSIGN_OR_RETURN(*response.mutable_certificate(),
                           options_.certificates->Get(request.name()));
          return response;
        }
      });
}

absl::StatusOr<std::vector<v1::Certificate>> Revocation::Select(
    const v1::BatchRevokeCertificatesRequest& request, const std::string& tenant,
    v1::RevocationReason reason) {
  v1::ListCertificatesRequest list;
  list.set_parent(request.parent());
  list.set_page_size(kPage);
  v1::CertificateFilter* filter = list.mutable_filter();
  switch (request.selector_case()) {
    case v1::BatchRevokeCertificatesRequest::kFingerprintSha256:
      if (request.fingerprint_sha256().empty()) return FieldError("fingerprint_sha256", "required");
      filter->set_fingerprint_sha256(request.fingerprint_sha256());
      break;
    case v1::BatchRevokeCertificatesRequest::kKeyFingerprint:
      if (request.key_fingerprint().empty()) return FieldError("key_fingerprint", "required");
      filter->set_key_fingerprint(request.key_fingerprint());
      break;
    case v1::BatchRevokeCertificatesRequest::kOwnerTeam:
      if (request.owner_team().empty()) return FieldError("owner_team", "required");
      filter->set_owner_team(request.owner_team());
      break;
    case v1::BatchRevokeCertificatesRequest::SELECTOR_NOT_SET:
      return FieldError("fingerprint_sha256",
                        "give a fingerprint, a key's fingerprint or an owner");
  }
  const bool one = request.has_fingerprint_sha256();
  if (!one) {
    filter->mutable_expires_from()->set_seconds(absl::ToUnixSeconds(options_.clock->Now()));
  }
  std::vector<v1::Certificate> selected;
  bool found = false;
  do {
    ASSIGN_OR_RETURN(v1::ListCertificatesResponse page, options_.certificates->List(list));
    for (v1::Certificate& certificate : *page.mutable_certificates()) {
      found = true;
      if (ToTime(certificate.not_after()) < options_.clock->Now()) continue;
      if (certificate.authority().empty()) {
        // Others' certificates of that key or owner are there to be tracked; one that was named is
        // refused.
        if (one) return Decide(certificate, reason).status();
        continue;
      }
      if (certificate.status() == v1::CERTIFICATE_STATUS_REVOKED) continue;
      selected.push_back(std::move(certificate));
    }
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  if (one && !found) {
    return absl::NotFoundError(absl::StrCat("tenants/", tenant,
                                            " has no certificate with the SHA-256 fingerprint ",
                                            request.fingerprint_sha256()));
  }
  return selected;
}

absl::StatusOr<v1::BatchRevokeCertificatesResponse> Revocation::BatchRevoke(
    const v1::BatchRevokeCertificatesRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  ASSIGN_OR_RETURN(const v1::RevocationReason reason, CheckReason(request.reason()));
  return Once<v1::BatchRevokeCertificatesResponse>(
      tenant, "BatchRevokeCertificates", request,
      [&]() -> absl::StatusOr<v1::BatchRevokeCertificatesResponse> {
        for (int tries = 1;; ++tries) {
          ASSIGN_OR_RETURN(std::vector<v1::Certificate> selected, Select(request, tenant, reason));
          Plan plan;
          for (v1::Certificate& certificate : selected) {
            ASSIGN_OR_RETURN(auto change, Decide(certificate, reason));
            if (change.has_value()) plan.Add(std::move(certificate), *std::move(change));
          }
          v1::BatchRevokeCertificatesResponse response;
          if (!plan.changes.empty()) {
            const absl::Status status = Apply(&plan);
            if (ShouldRetry(status, tries)) continue;
            RETURN_IF_ERROR(status);
          }
          for (const auto& change : plan.changes) response.add_names(change.name);
          return response;
        }
      });
}

absl::StatusOr<v1::ReleaseCertificateResponse> Revocation::Release(
    const v1::ReleaseCertificateRequest& request) {
  ASSIGN_OR_RETURN(const CertificateName name, ParseCertificateName("name", request.name()));
  return Once<v1::ReleaseCertificateResponse>(
      name.tenant, "ReleaseCertificate", request,
      [&]() -> absl::StatusOr<v1::ReleaseCertificateResponse> {
        for (int tries = 1;; ++tries) {
          ASSIGN_OR_RETURN(v1::Certificate certificate, options_.certificates->Get(request.name()));
          v1::ReleaseCertificateResponse response;
          if (certificate.status() == v1::CERTIFICATE_STATUS_REVOKED) {
            return PreconditionError(kAlreadyRevoked,
                                     absl::StrCat(request.name(),
                                                  " is revoked for good; only a hold "
                                                  "can be released"));
          }
          if (certificate.status() != v1::CERTIFICATE_STATUS_ON_HOLD) {
            *response.mutable_certificate() = std::move(certificate);
            return response;
          }
          CertificateStore::StatusChange change;
          change.name = request.name();
          change.status = v1::CERTIFICATE_STATUS_ACTIVE;
          change.time = options_.clock->Now();
          change.reason = v1::REVOCATION_REASON_UNSPECIFIED;
          Plan plan;
          plan.Add(std::move(certificate), std::move(change));
          const absl::Status status = Apply(&plan);
          if (ShouldRetry(status, tries)) continue;
          RETURN_IF_ERROR(status);
          ASSIGN_OR_RETURN(*response.mutable_certificate(),
                           options_.certificates->Get(request.name()));
          return response;
        }
      });
}

}  // namespace countersign::sign
