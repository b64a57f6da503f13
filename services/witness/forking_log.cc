#include "services/witness/forking_log.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/merkle/reference_tree.h"
#include "libs/note/checkpoint.h"
#include "libs/note/cosignature.h"
#include "libs/note/signed_note.h"
#include "libs/note/test_keys.h"

namespace countersign::witness {
namespace {

merkle::Entries EntriesOf(const std::string& tree) {
  merkle::Entries entries;
  for (size_t i = 0; i < tree.size(); ++i) entries.push_back(absl::StrCat(i, tree.substr(i, 1)));
  return entries;
}

}  // namespace

ForkingLog::ForkingLog(const std::string& origin) : signer_(note::TestLogSigner(origin)) {}

std::string ForkingLog::Text(const std::string& tree) const {
  return note::FormatCheckpoint(
      {signer_->name(), tree.size(), merkle::ReferenceRoot(EntriesOf(tree))});
}

ForkingLog::Offer ForkingLog::MakeOffer(const std::string& from, const std::string& to) const {
  Offer offer{to, {}};
  offer.request.old_size = from.size();
  if (!from.empty() && from.size() < to.size()) {
    offer.request.proof = merkle::ReferenceProof(from.size(), EntriesOf(to));
  }
  // Threads use no assertions: a note that could not be signed is refused, and that is noticed.
  offer.request.checkpoint = note::SignNote(Text(to), {signer_.get()}).value_or("");
  return offer;
}

ForkingLog::Offer ForkingLog::Next(std::minstd_rand* random) {
  const auto pick = [random](size_t count) {
    return std::uniform_int_distribution<size_t>(0, count - 1)(*random);
  };
  std::string from;
  std::string to;
  {
    base::MutexLock lock(&mutex_);
    from = to = latest_;
    if (known_size_ > latest_.size()) {
      const std::set<std::string>& candidates = offered_[known_size_];
      if (!candidates.empty()) {
        from = to = *std::next(candidates.begin(), static_cast<ptrdiff_t>(pick(candidates.size())));
      }
    } else if (const size_t kind = pick(8); kind == 0 && !to.empty()) {
      to.back() = to.back() == 'a' ? 'b' : 'a';
    } else if (kind > 1) {
      for (size_t more = 1 + pick(2); more > 0; --more) to.push_back(pick(2) == 0 ? 'a' : 'b');
    }
    offered_[to.size()].insert(to);
  }
  return MakeOffer(from, to);
}

void ForkingLog::Cosigned(const Offer& offer, const std::string& cosignatures) {
  base::MutexLock lock(&mutex_);
  cosigned_.push_back({offer.tree, cosignatures});
  if (offer.tree.size() > latest_.size()) latest_ = offer.tree;
  known_size_ = std::max<uint64_t>(known_size_, latest_.size());
}

void ForkingLog::Conflict(uint64_t latest_size) {
  base::MutexLock lock(&mutex_);
  known_size_ = std::max(known_size_, latest_size);
}

size_t ForkingLog::cosigned() const {
  base::MutexLock lock(&mutex_);
  return cosigned_.size();
}

std::string ForkingLog::latest() const {
  base::MutexLock lock(&mutex_);
  return latest_;
}

std::string ForkingLog::Fault(const note::NoteVerifier& key) const {
  base::MutexLock lock(&mutex_);
  std::vector<Record> records = cosigned_;
  std::stable_sort(records.begin(), records.end(),
                   [](const Record& a, const Record& b) { return a.tree.size() < b.tree.size(); });
  std::string tree;       // of the record before
  uint64_t earliest = 0;  // that the next size may be cosigned as of
  uint64_t latest_time = 0;
  for (const Record& record : records) {
    if (!absl::StartsWith(record.tree, tree)) {
      return absl::StrCat("both ", tree, " and ", record.tree, " were cosigned");
    }
    if (record.tree.size() > tree.size()) earliest = latest_time;
    tree = record.tree;
    const auto lines = note::ParseSignatureLines(record.cosignatures);
    if (!lines.ok() || lines->size() != 1 || (*lines)[0].key_id != key.key_id() ||
        !key.Verify(Text(record.tree), (*lines)[0].signature)) {
      return absl::StrCat("not a cosignature of ", record.tree, ": ", record.cosignatures);
    }
    const uint64_t time = note::CosignatureTimestamp((*lines)[0].signature).value_or(0);
    if (time < earliest) return absl::StrCat(record.tree, " is cosigned as of an earlier time");
    latest_time = std::max(latest_time, time);
  }
  return "";
}

}  // namespace countersign::witness
