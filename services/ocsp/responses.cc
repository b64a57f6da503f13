#include "services/ocsp/responses.h"

#include <utility>

namespace countersign::ocsp {

Responses::Responses() : owned_directory_(std::make_shared<Directory>()) {
  directory_ = owned_directory_.get();
}

Responses::~Responses() = default;

std::shared_ptr<const Directory> Responses::directory() const {
  base::MutexLock lock(&mutex_);
  return owned_directory_;
}

void Responses::SetDirectory(std::shared_ptr<const Directory> directory) {
  {
    base::MutexLock lock(&mutex_);
    directory_.store(directory.get());
    owned_directory_.swap(directory);
  }
  rcu_.Synchronize();
}

void Responses::Synchronised(int64_t change_number, absl::Time time) {
  change_number_.store(change_number, std::memory_order_release);
  sync_time_us_.store(absl::ToUnixMicros(time), std::memory_order_release);
  loaded_.store(true, std::memory_order_release);
}

absl::Time Responses::sync_time() const {
  return absl::FromUnixMicros(sync_time_us_.load(std::memory_order_acquire));
}

bool Responses::Fresh(absl::Time now) const {
  return loaded() && now - sync_time() < kFreshFor && awaited_ <= change_number();
}

}  // namespace countersign::ocsp
