#include "services/ledger/witness_cosigner.h"

#include <algorithm>
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

std::string Join(absl::string_view prefix, absl::string_view path) {
  return absl::StrCat(absl::StripSuffix(prefix, "/"), path);
}

// Whether `seen` is a head of the same tree as `head`: one that it has grown from, or one that this
// store has grown to since.
bool IsOfThisTree(const TreeHead& seen, const TreeHead& head, const Cosigner::ProofFn& proof) {
  const TreeHead& first = seen.size < head.size ? seen : head;
  const TreeHead& second = seen.size < head.size ? head : seen;
  const auto hashes = proof(first.size, second.size);
  if (!hashes.ok())
    return !absl::IsOutOfRange(hashes.status());  // OutOfRange: the store is shorter
  return merkle::VerifyConsistency(first.size, second.size, *hashes, first.root, second.root).ok();
}

}  // namespace

absl::StatusOr<std::unique_ptr<WitnessCosigner>> WitnessCosigner::Create(
    const Options& options, note::Policy policy, note::NoteVerifier log_key) {
  const auto is_ours = [&](const note::PolicyLog& log) { return log.key == log_key; };
  if (!policy.logs().empty() && std::none_of(policy.logs().begin(), policy.logs().end(), is_ours)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the witness policy names other logs but not this one, ", log_key.vkey()));
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
      client_(std::make_unique<http::Client>()) {
  base::MutexLock lock(&mutex_);
  for (const note::PolicyWitness& witness : policy_.witnesses()) {
    witnesses_.push_back({.policy = witness});
  }
}

WitnessCosigner::~WitnessCosigner() { Stop(); }

void WitnessCosigner::Stop() {
  base::MutexLock lock(&mutex_);
  stopped_ = true;
  changed_.NotifyAll();
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

bool WitnessCosigner::QuorumMet(const Round& round) const {
  std::set<std::string, std::less<>> names;
  for (size_t i = 0; i < round.signatures.size(); ++i) {
    if (round.signatures[i].has_value()) names.insert(witnesses_[i].policy.name);
  }
  return policy_.Satisfied(names);
}

absl::StatusOr<std::string> WitnessCosigner::Cosign(const TreeHead& head,
                                                    absl::string_view checkpoint,
                                                    const ProofFn& proof) {
  auto round = std::make_shared<Round>();
  round->head = head;
  round->checkpoint = std::string(checkpoint);
  round->proof = proof;
  ASSIGN_OR_RETURN(round->note, note::ParseNote(checkpoint));

  const absl::Time begin = options_.clock->Now();
  std::vector<std::pair<size_t, uint64_t>> ask;
  {
    base::MutexLock lock(&mutex_);
    if (stopped_) return absl::UnavailableError("the ledger is stopping");
    round->signatures.resize(witnesses_.size());
    for (size_t i = 0; i < witnesses_.size(); ++i) {
      if (witnesses_[i].asked || witnesses_[i].leave_until > begin) continue;
      witnesses_[i].asked = true;
      ++round->outstanding;
      ask.emplace_back(i, witnesses_[i].cosigned_size);
    }
  }
  for (const auto& [witness, old_size] : ask) {
    // A witness that stands past this head is one whose answer to a later round was quicker.
    Ask(witness, round, std::min(old_size, head.size), /*retry=*/true);
  }

  base::MutexLock lock(&mutex_);
  const auto ended = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return round->outstanding == 0 || !round->fatal.ok() || stopped_;
  };
  changed_.Wait(&mutex_, [&] { return ended() || QuorumMet(*round); });
  if (!ended()) {
    const absl::Duration grace =
        std::max(options_.min_grace, (options_.clock->Now() - begin) * options_.grace_factor);
    changed_.WaitFor(&mutex_, grace, ended);
  }
  RETURN_IF_ERROR(round->fatal);
  if (!QuorumMet(*round)) {
    std::vector<std::string> missing;
    for (size_t i = 0; i < witnesses_.size(); ++i) {
      if (round->signatures[i].has_value()) continue;
      missing.push_back(absl::StrCat(
          witnesses_[i].policy.name, " (",
          witnesses_[i].last_error.empty() ? "no answer yet" : witnesses_[i].last_error, ")"));
    }
    return absl::UnavailableError(
        absl::StrCat("the witness quorum '", policy_.quorum(),
                     "' is not met; missing: ", absl::StrJoin(missing, ", ")));
  }
  note::SignedNote note = round->note;
  for (const std::optional<note::NoteSignature>& signature : round->signatures) {
    if (signature.has_value()) note.signatures.push_back(*signature);
  }
  return note::FormatNote(note);
}

void WitnessCosigner::Ask(size_t witness, const RoundPtr& round, uint64_t old_size, bool retry) {
  std::string url;
  {
    base::MutexLock lock(&mutex_);
    url = Join(witnesses_[witness].policy.url, "/add-checkpoint");
  }
  note::AddCheckpointRequest request;
  request.old_size = old_size;
  request.checkpoint = round->checkpoint;
  if (old_size != 0) {
    auto proof = round->proof(old_size, round->head.size);
    if (!proof.ok()) return Settle(witness, round, proof.status());
    request.proof = *std::move(proof);
  }
  http::ClientRequest post;
  post.method = "POST";
  post.url = std::move(url);
  post.headers.Add("Content-Type", "text/plain; charset=utf-8");
  post.body = note::FormatAddCheckpoint(request);
  post.timeout = options_.timeout;
  post.idempotent = true;
  client_->Send(std::move(post),
                [this, witness, round, retry](absl::StatusOr<http::Response> response) {
                  HandleAnswer(witness, round, retry, std::move(response));
                });
}

void WitnessCosigner::HandleAnswer(size_t witness, const RoundPtr& round, bool retry,
                                   absl::StatusOr<http::Response> response) {
  if (!response.ok()) return Settle(witness, round, response.status());
  if (response->status == 200) return HandleSignatures(witness, round, *response);
  if (response->status == 409 && retry) {
    const absl::StatusOr<uint64_t> size = note::ParseTlogSize(response->body_view());
    if (size.ok() && *size <= round->head.size) return Ask(witness, round, *size, false);
    if (size.ok()) {
      return Investigate(
          witness, round,
          absl::StrCat("it claims to have cosigned size ", *size, ", larger than the log's"));
    }
  }
  const std::string answer = absl::StrCat(
      "it answered ", response->status, ": ",
      absl::CHexEscape(absl::StripTrailingAsciiWhitespace(response->body_view().substr(0, 200))));
  // 422: what it cosigned last is not of this tree. 409: it is larger than this tree.
  if (response->status == 422) return Investigate(witness, round, answer);
  Settle(witness, round, absl::UnavailableError(answer));
}

void WitnessCosigner::HandleSignatures(size_t witness, const RoundPtr& round,
                                       const http::Response& response) {
  const absl::StatusOr<std::vector<note::NoteSignature>> lines =
      note::ParseSignatureLines(response.body_view());
  if (!lines.ok()) return Settle(witness, round, lines.status());
  absl::Status status = absl::UnavailableError("its answer has no valid cosignature of its key");
  {
    base::MutexLock lock(&mutex_);
    Witness& state = witnesses_[witness];
    const note::NoteVerifier& key = state.policy.key;
    for (const note::NoteSignature& line : *lines) {
      if (line.name != key.name() || line.key_id != key.key_id()) continue;
      if (!key.Verify(round->note.text, line.signature)) break;
      const uint64_t timestamp = note::CosignatureTimestamp(line.signature).value_or(0);
      const absl::Time latest = options_.clock->Now() + kMaxClockSkew;
      if (timestamp == 0 || timestamp > static_cast<uint64_t>(absl::ToUnixSeconds(latest))) {
        status = absl::UnavailableError(
            absl::StrCat("its cosignature bears the impossible time ", timestamp));
        break;
      }
      round->signatures[witness] = line;
      state.cosigned_size = std::max(state.cosigned_size, round->head.size);
      state.cosign_time = absl::FromUnixSeconds(static_cast<int64_t>(timestamp));
      status = absl::OkStatus();
      break;
    }
  }
  Settle(witness, round, status);
}

void WitnessCosigner::Investigate(size_t witness, const RoundPtr& round,
                                  const std::string& answer) {
  // Either the witness errs, or somebody fed it a newer checkpoint of this log, or this store is an
  // old copy of a log that had grown further. What the log itself signed decides: the witness shows
  // it at its monitoring path.
  http::ClientRequest get;
  {
    base::MutexLock lock(&mutex_);
    get.url =
        Join(witnesses_[witness].policy.url,
             absl::StrCat("/", base::HexEncode(base::AsBytes(crypto::Sha256(log_key_.name()))),
                          "/checkpoint"));
  }
  get.timeout = options_.timeout;
  client_->Send(std::move(get), [this, witness, round,
                                 answer](absl::StatusOr<http::Response> response) {
    if (response.ok() && response->status == 200) {
      const absl::StatusOr<note::Checkpoint> seen =
          note::OpenCheckpoint(response->body_view(), log_key_.name(), {&log_key_, 1});
      if (seen.ok() && !IsOfThisTree({seen->size, seen->root}, round->head, round->proof)) {
        base::MutexLock lock(&mutex_);
        round->fatal = absl::DataLossError(absl::StrCat(
            "witness ", witnesses_[witness].policy.name, " holds a checkpoint of size ", seen->size,
            " that this log has signed but whose tree the data folder does not hold: "
            "it is an old copy, and signing on would fork the log; restore the newest one"));
      }
    }
    Settle(witness, round, absl::UnavailableError(answer));
  });
}

void WitnessCosigner::Settle(size_t witness, const RoundPtr& round, const absl::Status& status) {
  base::MutexLock lock(&mutex_);
  Witness& state = witnesses_[witness];
  state.asked = false;
  if (status.ok()) {
    state.failures = 0;
    state.last_error.clear();
    state.leave_until = absl::InfinitePast();
  } else {
    const absl::Duration backoff =
        std::min(options_.max_backoff, options_.min_backoff * (1 << std::min(state.failures, 12)));
    if (state.failures == 0 && !stopped_) {
      base::Log(base::Severity::kWarning, "a witness did not cosign",
                {{"witness", state.policy.name}, {"error", std::string(status.message())}});
    }
    ++state.failures;
    state.last_error = std::string(status.message());
    state.leave_until = options_.clock->Now() + backoff;
  }
  --round->outstanding;
  changed_.NotifyAll();
}

}  // namespace countersign::ledger
