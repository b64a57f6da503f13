// Names of issuances, renewals and upstream authorities, `tenants/{tenant}/{collection}/{id}`
// (AIP-122).
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_QUEUE_NAMES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_QUEUE_NAMES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::sign {

// A resource by its tenant and the last part of its name.
struct ResourceId {
  std::string tenant;
  std::string id;

  friend bool operator==(const ResourceId& a, const ResourceId& b) {
    return a.tenant == b.tenant && a.id == b.id;
  }
  friend bool operator<(const ResourceId& a, const ResourceId& b) {
    return a.tenant != b.tenant ? a.tenant < b.tenant : a.id < b.id;
  }
};

std::string FormatResourceName(absl::string_view tenant, absl::string_view collection,
                               absl::string_view id);

// The parts of a name in `collection`: an id of 1 to 128 characters of a-z 0-9 -. InvalidArgument,
// naming `field`, for anything else.
absl::StatusOr<ResourceId> ParseResourceName(absl::string_view field, absl::string_view name,
                                             absl::string_view collection);

// A UUID that stands for `name` and nothing else (RFC 9562 version 8, of its SHA-256).
std::string UuidOf(absl::string_view name);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_QUEUE_NAMES_H_
