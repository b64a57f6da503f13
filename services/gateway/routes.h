// Which HTTP request is which RPC: the one table of the JSON API.
#ifndef COUNTERSIGN_SERVICES_GATEWAY_ROUTES_H_
#define COUNTERSIGN_SERVICES_GATEWAY_ROUTES_H_

#include <vector>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class MethodDescriptor;
}

namespace countersign::gateway {

// The processes behind the JSON API.
enum class Backend { kSign, kVerify, kLedger, kOcsp };

// The gRPC services that they host.
enum class Service { kSign, kAuthority, kCertificate, kIssuance, kVerify, kLedger, kOcsp };

struct RpcRoute {
  Service service;
  const char* method;   // HTTP
  const char* pattern;  // below /api/v1 (libs/http/router.h)
  const char* rpc;      // the method's name in the service
  // The request's field (dots lead into messages) that the path gives, and its value as a template
  // of the pattern's parameters; both empty when the path gives none.
  const char* field;
  const char* value;
};

// GET routes take the request's other fields from the query ("filter.ownerTeam=ops" leads into a
// message), the others from a JSON body.
const std::vector<RpcRoute>& RpcRoutes();

// The process that hosts a service.
Backend BackendOf(Service service);

// "sign", "verify", "ledger", "ocsp".
absl::string_view BackendName(Backend backend);

// Null when the service has no such method.
const google::protobuf::MethodDescriptor* FindMethod(Service service, absl::string_view rpc);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_SERVICES_GATEWAY_ROUTES_H_
