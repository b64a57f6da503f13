#include "services/ledger/witness_cosigner.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/merkle/proof.h"
#include "libs/note/add_checkpoint.h"
#include "libs/note/checkpoint.h"
#include "libs/note/cosignature.h"

namespace countersign::ledger {
namespace {

// A cosignature from further ahead than this is taken for a fault of the witness.
constexpr absl::Duration kMaxClockSkew = absl::Hours(1);
// A request is sent at most this often: the sizes that a witness names may change between.
constexpr int kMaxConflicts = 3;
// Requests that take this many times as long as one alone, and more, only queue at the witness.
constexpr double kQueueing = 2;
constexpr absl::Duration kQueueingSlack = absl::Milliseconds(5);
// Answers in time before a witness is trusted with one request more.
constexpr int kKeptUp = 8;

// An honest answer is a few lines or one checkpoint. A longer one is that witness's failure, and no
// burden for the others.
constexpr size_t kMaxAnswerBytes = 256 * 1024;
// With the log's own keys' still fewer signatures than a note may have.
constexpr size_t kMaxWitnesses = 100;
static_assert(kMaxWitnesses < note::kMaxSignatures);

absl::Duration Monotonic() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

std::string Join(absl::string_view prefix, absl::string_view path) {
  return absl::StrCat(absl::StripSuffix(prefix, "/"), path);
}

enum class Descent { kOfThisTree, kOfAnother, kUnknown };

// Whether `seen` is a head of the same tree as `head`: one that it has grown from, or one that this
// store has grown to since.
Descent DescentOf(const TreeHead& seen, const TreeHead& head, const Cosigner::ProofFn& proof) {
  const TreeHead& first = seen.size < head.size ? seen : head;
  const TreeHead& second = seen.size < head.size ? head : seen;
  const auto hashes = proof(first.size, second.size);
  // OutOfRange: the store is shorter.
  if (absl::IsOutOfRange(hashes.status())) return Descent::kOfAnother;
  if (!hashes.ok()) return Descent::kUnknown;
  return merkle::VerifyConsistency(first.size, second.size, *hashes, first.root, second.root).ok()
             ? Descent::kOfThisTree
             : Descent::kOfAnother;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WitnessCosigner>> WitnessCosigner::Create(
    const Options& options, note::Policy policy, note::NoteVerifier log_key) {
  const auto is_ours = [&](const note::PolicyLog& log) { return log.key == log_key; };
  if (!policy.logs().empty() && std::none_of(policy.logs().begin(), policy.logs().end(), is_ours)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the witness policy names other logs but not this one, ", log_key.vkey()));
  }
  if (policy.witnesses().size() > kMaxWitnesses) {
    return absl::InvalidArgumentError(absl::StrCat("the policy names ", policy.witnesses().size(),
                                                   " witnesses; a checkpoint ", "has room for ",
                                                   kMaxWitnesses));
  }
  for (const note::PolicyWitness& witness : policy.witnesses()) {
    if (witness.url.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the policy gives no URL for witness ", witness.name));
    }
  }
  return std::unique_ptr<WitnessCosigner>(
      new WitnessCosigner(options, std::move(policy), std::move(log_key)));
}

WitnessCosigner::WitnessCosigner(const Options& options, note::Policy policy,
                                 note::NoteVerifier log_key)
    : options_(options),
      policy_(std::move(policy)),
      log_key_(std::move(log_key)),
      client_(std::make_unique<http::Client>(
          http::ClientOptions{.max_response_bytes = kMaxAnswerBytes})) {
  {
    base::MutexLock lock(&mutex_);
    for (const note::PolicyWitness& witness : policy_.witnesses()) {
      witnesses_.push_back({.policy = witness, .window = options_.max_requests});
    }
  }
  thread_ = std::thread([this] { Run(); });
}

WitnessCosigner::~WitnessCosigner() {
  Stop();
  thread_.join();
}

void WitnessCosigner::Stop() {
  base::MutexLock lock(&mutex_);
  stopped_ = true;
  Wake();
}

void WitnessCosigner::Wake() {
  woken_ = true;
  wake_.NotifyOne();
}

std::vector<Cosigner::WitnessState> WitnessCosigner::witnesses() const {
  base::MutexLock lock(&mutex_);
  std::vector<WitnessState> states;
  for (const Witness& witness : witnesses_) {
    states.push_back({witness.policy.name, witness.policy.key.vkey(), witness.policy.url,
                      witness.cosigned_size, witness.cosign_time, witness.last_error});
  }
  return states;
}

void WitnessCosigner::Start(const TreeHead& head, absl::string_view checkpoint, ProofFn proof,
                            Done done) {
  absl::StatusOr<note::SignedNote> note = note::ParseNote(checkpoint);
  if (!note.ok()) return done(note.status());
  auto round = std::make_shared<Round>();
  round->head = head;
  round->note = *std::move(note);
  round->checkpoint = std::string(checkpoint);
  round->proof = std::move(proof);
  round->done = std::move(done);
  round->began = Monotonic();
  const absl::Time now = options_.clock->Now();
  {
    base::MutexLock lock(&mutex_);
    if (!stopped_) {
      round->signatures.resize(witnesses_.size());
      newest_size_ = std::max(newest_size_, head.size);
      for (size_t i = 0; i < witnesses_.size(); ++i) {
        Witness& witness = witnesses_[i];
        // One that has failed is tried with a single request, and no second is kept for it.
        const bool asked = !witness.sent.empty() || !witness.pending.empty();
        if (witness.leave_until > now || (witness.failures > 0 && asked)) continue;
        auto request = std::make_shared<Request>();
        request->witness = i;
        request->round = round;
        ++round->outstanding;
        witness.pending.push_back(std::move(request));
        if (witness.pending.size() > options_.max_requests) PassOver(witness.pending.front());
      }
      rounds_.push_back(std::move(round));
      return Wake();
    }
  }
  round->done(absl::UnavailableError("the ledger is stopping"));
}

void WitnessCosigner::Run() {
  while (true) {
    std::vector<RequestPtr> requests;
    std::vector<std::pair<Done, absl::StatusOr<std::string>>> ended;
    bool stopped;
    {
      base::MutexLock lock(&mutex_);
      absl::Duration grace_end = absl::InfiniteDuration();
      for (const RoundPtr& round : rounds_) {
        if (round->grace_end.has_value()) grace_end = std::min(grace_end, *round->grace_end);
      }
      wake_.WaitFor(&mutex_, std::min(grace_end - Monotonic(), absl::Hours(1)),
                    [this] { return woken_; });
      woken_ = false;
      stopped = stopped_;
      const absl::Duration now = Monotonic();
      for (const RoundPtr& round : rounds_) {
        if (!CheckEnd(*round, now)) continue;
        round->ended = true;
        ended.emplace_back(std::move(round->done), ResultOf(*round));
      }
      rounds_.erase(std::remove_if(rounds_.begin(), rounds_.end(),
                                   [](const RoundPtr& round) { return round->ended; }),
                    rounds_.end());
      for (size_t i = 0; i < witnesses_.size() && !stopped; ++i) Schedule(i, &requests);
    }
    for (const RequestPtr& request : requests) Send(request);
    for (auto& [done, result] : ended) done(std::move(result));
    if (stopped) return;
  }
}

void WitnessCosigner::Schedule(size_t witness, std::vector<RequestPtr>* out) {
  Witness& state = witnesses_[witness];
  const size_t window = state.failures > 0 ? 1 : state.window;
  while (!state.pending.empty() && !state.draining && state.sent.size() < window) {
    // The oldest when all fit; else the newest, so that the tree that it cosigns is never far
    // behind.
    auto at = state.pending.begin();
    if (state.pending.size() > window - state.sent.size()) {
      at = std::prev(state.pending.end());
      const auto preferred =
          std::find_if(state.pending.rbegin(), state.pending.rend(), [](const RequestPtr& request) {
            return request->round->preferred && !request->round->ended;
          });
      if (preferred != state.pending.rend()) at = std::prev(preferred.base());
      (*at)->round->preferred = true;
    }
    const RequestPtr request = *at;
    // What it has gone past it will not cosign.
    while (state.pending.front() != request) PassOver(state.pending.front());
    if (request->round->ended || state.stands_at > request->round->head.size) {
      PassOver(request);
      continue;
    }
    state.pending.pop_front();
    request->old_size = state.sent.empty() ? state.stands_at : state.sent.back()->round->head.size;
    request->number = next_number_++;
    request->sent = Monotonic();
    request->acceptances = state.acceptances;
    request->failures = state.total_failures;
    request->alone = state.sent.empty();
    for (const RequestPtr& other : state.sent) other->alone = false;
    state.sent.push_back(request);
    out->push_back(request);
  }
}

void WitnessCosigner::Send(const RequestPtr& request) {
  // Only this thread builds bodies.
  Round& round = *request->round;
  if (round.body_old_size != request->old_size) {
    note::AddCheckpointRequest add;
    add.old_size = request->old_size;
    add.checkpoint = round.checkpoint;
    if (request->old_size != 0) {
      auto proof = round.proof(request->old_size, round.head.size);
      if (!proof.ok()) return Fail(request, proof.status());
      add.proof = *std::move(proof);
    }
    round.body = note::FormatAddCheckpoint(add);
    round.body_old_size = request->old_size;
  }
  http::ClientRequest post;
  post.method = "POST";
  post.url = Join(policy_.witnesses()[request->witness].url, "/add-checkpoint");
  post.headers.Add("Content-Type", "text/plain; charset=utf-8");
  post.body = round.body;
  post.timeout = options_.timeout;
  post.idempotent = true;
  client_->Send(std::move(post), [this, request](absl::StatusOr<http::Response> response) {
    HandleAnswer(request, std::move(response));
  });
}

bool WitnessCosigner::QuorumMet(const Round& round) const {
  std::set<std::string, std::less<>> names;
  for (size_t i = 0; i < round.signatures.size(); ++i) {
    if (round.signatures[i].has_value()) names.insert(witnesses_[i].policy.name);
  }
  return policy_.Satisfied(names);
}

absl::Status WitnessCosigner::fork() const {
  base::MutexLock lock(&mutex_);
  return fork_;
}

bool WitnessCosigner::CheckEnd(Round& round, absl::Duration now) {
  if (stopped_ || !fork_.ok() || round.outstanding == 0) return true;
  if (!round.grace_end.has_value() && QuorumMet(round)) {
    round.grace_end =
        now + std::max(options_.min_grace, (now - round.began) * options_.grace_factor);
  }
  return round.grace_end.has_value() && *round.grace_end <= now;
}

absl::StatusOr<std::string> WitnessCosigner::ResultOf(const Round& round) const {
  RETURN_IF_ERROR(fork_);
  if (QuorumMet(round)) {
    note::SignedNote note = round.note;
    for (const std::optional<note::NoteSignature>& signature : round.signatures) {
      if (signature.has_value()) note.signatures.push_back(*signature);
    }
    return note::FormatNote(note);
  }
  if (stopped_) return absl::UnavailableError("the ledger is stopping");
  if (round.passed_over) {
    return absl::AbortedError(absl::StrCat("witnesses were asked about a larger tree than that of ",
                                           round.head.size, " entries before the quorum was met"));
  }
  std::vector<std::string> missing;
  for (size_t i = 0; i < witnesses_.size(); ++i) {
    if (round.signatures[i].has_value()) continue;
    missing.push_back(absl::StrCat(
        witnesses_[i].policy.name, " (",
        witnesses_[i].last_error.empty() ? "no answer yet" : witnesses_[i].last_error, ")"));
  }
  return absl::UnavailableError(
      absl::StrCat("the witness quorum '", policy_.quorum(),
                   "' is not met; missing: ", absl::StrJoin(missing, ", ")));
}

void WitnessCosigner::HandleAnswer(const RequestPtr& request,
                                   absl::StatusOr<http::Response> response) {
  if (!response.ok()) return Fail(request, response.status());
  if (response->status == 200) return HandleSignatures(request, *response);
  const std::string answer = absl::StrCat(
      "it answered ", response->status, ": ",
      absl::CHexEscape(absl::StripTrailingAsciiWhitespace(response->body_view().substr(0, 200))));
  if (response->status == 409) {
    const absl::StatusOr<uint64_t> size = note::ParseTlogSize(response->body_view());
    if (size.ok()) return HandleConflict(request, *size, answer);
  }
  // What it cosigned last is not of this tree.
  if (response->status == 422) return Investigate(request, 0, answer);
  Fail(request, absl::UnavailableError(answer));
}

void WitnessCosigner::HandleSignatures(const RequestPtr& request, const http::Response& response) {
  const absl::StatusOr<std::vector<note::NoteSignature>> lines =
      note::ParseSignatureLines(response.body_view());
  if (!lines.ok()) return Fail(request, lines.status());
  Round& round = *request->round;
  const note::NoteVerifier& key = policy_.witnesses()[request->witness].key;
  const auto line = std::find_if(lines->begin(), lines->end(), [&](const auto& candidate) {
    return candidate.name == key.name() && candidate.key_id == key.key_id();
  });
  if (line == lines->end() || !key.Verify(round.note.text, line->signature)) {
    return Fail(request, absl::UnavailableError("its answer has no valid cosignature of its key"));
  }
  const uint64_t timestamp = note::CosignatureTimestamp(line->signature).value_or(0);
  const absl::Time latest = options_.clock->Now() + kMaxClockSkew;
  if (timestamp == 0 || timestamp > static_cast<uint64_t>(absl::ToUnixSeconds(latest))) {
    return Fail(request, absl::UnavailableError(absl::StrCat(
                             "its cosignature bears the impossible time ", timestamp)));
  }

  base::MutexLock lock(&mutex_);
  Witness& state = witnesses_[request->witness];
  round.signatures[request->witness] = *line;
  state.stands_at = std::max(state.stands_at, round.head.size);
  state.cosigned_size = std::max(state.cosigned_size, round.head.size);
  state.cosign_time = absl::FromUnixSeconds(static_cast<int64_t>(timestamp));
  ++state.acceptances;
  state.failures = 0;
  state.last_error.clear();
  state.leave_until = absl::InfinitePast();

  const absl::Duration took = Monotonic() - request->sent;
  if (request->alone || took < state.alone_time) state.alone_time = took;
  if (took > state.alone_time * kQueueing + kQueueingSlack) {
    Narrow(state, *request);
  } else if (state.sent.size() >= state.window && ++state.kept_up >= kKeptUp) {
    state.window = std::min(state.window + 1, options_.max_requests);
    state.kept_up = 0;
  }
  Settle(request);
}

void WitnessCosigner::HandleConflict(const RequestPtr& request, uint64_t size,
                                     const std::string& answer) {
  const Round& round = *request->round;
  {
    base::MutexLock lock(&mutex_);
    if (size <= newest_size_) {
      Witness& state = witnesses_[request->witness];
      const bool alone = request->alone;
      // When it has cosigned something since, that may have been later.
      state.stands_at =
          state.acceptances == request->acceptances ? size : std::max(state.stands_at, size);
      const bool again = ++request->conflicts <= kMaxConflicts;
      if (!alone) {
        // Those behind it were sent in the belief that it would be accepted.
        Narrow(state, *request);
        state.draining = true;
      }
      if (state.stands_at > round.head.size || round.ended || (!again && !alone)) {
        return PassOver(request);
      }
      if (again) {
        Settle(request);
        ++request->round->outstanding;
        const auto at = std::find_if(
            state.pending.begin(), state.pending.end(),
            [&](const RequestPtr& other) { return other->round->head.size >= round.head.size; });
        state.pending.insert(at, request);
        return;
      }
    }
  }
  if (size <= round.head.size) return Fail(request, absl::UnavailableError(answer));
  Investigate(request, size,
              absl::StrCat("it claims to have cosigned size ", size, ", larger than the log's"));
}

void WitnessCosigner::Investigate(const RequestPtr& request, uint64_t claimed,
                                  const std::string& answer) {
  // Either the witness errs, or somebody fed it a newer checkpoint of this log, or this store is an
  // old copy of a log that had grown further. What the log itself signed decides: the witness shows
  // it at its monitoring path.
  http::ClientRequest get;
  get.url = Join(policy_.witnesses()[request->witness].url,
                 absl::StrCat("/", base::HexEncode(base::AsBytes(crypto::Sha256(log_key_.name()))),
                              "/checkpoint"));
  get.timeout = options_.timeout;
  client_->Send(
      std::move(get), [this, request, claimed, answer](absl::StatusOr<http::Response> response) {
        const RoundPtr& round = request->round;
        absl::StatusOr<note::Checkpoint> seen = absl::UnavailableError(answer);
        if (response.ok() && response->status == 200) {
          seen = note::OpenCheckpoint(response->body_view(), log_key_.name(), {&log_key_, 1});
        }
        if (!seen.ok()) return Fail(request, absl::UnavailableError(answer));
        const Descent descent = DescentOf({seen->size, seen->root}, round->head, round->proof);
        {
          base::MutexLock lock(&mutex_);
          Witness& state = witnesses_[request->witness];
          if (descent == Descent::kOfAnother) {
            // Also when its round is over: whoever asks next is told.
            fork_ = absl::DataLossError(absl::StrCat(
                "witness ", state.policy.name, " holds a checkpoint of size ", seen->size,
                " that this log has signed but whose tree the data folder does not hold: "
                "it is an old copy, and signing on would fork the log; restore the newest one"));
          }
          // Another ledger of this log was quicker.
          if (descent == Descent::kOfThisTree && claimed != 0 && seen->size >= claimed) {
            state.stands_at = std::max(state.stands_at, seen->size);
            return PassOver(request);
          }
        }
        Fail(request, absl::UnavailableError(answer));
      });
}

void WitnessCosigner::Fail(const RequestPtr& request, const absl::Status& status) {
  base::MutexLock lock(&mutex_);
  Witness& state = witnesses_[request->witness];
  Settle(request);
  // Requests that were under way together fail together.
  if (request->failures != state.total_failures) return;
  const absl::Duration backoff =
      std::min(options_.max_backoff, options_.min_backoff * (1 << std::min(state.failures, 12)));
  if (state.failures == 0 && !stopped_) {
    base::Log(base::Severity::kWarning, "a witness did not cosign",
              {{"witness", state.policy.name}, {"error", std::string(status.message())}});
  }
  ++state.failures;
  ++state.total_failures;
  state.last_error = std::string(status.message());
  state.leave_until = options_.clock->Now() + backoff;
  while (!state.pending.empty()) Settle(state.pending.front());
}

void WitnessCosigner::Settle(RequestPtr request) {
  Witness& state = witnesses_[request->witness];
  --request->round->outstanding;
  for (std::deque<RequestPtr>* queue : {&state.pending, &state.sent}) {
    const auto at = std::find(queue->begin(), queue->end(), request);
    if (at != queue->end()) queue->erase(at);
  }
  if (state.sent.empty()) state.draining = false;
  Wake();
}

void WitnessCosigner::PassOver(RequestPtr request) {
  request->round->passed_over = true;
  Settle(std::move(request));
}

void WitnessCosigner::Narrow(Witness& witness, const Request& request) {
  // Once for all that were under way together.
  if (request.number < witness.narrowed_at) return;
  witness.window = std::max<size_t>(1, witness.window / 2);
  witness.kept_up = 0;
  witness.narrowed_at = next_number_;
}

}  // namespace countersign::ledger
