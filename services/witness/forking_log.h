// A log that betrays: it signs as many histories as a witness can be offered.
#ifndef COUNTERSIGN_SERVICES_WITNESS_FORKING_LOG_H_
#define COUNTERSIGN_SERVICES_WITNESS_FORKING_LOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/note/add_checkpoint.h"
#include "libs/note/key.h"

namespace countersign::witness {

// Its entries are 'a' or 'b', so that a tree is a string. At every size it tries to have two of
// them cosigned, each proven consistent with what was cosigned before. Thread-safe.
class ForkingLog {
 public:
  explicit ForkingLog(const std::string& origin);

  const std::string& origin() const { return signer_->name(); }
  std::string vkey() const { return signer_->vkey(); }

  struct Offer {
    std::string tree;
    note::AddCheckpointRequest request;
  };

  // What to try next: mostly one of two trees that extend the latest cosigned one, at times the
  // latest again or another of its size. When the witness stands where no answer told how it came
  // there, one of the trees that may have been cosigned, to find out.
  Offer Next(std::minstd_rand* random);

  // What came of an offer: the witness's answers of 200 and of 409. Others are of no interest.
  void Cosigned(const Offer& offer, const std::string& cosignatures);
  void Conflict(uint64_t latest_size);

  // Answers of 200 so far.
  size_t cosigned() const;
  // The largest tree cosigned.
  std::string latest() const;

  // What is wrong with all that was cosigned, or "": every line is `key`'s and verifies, of any two
  // trees one extends the other, and a larger one is not cosigned as of an earlier time.
  std::string Fault(const note::NoteVerifier& key) const;

 private:
  struct Record {
    std::string tree;
    std::string cosignatures;
  };

  std::string Text(const std::string& tree) const;
  Offer MakeOffer(const std::string& from, const std::string& to) const;

  const std::unique_ptr<note::NoteSigner> signer_;

  mutable base::Mutex mutex_;
  std::vector<Record> cosigned_ ABSL_GUARDED_BY(mutex_);
  std::string latest_ ABSL_GUARDED_BY(mutex_);
  uint64_t known_size_ ABSL_GUARDED_BY(mutex_) = 0;  // of the witness, by its answers
  std::map<uint64_t, std::set<std::string>> offered_ ABSL_GUARDED_BY(mutex_);  // by size
};

}  // namespace countersign::witness

#endif  // COUNTERSIGN_SERVICES_WITNESS_FORKING_LOG_H_
