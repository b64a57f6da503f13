#include "services/gateway/routes.h"

#include <google/protobuf/descriptor.h>

#include "countersign/ledger/v1/ledger.pb.h"
#include "countersign/sign/v1/sign.pb.h"
#include "countersign/verify/v1/verify.pb.h"

namespace countersign::gateway {
namespace {

constexpr Backend kSign = Backend::kSign;
constexpr Backend kVerify = Backend::kVerify;
constexpr Backend kLedger = Backend::kLedger;

#define TENANT "/tenants/{tenant}"
#define KEY TENANT "/keys/{key}"
#define VERSION KEY "/versions/{version}"
#define LOG TENANT "/logs/{log}"
#define TENANT_NAME "tenants/{tenant}"
#define KEY_NAME "tenants/{tenant}/keys/{key}"
#define VERSION_NAME "tenants/{tenant}/keys/{key}/versions/{version}"
#define LOG_NAME "tenants/{tenant}/logs/{log}"

const google::protobuf::ServiceDescriptor* Service(Backend backend) {
  // Naming a message of each file also keeps the linker from dropping it.
  switch (backend) {
    case Backend::kSign:
      return sign::v1::SignRequest::descriptor()->file()->FindServiceByName("SignService");
    case Backend::kVerify:
      return verify::v1::VerifyBundleRequest::descriptor()->file()->FindServiceByName(
          "VerifyService");
    case Backend::kLedger:
      return ledger::v1::GetLogRequest::descriptor()->file()->FindServiceByName("LedgerService");
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

      {kVerify, "POST", "/verify/signature", "VerifySignature", "", ""},
      {kVerify, "POST", "/verify/signatures", "BatchVerifySignatures", "", ""},
      {kVerify, "POST", "/verify/bundle", "VerifyBundle", "", ""},
      {kVerify, "POST", "/verify/tlogProof", "VerifyTlogProof", "", ""},

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

absl::string_view BackendName(Backend backend) {
  switch (backend) {
    case Backend::kSign:
      return "sign";
    case Backend::kVerify:
      return "verify";
    case Backend::kLedger:
      return "ledger";
  }
  return "";
}

std::string ServiceName(Backend backend) { return Service(backend)->full_name(); }

const google::protobuf::MethodDescriptor* FindMethod(Backend backend, absl::string_view rpc) {
  return Service(backend)->FindMethodByName(std::string(rpc));
}

}  // namespace countersign::gateway
