#include "services/ledger/publisher.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/proof_builder.h"
#include "libs/note/checkpoint.h"

namespace countersign::ledger {
namespace {

// Rounds that somebody waits for start this far apart at least, so that fast witnesses do not take
// the processor from appends.
constexpr absl::Duration kMinSpacing = absl::Milliseconds(5);
// How far apart as a part of a round's time.
constexpr double kSpacing = 0.1;
// Publication times are kept to the second.
constexpr absl::Duration kClockTolerance = absl::Seconds(1);
constexpr absl::Duration kClockRetry = absl::Milliseconds(100);
// Until the age of the published checkpoint is looked at again.
constexpr absl::Duration kLongestSleep = absl::Seconds(1);

// Rounds are paced by a clock that nobody sets.
absl::Duration Monotonic() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat(what, ": signing on would fork the log; restore the store as it was"));
}

}  // namespace

Publisher::Publisher(const Options& options, LogStore* store, note::NoteVerifier log_key,
                     std::unique_ptr<Cosigner> cosigner, Callbacks callbacks)
    : options_(options),
      store_(store),
      log_key_(std::move(log_key)),
      callbacks_(std::move(callbacks)),
      published_("the entries are in the log but their checkpoint is not cosigned in time",
                 options.clock),
      cosigner_(std::move(cosigner)) {}

Publisher::~Publisher() { Stop(); }

absl::Status Publisher::Start(const SignedTreeHead& tree, const SignedTreeHead& published,
                              const TreeHead& integrated) {
  if (published.checkpoint != nullptr) {
    // A power cut may have taken its partial tiles. (On a shared store it may not be the newest.)
    if (!store_->shared()) {
      RETURN_IF_ERROR(
          store_->Publish(published.head, *published.checkpoint, store_->PublishTime()));
    }
    published_.Set(published);
  }
  // An empty log that has published nothing is new: nobody can hold anything of it.
  confirmed_ = published.checkpoint == nullptr && integrated.size == 0;
  base::MutexLock lock(&mutex_);
  signed_ = tree;
  integrated_size_ = integrated.size;
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void Publisher::Stop() {
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  cosigner_->Stop();
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void Publisher::Offer(const SignedTreeHead& tree) {
  base::MutexLock lock(&mutex_);
  signed_ = tree;
  integrated_size_ = std::max(integrated_size_, tree.head.size);
  poked_ = true;
  wake_.NotifyOne();
}

void Publisher::Await(uint64_t size, absl::Time deadline, AwaitedTree::Done done) {
  published_.Await(size, deadline, std::move(done));
  base::MutexLock lock(&mutex_);
  if (size > signed_.head.size) return;  // what is offered next will wake the publisher
  poked_ = true;
  wake_.NotifyOne();
}

void Publisher::Lose(const absl::Status& status) {
  {
    base::MutexLock lock(&mutex_);
    if (lost_.ok()) lost_ = status;
  }
  published_.Close(status);
}

absl::Status Publisher::CheckClock() const {
  const absl::Time last = store_->PublishTime();
  const absl::Duration behind = last - options_.clock->Now();
  if (behind <= kClockTolerance) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the clock is ", absl::FormatDuration(absl::Trunc(behind, absl::Seconds(1))),
                   " behind the last checkpoint's time, ",
                   absl::FormatTime(absl::RFC3339_sec, last, absl::UTCTimeZone()),
                   ": set it right; until then nothing is signed"));
}

absl::StatusOr<SignedTreeHead> Publisher::CheckPublished(const SharedBytes& checkpoint,
                                                         const TreeHead& head) const {
  const absl::StatusOr<note::Checkpoint> published = note::ParseSignedCheckpoint(*checkpoint);
  if (!published.ok()) {
    return Damaged(absl::StrCat("the published checkpoint cannot be read (",
                                published.status().message(), ")"));
  }
  if (published->origin != options_.origin) {
    return absl::FailedPreconditionError(absl::StrCat("the store holds the log ", published->origin,
                                                      ", not ", options_.origin,
                                                      ": choose the right store or origin"));
  }
  if (const auto opened = note::OpenCheckpoint(*checkpoint, options_.origin, {&log_key_, 1});
      !opened.ok()) {
    return Damaged(absl::StrCat("the published checkpoint does not bear this log's signature (",
                                opened.status().message(), ")"));
  }
  if (published->size > head.size) {
    return Damaged(absl::StrCat("the log published a checkpoint of size ", published->size,
                                " but its store holds ", head.size, " entries"));
  }
  if (published->size != 0) {
    // The tree as it was then must have the root that was published then.
    const std::vector<merkle::NodeId> nodes = merkle::RootNodes(published->size);
    ASSIGN_OR_RETURN(const std::vector<merkle::Hash> hashes, store_->ReadNodes(nodes));
    if (merkle::FoldRoot(hashes) != published->root) {
      return Damaged(absl::StrCat(
          "the entries do not lead to the root that the log published for size ", published->size));
    }
  }
  return SignedTreeHead{{published->size, published->root}, checkpoint};
}

absl::Status Publisher::Follow(const TreeHead& integrated) {
  {
    base::MutexLock lock(&mutex_);
    ++follows_;
    integrated_size_ = std::max(integrated_size_, integrated.size);
  }
  return Adopt();
}

bool Publisher::CertainlyMissing(uint64_t size, std::optional<Beyond>* named) const {
  if (named->has_value() && (*named)->size <= integrated_size_) named->reset();
  if (!named->has_value() || size < (*named)->size) *named = {size, follows_};
  // The integration under way when it was named may have begun before.
  return follows_ >= (*named)->follows + 2;
}

absl::Status Publisher::Adopt() {
  const SharedBytes shown = store_->PublishedCheckpoint();
  const SignedTreeHead known = published_.tree();
  if (shown->empty() || (known.checkpoint != nullptr && *shown == *known.checkpoint)) {
    return absl::OkStatus();
  }
  TreeHead integrated;
  bool early = false;
  if (const auto parsed = note::ParseSignedCheckpoint(*shown); parsed.ok()) {
    base::MutexLock lock(&mutex_);
    integrated.size = integrated_size_;
    early = parsed->size > integrated_size_ && !CertainlyMissing(parsed->size, &published_beyond_);
  }
  if (early) {
    callbacks_.follow();
    return absl::OkStatus();
  }
  absl::StatusOr<SignedTreeHead> adopted = CheckPublished(shown, integrated);
  if (absl::IsFailedPrecondition(adopted.status())) return Damaged(adopted.status().message());
  RETURN_IF_ERROR(adopted.status());
  callbacks_.adopted(*adopted);
  published_.Set(*std::move(adopted));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<merkle::Hash>> Publisher::Prove(uint64_t first, uint64_t second) {
  absl::StatusOr<std::vector<merkle::Hash>> proof = callbacks_.proof(first, second);
  if (!store_->shared() || !absl::IsOutOfRange(proof.status())) return proof;
  {
    base::MutexLock lock(&mutex_);
    if (CertainlyMissing(second, &named_beyond_)) return proof;
  }
  callbacks_.follow();
  return absl::UnavailableError("another ledger may have sequenced that much: ask again");
}

bool Publisher::RepublishDue(const SignedTreeHead& published) const {
  return options_.republish_interval > absl::ZeroDuration() && published.checkpoint != nullptr &&
         signed_.head.size == published.head.size &&
         options_.clock->Now() - store_->PublishTime() >= options_.republish_interval;
}

absl::Duration Publisher::UntilNextRound() {
  if (!lost_.ok() || rounds_.size() >= options_.max_rounds) return absl::InfiniteDuration();
  const SignedTreeHead published = published_.tree();
  uint64_t covered = published.head.size;
  for (const auto& [number, round] : rounds_) covered = std::max(covered, round.head.size);
  const uint64_t size = signed_.head.size;
  const bool first = published.checkpoint == nullptr && rounds_.empty();

  const absl::Duration now = Monotonic();
  absl::Duration due;
  if (!confirmed_) {
    if (!rounds_.empty()) return absl::InfiniteDuration();
    due = now;
  } else if (published_.AwaitedBetween(covered, size)) {
    due = last_start_ +
          std::min(std::max(typical_round_ * kSpacing, kMinSpacing), options_.publish_interval);
  } else if (rounds_.empty() && (first || size > covered)) {
    due = last_start_ + options_.publish_interval;
  } else if (rounds_.empty() && RepublishDue(published)) {
    due = now;
  } else {
    return absl::InfiniteDuration();
  }
  if (size <= retry_size_) due = std::max(due, retry_at_);
  return std::max(due - now, absl::ZeroDuration());
}

void Publisher::Run() {
  while (true) {
    std::vector<Result> results;
    {
      base::MutexLock lock(&mutex_);
      while (!stopping_ && results_.empty()) {
        poked_ = false;
        const absl::Duration pause = UntilNextRound();
        if (pause <= absl::ZeroDuration()) break;
        wake_.WaitFor(&mutex_, std::min(pause, kLongestSleep),
                      [this] { return stopping_ || poked_ || !results_.empty(); });
      }
      if (stopping_) return;
      results.swap(results_);
    }
    // A witness may have shown a fork when no round was open any more.
    absl::Status status = cosigner_->fork();
    if (status.ok() && !results.empty()) status = Handle(std::move(results));
    // Another ledger may have published already what is due here.
    if (status.ok() && store_->shared()) status = Adopt();
    if (absl::IsDataLoss(status)) {
      callbacks_.lost(status);
      continue;
    }
    StartRound();
  }
}

void Publisher::StartRound() {
  {
    base::MutexLock lock(&mutex_);
    if (UntilNextRound() > absl::ZeroDuration()) return;
  }
  if (!ClockIsRight()) return;
  SignedTreeHead tree;
  uint64_t number;
  {
    base::MutexLock lock(&mutex_);
    tree = signed_;
    number = next_round_++;
    last_start_ = Monotonic();
    const SignedTreeHead published = published_.tree();
    const bool repeat = published.checkpoint != nullptr && tree.head.size == published.head.size;
    rounds_.emplace(number, Round{tree.head, repeat, last_start_});
  }
  cosigner_->Start(
      tree.head, *tree.checkpoint,
      [this](uint64_t first, uint64_t second) { return Prove(first, second); },
      [this, number](absl::StatusOr<std::string> cosigned) {
        base::MutexLock lock(&mutex_);
        results_.push_back({number, std::move(cosigned)});
        wake_.NotifyOne();
      });
}

bool Publisher::ClockIsRight() {
  const absl::Status clock = CheckClock();
  bool said;
  {
    base::MutexLock lock(&mutex_);
    said = clock_behind_;
    clock_behind_ = !clock.ok();
    if (clock.ok()) return true;
    retry_at_ = Monotonic() + kClockRetry;
    retry_size_ = UINT64_MAX;
  }
  if (!said) {
    base::Log(base::Severity::kError, "no checkpoint is published: the clock is wrong",
              {{"error", std::string(clock.message())}});
  }
  published_.SetProblem(std::string(clock.message()));
  published_.FailWithoutDeadline(absl::DeadlineExceededError(
      absl::StrCat("the entries are in the log but not cosigned: ", clock.message())));
  return false;
}

absl::Status Publisher::Handle(std::vector<Result> results) {
  std::optional<Round> cosigned;  // the largest of them
  std::string note;
  std::vector<std::pair<Round, absl::Status>> failed;
  for (Result& result : results) {
    base::MutexLock lock(&mutex_);
    const Round round = rounds_.extract(result.round).mapped();
    if (!result.cosigned.ok()) {
      failed.emplace_back(round, result.cosigned.status());
      continue;
    }
    const absl::Duration took = Monotonic() - round.started;
    typical_round_ =
        typical_round_ == absl::ZeroDuration() ? took : 0.8 * typical_round_ + 0.2 * took;
    if (cosigned.has_value() && round.head.size < cosigned->head.size) continue;
    cosigned = round;
    note = *std::move(result.cosigned);
  }
  for (const auto& [round, status] : failed) {
    if (absl::IsDataLoss(status)) return status;
  }
  {
    base::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(lost_);
  }
  if (cosigned.has_value()) {
    if (absl::Status status = Publish(*cosigned, note); !status.ok()) {
      if (absl::IsDataLoss(status)) return status;
      failed.emplace_back(*cosigned, std::move(status));
    } else {
      published_.SetProblem("");
      base::MutexLock lock(&mutex_);
      retry_size_ = 0;
      problem_.clear();
    }
  }
  for (const auto& [round, status] : failed) Retry(round, status);

  bool confirmed = false;
  {
    base::MutexLock lock(&mutex_);
    // Only a quorum is sure to hold a witness that knows of every checkpoint published before. One
    // may have named a head that is yet to be looked for.
    if (named_beyond_.has_value() && named_beyond_->size <= integrated_size_) named_beyond_.reset();
    confirmed = !confirmed_ && cosigned.has_value() && !named_beyond_.has_value();
    if (confirmed) confirmed_ = true;
  }
  if (confirmed) callbacks_.confirmed();
  return absl::OkStatus();
}

absl::Status Publisher::Publish(const Round& round, const std::string& cosigned) {
  const SignedTreeHead known = published_.tree();
  if (known.checkpoint != nullptr && (round.head.size < known.head.size ||
                                      (round.head.size == known.head.size && !round.repeat))) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(CheckClock());
  RETURN_IF_ERROR(store_->Publish(round.head, cosigned, options_.clock->Now()));
  if (store_->shared() && *store_->PublishedCheckpoint() != cosigned) return Adopt();
  published_.Set({round.head, std::make_shared<const std::string>(cosigned)});
  return absl::OkStatus();
}

void Publisher::Retry(const Round& round, const absl::Status& status) {
  const SignedTreeHead published = published_.tree();
  if (published.checkpoint != nullptr && published.head.size >= round.head.size && !round.repeat) {
    return;  // a larger one has been published meanwhile
  }
  base::MutexLock lock(&mutex_);
  if (absl::IsAborted(status)) {
    const bool larger = std::any_of(rounds_.begin(), rounds_.end(), [&](const auto& under_way) {
      return under_way.second.head.size > round.head.size;
    });
    if (larger) return;
  }
  retry_at_ = Monotonic() + options_.retry;
  retry_size_ = absl::IsAborted(status) ? round.head.size : UINT64_MAX;
  published_.SetProblem(std::string(status.message()));
  // Once a reason: the tries go on for as long as the witnesses are away.
  if (problem_ == status.message()) return;
  problem_ = std::string(status.message());
  base::Log(base::Severity::kWarning, "cannot publish a checkpoint: trying again",
            {{"size", absl::StrCat(round.head.size)}, {"error", status.ToString()}});
}

}  // namespace countersign::ledger
