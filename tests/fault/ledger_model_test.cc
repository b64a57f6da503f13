// The ledger against a naive tree: thousands of random appends, proofs, reads and restarts.
#include "tests/fault/ledger_model.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/ledger/file_log_store.h"

namespace countersign::fault {
namespace {

using testing::RequireOk;
using testing::TempDir;

// A log in a folder, with everything small so that it happens often.
class FileModelStore : public ModelStore {
 public:
  std::unique_ptr<ledger::LogStore> Open() override {
    if (std::filesystem::exists(Killed())) {
      std::filesystem::remove_all(Data());
      std::filesystem::rename(Killed(), Data());
    }
    ledger::FileLogStore::Options options;
    options.directory = Data();
    options.settle_bytes = 12'000;
    options.journal_segment_bytes = 5'000;
    options.tile_cache_bytes = 200'000;
    return RequireOk(ledger::FileLogStore::Open(options));
  }

  void Kill() override {
    // A copy, unless something was still being written: then another.
    std::map<std::string, Stamp> before;
    do {
      before = Stamps();
      std::filesystem::remove_all(Killed());
      std::error_code moved_away;
      std::filesystem::copy(Data(), Killed(), std::filesystem::copy_options::recursive, moved_away);
    } while (Stamps() != before);
  }

 private:
  using Stamp = std::pair<uintmax_t, std::filesystem::file_time_type>;

  std::string Data() const { return dir_.path() + "/data"; }
  std::string Killed() const { return dir_.path() + "/killed"; }

  std::map<std::string, Stamp> Stamps() const {
    std::map<std::string, Stamp> stamps;
    std::error_code gone;
    for (std::filesystem::recursive_directory_iterator file(Data(), gone), end;
         !gone && file != end; file.increment(gone)) {
      const uintmax_t size = file->is_regular_file(gone) ? file->file_size(gone) : 0;
      stamps[file->path().string()] = {size, file->last_write_time(gone)};
    }
    return stamps;
  }

  TempDir dir_;
};

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  int value;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

TEST_CASE("A ledger on files answers as a naive tree does") {
  const auto seed = static_cast<uint32_t>(
      FromEnvironment("COUNTERSIGN_SEED", static_cast<int>(std::random_device()() >> 1)));
  INFO("COUNTERSIGN_SEED=" << seed);
  const int steps = FromEnvironment("COUNTERSIGN_MODEL_STEPS", 2000);
  FileModelStore store;
  LedgerModel model(&store, seed);
  model.Run(steps);
  CHECK(model.size() > 256);
}

}  // namespace
}  // namespace countersign::fault
