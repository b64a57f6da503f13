// DSSE: what the signature over an envelope covers (the DSSE v1 protocol).
#ifndef COUNTERSIGN_LIBS_BUNDLE_DSSE_H_
#define COUNTERSIGN_LIBS_BUNDLE_DSSE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace countersign::bundle {

// "DSSEv1" SP length(type) SP type SP length(payload) SP payload: ASCII decimal lengths in bytes,
// the payload as it is (not base64).
std::string PreAuthEncoding(absl::string_view payload_type, absl::string_view payload);

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_DSSE_H_
