#include "tests/fault/ledger_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/mutex.h"
#include "libs/merkle/proof.h"
#include "libs/merkle/tile.h"
#include "libs/note/checkpoint.h"
#include "libs/note/test_keys.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "services/ledger/fakes.h"

namespace countersign::fault {
namespace {

using absl::StatusCode;
using ledger::Ledger;
using testing::Eventually;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kOrigin[] = "log.example/model";
constexpr uint64_t kWidth = merkle::kTileWidth;

std::unique_ptr<note::NoteSigner> LogSigner() { return note::TestLogSigner(kOrigin); }

}  // namespace

// An append under way; its entries live here.
struct LedgerModel::Call {
  merkle::Entries entries;
  Ledger::Level level;
  std::vector<ledger::LogStore::Placement> expected;
  uint64_t needed_size = 0;
  base::Mutex mutex;
  base::CondVar answered;
  std::optional<absl::StatusOr<Ledger::Appended>> answer ABSL_GUARDED_BY(mutex);
};

LedgerModel::LedgerModel(ModelStore* store, uint32_t seed) : store_(store), random_(seed) {
  Start();
}

LedgerModel::~LedgerModel() { Stop(); }

void LedgerModel::Start() {
  Ledger::Options options;
  options.origin = kOrigin;
  options.publish_interval = absl::Milliseconds(1);
  ledger_ = RequireOk(Ledger::Start(options, store_->Open(), LogSigner(),
                                    std::make_unique<ledger::FakeCosigner>()));
}

void LedgerModel::Stop() { ledger_.reset(); }

std::string LedgerModel::NewEntry() {
  static constexpr size_t kLengths[] = {1, 3, 30, 100, 300};
  std::string entry = absl::StrCat(entries_.size(), "/", random_());
  size_t length = kLengths[Random(5)];
  if (Random(200) == 0) length = merkle::kMaxEntryBytes;
  entry.resize(std::max(entry.size(), length), static_cast<char>(Random(256)));
  return entry;
}

merkle::Hash LedgerModel::Root(uint64_t size) {
  const auto [known, is_new] = roots_.try_emplace(size);
  if (is_new) known->second = merkle::ReferenceRoot(merkle::Slice(entries_, 0, size));
  return known->second;
}

void LedgerModel::CheckHead(const ledger::SignedTreeHead& head, uint64_t at_least) {
  REQUIRE(head.head.size >= at_least);
  REQUIRE(head.head.size <= size());
  REQUIRE(head.head.root == Root(head.head.size));
  const note::NoteVerifier key = LogSigner()->verifier();
  const auto opened = RequireOk(note::OpenCheckpoint(*head.checkpoint, kOrigin, {&key, 1}));
  REQUIRE(opened.size == head.head.size);
  REQUIRE(opened.root == head.head.root);
}

uint64_t LedgerModel::IntegratedSize() {
  const ledger::SignedTreeHead head = ledger_->signed_head();
  CheckHead(head, 0);
  return head.head.size;
}

void LedgerModel::AppendBurst() {
  std::vector<std::unique_ptr<Call>> calls;
  for (uint64_t n = 1 + Random(4); n > 0; --n) {
    auto call = std::make_unique<Call>();
    call->level = static_cast<Ledger::Level>(Random(3));
    for (uint64_t e = Random(3) == 0 ? 1 + Random(40) : 1; e > 0; --e) {
      const uint64_t kind = Random(8);
      if (kind == 0 && size() != 0) {
        call->entries.push_back(entries_[Random(size())]);
      } else if (kind == 1 && !call->entries.empty()) {
        call->entries.push_back(call->entries[Random(call->entries.size())]);
      } else {
        call->entries.push_back(NewEntry());
      }
      const auto [known, is_new] = indexes_.try_emplace(call->entries.back(), size());
      if (is_new) entries_.push_back(call->entries.back());
      call->expected.push_back({known->second, !is_new});
      call->needed_size = std::max(call->needed_size, known->second + 1);
    }
    calls.push_back(std::move(call));
  }
  for (const auto& call : calls) {
    ledger_->Append({call->entries.begin(), call->entries.end()}, call->level,
                    absl::InfiniteFuture(), [raw = call.get()](auto appended) {
                      base::MutexLock lock(&raw->mutex);
                      raw->answer = std::move(appended);
                      raw->answered.NotifyAll();
                    });
  }
  for (const auto& call : calls) {
    absl::StatusOr<Ledger::Appended> answer;
    {
      base::MutexLock lock(&call->mutex);
      call->answered.Wait(&call->mutex, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(call->mutex) {
        return call->answer.has_value();
      });
      answer = *std::move(call->answer);
    }
    const Ledger::Appended appended = RequireOk(std::move(answer));
    REQUIRE(appended.placements.size() == call->expected.size());
    for (size_t i = 0; i < call->expected.size(); ++i) {
      REQUIRE(appended.placements[i].index == call->expected[i].index);
      REQUIRE(appended.placements[i].duplicate == call->expected[i].duplicate);
      REQUIRE(appended.leaf_hashes[i] == merkle::LeafHash(call->entries[i]));
    }
    REQUIRE(appended.tree.has_value() == (call->level != Ledger::Level::kSequenced));
    if (!appended.tree.has_value()) continue;
    CheckHead(*appended.tree, call->needed_size);
    if (call->level == Ledger::Level::kCosigned) {
      published_ = std::max(published_, appended.tree->head.size);
    }
  }
}

void LedgerModel::CheckInclusion() {
  const uint64_t integrated = IntegratedSize();
  const uint64_t tree = Random(integrated + 3);
  const uint64_t index = Random(tree + 2);
  const auto proof = ledger_->InclusionProof(index, tree);
  if (index >= tree) {
    REQUIRE_THAT(proof, StatusIs(StatusCode::kNotFound));
  } else if (tree <= integrated) {
    const merkle::Entries first = merkle::Slice(entries_, 0, tree);
    REQUIRE(RequireOk(proof) == merkle::ReferencePath(index, first));
    REQUIRE(
        merkle::VerifyInclusion(index, tree, merkle::LeafHash(entries_[index]), *proof, Root(tree))
            .ok());
  } else if (tree > size()) {
    REQUIRE_THAT(proof, StatusIs(StatusCode::kOutOfRange));
  }
}

void LedgerModel::CheckConsistency() {
  const uint64_t integrated = IntegratedSize();
  const uint64_t second = Random(integrated + 3);
  const uint64_t first = Random(second + 2);
  const auto proof = ledger_->ConsistencyProof(first, second);
  if (first > second) {
    REQUIRE_THAT(proof, StatusIs(StatusCode::kInvalidArgument));
  } else if (second <= integrated) {
    const merkle::Entries entries = merkle::Slice(entries_, 0, second);
    REQUIRE(RequireOk(proof) ==
            (first == 0 ? std::vector<merkle::Hash>() : merkle::ReferenceProof(first, entries)));
    REQUIRE(merkle::VerifyConsistency(first, second, *proof, Root(first), Root(second)).ok());
  } else if (second > size()) {
    REQUIRE_THAT(proof, StatusIs(StatusCode::kOutOfRange));
  }
}

void LedgerModel::CheckEntries() {
  const uint64_t integrated = IntegratedSize();
  const uint64_t start = Random(integrated + 2);
  const size_t count = 1 + Random(400);
  const size_t max_bytes = 1 + Random(40'000);
  const auto read = RequireOk(ledger_->ReadEntries(start, count, max_bytes));
  if (start < integrated) REQUIRE_FALSE(read.empty());
  REQUIRE(read.size() <= count);
  REQUIRE((read.empty() || start + read.size() <= size()));
  size_t bytes = 0;
  for (size_t i = 0; i < read.size(); ++i) {
    REQUIRE(read[i] == entries_[start + i]);
    bytes += read[i].size();
  }
  REQUIRE((read.size() <= 1 || bytes <= max_bytes));
  // It stopped because of a limit, not before.
  if (start + read.size() < integrated && read.size() < count) {
    REQUIRE(bytes + entries_[start + read.size()].size() > max_bytes);
  }
}

void LedgerModel::CheckFind() {
  if (size() == 0 || Random(4) == 0) {
    const auto unknown = ledger_->store().Find(merkle::LeafHash(NewEntry()));
    REQUIRE_FALSE(RequireOk(unknown).has_value());
    return;
  }
  const uint64_t index = Random(size());
  const auto found = ledger_->store().Find(merkle::LeafHash(entries_[index]));
  REQUIRE(RequireOk(found) == index);
}

void LedgerModel::CheckTile() {
  const uint64_t integrated = IntegratedSize();
  const int level = static_cast<int>(Random(3));
  const int shift = merkle::kTileHeight * level;
  const uint64_t hashes = integrated >> shift;  // at that level
  const uint64_t index = Random(hashes / kWidth + 2);
  const auto width = static_cast<uint32_t>(Random(3) == 0 ? kWidth : 1 + Random(kWidth - 1));
  const auto tile = ledger_->store().ReadTile({level, index, width});
  const uint64_t end = index * kWidth + width;
  if (end > size() >> shift) {
    REQUIRE_THAT(tile, StatusIs(StatusCode::kNotFound));
    return;
  }
  if (end > hashes) return;  // it may be integrated by now
  const std::string bytes = *RequireOk(tile);
  REQUIRE(bytes.size() == width * merkle::kHashSize);
  // All of a level 0 tile, and of a higher one a few, since each is the root of many entries.
  for (uint32_t i = 0; i < width; i += level == 0 ? 1 : 1 + static_cast<uint32_t>(Random(width))) {
    const uint64_t begin = (index * kWidth + i) << shift;
    const merkle::Hash expected =
        merkle::ReferenceRoot(merkle::Slice(entries_, begin, begin + (uint64_t{1} << shift)));
    REQUIRE(bytes.substr(i * merkle::kHashSize, merkle::kHashSize) == base::AsBytes(expected));
  }
}

void LedgerModel::CheckBundle() {
  const uint64_t integrated = IntegratedSize();
  const uint64_t bundle = Random(integrated / kWidth + 2);
  const auto width = static_cast<uint32_t>(Random(3) == 0 ? kWidth : 1 + Random(kWidth - 1));
  const auto read = ledger_->store().ReadEntryBundle(bundle, width);
  const uint64_t end = bundle * kWidth + width;
  if (end > size()) REQUIRE_THAT(read, StatusIs(StatusCode::kNotFound));
  if (end > integrated) return;
  std::string expected;
  for (uint64_t i = bundle * kWidth; i < end; ++i) {
    RequireOk(merkle::AppendToBundle(entries_[i], &expected));
  }
  REQUIRE(*RequireOk(read) == expected);
}

void LedgerModel::Restart() {
  if (Random(2) == 0) {
    // Until all is published, so that nothing moves any more.
    REQUIRE(Eventually([&] { return ledger_->published_head().head.size >= size(); }));
    store_->Kill();
  }
  Stop();
  Start();
  // All that was acknowledged is in the tree once the witnesses, here none, were asked.
  REQUIRE(Eventually([&] { return IntegratedSize() == size(); }));
  if (published_ != 0) CheckHead(ledger_->published_head(), published_);
}

void LedgerModel::Run(int steps) {
  for (int step = 0; step < steps; ++step) {
    INFO("step " << step << ", size " << size());
    const uint64_t kind = Random(100);
    if (kind < 40) {
      AppendBurst();
    } else if (kind < 52) {
      CheckInclusion();
    } else if (kind < 64) {
      CheckConsistency();
    } else if (kind < 73) {
      CheckEntries();
    } else if (kind < 80) {
      CheckFind();
    } else if (kind < 89) {
      CheckTile();
    } else if (kind < 98) {
      CheckBundle();
    } else {
      Restart();
    }
  }
}

}  // namespace countersign::fault
