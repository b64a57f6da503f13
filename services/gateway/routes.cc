#include "services/gateway/routes.h"

#include <google/protobuf/descriptor.h>

#include <string>

#include "countersign/ledger/v1/ledger.pb.h"
#include "countersign/ocsp/v1/ocsp.pb.h"
#include "countersign/sign/v1/authority_service.pb.h"
#include "countersign/sign/v1/certificate_service.pb.h"
#include "countersign/sign/v1/issuance_service.pb.h"
#include "countersign/sign/v1/sign.pb.h"
#include "countersign/verify/v1/verify.pb.h"

namespace countersign::gateway {
namespace {

constexpr Service kSign = Service::kSign;
constexpr Service kAuthority = Service::kAuthority;
constexpr Service kCertificate = Service::kCertificate;
constexpr Service kIssuance = Service::kIssuance;
constexpr Service kVerify = Service::kVerify;
constexpr Service kLedger = Service::kLedger;
constexpr Service kOcsp = Service::kOcsp;

#define TENANT "/tenants/{tenant}"
#define KEY TENANT "/keys/{key}"
#define VERSION KEY "/versions/{version}"
#define AUTHORITY TENANT "/authorities/{authority}"
#define CERTIFICATE TENANT "/certificates/{certificate}"
#define ISSUANCE TENANT "/issuances/{issuance}"
#define RENEWAL TENANT "/renewals/{renewal}"
#define LOG TENANT "/logs/{log}"
#define TENANT_NAME "tenants/{tenant}"
#define KEY_NAME "tenants/{tenant}/keys/{key}"
#define VERSION_NAME "tenants/{tenant}/keys/{key}/versions/{version}"
#define AUTHORITY_NAME "tenants/{tenant}/authorities/{authority}"
#define CERTIFICATE_NAME "tenants/{tenant}/certificates/{certificate}"
#define ISSUANCE_NAME "tenants/{tenant}/issuances/{issuance}"
#define RENEWAL_NAME "tenants/{tenant}/renewals/{renewal}"
#define LOG_NAME "tenants/{tenant}/logs/{log}"

const google::protobuf::ServiceDescriptor* Descriptor(Service service) {
  // Naming a message of each file also keeps the linker from dropping it.
  switch (service) {
    case Service::kSign:
      return sign::v1::SignRequest::descriptor()->file()->FindServiceByName("SignService");
    case Service::kAuthority:
      return sign::v1::GetAuthorityRequest::descriptor()->file()->FindServiceByName(
          "AuthorityService");
    case Service::kCertificate:
      return sign::v1::GetCertificateRequest::descriptor()->file()->FindServiceByName(
          "CertificateService");
    case Service::kIssuance:
      return sign::v1::GetIssuanceRequest::descriptor()->file()->FindServiceByName(
          "IssuanceService");
    case Service::kVerify:
      return verify::v1::VerifyBundleRequest::descriptor()->file()->FindServiceByName(
          "VerifyService");
    case Service::kLedger:
      return ledger::v1::GetLogRequest::descriptor()->file()->FindServiceByName("LedgerService");
    case Service::kOcsp:
      return ocsp::v1::RespondRequest::descriptor()->file()->FindServiceByName("OcspService");
  }
  return nullptr;
}

}  // namespace

const std::vector<RpcRoute>& RpcRoutes() {
  static const auto* const routes = new std::vector<RpcRoute>{
      {kSign, "POST", TENANT "/keys", "CreateKey", "parent", TENANT_NAME},
      {kSign, "GET", TENANT "/keys", "ListKeys", "parent", TENANT_NAME},
      {kSign, "GET", KEY, "GetKey", "name", KEY_NAME},
      {kSign, "PATCH", KEY, "UpdateKey", "key.name", KEY_NAME},
      {kSign, "POST", KEY ":rotate", "RotateKey", "name", KEY_NAME},
      {kSign, "GET", KEY "/publicKey", "GetPublicKey", "name", KEY_NAME},
      {kSign, "GET", KEY "/versions", "ListKeyVersions", "parent", KEY_NAME},
      {kSign, "GET", VERSION, "GetKeyVersion", "name", VERSION_NAME},
      {kSign, "GET", VERSION "/publicKey", "GetPublicKey", "name", VERSION_NAME},
      {kSign, "POST", VERSION ":disable", "DisableKeyVersion", "name", VERSION_NAME},
      {kSign, "POST", VERSION ":enable", "EnableKeyVersion", "name", VERSION_NAME},
      {kSign, "POST", VERSION ":destroy", "DestroyKeyVersion", "name", VERSION_NAME},
      {kSign, "POST", KEY ":sign", "Sign", "name", KEY_NAME},
      {kSign, "POST", VERSION ":sign", "Sign", "name", VERSION_NAME},
      {kSign, "POST", KEY ":signBatch", "BatchSign", "name", KEY_NAME},
      {kSign, "POST", VERSION ":signBatch", "BatchSign", "name", VERSION_NAME},
      {kSign, "POST", KEY ":encrypt", "Encrypt", "name", KEY_NAME},
      {kSign, "POST", VERSION ":encrypt", "Encrypt", "name", VERSION_NAME},
      {kSign, "POST", KEY ":decrypt", "Decrypt", "name", KEY_NAME},
      {kSign, "POST", VERSION ":decrypt", "Decrypt", "name", VERSION_NAME},

      {kAuthority, "POST", TENANT "/authorities", "CreateAuthority", "parent", TENANT_NAME},
      {kAuthority, "POST", TENANT "/authorities:import", "ImportAuthority", "parent", TENANT_NAME},
      {kAuthority, "GET", TENANT "/authorities", "ListAuthorities", "parent", TENANT_NAME},
      {kAuthority, "GET", AUTHORITY, "GetAuthority", "name", AUTHORITY_NAME},
      {kAuthority, "PATCH", AUTHORITY, "UpdateAuthority", "authority.name", AUTHORITY_NAME},
      {kAuthority, "POST", AUTHORITY ":crossSign", "CrossSignAuthority", "name", AUTHORITY_NAME},
      {kAuthority, "POST", AUTHORITY ":export", "ExportAuthority", "name", AUTHORITY_NAME},
      {kAuthority, "POST", AUTHORITY ":rotateOcspSigner", "RotateOcspSigner", "name",
       AUTHORITY_NAME},
      {kAuthority, "GET", AUTHORITY "/crl", "GetCrl", "name", AUTHORITY_NAME},
      {kAuthority, "POST", AUTHORITY ":publishCrls", "PublishCrls", "name", AUTHORITY_NAME},

      {kCertificate, "POST", AUTHORITY "/certificates", "IssueCertificate", "parent",
       AUTHORITY_NAME},
      {kCertificate, "POST", AUTHORITY "/certificates:batchIssue", "BatchIssueCertificates",
       "parent", AUTHORITY_NAME},
      {kCertificate, "GET", TENANT "/certificates", "ListCertificates", "parent", TENANT_NAME},
      {kCertificate, "GET", CERTIFICATE, "GetCertificate", "name", CERTIFICATE_NAME},
      {kCertificate, "POST", CERTIFICATE ":revoke", "RevokeCertificate", "name", CERTIFICATE_NAME},
      {kCertificate, "POST", CERTIFICATE ":release", "ReleaseCertificate", "name",
       CERTIFICATE_NAME},
      {kCertificate, "POST", TENANT "/certificates:batchRevoke", "BatchRevokeCertificates",
       "parent", TENANT_NAME},
      {kCertificate, "POST", TENANT "/certificates:bulkUpdate", "BulkUpdateCertificates", "parent",
       TENANT_NAME},
      {kCertificate, "POST", TENANT "/certificates:import", "ImportCertificates", "parent",
       TENANT_NAME},

      {kIssuance, "POST", TENANT "/issuances", "EnqueueIssuance", "parent", TENANT_NAME},
      {kIssuance, "POST", TENANT "/issuances:batchEnqueue", "BatchEnqueueIssuances", "parent",
       TENANT_NAME},
      {kIssuance, "GET", TENANT "/issuances", "ListIssuances", "parent", TENANT_NAME},
      {kIssuance, "GET", ISSUANCE, "GetIssuance", "name", ISSUANCE_NAME},
      {kIssuance, "POST", ISSUANCE ":cancel", "CancelIssuance", "name", ISSUANCE_NAME},
      {kIssuance, "POST", ISSUANCE ":retry", "RetryIssuance", "name", ISSUANCE_NAME},
      {kIssuance, "GET", TENANT "/issuanceQueue", "GetQueue", "parent", TENANT_NAME},
      {kIssuance, "POST", TENANT "/renewals", "StartRenewal", "parent", TENANT_NAME},
      {kIssuance, "GET", RENEWAL, "GetRenewal", "name", RENEWAL_NAME},
      {kIssuance, "POST", RENEWAL ":retry", "RetryRenewal", "name", RENEWAL_NAME},
      {kIssuance, "POST", TENANT "/upstreams", "CreateUpstream", "parent", TENANT_NAME},
      {kIssuance, "GET", TENANT "/upstreams", "ListUpstreams", "parent", TENANT_NAME},
      {kIssuance, "DELETE", TENANT "/upstreams/{upstream}", "DeleteUpstream", "name",
       TENANT_NAME "/upstreams/{upstream}"},

      {kOcsp, "GET", AUTHORITY "/certificateStatus", "GetCertificateStatus", "authority",
       AUTHORITY_NAME},
      {kOcsp, "POST", "/ocsp:respond", "Respond", "", ""},
      {kOcsp, "GET", "/ocsp/responder", "GetResponder", "", ""},

      {kVerify, "POST", "/verify/signature", "VerifySignature", "", ""},
      {kVerify, "POST", "/verify/signatures", "BatchVerifySignatures", "", ""},
      {kVerify, "POST", "/verify/bundle", "VerifyBundle", "", ""},
      {kVerify, "POST", "/verify/tlogProof", "VerifyTlogProof", "", ""},
      {kVerify, "POST", "/verify/attestation", "VerifyAttestation", "", ""},

      {kLedger, "GET", TENANT "/logs", "ListLogs", "parent", TENANT_NAME},
      {kLedger, "GET", LOG, "GetLog", "name", LOG_NAME},
      {kLedger, "POST", LOG "/entries", "AppendEntry", "log", LOG_NAME},
      {kLedger, "POST", LOG "/entries:batchAppend", "BatchAppendEntries", "log", LOG_NAME},
      {kLedger, "GET", LOG "/entries", "ListEntries", "log", LOG_NAME},
      {kLedger, "GET", LOG "/entries/{index}", "GetEntry", "name", LOG_NAME "/entries/{index}"},
      {kLedger, "GET", LOG "/inclusionProof", "GetInclusionProof", "log", LOG_NAME},
      {kLedger, "POST", LOG "/inclusionProofs:batchGet", "BatchGetInclusionProofs", "log",
       LOG_NAME},
      {kLedger, "GET", LOG "/consistencyProof", "GetConsistencyProof", "log", LOG_NAME},
      {kLedger, "POST", LOG "/consistencyProofs:batchGet", "BatchGetConsistencyProofs", "log",
       LOG_NAME},
      {kLedger, "GET", LOG "/checkpoint", "GetCheckpoint", "log", LOG_NAME},
  };
  return *routes;
}

Backend BackendOf(Service service) {
  switch (service) {
    case Service::kSign:
    case Service::kAuthority:
    case Service::kCertificate:
    case Service::kIssuance:
      return Backend::kSign;
    case Service::kVerify:
      return Backend::kVerify;
    case Service::kLedger:
      return Backend::kLedger;
    case Service::kOcsp:
      break;
  }
  return Backend::kOcsp;
}

absl::string_view BackendName(Backend backend) {
  switch (backend) {
    case Backend::kSign:
      return "sign";
    case Backend::kVerify:
      return "verify";
    case Backend::kLedger:
      return "ledger";
    case Backend::kOcsp:
      return "ocsp";
  }
  return "";
}

const google::protobuf::MethodDescriptor* FindMethod(Service service, absl::string_view rpc) {
  return Descriptor(service)->FindMethodByName(std::string(rpc));
}

}  // namespace countersign::gateway
