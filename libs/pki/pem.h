// PEM (RFC 7468): blocks of base64 between labels. Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PKI_PEM_H_
#define COUNTERSIGN_LIBS_PKI_PEM_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::pki {

struct PemBlock {
  std::string label;  // "CERTIFICATE"
  std::string der;
};

// Every block of `text`, in order; what stands between blocks is passed over. InvalidArgument when
// a block is malformed or has no end. No block at all is an empty list.
absl::StatusOr<std::vector<PemBlock>> ParsePem(absl::string_view text);

// One block, in lines of 64 characters, with a newline at its end.
std::string FormatPem(absl::string_view label, absl::string_view der);

// `bytes` as they are when they are no PEM, else the contents of its one block with this label
// ("NEW CERTIFICATE REQUEST" counts as "CERTIFICATE REQUEST"). InvalidArgument when there is none
// or more.
absl::StatusOr<std::string> DerFromDerOrPem(absl::string_view bytes, absl::string_view label);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_PEM_H_
