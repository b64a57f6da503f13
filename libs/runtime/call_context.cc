#include "libs/runtime/call_context.h"

#include "absl/strings/string_view.h"
#include "libs/runtime/request_id.h"

namespace countersign::runtime {

const std::string& CallContext::request_id() const {
  std::call_once(request_id_once_, [this] {
    const auto sent = client_metadata().find(kRequestIdHeader);
    const absl::string_view id = sent == client_metadata().end()
                                     ? absl::string_view()
                                     : absl::string_view(sent->second.data(), sent->second.size());
    request_id_ = ValidRequestId(id) ? std::string(id) : NewRequestId();
  });
  return request_id_;
}

}  // namespace countersign::runtime
