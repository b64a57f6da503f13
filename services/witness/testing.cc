#include "services/witness/testing.h"

#include "libs/note/checkpoint.h"
#include "libs/note/signed_note.h"
#include "libs/testing/matchers.h"

namespace countersign::witness {

using testing::RequireOk;

TestLog::TestLog(std::string origin, std::string fork, char seed)
    : origin_(std::move(origin)),
      fork_(std::move(fork)),
      signer_(note::TestLogSigner(origin_, seed)) {}

merkle::Entries TestLog::Entries(uint64_t size) const {
  merkle::Entries entries = merkle::NumberedEntries(size);
  for (std::string& entry : entries) entry += fork_;
  return entries;
}

merkle::Hash TestLog::Root(uint64_t size) const { return merkle::ReferenceRoot(Entries(size)); }

std::string TestLog::Sign(uint64_t size, const merkle::Hash& root) const {
  const auto note = note::SignNote(note::FormatCheckpoint({origin_, size, root}), {signer_.get()});
  return note.ok() ? *note : note.status().ToString();
}

note::AddCheckpointRequest TestLog::Request(uint64_t old_size, uint64_t size) const {
  note::AddCheckpointRequest request;
  request.old_size = old_size;
  if (old_size > 0 && old_size < size) {
    request.proof = merkle::ReferenceProof(old_size, Entries(size));
  }
  request.checkpoint = Checkpoint(size);
  return request;
}

void FaultyDatabase::Set(Fault fault) {
  base::MutexLock lock(&mutex_);
  fault_ = fault;
  changed_.NotifyAll();
}

void FaultyDatabase::AwaitWaiting(int count) {
  base::MutexLock lock(&mutex_);
  changed_.Wait(&mutex_, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return waiting_ >= count; });
}

absl::Status FaultyDatabase::InTransaction(const Body& body, storage::Isolation isolation) {
  Fault fault;
  {
    base::MutexLock lock(&mutex_);
    ++waiting_;
    changed_.NotifyAll();
    changed_.Wait(&mutex_, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return fault_ != Fault::kWait; });
    --waiting_;
    fault = fault_;
  }
  const absl::Status disk = absl::UnavailableError("disk I/O error");
  switch (fault) {
    case Fault::kFailBeforeCommit: {
      const absl::Status rolled_back =
          database_->InTransaction([&](storage::Transaction& transaction) -> absl::Status {
            const absl::Status status = body(transaction);
            return status.ok() ? disk : status;
          });
      return rolled_back;
    }
    case Fault::kFailAfterCommit: {
      const absl::Status committed = database_->InTransaction(body, isolation);
      return committed.ok() ? disk : committed;
    }
    case Fault::kNone:
    case Fault::kWait:
      break;
  }
  return database_->InTransaction(body, isolation);
}

std::unique_ptr<Witness> OpenWitness(std::unique_ptr<storage::Database> database,
                                     const base::Clock* clock) {
  return RequireOk(
      Witness::Open(std::move(database),
                    {.signer = note::TestWitnessSigner(kWitnessName, 'W', clock), .clock = clock}));
}

}  // namespace countersign::witness
