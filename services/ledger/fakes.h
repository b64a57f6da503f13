// What a Ledger stands on, under a test's control.
#ifndef COUNTERSIGN_SERVICES_LEDGER_FAKES_H_
#define COUNTERSIGN_SERVICES_LEDGER_FAKES_H_

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/proof_builder.h"
#include "libs/note/signed_note.h"
#include "services/ledger/cosigner.h"
#include "services/ledger/log_store.h"

namespace countersign::ledger {

// Another store, which fails or blocks when told to. Thread-safe.
class FakeLogStore : public LogStore {
 public:
  explicit FakeLogStore(std::unique_ptr<LogStore> store) : store_(std::move(store)) {}

  // From now on, these calls fail with `status`, or work again when it is OK.
  void FailSequence(absl::Status status) { Set(&sequence_failure_, std::move(status)); }
  void FailIntegrate(absl::Status status) { Set(&integrate_failure_, std::move(status)); }
  void FailFreeze(absl::Status status) { Set(&freeze_failure_, std::move(status)); }
  void FailPublish(absl::Status status) { Set(&publish_failure_, std::move(status)); }

  // Holds Sequence calls back, once they are counted.
  void BlockSequence() {
    base::MutexLock lock(&mutex_);
    sequence_blocked_ = true;
  }
  void UnblockSequence() {
    base::MutexLock lock(&mutex_);
    sequence_blocked_ = false;
    changed_.NotifyAll();
  }

  // Holds Integrate calls back, once they are counted.
  void BlockIntegrate() {
    base::MutexLock lock(&mutex_);
    integrate_blocked_ = true;
  }
  void UnblockIntegrate() {
    base::MutexLock lock(&mutex_);
    integrate_blocked_ = false;
    changed_.NotifyAll();
  }

  // What PublishTime says from now on, instead of what is true.
  void SetPublishTime(absl::Time time) {
    base::MutexLock lock(&mutex_);
    publish_time_ = time;
  }

  // What PublishedCheckpoint says until the next Publish.
  void SetPublishedCheckpoint(std::string checkpoint) {
    base::MutexLock lock(&mutex_);
    published_ = std::make_shared<const std::string>(std::move(checkpoint));
  }

  int integrate_calls() const {
    base::MutexLock lock(&mutex_);
    return integrate_calls_;
  }
  int sequence_calls() const {
    base::MutexLock lock(&mutex_);
    return sequence_calls_;
  }
  int publish_calls() const {
    base::MutexLock lock(&mutex_);
    return publish_calls_;
  }

  absl::StatusOr<std::vector<Placement>> Sequence(absl::Span<const NewEntry> entries) override {
    {
      base::MutexLock lock(&mutex_);
      ++sequence_calls_;
      changed_.Wait(&mutex_, [this] { return !sequence_blocked_; });
      RETURN_IF_ERROR(sequence_failure_);
    }
    return store_->Sequence(entries);
  }
  absl::StatusOr<TreeHead> Integrate() override {
    {
      base::MutexLock lock(&mutex_);
      ++integrate_calls_;
      changed_.Wait(&mutex_, [this] { return !integrate_blocked_; });
      RETURN_IF_ERROR(integrate_failure_);
    }
    return store_->Integrate();
  }
  absl::Status Freeze() override {
    {
      base::MutexLock lock(&mutex_);
      RETURN_IF_ERROR(freeze_failure_);
    }
    return store_->Freeze();
  }
  bool shared() const override { return store_->shared(); }
  bool frozen() const override { return store_->frozen(); }
  uint64_t synchronisations() const override { return store_->synchronisations(); }
  absl::Time PublishTime() const override {
    base::MutexLock lock(&mutex_);
    return publish_time_.value_or(store_->PublishTime());
  }
  absl::Status Publish(const TreeHead& head, absl::string_view checkpoint,
                       absl::Time time) override {
    {
      base::MutexLock lock(&mutex_);
      ++publish_calls_;
      RETURN_IF_ERROR(publish_failure_);
      published_ = nullptr;
      publish_time_.reset();
    }
    return store_->Publish(head, checkpoint, time);
  }
  SharedBytes PublishedCheckpoint() const override {
    base::MutexLock lock(&mutex_);
    return published_ != nullptr ? published_ : store_->PublishedCheckpoint();
  }
  absl::StatusOr<std::optional<uint64_t>> Find(const merkle::Hash& leaf_hash) const override {
    return store_->Find(leaf_hash);
  }
  absl::StatusOr<std::vector<merkle::Hash>> ReadNodes(
      absl::Span<const merkle::NodeId> nodes) const override {
    return store_->ReadNodes(nodes);
  }
  absl::StatusOr<SharedBytes> ReadTile(const merkle::TileId& tile) const override {
    return store_->ReadTile(tile);
  }
  absl::StatusOr<SharedBytes> ReadEntryBundle(uint64_t bundle, uint32_t width) const override {
    return store_->ReadEntryBundle(bundle, width);
  }

 private:
  void Set(absl::Status* failure, absl::Status status) {
    base::MutexLock lock(&mutex_);
    *failure = std::move(status);
  }

  const std::unique_ptr<LogStore> store_;
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  absl::Status sequence_failure_ ABSL_GUARDED_BY(mutex_);
  absl::Status integrate_failure_ ABSL_GUARDED_BY(mutex_);
  absl::Status publish_failure_ ABSL_GUARDED_BY(mutex_);
  absl::Status freeze_failure_ ABSL_GUARDED_BY(mutex_);
  bool sequence_blocked_ ABSL_GUARDED_BY(mutex_) = false;
  bool integrate_blocked_ ABSL_GUARDED_BY(mutex_) = false;
  SharedBytes published_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Time> publish_time_ ABSL_GUARDED_BY(mutex_);
  int integrate_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int sequence_calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int publish_calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A log in memory that any number of SharedFakeStores work on, as ledgers of several processes do
// on one database. Thread-safe.
class SharedFakeLog {
 public:
  // Everything that was ever published, in that order.
  std::vector<std::string> published() const {
    base::MutexLock lock(&mutex_);
    return published_;
  }
  // Puts `checkpoint` in place as another ledger would.
  void Publish(uint64_t size, std::string checkpoint, absl::Time time) {
    base::MutexLock lock(&mutex_);
    published_.push_back(std::move(checkpoint));
    published_size_ = size;
    publish_time_ = time;
  }

 private:
  friend class SharedFakeStore;

  mutable base::Mutex mutex_;
  std::vector<merkle::Hash> leaves_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> published_ ABSL_GUARDED_BY(mutex_);
  uint64_t published_size_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time publish_time_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool frozen_ ABSL_GUARDED_BY(mutex_) = false;
};

// One process's view of it, which follows what others do when it is integrated. It keeps hashes
// only, so no tiles or bundles can be read.
class SharedFakeStore : public LogStore {
 public:
  explicit SharedFakeStore(std::shared_ptr<SharedFakeLog> log) : log_(std::move(log)) {
    base::MutexLock lock(&log_->mutex_);
    Refresh();
  }

  absl::StatusOr<std::vector<Placement>> Sequence(absl::Span<const NewEntry> entries) override {
    base::MutexLock lock(&log_->mutex_);
    if (log_->frozen_) return absl::FailedPreconditionError("frozen");
    std::vector<Placement> placements;
    for (const NewEntry& entry : entries) {
      const std::optional<uint64_t> known = IndexOf(entry.leaf_hash);
      placements.push_back({known.value_or(log_->leaves_.size()), known.has_value()});
      if (!known.has_value()) log_->leaves_.push_back(entry.leaf_hash);
    }
    return placements;
  }
  absl::Status Freeze() override {
    base::MutexLock lock(&log_->mutex_);
    log_->frozen_ = true;
    Refresh();
    return absl::OkStatus();
  }
  absl::StatusOr<TreeHead> Integrate() override {
    base::MutexLock lock(&log_->mutex_);
    Refresh();
    integrated_ = log_->leaves_.size();
    if (integrated_ == 0) return TreeHead{};
    std::vector<merkle::Hash> roots;
    for (const merkle::NodeId& node : merkle::RootNodes(integrated_)) roots.push_back(Node(node));
    return TreeHead{integrated_, merkle::FoldRoot(roots)};
  }
  absl::Status Publish(const TreeHead& head, absl::string_view checkpoint,
                       absl::Time time) override {
    base::MutexLock lock(&log_->mutex_);
    if (log_->published_.empty() || head.size >= log_->published_size_) {
      log_->published_.emplace_back(checkpoint);
      log_->published_size_ = head.size;
      log_->publish_time_ = time;
    }
    Refresh();
    return absl::OkStatus();
  }
  bool shared() const override { return true; }
  bool frozen() const override {
    base::MutexLock lock(&log_->mutex_);
    return frozen_;
  }
  uint64_t synchronisations() const override { return 0; }
  SharedBytes PublishedCheckpoint() const override {
    base::MutexLock lock(&log_->mutex_);
    return published_;
  }
  absl::Time PublishTime() const override {
    base::MutexLock lock(&log_->mutex_);
    return publish_time_;
  }
  absl::StatusOr<std::optional<uint64_t>> Find(const merkle::Hash& leaf_hash) const override {
    base::MutexLock lock(&log_->mutex_);
    return IndexOf(leaf_hash);
  }
  absl::StatusOr<std::vector<merkle::Hash>> ReadNodes(
      absl::Span<const merkle::NodeId> nodes) const override {
    base::MutexLock lock(&log_->mutex_);
    std::vector<merkle::Hash> hashes;
    for (const merkle::NodeId& node : nodes) {
      if ((node.index + 1) << node.level > integrated_) {
        return absl::OutOfRangeError("the tree has no such node");
      }
      hashes.push_back(Node(node));
    }
    return hashes;
  }
  absl::StatusOr<SharedBytes> ReadTile(const merkle::TileId&) const override {
    return absl::UnimplementedError("a fake");
  }
  absl::StatusOr<SharedBytes> ReadEntryBundle(uint64_t, uint32_t) const override {
    return absl::UnimplementedError("a fake");
  }

 private:
  // The log's lock is held in all of these.
  void Refresh() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    frozen_ = log_->frozen_;
    publish_time_ = log_->publish_time_;
    published_ = std::make_shared<const std::string>(
        log_->published_.empty() ? "" : log_->published_.back());
  }
  std::optional<uint64_t> IndexOf(const merkle::Hash& leaf) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const auto at = std::find(log_->leaves_.begin(), log_->leaves_.end(), leaf);
    if (at == log_->leaves_.end()) return std::nullopt;
    return static_cast<uint64_t>(at - log_->leaves_.begin());
  }
  merkle::Hash Node(const merkle::NodeId& node) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (node.level == 0) return log_->leaves_[node.index];
    return merkle::NodeHash(Node({node.level - 1, 2 * node.index}),
                            Node({node.level - 1, 2 * node.index + 1}));
  }

  const std::shared_ptr<SharedFakeLog> log_;
  uint64_t integrated_ = 0;
  bool frozen_ = false;
  SharedBytes published_;
  absl::Time publish_time_;
};

// Adds one signature line, which no key verifies, unless told to fail or to block. Thread-safe.
class FakeCosigner : public Cosigner {
 public:
  struct Round {
    TreeHead head;
    ProofFn proof;
  };

  void FailWith(absl::Status status) {
    base::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }
  // Holds rounds back, once they are counted.
  void Block() {
    base::MutexLock lock(&mutex_);
    blocked_ = true;
  }
  void Unblock() {
    {
      base::MutexLock lock(&mutex_);
      blocked_ = false;
    }
    AnswerAll();
  }
  // The sizes of the rounds held back, in their order.
  std::vector<uint64_t> held() const {
    base::MutexLock lock(&mutex_);
    std::vector<uint64_t> sizes;
    for (const Held& round : held_) sizes.push_back(round.size);
    return sizes;
  }
  // Ends the round held back at this place in held().
  void Answer(size_t place, absl::Status status = absl::OkStatus()) {
    Held round;
    {
      base::MutexLock lock(&mutex_);
      round = std::move(held_.at(place));
      held_.erase(held_.begin() + static_cast<ptrdiff_t>(place));
    }
    round.done(status.ok() ? Cosigned(round.checkpoint) : absl::StatusOr<std::string>(status));
  }
  int calls() const {
    base::MutexLock lock(&mutex_);
    return calls_;
  }
  Round last_round() const {
    base::MutexLock lock(&mutex_);
    return last_round_;
  }

  void Start(const TreeHead& head, absl::string_view checkpoint, ProofFn proof,
             Done done) override {
    {
      base::MutexLock lock(&mutex_);
      ++calls_;
      last_round_ = {head, std::move(proof)};
      held_.push_back({head.size, std::string(checkpoint), std::move(done)});
      if (blocked_ && !stopped_) return;
    }
    AnswerAll();
  }
  void Stop() override {
    {
      base::MutexLock lock(&mutex_);
      stopped_ = true;
    }
    AnswerAll();
  }
  absl::Status fork() const override { return absl::OkStatus(); }
  std::vector<WitnessState> witnesses() const override {
    base::MutexLock lock(&mutex_);
    return {{"w1", "vkey of w1", "http://w1.example", last_round_.head.size,
             absl::FromUnixSeconds(1'700'000'000), std::string(failure_.message())}};
  }

 private:
  struct Held {
    uint64_t size = 0;
    std::string checkpoint;
    Done done;
  };

  // Each time with another line, as a fresh cosignature has another time.
  std::string Cosigned(const std::string& checkpoint) {
    base::MutexLock lock(&mutex_);
    return checkpoint + note::FormatSignatureLine(
                            {"witness.example", 7, absl::StrCat("not a signature ", ++cosigned_)});
  }
  void AnswerAll() {
    std::vector<Held> rounds;
    absl::Status status;
    {
      base::MutexLock lock(&mutex_);
      rounds.swap(held_);
      status = stopped_ ? absl::UnavailableError("the ledger is stopping") : failure_;
    }
    for (Held& round : rounds) {
      round.done(status.ok() ? Cosigned(round.checkpoint) : absl::StatusOr<std::string>(status));
    }
  }

  mutable base::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int cosigned_ ABSL_GUARDED_BY(mutex_) = 0;
  Round last_round_ ABSL_GUARDED_BY(mutex_);
  std::vector<Held> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_FAKES_H_
