// Random work on a ledger, each answer compared with a tree kept as RFC 6962 writes it down.
#ifndef COUNTERSIGN_TESTS_FAULT_LEDGER_MODEL_H_
#define COUNTERSIGN_TESTS_FAULT_LEDGER_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "libs/merkle/reference_tree.h"
#include "services/ledger/ledger.h"
#include "services/ledger/log_store.h"

namespace countersign::fault {

// Where the log is kept.
class ModelStore {
 public:
  virtual ~ModelStore() = default;

  // Opens the log, which no store of an earlier call has open any more.
  virtual std::unique_ptr<ledger::LogStore> Open() = 0;

  // Lets the next Open find what a process killed at this moment would leave behind. Called while a
  // store is open, with every entry published.
  virtual void Kill() = 0;
};

// Not thread-safe.
class LedgerModel {
 public:
  // `store` must outlive the model, and hold no log yet.
  LedgerModel(ModelStore* store, uint32_t seed);
  ~LedgerModel();

  // Does so many random things; fails the test case at the first wrong answer.
  void Run(int steps);

  uint64_t size() const { return entries_.size(); }

 private:
  struct Call;

  uint64_t Random(uint64_t below) { return random_() % below; }
  void Start();
  void Stop();
  std::string NewEntry();
  merkle::Hash Root(uint64_t size);
  uint64_t IntegratedSize();
  void CheckHead(const ledger::SignedTreeHead& head, uint64_t at_least);
  void AppendBurst();
  void CheckInclusion();
  void CheckConsistency();
  void CheckEntries();
  void CheckFind();
  void CheckTile();
  void CheckBundle();
  void Restart();

  ModelStore* const store_;
  std::mt19937 random_;
  std::unique_ptr<ledger::Ledger> ledger_;
  merkle::Entries entries_;                  // the log
  std::map<std::string, uint64_t> indexes_;  // of its entries
  std::map<uint64_t, merkle::Hash> roots_;   // by size, as far as they were asked for
  uint64_t published_ = 0;                   // what the log has been seen to have published
};

}  // namespace countersign::fault

#endif  // COUNTERSIGN_TESTS_FAULT_LEDGER_MODEL_H_
