#include "services/ledger/ledger.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/proof_builder.h"
#include "libs/note/checkpoint.h"
#include "libs/note/signed_note.h"

namespace countersign::ledger {
namespace {

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
      cosigner_(std::move(cosigner)) {}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Start(const Options& options,
                                                      std::unique_ptr<LogStore> store,
                                                      std::unique_ptr<note::NoteSigner> signer,
                                                      std::unique_ptr<Cosigner> cosigner) {
  std::unique_ptr<Ledger> ledger(
      new Ledger(options, std::move(store), std::move(signer), std::move(cosigner)));
  RETURN_IF_ERROR(ledger->Recover());
  ledger->sequencer_ = std::thread([raw = ledger.get()] { raw->SequenceLoop(); });
  ledger->integrator_ = std::thread([raw = ledger.get()] { raw->IntegrateLoop(); });
  ledger->publisher_ = std::thread([raw = ledger.get()] { raw->PublishLoop(); });
  return ledger;
}

absl::Status Ledger::Recover() {
  ASSIGN_OR_RETURN(const TreeHead head, store_->Integrate());
  RETURN_IF_ERROR(CheckPublished(head));
  ASSIGN_OR_RETURN(SignedTreeHead tree, Sign(head));
  SignedTreeHead published;
  if (const SharedBytes checkpoint = store_->PublishedCheckpoint(); !checkpoint->empty()) {
    ASSIGN_OR_RETURN(const note::Checkpoint parsed, note::ParseSignedCheckpoint(*checkpoint));
    published = {{parsed.size, parsed.root}, checkpoint};
    // A power cut may have taken its partial tiles.
    RETURN_IF_ERROR(store_->Publish(published.head, *checkpoint, store_->PublishTime()));
  }
  base::MutexLock lock(&mutex_);
  sequenced_size_ = head.size;
  signed_ = std::move(tree);
  confirmed_ = published.checkpoint == nullptr;
  published_ = std::move(published);
  return absl::OkStatus();
}

absl::Status Ledger::CheckPublished(const TreeHead& head) const {
  const SharedBytes checkpoint = store_->PublishedCheckpoint();
  if (checkpoint->empty()) return absl::OkStatus();
  const absl::StatusOr<note::Checkpoint> published = note::ParseSignedCheckpoint(*checkpoint);
  const auto damaged = [](absl::string_view what) {
    return absl::DataLossError(
        absl::StrCat(what, ": signing on would fork the log; restore the data folder as it was"));
  };
  if (!published.ok()) {
    return damaged(absl::StrCat("the published checkpoint cannot be read (",
                                published.status().message(), ")"));
  }
  if (published->origin != options_.origin) {
    return absl::FailedPreconditionError(absl::StrCat("the data folder holds the log ",
                                                      published->origin, ", not ", options_.origin,
                                                      ": choose the right folder or origin"));
  }
  if (const auto opened =
          note::OpenCheckpoint(*checkpoint, options_.origin, {&signer_->verifier(), 1});
      !opened.ok()) {
    return damaged(absl::StrCat("the published checkpoint does not bear this log's signature (",
                                opened.status().message(), ")"));
  }
  if (published->size > head.size) {
    return damaged(absl::StrCat("the log published a checkpoint of size ", published->size,
                                " but its data folder holds ", head.size, " entries"));
  }
  if (published->size == 0) return absl::OkStatus();
  // The tree as it was then must have the root that was published then.
  const std::vector<merkle::NodeId> nodes = merkle::RootNodes(published->size);
  ASSIGN_OR_RETURN(const std::vector<merkle::Hash> hashes, store_->ReadNodes(nodes));
  if (merkle::FoldRoot(hashes) != published->root) {
    return damaged(
        absl::StrCat("the entries do not lead to the root that the log published for "
                     "size ",
                     published->size));
  }
  return absl::OkStatus();
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
  }
  cosigner_->Stop();
  sequencer_wake_.NotifyAll();
  integrator_wake_.NotifyAll();
  publisher_wake_.NotifyAll();
  for (std::thread* thread : {&sequencer_, &integrator_, &publisher_}) {
    if (thread->joinable()) thread->join();
  }
  std::deque<CallPtr> left;
  {
    base::MutexLock lock(&mutex_);
    for (std::deque<CallPtr>* queue : {&waiting_integrated_, &waiting_cosigned_}) {
      std::move(queue->begin(), queue->end(), std::back_inserter(left));
      queue->clear();
    }
  }
  Fail(std::move(left),
       absl::DeadlineExceededError("the entries are in the log, but the ledger stopped before they "
                                   "reached the wanted level: ask again later"));
}

void Ledger::Append(std::vector<absl::string_view> entries, Level level, absl::Time deadline,
                    AppendDone done) {
  if (absl::Status status = CheckEntries(entries); !status.ok()) return done(std::move(status));
  auto call = std::make_unique<Call>();
  call->level = level;
  call->deadline = deadline;
  call->done = std::move(done);
  call->result.leaf_hashes.reserve(entries.size());
  for (const absl::string_view entry : entries) {
    call->result.leaf_hashes.push_back(merkle::LeafHash(entry));
    call->bytes += entry.size();
  }
  call->entries = std::move(entries);

  absl::Status refused;
  {
    base::MutexLock lock(&mutex_);
    if (!stopped_.ok()) {
      refused = stopped_;
    } else if (queued_entries_ + call->entries.size() > options_.max_queued_entries ||
               held_bytes_ + call->bytes > options_.max_held_bytes ||
               waiting_integrated_.size() + waiting_cosigned_.size() >= options_.max_waiting) {
      refused = absl::ResourceExhaustedError(absl::StrCat(
          "the log's queue is full (", queued_entries_, " entries wait to be sequenced, ",
          waiting_integrated_.size() + waiting_cosigned_.size(),
          " calls for a checkpoint): try again in a moment"));
    } else {
      queued_entries_ += call->entries.size();
      held_bytes_ += call->bytes;
      // Whoever answers the call lets go of its bytes.
      call->done = [this, bytes = call->bytes,
                    done = std::move(call->done)](absl::StatusOr<Appended> result) {
        {
          base::MutexLock lock(&mutex_);
          held_bytes_ -= bytes;
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

void Ledger::SequenceLoop() {
  while (true) {
    std::vector<CallPtr> batch;
    {
      base::MutexLock lock(&mutex_);
      while (queued_.empty() && !stopping_) sequencer_wake_.Wait(&mutex_);
      if (queued_.empty()) return;
      size_t bytes = 0;
      do {
        bytes += queued_.front()->bytes;
        queued_entries_ -= queued_.front()->entries.size();
        batch.push_back(std::move(queued_.front()));
        queued_.pop_front();
      } while (!queued_.empty() && bytes + queued_.front()->bytes <= options_.max_batch_bytes);
    }
    SequenceBatch(std::move(batch));
  }
}

void Ledger::SequenceBatch(std::vector<CallPtr> batch) {
  std::vector<LogStore::NewEntry> entries;
  for (const CallPtr& call : batch) {
    for (size_t i = 0; i < call->entries.size(); ++i) {
      entries.push_back({call->result.leaf_hashes[i], call->entries[i]});
    }
  }
  absl::StatusOr<std::vector<LogStore::Placement>> placements = store_->Sequence(entries);
  if (!placements.ok()) {
    base::Log(
        base::Severity::kError, "cannot append to the log",
        {{"error", placements.status().ToString()}, {"entries", absl::StrCat(entries.size())}});
    if (absl::IsDataLoss(placements.status())) {
      base::MutexLock lock(&mutex_);
      stopped_ = placements.status();
      integrator_wake_.NotifyOne();
      publisher_wake_.NotifyOne();
    }
    for (const CallPtr& call : batch) call->done(placements.status());
    return;
  }

  uint64_t size = 0;
  size_t next = 0;
  for (const CallPtr& call : batch) {
    const auto begin = placements->begin() + static_cast<ptrdiff_t>(next);
    next += call->entries.size();
    call->result.placements.assign(begin, placements->begin() + static_cast<ptrdiff_t>(next));
    for (const LogStore::Placement& placement : call->result.placements) {
      call->needed_size = std::max(call->needed_size, placement.index + 1);
    }
    size = std::max(size, call->needed_size);
  }
  bool wake;
  {
    base::MutexLock lock(&mutex_);
    sequenced_size_ = std::max(sequenced_size_, size);
    for (CallPtr& call : batch) {
      if (call->level != Level::kSequenced) waiting_integrated_.push_back(std::move(call));
    }
    wake = integrator_idle_ || !waiting_integrated_.empty();
  }
  if (wake) integrator_wake_.NotifyOne();
  for (CallPtr& call : batch) {
    if (call != nullptr) call->done(std::move(call->result));
  }
}

std::deque<Ledger::CallPtr> Ledger::TakeReady(std::deque<CallPtr>* waiting, uint64_t size) {
  // Not in order of size: a duplicate waits for less than the call before it.
  std::deque<CallPtr> ready;
  const auto split =
      std::stable_partition(waiting->begin(), waiting->end(),
                            [size](const CallPtr& call) { return call->needed_size > size; });
  std::move(split, waiting->end(), std::back_inserter(ready));
  waiting->erase(split, waiting->end());
  return ready;
}

void Ledger::Release(std::deque<CallPtr> ready, const SignedTreeHead& tree) {
  for (CallPtr& call : ready) {
    call->result.tree = tree;
    call->done(std::move(call->result));
  }
}

void Ledger::Fail(std::deque<CallPtr> calls, const absl::Status& status) {
  for (const CallPtr& call : calls) call->done(status);
}

std::deque<Ledger::CallPtr> Ledger::TakeExpired() {
  const absl::Time now = options_.clock->Now();
  std::deque<CallPtr> expired;
  const auto split =
      std::stable_partition(waiting_cosigned_.begin(), waiting_cosigned_.end(),
                            [now](const CallPtr& call) { return call->deadline > now; });
  std::move(split, waiting_cosigned_.end(), std::back_inserter(expired));
  waiting_cosigned_.erase(split, waiting_cosigned_.end());
  return expired;
}

void Ledger::IntegrateLoop() {
  while (true) {
    absl::Status refused;
    std::deque<CallPtr> waiting;
    {
      base::MutexLock lock(&mutex_);
      while (
          !stopping_ && !absl::IsDataLoss(stopped_) &&
          (!confirmed_ || (sequenced_size_ <= signed_.head.size && waiting_integrated_.empty()))) {
        integrator_idle_ = true;
        integrator_wake_.Wait(&mutex_);
        integrator_idle_ = false;
      }
      if (waiting_integrated_.empty()) {
        integrator_wake_.WaitFor(&mutex_, options_.integrate_interval, [this] {
          return stopping_ || absl::IsDataLoss(stopped_) || !waiting_integrated_.empty();
        });
      }
      // What is sequenced is durable: the next start integrates it.
      if (stopping_) return;
      if (absl::IsDataLoss(stopped_)) {
        refused = stopped_;
        while (!stopping_ && waiting_integrated_.empty()) integrator_wake_.Wait(&mutex_);
        waiting.swap(waiting_integrated_);
      }
    }
    if (!refused.ok()) {
      Fail(std::move(waiting), refused);
      continue;
    }
    absl::StatusOr<TreeHead> head = store_->Integrate();
    absl::StatusOr<SignedTreeHead> tree =
        head.ok() ? Sign(*head) : absl::StatusOr<SignedTreeHead>(head.status());
    if (!tree.ok()) {
      base::Log(base::Severity::kError, "cannot integrate: trying again",
                {{"error", tree.status().ToString()}});
      {
        base::MutexLock lock(&mutex_);
        waiting.swap(waiting_integrated_);
      }
      Fail(std::move(waiting), absl::DeadlineExceededError(absl::StrCat(
                                   "the entries are in the log but cannot be integrated yet (",
                                   tree.status().message(), "): ask again later")));
      base::MutexLock lock(&mutex_);
      integrator_wake_.WaitFor(&mutex_, options_.integrate_retry, [this] { return stopping_; });
      continue;
    }
    std::deque<CallPtr> ready;
    {
      base::MutexLock lock(&mutex_);
      signed_ = *tree;
      for (CallPtr& call : TakeReady(&waiting_integrated_, tree->head.size)) {
        std::deque<CallPtr>& next = call->level == Level::kCosigned ? waiting_cosigned_ : ready;
        next.push_back(std::move(call));
      }
    }
    publisher_wake_.NotifyOne();
    Release(std::move(ready), *tree);
  }
}

void Ledger::PublishLoop() {
  absl::Time last = absl::InfinitePast();
  bool failed = false;
  while (true) {
    SignedTreeHead tree;
    std::deque<CallPtr> expired;
    std::deque<CallPtr> ready;
    SignedTreeHead published;
    std::string problem;
    bool confirmed;
    absl::Status refused;
    {
      base::MutexLock lock(&mutex_);
      const auto due = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const bool fresh = !confirmed_ || published_.checkpoint == nullptr ||
                           signed_.head.size > published_.head.size;
        return stopping_ || !waiting_cosigned_.empty() || (fresh && !absl::IsDataLoss(stopped_));
      };
      publisher_wake_.Wait(&mutex_, due);
      // Nobody waits, or trying at once would be in vain: let more gather first.
      const absl::Duration pause =
          failed ? options_.cosign_retry : last + options_.publish_interval - options_.clock->Now();
      if (pause > absl::ZeroDuration()) {
        publisher_wake_.WaitFor(&mutex_, std::min(pause, absl::Seconds(10)), [&] {
          return stopping_ || (!failed && !waiting_cosigned_.empty());
        });
      }
      if (stopping_) return;
      if (absl::IsDataLoss(stopped_)) {
        // Nothing is signed off any more; who waits for it learns why.
        refused = stopped_;
        expired.swap(waiting_cosigned_);
      } else {
        expired = TakeExpired();
      }
      problem = cosign_problem_;
      published = published_;
      ready =
          TakeReady(&waiting_cosigned_, published.checkpoint == nullptr ? 0 : published.head.size);
      tree = signed_;
      confirmed = confirmed_;
    }
    Fail(std::move(expired),
         !refused.ok() ? refused
                       : absl::DeadlineExceededError(absl::StrCat(
                             "the entries are in the log but their checkpoint is not cosigned in "
                             "time",
                             problem.empty() ? "" : ": ", problem)));
    Release(std::move(ready), published);
    if (!refused.ok()) continue;
    if (confirmed && published.checkpoint != nullptr && tree.head.size <= published.head.size) {
      continue;
    }

    last = options_.clock->Now();
    const absl::Status status = PublishOnce(tree);
    failed = !status.ok();
    // Once a reason: the tries go on for as long as the witnesses are away.
    if (failed && status.message() != problem) {
      base::Log(base::Severity::kWarning, "cannot publish a checkpoint: trying again",
                {{"size", absl::StrCat(tree.head.size)}, {"error", status.ToString()}});
    }
    base::MutexLock lock(&mutex_);
    cosign_problem_ = failed ? std::string(status.message()) : "";
    confirmed_ = true;
    if (absl::IsDataLoss(status)) stopped_ = status;
    integrator_wake_.NotifyOne();
  }
}

absl::Status Ledger::PublishOnce(const SignedTreeHead& tree) {
  ASSIGN_OR_RETURN(std::string cosigned, cosigner_->Cosign(tree.head, *tree.checkpoint,
                                                           [this](uint64_t first, uint64_t second) {
                                                             return ConsistencyProof(first, second);
                                                           }));
  RETURN_IF_ERROR(store_->Publish(tree.head, cosigned, options_.clock->Now()));
  const SignedTreeHead published{tree.head,
                                 std::make_shared<const std::string>(std::move(cosigned))};
  std::deque<CallPtr> ready;
  {
    base::MutexLock lock(&mutex_);
    published_ = published;
    ready = TakeReady(&waiting_cosigned_, published.head.size);
  }
  Release(std::move(ready), published);
  return absl::OkStatus();
}

SignedTreeHead Ledger::signed_head() const {
  base::MutexLock lock(&mutex_);
  return signed_;
}

SignedTreeHead Ledger::published_head() const {
  base::MutexLock lock(&mutex_);
  return published_;
}

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
