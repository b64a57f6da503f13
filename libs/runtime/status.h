// The one map between absl::Status, which the suite speaks, and grpc::Status, which travels.
#ifndef COUNTERSIGN_LIBS_RUNTIME_STATUS_H_
#define COUNTERSIGN_LIBS_RUNTIME_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/runtime/error_details.h"

namespace grpc {
class Status;
}

namespace countersign::runtime {

// The same code and message. A failure carries a google.rpc.Status in grpc-status-details-bin: its
// ErrorInfo (reason attached, else the code's name), RetryInfo when attached, and other payloads
// whose type URL begins with "type.googleapis.com/". Messages longer than 2 KiB are cut, so that
// they fit into HTTP/2 trailers.
grpc::Status ToGrpcStatus(const absl::Status& status);

// The inverse; details become payloads again. A code that gRPC does not define becomes kUnknown.
absl::Status FromGrpcStatus(const grpc::Status& status);

// The name metrics and logs use: "OK", "InvalidArgument", …; "Unknown" for an undefined code.
absl::string_view GrpcCodeName(int code);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_STATUS_H_
