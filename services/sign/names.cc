#include "services/sign/names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

constexpr size_t kMaxIdLength = 63;
constexpr size_t kScopeBytes = 8;

bool ValidId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxIdLength && std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

absl::string_view Shape(Want want) {
  switch (want) {
    case Want::kKey:
      return "tenants/{tenant}/keys/{key}";
    case Want::kVersion:
      return "tenants/{tenant}/keys/{key}/versions/{n}";
    case Want::kKeyOrVersion:
      return "tenants/{tenant}/keys/{key} or tenants/{tenant}/keys/{key}/versions/{n}";
  }
  return "";
}

std::string ScopeTag(absl::string_view scope) {
  const auto digest = crypto::Sha256(scope);
  return std::string(base::AsBytes(digest).substr(0, kScopeBytes));
}

}  // namespace

std::string KeyName::ToString() const {
  if (version == 0) return absl::StrCat("tenants/", tenant, "/keys/", key);
  return absl::StrCat("tenants/", tenant, "/keys/", key, "/versions/", version);
}

bool ValidKeyId(absl::string_view id) { return ValidId(id) && absl::ascii_islower(id[0]); }

absl::StatusOr<KeyName> ParseKeyName(absl::string_view field, absl::string_view name, Want want) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  const bool has_version = parts.size() == 6;
  bool ok = (parts.size() == 4 && want != Want::kVersion) || (has_version && want != Want::kKey);
  ok = ok && parts[0] == "tenants" && ValidId(parts[1]) && parts[2] == "keys" &&
       ValidKeyId(parts[3]);
  KeyName result;
  if (ok && has_version) {
    ok = parts[4] == "versions" && !parts[5].empty() && absl::ascii_isdigit(parts[5][0]) &&
         parts[5][0] != '0' && absl::SimpleAtoi(parts[5], &result.version);
  }
  if (!ok) {
    return FieldError(field, absl::StrCat("expected ", Shape(want), ", not \"", name, "\""));
  }
  result.tenant = std::string(parts[1]);
  result.key = std::string(parts[3]);
  return result;
}

absl::StatusOr<std::string> ParseTenantName(absl::string_view field, absl::string_view name) {
  absl::string_view tenant = name;
  if (!absl::ConsumePrefix(&tenant, "tenants/") || !ValidId(tenant)) {
    return FieldError(field, absl::StrCat("expected tenants/{tenant}, not \"", name, "\""));
  }
  return std::string(tenant);
}

bool ValidRequestId(absl::string_view id) {
  if (id.size() != 36) return false;
  for (size_t i = 0; i < id.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? id[i] != '-' : !absl::ascii_isxdigit(id[i])) return false;
  }
  return true;
}

std::string MakePageToken(absl::string_view scope, absl::string_view last) {
  return base::HexEncode(absl::StrCat(ScopeTag(scope), last));
}

absl::StatusOr<std::string> ParsePageToken(absl::string_view scope, absl::string_view token) {
  if (token.empty()) return std::string();
  const absl::StatusOr<std::string> bytes = base::HexDecode(token);
  if (!bytes.ok() || bytes->size() <= kScopeBytes ||
      bytes->substr(0, kScopeBytes) != ScopeTag(scope)) {
    return FieldError("page_token", "not a token that this list answered; start without one");
  }
  return bytes->substr(kScopeBytes);
}

absl::StatusOr<int64_t> PageSize(int32_t requested) {
  if (requested < 0) return FieldError("page_size", "must not be negative");
  return requested == 0 ? 100 : std::min<int64_t>(requested, 1000);
}

}  // namespace countersign::sign
