#include "services/yubikey-agent/callers.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/random.h"
#include "libs/piv/attestation.h"
#include "libs/runtime/error_details.h"

namespace countersign::yubikey {
namespace {

// More certificates than lie between a card's key and any root.
constexpr size_t kMaxAttestation = 8;

// How the contract wants a key of this type to sign.
absl::StatusOr<crypto::Algorithm> AlgorithmOf(const crypto::PublicKey& key) {
  if (key.type() == crypto::KeyType::kEd25519) return crypto::Algorithm::kEd25519;
  return key.DefaultAlgorithm();
}

bool Holds(const crypto::PublicKey& key, absl::string_view message, absl::string_view signature) {
  const absl::StatusOr<crypto::Algorithm> algorithm = AlgorithmOf(key);
  if (!algorithm.ok()) return false;
  const absl::StatusOr<bool> valid = key.VerifyMessage(*algorithm, message, signature);
  return valid.ok() && *valid;
}

bool IsLess(const Caller& now, const Caller& before) {
  return !now.SameProofs(before) || !now.scope->Includes(*before.scope) ||
         now.max_lifetime < before.max_lifetime;
}

}  // namespace

absl::Status Callers::Refused() {
  return runtime::AttachReason(
      absl::UnauthenticatedError("no such caller, or the proof does not hold"), "PROOF_INVALID");
}

absl::StatusOr<std::unique_ptr<Callers>> Callers::Open(Options options) {
  ASSIGN_OR_RETURN(const crypto::PrivateKey stand_in,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  std::unique_ptr<Callers> callers(new Callers(std::move(options), stand_in.public_key()));
  RETURN_IF_ERROR(callers->Refresh());
  return callers;
}

Callers::Stamp Callers::StampOf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return {};
  return {.modified_ns =
              static_cast<int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec,
          .inode = info.st_ino,
          .size = info.st_size};
}

absl::Status Callers::Refresh() {
  base::MutexLock lock(&refresh_mutex_);
  const Stamp stamp = StampOf(options_.path);
  if (stamp == stamp_ && stamp.size >= 0) return loaded_;
  absl::Status loaded = Load();
  if (!loaded.ok() && (loaded != loaded_ || !(stamp == stamp_))) {
    base::Log(base::Severity::kError, "the callers stay as they were: their file is of no use",
              {{"error", loaded.ToString()}});
  }
  stamp_ = stamp;
  loaded_ = std::move(loaded);
  return loaded_;
}

absl::Status Callers::Load() {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(options_.path));
  absl::StatusOr<std::vector<Caller>> callers = ParseCallers(text);
  if (!callers.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options_.path, ": ", callers.status().message()));
  }
  const std::shared_ptr<const Registered> before = registered();
  auto fresh = std::make_shared<Registered>();
  for (Caller& caller : *callers) {
    std::shared_ptr<const Caller> entry = before->Find(caller.name);
    // What did not change stays the same object: sessions being opened for it are not refused.
    if (entry == nullptr || IsLess(caller, *entry) || IsLess(*entry, caller)) {
      entry = std::make_shared<Caller>(std::move(caller));
    }
    if (entry->key.has_value()) fresh->keys.push_back(*entry->key);
    fresh->by_name.emplace(entry->name, entry);
  }
  std::vector<std::string> lost;
  for (const auto& [name, caller] : before->by_name) {
    const std::shared_ptr<const Caller> now = fresh->Find(name);
    if (now == nullptr || IsLess(*now, *caller)) lost.push_back(name);
  }
  {
    base::MutexLock lock(&mutex_);
    registered_ = std::move(fresh);
  }
  for (const std::string& name : lost) {
    if (options_.on_lost) options_.on_lost(name);
  }
  return absl::OkStatus();
}

std::shared_ptr<const Caller> Callers::Registered::Find(absl::string_view name) const {
  const auto it = by_name.find(name);
  return it == by_name.end() ? nullptr : it->second;
}

std::shared_ptr<const Callers::Registered> Callers::registered() const {
  base::MutexLock lock(&mutex_);
  return registered_;
}

bool Callers::IsCurrent(const std::shared_ptr<const Caller>& caller) const {
  return registered()->Find(caller->name) == caller;
}

absl::StatusOr<std::shared_ptr<const Caller>> Callers::VerifyApiKey(
    absl::string_view name, absl::string_view api_key) const {
  const std::string hash(base::AsBytes(crypto::Sha256(api_key)));
  const std::shared_ptr<const Caller> caller = registered()->Find(name);
  const bool has = caller != nullptr && !caller->api_key_hash.empty();
  const std::string nobodys(hash.size(), '\0');
  const bool equal = crypto::ConstantTimeEquals(hash, has ? caller->api_key_hash : nobodys);
  if (!has || !equal) return Refused();
  return caller;
}

const crypto::PublicKey& Callers::StandIn(const Registered& now, absl::string_view name) const {
  if (now.keys.empty()) return stand_in_;
  return now.keys[absl::Hash<absl::string_view>()(name) % now.keys.size()];
}

bool Callers::IsServed(const crypto::PublicKey& key) const {
  return options_.is_served && options_.is_served(key.Fingerprint());
}

absl::StatusOr<std::shared_ptr<const Caller>> Callers::VerifySignature(
    absl::string_view name, absl::string_view message, absl::string_view signature,
    absl::Span<const std::string> attestation) const {
  const std::shared_ptr<const Registered> now = registered();
  const std::shared_ptr<const Caller> caller = now->Find(name);
  if (attestation.empty()) {
    const bool has = caller != nullptr && caller->key.has_value();
    const bool holds = Holds(has ? *caller->key : StandIn(*now, name), message, signature);
    if (!has || !holds || IsServed(*caller->key)) return Refused();
    return caller;
  }
  if (attestation.size() > kMaxAttestation) return Refused();
  const absl::StatusOr<piv::Attestation> facts =
      piv::VerifyAttestation(attestation.front(), attestation.subspan(1),
                             options_.attestation_roots, options_.clock->Now());
  if (!facts.ok()) return Refused();
  const absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromSpkiDer(facts->spki_der);
  if (!key.ok() || !Holds(*key, message, signature) || IsServed(*key)) return Refused();
  if (caller == nullptr || caller->card_serial == 0 || caller->card_serial != facts->serial) {
    return Refused();
  }
  return caller;
}

}  // namespace countersign::yubikey
