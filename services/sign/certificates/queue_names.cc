#include "services/sign/certificates/queue_names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

constexpr size_t kMaxIdLength = 128;

bool ValidId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxIdLength && std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

}  // namespace

std::string FormatResourceName(absl::string_view tenant, absl::string_view collection,
                               absl::string_view id) {
  return absl::StrCat("tenants/", tenant, "/", collection, "/", id);
}

absl::StatusOr<ResourceId> ParseResourceName(absl::string_view field, absl::string_view name,
                                             absl::string_view collection) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() == 4 && parts[2] == collection && ValidId(parts[3])) {
    const auto tenant = ParseTenantName(field, absl::StrCat(parts[0], "/", parts[1]));
    if (tenant.ok()) return ResourceId{*tenant, std::string(parts[3])};
  }
  return FieldError(
      field, absl::StrCat("expected tenants/{tenant}/", collection, "/{",
                          collection.substr(0, collection.size() - 1), "}, not \"", name, "\""));
}

std::string UuidOf(absl::string_view name) {
  auto digest = crypto::Sha256(name);
  digest[6] = static_cast<uint8_t>((digest[6] & 0x0f) | 0x80);
  digest[8] = static_cast<uint8_t>((digest[8] & 0x3f) | 0x80);
  const std::string hex = base::HexEncode(base::AsBytes(digest).substr(0, 16));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

}  // namespace countersign::sign
