// Request ids: what ties the log lines of one request together, across services.
#ifndef COUNTERSIGN_LIBS_RUNTIME_REQUEST_ID_H_
#define COUNTERSIGN_LIBS_RUNTIME_REQUEST_ID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace countersign::runtime {

inline constexpr char kRequestIdHeader[] = "x-request-id";

// A random UUID (version 4). Fast and unique, not unpredictable: never a secret. Thread-safe.
std::string NewRequestId();

// 1 to 128 letters, digits and "-_.:": what is accepted from a caller, since it ends up in logs.
bool ValidRequestId(absl::string_view id);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_REQUEST_ID_H_
