#include "libs/bundle/trust.h"

#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/strict_json.h"
#include "libs/note/policy.h"

namespace countersign::bundle {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr absl::string_view kTrustedRootMediaType =
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

absl::StatusOr<TrustedSigner> ParseSigner(const json& signer, const std::string& where) {
  if (!signer.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(where, " is not an object"));
  }
  ASSIGN_OR_RETURN(std::string name, TextMember(signer, "name", where));
  ASSIGN_OR_RETURN(const std::string pem, TextMember(signer, "publicKey", where));
  absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromPem(pem);
  if (!key.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ".publicKey is not a key in PEM: ", key.status().message()));
  }
  return TrustedSigner{std::move(name), *std::move(key)};
}

}  // namespace

absl::StatusOr<TrustPolicy> TrustPolicy::Create(absl::string_view policy_text,
                                                std::vector<TrustedSigner> signers) {
  absl::StatusOr<note::Policy> policy = note::Policy::Parse(policy_text);
  if (!policy.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("policy: ", policy.status().message()));
  }
  if (policy->logs().empty()) return absl::InvalidArgumentError("the policy names no log");
  std::set<std::string> keys;
  for (const TrustedSigner& signer : signers) {
    if (signer.name.empty()) return absl::InvalidArgumentError("a signer has no name");
    if (!keys.insert(signer.key.spki_der()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("the key of signer ", signer.name, " is there twice"));
    }
  }
  TrustPolicy trust;
  trust.policy_text_ = policy->Format();
  trust.policy_ = std::make_shared<const note::Policy>(*std::move(policy));
  trust.signers_ = std::move(signers);
  return trust;
}

absl::StatusOr<TrustPolicy> TrustPolicy::Parse(absl::string_view text) {
  ASSIGN_OR_RETURN(const json root, ParseStrictJson(text));
  if (!root.is_object()) return absl::InvalidArgumentError("the trust file is not a JSON object");
  ASSIGN_OR_RETURN(const std::string media_type, TextMember(root, "mediaType", "trust file"));
  if (media_type != kTrustMediaType) {
    return absl::InvalidArgumentError(absl::StrCat("this is not a trust file: mediaType is \"",
                                                   media_type, "\", not \"", kTrustMediaType,
                                                   "\""));
  }
  ASSIGN_OR_RETURN(const json* lines, ArrayMember(root, "policy", "trust file"));
  std::string policy;
  for (size_t i = 0; lines != nullptr && i < lines->size(); ++i) {
    if (!(*lines)[i].is_string()) {
      return absl::InvalidArgumentError(absl::StrCat("policy[", i, "] is not a string"));
    }
    absl::StrAppend(&policy, (*lines)[i].get_ref<const std::string&>(), "\n");
  }
  ASSIGN_OR_RETURN(const json* signers, ArrayMember(root, "signers", "trust file"));
  std::vector<TrustedSigner> trusted;
  for (size_t i = 0; signers != nullptr && i < signers->size(); ++i) {
    ASSIGN_OR_RETURN(TrustedSigner signer,
                     ParseSigner((*signers)[i], absl::StrCat("signers[", i, "]")));
    trusted.push_back(std::move(signer));
  }
  return Create(policy, std::move(trusted));
}

std::string TrustPolicy::Format() const {
  ordered_json signers = ordered_json::array();
  for (const TrustedSigner& signer : signers_) {
    signers.push_back({{"name", signer.name}, {"publicKey", signer.key.ToPem()}});
  }
  ordered_json lines = ordered_json::array();
  for (absl::string_view line : absl::StrSplit(policy_text_, '\n', absl::SkipEmpty())) {
    lines.push_back(std::string(line));
  }
  const ordered_json root = {{"mediaType", std::string(kTrustMediaType)},
                             {"signers", std::move(signers)},
                             {"policy", std::move(lines)}};
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string TrustPolicy::SigstoreTrustedRoot() const {
  ordered_json logs = ordered_json::array();
  for (const note::PolicyLog& log : policy_->logs()) {
    const crypto::PublicKey& key = log.key.public_key();
    const bool ed25519 = log.key.type() == note::SignatureType::kEd25519;
    logs.push_back({{"baseUrl", absl::StrCat("https://", log.key.name())},
                    {"hashAlgorithm", "SHA2_256"},
                    {"publicKey",
                     {{"rawBytes", base::Base64Encode(key.spki_der())},
                      {"keyDetails", ed25519 ? "PKIX_ED25519" : "PKIX_ECDSA_P256_SHA_256"},
                      {"validFor", {{"start", "1970-01-01T00:00:00Z"}}}}},
                    {"logId", {{"keyId", base::Base64Encode(base::AsBytes(log.key.key_hash()))}}}});
  }
  const ordered_json root = {{"mediaType", std::string(kTrustedRootMediaType)},
                             {"tlogs", std::move(logs)},
                             {"certificateAuthorities", ordered_json::array()},
                             {"ctlogs", ordered_json::array()},
                             {"timestampAuthorities", ordered_json::array()}};
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

const TrustedSigner* TrustPolicy::FindSigner(absl::string_view spki_der) const {
  for (const TrustedSigner& signer : signers_) {
    if (signer.key.spki_der() == spki_der) return &signer;
  }
  return nullptr;
}

}  // namespace countersign::bundle
