// A ledger under test, and calls of it.
#ifndef COUNTERSIGN_SERVICES_LEDGER_LEDGER_TESTING_H_
#define COUNTERSIGN_SERVICES_LEDGER_LEDGER_TESTING_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "catch2/catch.hpp"
#include "libs/base/mutex.h"
#include "libs/merkle/reference_tree.h"
#include "libs/note/checkpoint.h"
#include "libs/note/signed_note.h"
#include "libs/note/test_keys.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/ledger/fakes.h"
#include "services/ledger/file_log_store.h"
#include "services/ledger/ledger.h"

namespace countersign::ledger {

inline constexpr char kOrigin[] = "log.example/test";

// An append under way: its entries live here, and it counts its answers.
class Call {
 public:
  Call(Ledger* ledger, merkle::Entries entries, Ledger::Level level,
       absl::Time deadline = absl::InfiniteFuture())
      : state_(std::make_shared<State>()) {
    state_->entries = std::move(entries);
    ledger->Append({state_->entries.begin(), state_->entries.end()}, level, deadline,
                   [state = state_](absl::StatusOr<Ledger::Appended> appended) {
                     base::MutexLock lock(&state->mutex);
                     ++state->answers;
                     state->appended = std::move(appended);
                     state->answered.NotifyAll();
                   });
  }

  absl::StatusOr<Ledger::Appended> Answer() const {
    base::MutexLock lock(&state_->mutex);
    state_->answered.WaitFor(&state_->mutex, absl::Minutes(1),
                             [this] { return state_->answers > 0; });
    if (state_->answers == 0) return absl::InternalError("never answered");
    return state_->appended;
  }
  int answers() const {
    base::MutexLock lock(&state_->mutex);
    return state_->answers;
  }

 private:
  struct State {
    merkle::Entries entries;
    base::Mutex mutex;
    base::CondVar answered;
    int answers ABSL_GUARDED_BY(mutex) = 0;
    absl::StatusOr<Ledger::Appended> appended ABSL_GUARDED_BY(mutex) = absl::UnknownError("");
  };
  std::shared_ptr<State> state_;
};

// A ledger on a folder, with everything below it under control.
struct Fixture {
  explicit Fixture(Ledger::Options ledger_options = {}) : options(ledger_options) {
    options.origin = kOrigin;
    options.publish_interval = absl::Milliseconds(1);
    options.cosign_retry = absl::Milliseconds(1);
    options.integrate_retry = absl::Milliseconds(1);
  }

  absl::Status TryStart() {
    ledger.reset();
    FileLogStore::Options store_options;
    store_options.directory = dir.path();
    auto opened = FileLogStore::Open(store_options);
    if (!opened.ok()) return opened.status();
    files = opened->get();
    auto store_wrapper = std::make_unique<FakeLogStore>(*std::move(opened));
    auto fake_cosigner = std::make_unique<FakeCosigner>();
    store = store_wrapper.get();
    cosigner = fake_cosigner.get();
    if (published.has_value()) store->SetPublishedCheckpoint(*published);
    if (witnesses_stuck) cosigner->Block();
    cosigner->FailWith(witnesses_fail);
    auto started = Ledger::Start(options, std::move(store_wrapper), note::TestLogSigner(kOrigin),
                                 std::move(fake_cosigner));
    if (!started.ok()) return started.status();
    ledger = *std::move(started);
    return absl::OkStatus();
  }
  Fixture& Start() {
    testing::RequireOk(TryStart());
    return *this;
  }

  absl::StatusOr<Ledger::Appended> Append(merkle::Entries entries,
                                          Ledger::Level level = Ledger::Level::kIntegrated) {
    return Call(ledger.get(), std::move(entries), level).Answer();
  }
  bool PublishedSize(uint64_t size) {
    return testing::Eventually([&] {
      const SignedTreeHead head = ledger->published_head();
      return head.checkpoint != nullptr && head.head.size == size;
    });
  }

  testing::TempDir dir;
  Ledger::Options options;
  std::optional<std::string> published;  // what the store says is published, instead of what is
  bool witnesses_stuck = false;          // from the start
  absl::Status witnesses_fail;           // from the start
  FileLogStore* files = nullptr;
  FakeLogStore* store = nullptr;
  FakeCosigner* cosigner = nullptr;
  std::unique_ptr<Ledger> ledger;
};

// That `tree` is signed by the log and holds `log`.
inline void CheckTree(const SignedTreeHead& tree, const merkle::Entries& log) {
  const note::NoteVerifier key = note::TestLogSigner(kOrigin)->verifier();
  const note::Checkpoint checkpoint =
      testing::RequireOk(note::OpenCheckpoint(*tree.checkpoint, kOrigin, {&key, 1}));
  CHECK(checkpoint.size == log.size());
  CHECK(checkpoint.root == merkle::ReferenceRoot(log));
  CHECK(tree.head == TreeHead{checkpoint.size, checkpoint.root});
}

inline std::string CheckpointOf(const std::string& origin, const merkle::Entries& log) {
  return testing::RequireOk(
      note::SignNote(note::FormatCheckpoint({origin, log.size(), merkle::ReferenceRoot(log)}),
                     {note::TestLogSigner(origin).get()}));
}

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_LEDGER_TESTING_H_
