#include <algorithm>
#include <utility>

#include "libs/base/log.h"
#include "services/yubikey-agent/sub_keys_impl.h"

namespace countersign::yubikey {
namespace {

constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr absl::Duration kLongestRetry = absl::Seconds(60);
constexpr absl::Duration kTimeout = absl::Seconds(30);
// Until a renewal that an issuer's end cuts short is tried again: the issuer may have been renewed.
constexpr absl::Duration kIssuerInterval = absl::Hours(1);
// How long one that has ended is still shown.
constexpr absl::Duration kKeepEnded = absl::Hours(1);

bool Reached(absl::Time when, absl::Time now, absl::Duration longest) {
  return now >= when || when - now > longest;
}

}  // namespace

bool SubKeys::Impl::Retry::Due(absl::Time now) const { return Reached(next, now, kLongestRetry); }

void SubKeys::Impl::Retry::Failed(absl::Time now) {
  next = now + std::min(kFirstRetry * (1 << std::min(failures, 10)), kLongestRetry);
  ++failures;
}

bool SubKeys::Impl::Entry::RenewalDue(absl::Time now) const {
  if (!spec.renew || revoked || renewing || issued.empty()) return false;
  const SubKeyGeneration& current = *issued.front().generation;
  const SubKeyCertificates& certificates = current.certificates();
  const absl::Duration life = certificates.not_after - certificates.issue_time;
  return current.Wearing() || now >= certificates.not_after - life / 3 ||
         now < certificates.not_before;
}

bool SubKeys::Impl::Entry::Ended(absl::Time now) const {
  if (issued.empty() || renewing) return false;
  if (revoked) return Untold().empty();
  return !spec.renew && issued.front().generation->certificates().not_after < now;
}

SubKeys::Impl::Impl(const Options& options) : options_(options) {
  runtime::Metrics* metrics = options_.metrics;
  if (metrics == nullptr) {
    own_metrics_ = std::make_unique<runtime::Metrics>();
    metrics = own_metrics_.get();
  }
  constexpr char kCertifications[] = "countersign_yubikey_sub_key_certifications_total";
  certified_ =
      metrics->AddCounter(kCertifications, "Certifications of sub-keys.", {{"result", "ok"}});
  certification_failures_ =
      metrics->AddCounter(kCertifications, "Certifications of sub-keys.", {{"result", "failed"}});
  inventory_failures_ = metrics->AddCounter(
      "countersign_yubikey_sub_key_inventory_failures_total",
      "Questions and revocations that the sign service's inventory did not answer.");
  held_ = metrics->AddGauge("countersign_yubikey_sub_keys", "Sub-keys in memory.");
  if (options_.upkeep_interval < absl::InfiniteDuration()) thread_ = std::thread([this] { Run(); });
}

SubKeys::Impl::~Impl() {
  {
    base::MutexLock lock(&thread_mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  base::MutexLock lock(&pending_->mutex);
  pending_->none.Wait(&pending_->mutex, [this] { return pending_->count == 0; });
}

void SubKeys::Impl::Run() {
  while (true) {
    {
      base::MutexLock lock(&thread_mutex_);
      wake_.WaitFor(&thread_mutex_, options_.upkeep_interval,
                    [this] { return woken_ || stopping_; });
      if (stopping_) return;
      woken_ = false;
    }
    Upkeep();
  }
}

void SubKeys::Impl::Wake() {
  {
    base::MutexLock lock(&thread_mutex_);
    woken_ = true;
  }
  wake_.NotifyAll();
}

void SubKeys::Impl::Upkeep() {
  const absl::Time now = options_.clock->Now();
  std::vector<std::pair<absl::Time, EntryPtr>> due;
  for (const EntryPtr& entry : All()) {
    {
      base::MutexLock lock(&entry->mutex);
      if (entry->RenewalDue(now) && entry->renewal.Due(now) && now >= entry->not_renewed_before) {
        due.emplace_back(entry->issued.front().generation->certificates().not_after, entry);
      }
    }
    if (options_.authority == nullptr || entry->spec.authority.empty()) continue;
    CheckInventory(entry, now);
    TellAgain(entry, now);
  }
  // Those that expire first go first; the others' turn comes when these have ended.
  std::sort(due.begin(), due.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [expires, entry] : due) {
    if (renewals_ >= options_.concurrent_renewals) break;
    Renew(entry);
  }
  DropEnded(now);
}

void SubKeys::Impl::Renew(const EntryPtr& entry) {
  int64_t number = 0;
  {
    base::MutexLock lock(&entry->mutex);
    if (entry->renewing || entry->revoked) return;
    entry->renewing = true;
    number = entry->issued.front().generation->number() + 1;
  }
  ++renewals_;
  absl::StatusOr<crypto::PrivateKey> made = crypto::PrivateKey::Generate(entry->spec.algorithm);
  if (!made.ok()) return Renewed(entry, nullptr, number, made.status());
  auto key = std::make_shared<crypto::PrivateKey>(*std::move(made));
  const crypto::PrivateKey& certified = *key;
  options_.issuer->Issue(entry->spec, certified, options_.clock->Now() + kTimeout,
                         [this, entry, key = std::move(key), number,
                          pending = Begin()](absl::StatusOr<SubKeyCertificates> certificates) {
                           Renewed(entry, key, number, std::move(certificates));
                         });
}

void SubKeys::Impl::Renewed(const EntryPtr& entry, std::shared_ptr<crypto::PrivateKey> key,
                            int64_t number, absl::StatusOr<SubKeyCertificates> certificates) {
  --renewals_;
  const absl::Time now = options_.clock->Now();
  absl::Status status = certificates.status();
  {
    base::MutexLock lock(&entry->mutex);
    entry->renewing = false;
    Issued& current = entry->issued.front();
    // With an issuer that expires too, each renewal would bring less than the one before.
    if (status.ok() && !current.generation->Wearing() &&
        now >= current.generation->certificates().not_before &&
        certificates->not_after <= current.generation->certificates().not_after) {
      status = absl::FailedPreconditionError(
          "a new certificate would not last longer: its issuer expires");
      // Each try is a certificate in the inventory.
      if (!certificates->inventory_name.empty()) entry->not_renewed_before = now + kIssuerInterval;
    }
    if (status.ok()) {
      entry->renewal.Succeeded();
      const absl::Time next_check = now + kInventoryInterval;
      entry->issued.insert(
          entry->issued.begin(),
          {.generation = std::make_shared<SubKeyGeneration>(
               number, std::move(*key), *std::move(certificates), entry->spec.max_uses),
           .next_check = next_check});
    } else {
      entry->renewal.Failed(now);
    }
  }
  if (status.ok()) {
    certified_->Increment();
  } else {
    if (certificates.ok() && !certificates->inventory_name.empty()) {
      // Nobody uses it, and nobody shall.
      options_.authority->Revoke(certificates->inventory_name, now + kTimeout,
                                 [pending = Begin()](const absl::Status&) {});
    }
    certification_failures_->Increment();
    base::Log(base::Severity::kWarning, "a sub-key is not renewed; the old certificate serves on",
              {{"sub_key", entry->spec.Name()}, {"error", status.ToString()}});
  }
  Wake();
}

void SubKeys::Impl::CheckInventory(const EntryPtr& entry, absl::Time now) {
  std::vector<std::string> names;
  {
    base::MutexLock lock(&entry->mutex);
    if (entry->revoked) return;
    for (Issued& each : entry->issued) {
      if (!Reached(each.next_check, now, kInventoryInterval)) continue;
      each.next_check = now + kInventoryInterval;
      names.push_back(each.generation->certificates().inventory_name);
    }
  }
  for (const std::string& name : names) {
    options_.authority->Check(
        name, now + kTimeout,
        [this, entry, name, pending = Begin()](absl::StatusOr<SubKeyAuthority::State> state) {
          Checked(entry, name, std::move(state));
        });
  }
}

void SubKeys::Impl::Checked(const EntryPtr& entry, const std::string& name,
                            absl::StatusOr<SubKeyAuthority::State> state) {
  if (!state.ok()) {
    inventory_failures_->Increment();
    base::Log(base::Severity::kWarning, "the inventory does not say whether a sub-key is revoked",
              {{"sub_key", entry->spec.Name()}, {"error", state.status().ToString()}});
    return;
  }
  bool revoked = false;
  {
    base::MutexLock lock(&entry->mutex);
    for (auto each = entry->issued.begin(); each != entry->issued.end(); ++each) {
      if (each->generation->certificates().inventory_name != name) continue;
      each->on_hold = *state == SubKeyAuthority::State::kOnHold;
      if (*state != SubKeyAuthority::State::kRevoked) break;
      each->revoked = true;
      if (each == entry->issued.begin()) {
        revoked = !std::exchange(entry->revoked, true);
      } else {
        entry->issued.erase(each);
      }
      break;
    }
  }
  if (revoked) {
    base::Log(base::Severity::kInfo, "a sub-key was revoked in the inventory",
              {{"sub_key", entry->spec.Name()}});
  }
}

// What an authority issued while the sub-key was revoked, and what could not be told then.
void SubKeys::Impl::TellAgain(const EntryPtr& entry, absl::Time now) {
  std::vector<std::string> untold;
  {
    base::MutexLock lock(&entry->mutex);
    if (!entry->revoked || entry->telling || !entry->telling_retry.Due(now)) return;
    untold = entry->Untold();
    if (untold.empty()) return;
    entry->telling = true;
  }
  Tell(entry, std::move(untold), now + kTimeout, [this, entry](const absl::Status& told) {
    {
      base::MutexLock lock(&entry->mutex);
      entry->telling = false;
      if (told.ok()) {
        entry->telling_retry.Succeeded();
      } else {
        entry->telling_retry.Failed(options_.clock->Now());
      }
    }
    if (!told.ok()) {
      base::Log(base::Severity::kWarning,
                "the sign service is not told yet that a sub-key is revoked",
                {{"sub_key", entry->spec.Name()}, {"error", told.ToString()}});
    }
  });
}

void SubKeys::Impl::DropEnded(absl::Time now) {
  base::MutexLock lock(&mutex_);
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto here = it++;
    base::MutexLock entry_lock(&here->second->mutex);
    std::vector<Issued>& issued = here->second->issued;
    // The current generation stays to be shown; those before it go with their certificates.
    if (issued.size() > 1) {
      issued.erase(std::remove_if(issued.begin() + 1, issued.end(),
                                  [now](const Issued& each) {
                                    return each.generation->certificates().not_after < now;
                                  }),
                   issued.end());
    }
  }
  absl::erase_if(entries_, [now](const auto& item) {
    base::MutexLock entry_lock(&item.second->mutex);
    return item.second->Ended(now) &&
           item.second->issued.front().generation->certificates().not_after + kKeepEnded < now;
  });
  held_->Set(static_cast<double>(entries_.size()));
}

}  // namespace countersign::yubikey
