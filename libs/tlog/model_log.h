// A log written down naively, for tests: entries in memory, tiles by definition, signed checkpoints
// of any size.
#ifndef COUNTERSIGN_LIBS_TLOG_MODEL_LOG_H_
#define COUNTERSIGN_LIBS_TLOG_MODEL_LOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/merkle/hash.h"
#include "libs/note/cosignature.h"
#include "libs/note/key.h"
#include "libs/tlog/log_trust.h"

namespace countersign::tlog {

// A log's public files by their paths.
using Files = std::map<std::string, std::string>;

class ModelLog {
 public:
  static constexpr char kOrigin[] = "log.example/model";

  explicit ModelLog(std::vector<std::string> entries);
  // `size` entries of 0 to 40 bytes. Logs with the same `common` have that many first entries in
  // common, whatever their salt.
  explicit ModelLog(uint64_t size, std::string salt = "", uint64_t common = 0);

  uint64_t size() const { return entries_.size(); }
  const std::string& entry(uint64_t index) const { return entries_[index]; }
  LogTrust trust() const;
  const note::NoteSigner& signer() const { return *signer_; }

  merkle::Hash Root(uint64_t size) const;
  // Signed by the log and, when there is one, by the witness.
  std::string Checkpoint(uint64_t size, const note::NoteSigner* witness = nullptr) const;

  // Everything that a log of this size publishes, and nothing else.
  Files PublicFiles(uint64_t size) const;

 private:
  std::vector<std::string> entries_;
  // subtrees_[level][i]: the root over the 256^level leaves from i * 256^level on.
  std::vector<std::vector<merkle::Hash>> subtrees_;
  std::unique_ptr<note::NoteSigner> signer_;
};

void WriteFiles(const std::string& folder, const Files& files);
// All that is in the folder and below it.
Files ReadFiles(const std::string& folder);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_MODEL_LOG_H_
