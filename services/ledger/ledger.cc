#include "services/ledger/ledger.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/hash_many.h"
#include "libs/merkle/proof_builder.h"
#include "libs/note/checkpoint.h"
#include "libs/note/signed_note.h"
#include "libs/runtime/error_details.h"

namespace countersign::ledger {
namespace {

// What a caller that the queue has no room for is told to wait.
constexpr absl::Duration kMinRetryAfter = absl::Milliseconds(50);
constexpr absl::Duration kMaxRetryAfter = absl::Seconds(5);
// A disk is not emptied in a moment.
constexpr absl::Duration kDiskFullRetryAfter = absl::Seconds(30);

absl::Status FrozenError() {
  return runtime::AttachReason(absl::FailedPreconditionError(
                                   "the log is frozen: it takes no more entries, but what it holds "
                                   "is served for ever; append to another log"),
                               "LOG_FROZEN");
}

// Why the store did not take a batch, in words for its callers.
absl::Status Explain(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) {
    return runtime::AttachRetryAfter(runtime::AttachReason(status, "DISK_FULL"),
                                     kDiskFullRetryAfter);
  }
  return absl::IsFailedPrecondition(status) ? FrozenError() : status;
}

absl::Status CheckEntries(const std::vector<absl::string_view>& entries) {
  if (entries.empty()) return absl::InvalidArgumentError("no entry given");
  if (entries.size() > kMaxBatchEntries) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a batch of ", entries.size(), " entries is more than ", kMaxBatchEntries, ": split it"));
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].empty()) {
      return absl::InvalidArgumentError(absl::StrCat("entry ", i, " is empty"));
    }
    if (entries[i].size() > merkle::kMaxEntryBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "entry ", i, " has ", entries[i].size(), " bytes; a log entry holds at most ",
          merkle::kMaxEntryBytes, ": log a digest of it instead"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Ledger::Ledger(const Options& options, std::unique_ptr<LogStore> store,
               std::unique_ptr<note::NoteSigner> signer, std::unique_ptr<Cosigner> cosigner)
    : options_(options),
      store_(std::move(store)),
      signer_(std::move(signer)),
      signed_("the entries are in the log but not in a signed tree in time", options.clock),
      publisher_({.origin = options.origin,
                  .publish_interval = options.publish_interval,
                  .republish_interval = options.republish_interval,
                  .retry = options.cosign_retry,
                  .clock = options.clock},
                 store_.get(), signer_->verifier(), std::move(cosigner), PublisherCallbacks()) {}

Publisher::Callbacks Ledger::PublisherCallbacks() {
  return {
      .proof = [this](uint64_t first, uint64_t second) { return ConsistencyProof(first, second); },
      .confirmed =
          [this] {
            base::MutexLock lock(&mutex_);
            integrator_wake_.NotifyOne();
          },
      .follow =
          [this] {
            base::MutexLock lock(&mutex_);
            follow_now_ = true;
            integrator_wake_.NotifyOne();
          },
      .adopted =
          [this](const SignedTreeHead& tree) {
            if (tree.head.size > signed_.tree().head.size) signed_.Set(tree);
          },
      .lost = [this](const absl::Status& status) { Lose(status); }};
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Start(const Options& options,
                                                      std::unique_ptr<LogStore> store,
                                                      std::unique_ptr<note::NoteSigner> signer,
                                                      std::unique_ptr<Cosigner> cosigner) {
  std::unique_ptr<Ledger> ledger(
      new Ledger(options, std::move(store), std::move(signer), std::move(cosigner)));
  RETURN_IF_ERROR(ledger->Recover());
  ledger->sequencer_ = std::thread([raw = ledger.get()] { raw->SequenceLoop(); });
  ledger->integrator_ = std::thread([raw = ledger.get()] { raw->IntegrateLoop(); });
  return ledger;
}

absl::Status Ledger::Recover() {
  // In this order: other ledgers on the store may go on meanwhile, but what was published first was
  // durable before.
  const SharedBytes shown = store_->PublishedCheckpoint();
  ASSIGN_OR_RETURN(const TreeHead integrated, store_->Integrate());
  SignedTreeHead published;
  if (!shown->empty()) {
    ASSIGN_OR_RETURN(published, publisher_.CheckPublished(shown, integrated));
  }
  // Once more what was published, and no more: the rest is signed when a quorum was heard.
  ASSIGN_OR_RETURN(const SignedTreeHead tree, Sign(published.head));
  {
    base::MutexLock lock(&mutex_);
    sequenced_size_ = integrated.size;
    signed_size_ = published.head.size;
  }
  signed_.Set(tree);
  return publisher_.Start(tree, published, integrated);
}

absl::StatusOr<SignedTreeHead> Ledger::Sign(const TreeHead& head) const {
  const std::string text = note::FormatCheckpoint({options_.origin, head.size, head.root});
  ASSIGN_OR_RETURN(std::string note, note::SignNote(text, {signer_.get()}));
  return SignedTreeHead{head, std::make_shared<const std::string>(std::move(note))};
}

Ledger::~Ledger() { Stop(); }

void Ledger::Stop() {
  {
    base::MutexLock lock(&mutex_);
    if (stopping_) return;
    stopping_ = true;
    if (stopped_.ok()) {
      stopped_ = absl::UnavailableError("the ledger is stopping: try again elsewhere or later");
    }
    sequencer_wake_.NotifyAll();
    integrator_wake_.NotifyAll();
  }
  for (std::thread* thread : {&sequencer_, &integrator_}) {
    if (thread->joinable()) thread->join();
  }
  publisher_.Stop();
  const absl::Status left = absl::DeadlineExceededError(
      "the entries are in the log, but the ledger stopped before they "
      "reached the wanted level: ask again later");
  signed_.Close(left);
  publisher_.published().Close(left);
}

void Ledger::Lose(const absl::Status& status) {
  {
    base::MutexLock lock(&mutex_);
    stopped_ = status;
    integrator_wake_.NotifyOne();
  }
  signed_.Close(status);
  publisher_.Lose(status);
}

absl::Status Ledger::RefuseAppend(const Call& call) const {
  RETURN_IF_ERROR(stopped_);
  if (freezing_ || store_->frozen()) return FrozenError();
  if (queued_entries_ + call.entries.size() <= options_.max_queued_entries &&
      held_bytes_ + call.bytes <= options_.max_held_bytes && waiting_ < options_.max_waiting) {
    return absl::OkStatus();
  }
  // By then what is queued now will be sequenced.
  const absl::Duration drained =
      entries_per_second_ > 0
          ? absl::Seconds(static_cast<double>(queued_entries_) / entries_per_second_)
          : absl::Seconds(1);
  return runtime::AttachRetryAfter(
      runtime::AttachReason(
          absl::ResourceExhaustedError(absl::StrCat(
              "the log's queue is full (", queued_entries_, " entries wait to be sequenced, ",
              waiting_, " calls for a checkpoint): try again in a moment")),
          "QUEUE_FULL"),
      std::clamp(drained, kMinRetryAfter, kMaxRetryAfter));
}

void Ledger::Append(std::vector<absl::string_view> entries, Level level, absl::Time deadline,
                    AppendDone done) {
  if (absl::Status status = CheckEntries(entries); !status.ok()) return done(std::move(status));
  auto call = std::make_unique<Call>();
  call->level = level;
  call->deadline = deadline;
  call->done = std::move(done);
  call->result.leaf_hashes.resize(entries.size());
  merkle::LeafHashes(entries, call->result.leaf_hashes.data());
  for (const absl::string_view entry : entries) call->bytes += entry.size();
  call->entries = std::move(entries);

  absl::Status refused;
  {
    base::MutexLock lock(&mutex_);
    refused = RefuseAppend(*call);
    if (refused.ok()) {
      queued_entries_ += call->entries.size();
      held_bytes_ += call->bytes;
      const bool waits = level != Level::kSequenced;
      if (waits) ++waiting_;
      // Whoever answers the call lets go of its room.
      call->done = [this, bytes = call->bytes, waits,
                    done = std::move(call->done)](absl::StatusOr<Appended> result) mutable {
        {
          base::MutexLock lock(&mutex_);
          held_bytes_ -= bytes;
          if (waits) --waiting_;
        }
        done(std::move(result));
      };
      queued_.push_back(std::move(call));
    }
  }
  if (refused.ok()) {
    sequencer_wake_.NotifyOne();
  } else {
    call->done(std::move(refused));
  }
}

absl::Status Ledger::Freeze() {
  base::MutexLock lock(&mutex_);
  if (store_->frozen()) return absl::OkStatus();
  RETURN_IF_ERROR(stopped_);
  freezing_ = true;
  sequencer_wake_.NotifyOne();
  while (freezing_) freeze_done_.Wait(&mutex_);
  return store_->frozen() ? absl::OkStatus() : freeze_status_;
}

void Ledger::FreezeStore() {
  absl::Status status;
  {
    base::MutexLock lock(&mutex_);
    status = stopped_;
  }
  if (status.ok()) status = store_->Freeze();
  if (!status.ok()) {
    base::Log(base::Severity::kError, "cannot freeze the log", {{"error", status.ToString()}});
  }
  base::MutexLock lock(&mutex_);
  freezing_ = false;
  freeze_status_ = status;
  freeze_done_.NotifyAll();
}

void Ledger::SequenceLoop() {
  while (true) {
    std::vector<CallPtr> batch;
    bool freeze;
    {
      base::MutexLock lock(&mutex_);
      while (queued_.empty() && !freezing_ && !stopping_) sequencer_wake_.Wait(&mutex_);
      freeze = queued_.empty() && freezing_;
      if (queued_.empty() && !freeze) return;
      size_t bytes = 0;
      while (!queued_.empty() &&
             (batch.empty() || bytes + queued_.front()->bytes <= options_.max_batch_bytes)) {
        bytes += queued_.front()->bytes;
        queued_entries_ -= queued_.front()->entries.size();
        batch.push_back(std::move(queued_.front()));
        queued_.pop_front();
      }
    }
    if (freeze) {
      FreezeStore();
    } else {
      SequenceBatch(std::move(batch));
    }
  }
}

void Ledger::SequenceBatch(std::vector<CallPtr> batch) {
  std::vector<LogStore::NewEntry> entries;
  for (const CallPtr& call : batch) {
    for (size_t i = 0; i < call->entries.size(); ++i) {
      entries.push_back({call->result.leaf_hashes[i], call->entries[i]});
    }
  }
  const auto begin_time = std::chrono::steady_clock::now();
  absl::StatusOr<std::vector<LogStore::Placement>> placements = store_->Sequence(entries);
  if (!placements.ok()) {
    base::Log(
        base::Severity::kError, "cannot append to the log",
        {{"error", placements.status().ToString()}, {"entries", absl::StrCat(entries.size())}});
    if (absl::IsDataLoss(placements.status())) Lose(placements.status());
    const absl::Status refused = Explain(placements.status());
    for (const CallPtr& call : batch) call->done(refused);
    return;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin_time;

  uint64_t size = 0;
  uint64_t wanted = 0;
  size_t next = 0;
  for (const CallPtr& call : batch) {
    const auto begin = placements->begin() + static_cast<ptrdiff_t>(next);
    next += call->entries.size();
    call->result.placements.assign(begin, placements->begin() + static_cast<ptrdiff_t>(next));
    for (const LogStore::Placement& placement : call->result.placements) {
      call->needed_size = std::max(call->needed_size, placement.index + 1);
    }
    size = std::max(size, call->needed_size);
    if (call->level != Level::kSequenced) wanted = std::max(wanted, call->needed_size);
  }
  bool wake;
  {
    base::MutexLock lock(&mutex_);
    const double rate = static_cast<double>(entries.size()) / std::max(took.count(), 1e-6);
    entries_per_second_ = entries_per_second_ == 0 ? rate : 0.8 * entries_per_second_ + 0.2 * rate;
    sequenced_size_ = std::max(sequenced_size_, size);
    wanted_size_ = std::max(wanted_size_, wanted);
    wake = integrator_idle_ || wanted_size_ > signed_size_;
  }
  if (wake) integrator_wake_.NotifyOne();
  for (CallPtr& call : batch) {
    if (call->level == Level::kSequenced) {
      call->done(std::move(call->result));
    } else {
      Await(std::move(call));
    }
  }
}

void Ledger::Await(CallPtr call) {
  const Level level = call->level;
  const uint64_t size = call->needed_size;
  const absl::Time deadline = call->deadline;
  AwaitedTree::Done done = [call = std::move(call)](absl::StatusOr<SignedTreeHead> tree) {
    if (!tree.ok()) return call->done(tree.status());
    call->result.tree = *std::move(tree);
    call->done(std::move(call->result));
  };
  if (level == Level::kIntegrated) {
    signed_.Await(size, deadline, std::move(done));
  } else {
    publisher_.Await(size, deadline, std::move(done));
  }
}

bool Ledger::WaitToIntegrate() {
  base::MutexLock lock(&mutex_);
  const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || absl::IsDataLoss(stopped_);
  };
  const auto due = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ended() || follow_now_ || sequenced_size_ > signed_size_;
  };
  integrator_idle_ = true;
  if (store_->shared()) {
    integrator_wake_.WaitFor(&mutex_, options_.follow_interval, due);
  } else {
    integrator_wake_.Wait(&mutex_, due);
  }
  integrator_idle_ = false;
  if (wanted_size_ <= signed_size_ && !follow_now_) {
    integrator_wake_.WaitFor(&mutex_, options_.integrate_interval,
                             [&] { return ended() || follow_now_ || wanted_size_ > signed_size_; });
  }
  follow_now_ = false;
  // What is sequenced is durable: the next start integrates it.
  return !ended();
}

void Ledger::IntegrateLoop() {
  while (WaitToIntegrate()) {
    const absl::Status status = IntegrateOnce();
    if (status.ok()) continue;
    if (absl::IsDataLoss(status)) return Lose(status);
    base::MutexLock lock(&mutex_);
    integrator_wake_.WaitFor(&mutex_, options_.integrate_retry,
                             [this] { return stopping_ || absl::IsDataLoss(stopped_); });
  }
}

absl::Status Ledger::IntegrateOnce() {
  const absl::Status clock = publisher_.CheckClock();
  const bool may_sign = clock.ok() && publisher_.confirmed();
  if (may_sign || store_->shared()) {
    const absl::StatusOr<TreeHead> head = store_->Integrate();
    if (head.ok() && store_->shared()) {
      const absl::Status followed = publisher_.Follow(*head);
      if (absl::IsDataLoss(followed)) return followed;
      base::MutexLock lock(&mutex_);
      if (head->size == signed_size_) return absl::OkStatus();
    }
    if (!head.ok() || may_sign) {
      absl::StatusOr<SignedTreeHead> tree =
          head.ok() ? Sign(*head) : absl::StatusOr<SignedTreeHead>(head.status());
      if (!tree.ok()) return IntegrationFailed(tree.status());
      {
        base::MutexLock lock(&mutex_);
        signed_size_ = tree->head.size;
        sequenced_size_ = std::max(sequenced_size_, tree->head.size);
      }
      publisher_.Offer(*tree);
      signed_.SetProblem("");
      signed_.Set(*std::move(tree));
      return absl::OkStatus();
    }
  }
  if (!clock.ok()) {
    const absl::Status late = absl::DeadlineExceededError(
        absl::StrCat("the entries are in the log but not in a signed tree: ", clock.message()));
    for (AwaitedTree* tree : {&signed_, &publisher_.published()}) {
      tree->SetProblem(std::string(clock.message()));
      tree->FailWithoutDeadline(late);
    }
    return clock;
  }
  signed_.SetProblem("the log has just started and waits for what its witnesses have seen of it");
  base::MutexLock lock(&mutex_);
  integrator_wake_.WaitFor(&mutex_, options_.integrate_retry, [this] {
    return stopping_ || follow_now_ || absl::IsDataLoss(stopped_) || publisher_.confirmed();
  });
  return absl::OkStatus();
}

absl::Status Ledger::IntegrationFailed(const absl::Status& status) {
  if (absl::IsDataLoss(status)) return status;
  base::Log(base::Severity::kError, "cannot integrate: trying again",
            {{"error", status.ToString()}});
  const absl::Status late = absl::DeadlineExceededError(
      absl::StrCat("the entries are in the log but cannot be integrated yet (", status.message(),
                   "): ask again later"));
  const uint64_t size = signed_.tree().head.size;
  signed_.FailAbove(size, late);
  publisher_.published().FailAbove(size, late);
  return absl::UnavailableError(status.message());
}

SignedTreeHead Ledger::signed_head() const { return signed_.tree(); }

SignedTreeHead Ledger::published_head() const { return publisher_.published().tree(); }

size_t Ledger::queued_entries() const {
  base::MutexLock lock(&mutex_);
  return queued_entries_;
}

absl::StatusOr<std::vector<merkle::Hash>> Ledger::InclusionProof(uint64_t index,
                                                                 uint64_t tree_size) const {
  if (index >= tree_size) {
    return absl::NotFoundError(
        absl::StrCat("a tree of ", tree_size, " entries has none at index ", index));
  }
  return merkle::BuildInclusionProof(
      index, tree_size,
      [this](absl::Span<const merkle::NodeId> nodes) { return store_->ReadNodes(nodes); });
}

absl::StatusOr<std::vector<std::vector<merkle::Hash>>> Ledger::InclusionProofs(
    absl::Span<const uint64_t> indexes, uint64_t tree_size) const {
  for (const uint64_t index : indexes) {
    if (index >= tree_size) {
      return absl::NotFoundError(
          absl::StrCat("a tree of ", tree_size, " entries has none at index ", index));
    }
  }
  return merkle::BuildInclusionProofs(
      indexes, tree_size,
      [this](absl::Span<const merkle::NodeId> nodes) { return store_->ReadNodes(nodes); });
}

absl::StatusOr<std::vector<merkle::Hash>> Ledger::ConsistencyProof(uint64_t first,
                                                                   uint64_t second) const {
  if (first > second) {
    return absl::InvalidArgumentError(
        absl::StrCat("the first tree size, ", first, ", is larger than the second, ", second));
  }
  if (first == 0 || first == second) {
    // The proof is empty, but says that the tree exists.
    RETURN_IF_ERROR(store_->ReadNodes(merkle::RootNodes(second)).status());
  }
  return merkle::BuildConsistencyProof(
      first, second,
      [this](absl::Span<const merkle::NodeId> nodes) { return store_->ReadNodes(nodes); });
}

absl::StatusOr<std::vector<std::string>> Ledger::ReadEntries(uint64_t start, size_t count,
                                                             size_t max_bytes) const {
  const uint64_t size = signed_head().head.size;
  std::vector<std::string> entries;
  size_t bytes = 0;
  for (uint64_t index = start; index < size && entries.size() < count;) {
    const uint64_t bundle = index / 256;
    const auto width = static_cast<uint32_t>(std::min<uint64_t>(256, size - bundle * 256));
    ASSIGN_OR_RETURN(const SharedBytes framed, store_->ReadEntryBundle(bundle, width));
    base::ByteReader reader(*framed);
    for (uint64_t at = bundle * 256; at < bundle * 256 + width && entries.size() < count; ++at) {
      uint16_t length;
      absl::string_view entry;
      if (!reader.ReadU16(&length) || !reader.ReadBytes(length, &entry)) {
        return absl::DataLossError(absl::StrCat("entry bundle ", bundle, " is malformed"));
      }
      if (at < index) continue;
      if (!entries.empty() && bytes + entry.size() > max_bytes) return entries;
      entries.emplace_back(entry);
      bytes += entry.size();
      ++index;
    }
  }
  return entries;
}

}  // namespace countersign::ledger
