// Resource names of the service (AIP-122) and its page tokens.
//
// Pure functions and values, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_NAMES_H_
#define COUNTERSIGN_SERVICES_SIGN_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::sign {

// `tenants/{tenant}/keys/{key}`, or with `/versions/{version}` when version is not 0.
struct KeyName {
  std::string tenant;
  std::string key;
  int64_t version = 0;

  std::string ToString() const;
  KeyName WithVersion(int64_t number) const { return {tenant, key, number}; }

  friend bool operator==(const KeyName& a, const KeyName& b) {
    return a.tenant == b.tenant && a.key == b.key && a.version == b.version;
  }
};

// What a name may be.
enum class Want { kKey, kVersion, kKeyOrVersion };

// InvalidArgument, naming `field`, for anything else than the one spelling of a name.
absl::StatusOr<KeyName> ParseKeyName(absl::string_view field, absl::string_view name, Want want);

// The {tenant} of `tenants/{tenant}`; InvalidArgument, naming `field`, otherwise.
absl::StatusOr<std::string> ParseTenantName(absl::string_view field, absl::string_view name);

// 1 to 63 characters of a-z 0-9 -, beginning with a letter.
bool ValidKeyId(absl::string_view id);

// A UUID in its 36-character form.
bool ValidRequestId(absl::string_view id);

// An opaque token: where the page ended, tied to what is listed. `scope` is all of the request that
// has to stay the same from page to page.
std::string MakePageToken(absl::string_view scope, absl::string_view last);

// What `last` was; empty for an empty token. InvalidArgument for a token of another scope.
absl::StatusOr<std::string> ParsePageToken(absl::string_view scope, absl::string_view token);

// The number of items in a page: 0 means 100, more than 1,000 is taken as 1,000. InvalidArgument
// when it is negative.
absl::StatusOr<int64_t> PageSize(int32_t requested);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_NAMES_H_
