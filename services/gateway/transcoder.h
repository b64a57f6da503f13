// Between HTTP with JSON and one RPC's messages in bytes (protobuf's JSON mapping).
#ifndef COUNTERSIGN_SERVICES_GATEWAY_TRANSCODER_H_
#define COUNTERSIGN_SERVICES_GATEWAY_TRANSCODER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/gateway/routes.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace countersign::http {
struct Request;
}

namespace countersign::gateway {

// Immutable, hence thread-safe.
class Transcoder {
 public:
  // InvalidArgument when the route names a method or a field that does not exist.
  static absl::StatusOr<Transcoder> Create(const RpcRoute& route);

  // "/package.Service/Method".
  const std::string& rpc_path() const { return rpc_path_; }

  // The RPC's request. What is wrong with the client's request is InvalidArgument with a
  // google.rpc.BadRequest payload that names the field where one is to blame; a body of another
  // type than JSON gives the status that IsUnsupportedMediaType knows.
  absl::StatusOr<std::string> ToRpc(const http::Request& request) const;

  // The RPC's response as JSON: lowerCamel names, bytes in base64, 64-bit numbers as strings,
  // fields printed even when they are zero. Internal when `response` is not of the RPC's type.
  absl::StatusOr<std::string> ToJson(const std::string& response) const;

 private:
  Transcoder() = default;

  absl::Status Bind(const http::Request& request, google::protobuf::Message* message) const;
  absl::Status ReadQuery(const http::Request& request, google::protobuf::Message* message) const;

  std::string rpc_path_;
  bool query_ = false;  // other fields come from the query, not from a body
  std::vector<const google::protobuf::FieldDescriptor*> field_;
  std::string field_name_;
  std::string value_;
  const google::protobuf::Message* request_ = nullptr;  // prototypes
  const google::protobuf::Message* response_ = nullptr;
};

bool IsUnsupportedMediaType(const absl::Status& status);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_SERVICES_GATEWAY_TRANSCODER_H_
