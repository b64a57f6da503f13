// A log and a database for the tests of the witness.
#ifndef COUNTERSIGN_SERVICES_WITNESS_TESTING_H_
#define COUNTERSIGN_SERVICES_WITNESS_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/merkle/reference_tree.h"
#include "libs/note/add_checkpoint.h"
#include "libs/note/test_keys.h"
#include "libs/storage/database.h"
#include "services/witness/witness.h"

namespace countersign::witness {

inline constexpr char kWitnessName[] = "witness.example/w1";
// tlog-witness's example, with the hash that it gives.
inline constexpr char kOrigin[] = "example.com/behind-the-sofa";
inline constexpr char kOriginHash[] =
    "5fd2dc0beb4ce54da5050cf6d5c75248b023abad441c3cecde3976fbe9da4fe4";

// A log in memory that signs whatever it is asked to. Const methods are thread-safe.
class TestLog {
 public:
  // Logs of one origin and key that differ in `fork` have different entries from the first on.
  explicit TestLog(std::string origin = kOrigin, std::string fork = "", char seed = 'L');

  const std::string& origin() const { return origin_; }
  std::string vkey() const { return signer_->vkey(); }
  const note::NoteVerifier& verifier() const { return signer_->verifier(); }

  merkle::Hash Root(uint64_t size) const;
  // The signed checkpoint of that size, or one that claims another root for it.
  std::string Checkpoint(uint64_t size) const { return Sign(size, Root(size)); }
  std::string Sign(uint64_t size, const merkle::Hash& root) const;
  // What an honest log sends to a witness that stands at `old_size`.
  note::AddCheckpointRequest Request(uint64_t old_size, uint64_t size) const;

 private:
  merkle::Entries Entries(uint64_t size) const;

  const std::string origin_;
  const std::string fork_;
  const std::unique_ptr<note::NoteSigner> signer_;
};

// A database whose next transactions can be made to fail or to wait. Thread-safe.
class FaultyDatabase : public storage::Database {
 public:
  enum class Fault {
    kNone,
    kFailBeforeCommit,  // nothing is stored, and that is said
    kFailAfterCommit,   // stored, but the synchronisation is said to have failed
    kWait,              // until the fault is another
  };

  explicit FaultyDatabase(std::unique_ptr<storage::Database> database)
      : database_(std::move(database)) {}

  void Set(Fault fault);
  // Waits until so many transactions wait in kWait.
  void AwaitWaiting(int count);

  storage::Engine engine() const override { return database_->engine(); }
  absl::Status InTransaction(const Body& body, storage::Isolation isolation) override;
  absl::Status InSnapshot(const Body& body, storage::Freshness freshness) override {
    return database_->InSnapshot(body, freshness);
  }
  absl::Status EraseDeleted() override { return database_->EraseDeleted(); }
  void Close() override { database_->Close(); }

 private:
  const std::unique_ptr<storage::Database> database_;
  base::Mutex mutex_;
  base::CondVar changed_;
  Fault fault_ ABSL_GUARDED_BY(mutex_) = Fault::kNone;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

// The database that belongs to `directory`, the same each time; fails the test when it cannot be
// opened. Which engine it is of, the test's target says: :testing_sqlite or :testing_postgres.
std::unique_ptr<storage::Database> OpenDatabase(const std::string& directory);

// A witness with a fixed key on that database; fails the test when it cannot be opened.
std::unique_ptr<Witness> OpenWitness(std::unique_ptr<storage::Database> database,
                                     const base::Clock* clock = base::Clock::System());

}  // namespace countersign::witness

#endif  // COUNTERSIGN_SERVICES_WITNESS_TESTING_H_
