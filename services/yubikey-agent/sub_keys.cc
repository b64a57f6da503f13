#include "services/yubikey-agent/sub_keys.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/crypto/hpke.h"
#include "libs/runtime/error_details.h"
#include "services/yubikey-agent/sub_keys_impl.h"

namespace countersign::yubikey {
namespace {

// How long before a certificate's begin it is taken for one that the clock has not reached: less is
// clocks that differ.
constexpr absl::Duration kClockSlack = absl::Minutes(5);

absl::Status Useless(absl::string_view reason, const SubKeySpec& spec, absl::string_view why) {
  return runtime::AttachReason(absl::FailedPreconditionError(absl::StrCat(spec.Name(), " ", why)),
                               reason);
}

absl::Status NotFound(absl::string_view id) {
  return absl::NotFoundError(absl::StrCat("there is no subKeys/", id));
}

absl::Status CheckUse(const SubKeySpec& spec, SubKeys::Use use) {
  const bool decrypts = spec.algorithm == crypto::Algorithm::kHpkeX25519;
  if (use == SubKeys::Use::kDecrypt ? decrypts : !decrypts) {
    if (use == SubKeys::Use::kSignDigest && spec.algorithm == crypto::Algorithm::kEd25519) {
      return Useless("WRONG_ALGORITHM", spec, "is of Ed25519, which signs messages, not digests");
    }
    return absl::OkStatus();
  }
  return Useless("WRONG_ALGORITHM", spec, decrypts ? "decrypts, and signs nothing" : "signs only");
}

}  // namespace

SubKeyInfo SubKeys::Impl::Entry::Info() const {
  const SubKeyGeneration& current = *issued.front().generation;
  return {.spec = spec,
          .create_time = create_time,
          .generation = current.number(),
          .uses = current.uses(),
          .certificates = current.certificates(),
          .revoked = revoked};
}

std::vector<std::string> SubKeys::Impl::Entry::Untold() const {
  std::vector<std::string> names;
  for (const Issued& each : issued) {
    const std::string& name = each.generation->certificates().inventory_name;
    if (!name.empty() && !each.revoked) names.push_back(name);
  }
  return names;
}

void SubKeys::Impl::Entry::SetRevoked(const std::string& inventory_name) {
  for (Issued& each : issued) {
    if (each.generation->certificates().inventory_name == inventory_name) each.revoked = true;
  }
}

std::shared_ptr<void> SubKeys::Impl::Begin() {
  {
    base::MutexLock lock(&pending_->mutex);
    ++pending_->count;
  }
  return std::shared_ptr<void>(nullptr, [pending = pending_](void*) {
    base::MutexLock lock(&pending->mutex);
    if (--pending->count == 0) pending->none.NotifyAll();
  });
}

SubKeys::Impl::EntryPtr SubKeys::Impl::Find(absl::string_view id) const {
  base::MutexLock lock(&mutex_);
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : it->second;
}

std::vector<SubKeys::Impl::EntryPtr> SubKeys::Impl::All() const {
  base::MutexLock lock(&mutex_);
  std::vector<EntryPtr> all;
  all.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) all.push_back(entry);
  return all;
}

bool SubKeys::Impl::MakeRoom() {
  if (entries_.size() < options_.capacity) return true;
  const absl::Time now = options_.clock->Now();
  absl::erase_if(entries_, [now](const auto& item) {
    base::MutexLock lock(&item.second->mutex);
    return item.second->Ended(now);
  });
  return entries_.size() < options_.capacity;
}

void SubKeys::Impl::Create(SubKeySpec spec, absl::Time deadline, Done done) {
  if (const absl::Status valid = CheckSubKeySpec(spec); !valid.ok()) return done(valid);
  auto entry = std::make_shared<Entry>(std::move(spec));
  absl::StatusOr<crypto::PrivateKey> made = crypto::PrivateKey::Generate(entry->spec.algorithm);
  if (!made.ok()) return done(made.status());
  absl::Status refused;
  {
    // Its place is taken from now on: of two of one id, one is certified.
    base::MutexLock lock(&mutex_);
    if (entries_.contains(entry->spec.id)) {
      refused = absl::AlreadyExistsError(absl::StrCat("there is a ", entry->spec.Name()));
    } else if (!MakeRoom()) {
      refused = absl::ResourceExhaustedError(absl::StrCat(
          "there are ", options_.capacity, " sub-keys; revoke those that are not needed"));
    } else {
      entries_.emplace(entry->spec.id, entry);
    }
  }
  if (!refused.ok()) return done(refused);
  auto key = std::make_shared<crypto::PrivateKey>(*std::move(made));
  const crypto::PrivateKey& certified = *key;
  options_.issuer->Issue(entry->spec, certified, deadline,
                         [this, entry, key = std::move(key), done = std::move(done),
                          pending = Begin()](absl::StatusOr<SubKeyCertificates> certificates) {
                           Created(entry, key, std::move(certificates), done);
                         });
}

void SubKeys::Impl::Created(const EntryPtr& entry, std::shared_ptr<crypto::PrivateKey> key,
                            absl::StatusOr<SubKeyCertificates> certificates, const Done& done) {
  if (!certificates.ok()) {
    certification_failures_->Increment();
    {
      base::MutexLock lock(&mutex_);
      entries_.erase(entry->spec.id);
    }
    return done(certificates.status());
  }
  certified_->Increment();
  SubKeyInfo info;
  {
    base::MutexLock lock(&entry->mutex);
    entry->create_time = options_.clock->Now();
    entry->issued.push_back(
        {.generation = std::make_shared<SubKeyGeneration>(
             1, std::move(*key), *std::move(certificates), entry->spec.max_uses),
         .next_check = entry->create_time + kInventoryInterval});
    info = entry->Info();
  }
  done(std::move(info));
}

absl::StatusOr<SubKeyInfo> SubKeys::Impl::Get(absl::string_view id) const {
  const EntryPtr entry = Find(id);
  if (entry == nullptr) return NotFound(id);
  base::MutexLock lock(&entry->mutex);
  if (entry->issued.empty()) return NotFound(id);
  return entry->Info();
}

std::vector<SubKeyInfo> SubKeys::Impl::List() const {
  std::vector<SubKeyInfo> list;
  for (const EntryPtr& entry : All()) {
    base::MutexLock lock(&entry->mutex);
    if (!entry->issued.empty()) list.push_back(entry->Info());
  }
  std::sort(list.begin(), list.end(),
            [](const SubKeyInfo& a, const SubKeyInfo& b) { return a.spec.id < b.spec.id; });
  return list;
}

void SubKeys::Impl::Tell(const EntryPtr& entry, std::vector<std::string> names, absl::Time deadline,
                         std::function<void(absl::Status)> done) {
  struct Telling {
    base::Mutex mutex;
    size_t left ABSL_GUARDED_BY(mutex);
    absl::Status status ABSL_GUARDED_BY(mutex);
    std::function<void(absl::Status)> done;
  };
  if (names.empty()) return done(absl::OkStatus());
  auto telling = std::make_shared<Telling>();
  {
    base::MutexLock lock(&telling->mutex);
    telling->left = names.size();
  }
  telling->done = std::move(done);
  for (const std::string& name : names) {
    options_.authority->Revoke(
        name, deadline, [this, entry, name, telling, pending = Begin()](const absl::Status& told) {
          if (told.ok()) {
            base::MutexLock lock(&entry->mutex);
            entry->SetRevoked(name);
          } else {
            inventory_failures_->Increment();
          }
          absl::Status status;
          {
            base::MutexLock lock(&telling->mutex);
            telling->status.Update(told);
            if (--telling->left > 0) return;
            status = telling->status;
          }
          telling->done(status);
        });
  }
}

void SubKeys::Impl::Revoke(absl::string_view id, absl::Time deadline, Done done) {
  const EntryPtr entry = Find(id);
  if (entry == nullptr) return done(NotFound(id));
  std::vector<std::string> untold;
  {
    base::MutexLock lock(&entry->mutex);
    if (!entry->issued.empty()) {
      entry->revoked = true;
      untold = entry->Untold();
    }
  }
  Tell(entry, std::move(untold), deadline, [entry, done = std::move(done)](absl::Status told) {
    if (!told.ok()) {
      return done(absl::UnavailableError(absl::StrCat(
          entry->spec.Name(),
          " is of no use any more, but the sign service could not be told: ", told.message())));
    }
    absl::StatusOr<SubKeyInfo> info = NotFound(entry->spec.id);
    {
      base::MutexLock lock(&entry->mutex);
      if (!entry->issued.empty()) info = entry->Info();
    }
    done(std::move(info));
  });
}

absl::StatusOr<std::shared_ptr<const SubKeyGeneration>> SubKeys::Impl::Take(absl::string_view id,
                                                                            Use use,
                                                                            int64_t count) {
  const EntryPtr entry = Find(id);
  if (entry == nullptr) return NotFound(id);
  Generation current;
  bool revoked = false;
  bool on_hold = false;
  {
    base::MutexLock lock(&entry->mutex);
    if (entry->issued.empty()) return NotFound(id);
    current = entry->issued.front().generation;
    on_hold = entry->issued.front().on_hold;
    revoked = entry->revoked;
  }
  if (revoked) return Useless("SUB_KEY_REVOKED", entry->spec, "was revoked");
  if (on_hold) return Useless("SUB_KEY_REVOKED", entry->spec, "has its certificate on hold");
  if (absl::Status fits = CheckUse(entry->spec, use); !fits.ok()) return fits;
  const SubKeyCertificates& certificates = current->certificates();
  const absl::Time now = options_.clock->Now();
  if (now >= certificates.not_after + absl::Seconds(1)) {
    return Useless("SUB_KEY_EXPIRED", entry->spec, "has expired");
  }
  if (now + kClockSlack < certificates.not_before) {
    return Useless("SUB_KEY_EXPIRED", entry->spec,
                   "has a certificate that is not valid yet: the clock was set back");
  }
  const bool was_wearing = current->Wearing();
  if (!current->Take(count)) {
    return Useless("SUB_KEY_USED_UP", entry->spec, "has too few uses left");
  }
  if (!was_wearing && entry->spec.renew && current->Wearing()) Wake();
  return current;
}

absl::StatusOr<std::string> SubKeys::Impl::Decrypt(absl::string_view id, absl::string_view enc,
                                                   absl::string_view info, absl::string_view aad,
                                                   absl::string_view ciphertext) {
  const EntryPtr entry = Find(id);
  if (entry == nullptr) return NotFound(id);
  std::vector<Issued> candidates;
  {
    base::MutexLock lock(&entry->mutex);
    if (entry->issued.empty()) return NotFound(id);
    if (entry->revoked) return Useless("SUB_KEY_REVOKED", entry->spec, "was revoked");
    candidates = entry->issued;
  }
  if (absl::Status fits = CheckUse(entry->spec, Use::kDecrypt); !fits.ok()) return fits;
  const absl::Time now = options_.clock->Now();
  bool any_valid = false;
  bool any_left = false;
  for (const Issued& candidate : candidates) {
    SubKeyGeneration& generation = *candidate.generation;
    if (now >= generation.certificates().not_after + absl::Seconds(1)) continue;
    any_valid = true;
    const bool was_wearing = generation.Wearing();
    if (!generation.Take(1)) continue;
    any_left = true;
    absl::StatusOr<std::string> plaintext =
        crypto::HpkeOpen(generation.key(), enc, info, aad, ciphertext);
    if (plaintext.ok()) {
      if (!was_wearing && entry->spec.renew && generation.Wearing()) Wake();
      return plaintext;
    }
    generation.GiveBack(1);
  }
  if (!any_valid) return Useless("SUB_KEY_EXPIRED", entry->spec, "has expired");
  if (!any_left) return Useless("SUB_KEY_USED_UP", entry->spec, "has no uses left");
  return runtime::AttachReason(
      absl::InvalidArgumentError(absl::StrCat("it does not open with ", entry->spec.Name())),
      "DECRYPTION_FAILED");
}

SubKeys::SubKeys(const Options& options) : impl_(std::make_unique<Impl>(options)) {}

SubKeys::~SubKeys() = default;

void SubKeys::Create(SubKeySpec spec, absl::Time deadline, Done done) {
  impl_->Create(std::move(spec), deadline, std::move(done));
}

absl::StatusOr<SubKeyInfo> SubKeys::Get(absl::string_view id) const { return impl_->Get(id); }

std::vector<SubKeyInfo> SubKeys::List() const { return impl_->List(); }

void SubKeys::Revoke(absl::string_view id, absl::Time deadline, Done done) {
  impl_->Revoke(id, deadline, std::move(done));
}

absl::StatusOr<std::shared_ptr<const SubKeyGeneration>> SubKeys::Take(absl::string_view id, Use use,
                                                                      int64_t count) {
  return impl_->Take(id, use, count);
}

absl::StatusOr<std::string> SubKeys::Decrypt(absl::string_view id, absl::string_view enc,
                                             absl::string_view info, absl::string_view aad,
                                             absl::string_view ciphertext) {
  return impl_->Decrypt(id, enc, info, aad, ciphertext);
}

void SubKeys::Upkeep() { impl_->Upkeep(); }

}  // namespace countersign::yubikey
