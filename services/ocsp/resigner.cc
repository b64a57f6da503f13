#include "services/ocsp/resigner.h"

#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/pki/ocsp_record.h"
#include "services/ocsp/responder.h"

namespace countersign::ocsp {
namespace {

constexpr int kNiceness = 10;
// What could not be brought up to date (no signer, the database is down) is tried again after so
// many seconds.
constexpr int64_t kRetryAfter = 10;

}  // namespace

// What holds during one run.
struct Resigner::Run {
  std::shared_ptr<const Directory> directory;
  // The signer in use, by authority.
  absl::flat_hash_map<int64_t, std::shared_ptr<const Signer>> signers;
  absl::Time now;
  absl::Time sync_time;
  // Records whose half-life ends before are due.
  int64_t due_before = 0;
  bool everything = false;
  int64_t expired_before = 0;
};

Resigner::Resigner(const Options& options) : options_(options) {}

Resigner::~Resigner() {
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void Resigner::Start() {
  thread_ = std::thread([this] { Work(); });
}

void Resigner::Work() {
  // Of this thread, and of those that it makes.
  (void)setpriority(PRIO_PROCESS, 0, kNiceness);
  while (true) {
    if (options_.responses->loaded()) {
      const Outcome outcome = RunOnce(/*everything=*/false);
      if (outcome.resigned + outcome.failed > 0) {
        base::Log(
            base::Severity::kInfo, "responses were signed anew",
            {{"signed", absl::StrCat(outcome.resigned)}, {"failed", absl::StrCat(outcome.failed)}});
      }
    }
    base::MutexLock lock(&mutex_);
    if (wake_.WaitFor(&mutex_, options_.interval, [&]() { return stopping_; })) {
      return;
    }
  }
}

Resigner::Outcome Resigner::RunOnce(bool everything) {
  base::MutexLock one_at_a_time(&run_mutex_);
  const ResponseIndex& index = options_.responses->index();
  Run run;
  // Before the statuses, which were true at least then.
  run.sync_time = options_.responses->sync_time();
  run.now = options_.clock->Now();
  run.everything = everything;
  const int64_t now = absl::ToUnixSeconds(run.now);
  run.expired_before = absl::ToUnixSeconds(run.now - Responses::kKeptAfterExpiry);
  run.directory = options_.responses->directory();
  const int64_t spread = run.directory->ShortestLifetime() / 8;
  run.due_before = now + spread;

  std::vector<std::pair<int64_t, uint32_t>> signers;
  for (const auto& authority : run.directory->authorities()) {
    std::shared_ptr<const Signer> signer = authority->CurrentSigner(now);
    if (signer == nullptr) continue;
    signers.emplace_back(authority->id, signer->id);
    run.signers.emplace(authority->id, std::move(signer));
  }
  const bool all_shards = everything || signers != signers_;
  signers_ = std::move(signers);

  std::vector<size_t> due;
  for (size_t shard = 0; shard < ResponseIndex::kShards; ++shard) {
    const int64_t early = spread * static_cast<int64_t>(shard) / ResponseIndex::kShards;
    const int64_t half_life = index.EarliestHalfLife(shard);
    if (half_life == INT64_MAX) continue;
    if (all_shards || (half_life - early <= now && not_before_[shard] <= now)) due.push_back(shard);
  }
  if (due.empty()) return {};

  if (pool_ == nullptr) pool_ = std::make_unique<base::ThreadPool>(options_.threads);
  std::vector<Outcome> outcomes(due.size());
  pool_->ParallelFor(static_cast<int>(due.size()), [&](int i) {
    RewriteShard(due[static_cast<size_t>(i)], run, &outcomes[static_cast<size_t>(i)]);
  });
  Outcome sum;
  for (size_t i = 0; i < due.size(); ++i) {
    not_before_[due[i]] = now + kRetryAfter;
    sum.seen += outcomes[i].seen;
    sum.resigned += outcomes[i].resigned;
    sum.dropped += outcomes[i].dropped;
    sum.failed += outcomes[i].failed;
  }
  return sum;
}

void Resigner::RewriteShard(size_t shard, const Run& run, Outcome* outcome) {
  using Verdict = ResponseIndex::Verdict;
  std::string sha1;
  std::string sha256;
  const auto decide = [&](int64_t authority_id, absl::string_view packed,
                          std::string* replacement) {
    ++outcome->seen;
    auto record = pki::UnpackOcspRecord(packed);
    const Authority* const authority = run.directory->FindById(authority_id);
    if (!record.ok() || authority == nullptr) return Verdict::kKeep;
    if (record->not_after < run.expired_before) {
      ++outcome->dropped;
      return Verdict::kDrop;
    }
    const auto found = run.signers.find(authority_id);
    if (found == run.signers.end()) return Verdict::kKeep;
    const Signer& signer = *found->second;
    pki::OcspStatus status = record->status;
    const bool current = record->signer_id == signer.id && !record->sha1_signature.empty() &&
                         !record->sha256_signature.empty();
    const int64_t half_life = status.this_update + (status.next_update - status.this_update) / 2;
    if (current && !run.everything && half_life > run.due_before) return Verdict::kKeep;
    const Validity validity =
        ValidityAt(run.now, run.sync_time, status.revocation_time, authority->lifetime, signer);
    // Nothing newer can be said, as when the database is down.
    if (current && !run.everything && validity.next_update <= status.next_update) {
      return Verdict::kKeep;
    }
    status.this_update = validity.this_update;
    status.next_update = validity.next_update;
    auto signed_record = signer.responder->Sign(status, *signer.key, &sha1, &sha256);
    if (!signed_record.ok()) {
      ++outcome->failed;
      ++failed_;
      return Verdict::kKeep;
    }
    signed_record->not_after = record->not_after;
    signed_record->signer_id = signer.id;
    pki::AppendOcspRecord(*signed_record, replacement);
    ++outcome->resigned;
    ++resigned_;
    return Verdict::kReplace;
  };
  options_.responses->index().Rewrite(shard, decide);
}

}  // namespace countersign::ocsp
