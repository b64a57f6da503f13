#include "services/yubikey-agent/sub_key.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "libs/pki/name.h"
#include "libs/pki/oid.h"
#include "libs/runtime/field_error.h"

namespace countersign::yubikey {
namespace {

constexpr absl::Duration kMinLifetime = absl::Seconds(60);
constexpr absl::Duration kMaxLifetime = absl::Hours(24);
constexpr size_t kMaxNameBytes = 256;

bool IsId(absl::string_view id) {
  return !id.empty() && id.size() <= 63 && absl::ascii_islower(id[0]) &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
         });
}

}  // namespace

absl::Status CheckSubKeySpec(const SubKeySpec& spec) {
  if (!IsId(spec.id)) {
    return runtime::FieldError("sub_key_id", "must be 1 to 63 of a-z 0-9 -, the first a letter");
  }
  if (spec.card_key.empty() == spec.authority.empty()) {
    return runtime::FieldError("sub_key", "needs either card_key or authority");
  }
  if (spec.card_key.size() > kMaxNameBytes)
    return runtime::FieldError("sub_key.card_key", "is too long");
  if (!spec.authority.empty() &&
      (spec.authority.size() > kMaxNameBytes || !absl::StartsWith(spec.authority, "tenants/") ||
       !absl::StrContains(spec.authority, "/authorities/"))) {
    return runtime::FieldError("sub_key.authority",
                               "must be tenants/{tenant}/authorities/{authority}");
  }
  switch (spec.algorithm) {
    case crypto::Algorithm::kEd25519:
    case crypto::Algorithm::kEcdsaP256Sha256:
      break;
    case crypto::Algorithm::kHpkeX25519:
      if (spec.card_key.empty()) {
        return runtime::FieldError("sub_key.algorithm", "HPKE_X25519 needs a card_key");
      }
      break;
    default:
      return runtime::FieldError("sub_key.algorithm",
                                 "must be ED25519, ECDSA_P256_SHA256 or HPKE_X25519");
  }
  pki::Name name;
  name.rdns = {{{std::string(pki::kOidCommonName), spec.common_name}}};
  if (spec.common_name.empty() || !pki::CheckBounds(name).ok()) {
    return runtime::FieldError("sub_key.common_name", "must be 1 to 64 characters");
  }
  if (spec.lifetime < kMinLifetime || spec.lifetime > kMaxLifetime) {
    return runtime::FieldError("sub_key.lifetime_seconds", "must be 60 to 86400");
  }
  if (spec.max_uses < 0) return runtime::FieldError("sub_key.max_uses", "must not be negative");
  if (spec.log_certificates && spec.authority.empty()) {
    return runtime::FieldError("sub_key.log_certificates", "needs an authority");
  }
  return absl::OkStatus();
}

bool SubKeyGeneration::Take(int64_t count) {
  if (max_uses_ == 0) {
    uses_.fetch_add(count, std::memory_order_relaxed);
    return true;
  }
  int64_t uses = uses_.load(std::memory_order_relaxed);
  while (count <= max_uses_ - uses) {
    if (uses_.compare_exchange_weak(uses, uses + count, std::memory_order_relaxed)) return true;
  }
  return false;
}

}  // namespace countersign::yubikey
