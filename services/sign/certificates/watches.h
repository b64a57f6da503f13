// Who waits for changes of resources that the database holds.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_WATCHES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_WATCHES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/base/mutex.h"
#include "services/sign/certificates/queue_names.h"

namespace countersign::sign {

// Reads what is watched when this process says that it changed, and now and then because other
// processes change it too; one read serves all who watch the same. Thread-safe.
template <typename Resource>
class Watches {
 public:
  using Read = std::function<absl::StatusOr<Resource>(const ResourceId& name)>;
  // Called from the watches' own thread, maybe with what was told before; must not block.
  using Changed = std::function<void(const absl::StatusOr<Resource>&)>;

  // `least` is the time between two looks at the same resource, at least; `poll` at most.
  Watches(Read read, absl::Duration least, absl::Duration poll)
      : read_(std::move(read)), least_(least), poll_(poll), thread_([this] { Run(); }) {}

  ~Watches() {
    {
      base::MutexLock lock(&mutex_);
      stopping_ = true;
      wake_.NotifyAll();
    }
    thread_.join();
  }

  // Tells `changed` what there is, and each change, until Remove.
  uint64_t Add(const ResourceId& name, Changed changed) {
    base::MutexLock lock(&mutex_);
    const uint64_t id = ++last_id_;
    watched_[name].emplace(id, std::move(changed));
    names_.emplace(id, name);
    changed_.insert(name);
    wake_.NotifyAll();
    return id;
  }

  // A call that is under way may still come.
  void Remove(uint64_t id) {
    base::MutexLock lock(&mutex_);
    const auto named = names_.find(id);
    if (named == names_.end()) return;
    const auto watched = watched_.find(named->second);
    watched->second.erase(id);
    if (watched->second.empty()) watched_.erase(watched);
    names_.erase(named);
  }

  // Tells everybody who watches, or comes to, this failure and nothing more.
  void End(const absl::Status& status) {
    base::MutexLock lock(&mutex_);
    ended_ = status;
    for (const auto& [name, watchers] : watched_) changed_.insert(name);
    wake_.NotifyAll();
  }

  // `name` has changed in the database.
  void Notify(const ResourceId& name) {
    base::MutexLock lock(&mutex_);
    if (watched_.count(name) != 0 && changed_.insert(name).second) wake_.NotifyAll();
  }

 private:
  void Run() {
    while (true) {
      std::set<ResourceId> names;
      {
        base::MutexLock lock(&mutex_);
        const bool told =
            wake_.WaitFor(&mutex_, poll_, [this] { return stopping_ || !changed_.empty(); });
        if (stopping_) return;
        names.swap(changed_);
        if (!told || absl::Now() - last_poll_ >= poll_) {
          last_poll_ = absl::Now();
          for (const auto& [name, watchers] : watched_) names.insert(name);
        }
      }
      for (const ResourceId& name : names) {
        absl::StatusOr<Resource> resource = read_(name);
        std::vector<Changed> watchers;
        {
          base::MutexLock lock(&mutex_);
          if (stopping_) return;
          if (!ended_.ok()) resource = ended_;
          const auto watched = watched_.find(name);
          if (watched == watched_.end()) continue;
          for (const auto& [id, changed] : watched->second) watchers.push_back(changed);
        }
        for (const Changed& changed : watchers) changed(resource);
      }
      if (least_ > absl::ZeroDuration()) {
        base::MutexLock lock(&mutex_);
        wake_.WaitFor(&mutex_, least_, [this] { return stopping_; });
      }
    }
  }

  const Read read_;
  const absl::Duration least_;
  const absl::Duration poll_;

  base::Mutex mutex_;
  base::CondVar wake_;
  std::map<ResourceId, std::map<uint64_t, Changed>> watched_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, ResourceId> names_ ABSL_GUARDED_BY(mutex_);
  std::set<ResourceId> changed_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status ended_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_poll_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::thread thread_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_WATCHES_H_
