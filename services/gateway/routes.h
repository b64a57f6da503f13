// Which HTTP request is which RPC: the one table of the JSON API.
#ifndef COUNTERSIGN_SERVICES_GATEWAY_ROUTES_H_
#define COUNTERSIGN_SERVICES_GATEWAY_ROUTES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class MethodDescriptor;
}

namespace countersign::gateway {

// The backends of the JSON API.
enum class Backend { kSign, kVerify, kLedger };

struct RpcRoute {
  Backend backend;
  const char* method;   // HTTP
  const char* pattern;  // below /api/v1 (libs/http/router.h)
  const char* rpc;      // the method's name in the backend's service
  // The request's field (dots lead into messages) that the path gives, and its value as a template
  // of the pattern's parameters; both empty when the path gives none.
  const char* field;
  const char* value;
};

// GET routes take the request's other fields from the query, the others from a JSON body.
const std::vector<RpcRoute>& RpcRoutes();

// "sign", "verify", "ledger".
absl::string_view BackendName(Backend backend);

// "countersign.sign.v1.SignService".
std::string ServiceName(Backend backend);

// Null when the service has no such method.
const google::protobuf::MethodDescriptor* FindMethod(Backend backend, absl::string_view rpc);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_SERVICES_GATEWAY_ROUTES_H_
