#include "libs/tlog/model_log.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/merkle/tile.h"
#include "libs/note/checkpoint.h"
#include "libs/note/signed_note.h"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"

namespace countersign::tlog {
namespace {

using merkle::Hash;
using testing::RequireOk;

// MTH of hashes [begin, end), RFC 6962 section 2.1.
Hash TreeHash(const std::vector<Hash>& hashes, uint64_t begin, uint64_t end) {
  if (begin == end) return merkle::EmptyRoot();
  if (end - begin == 1) return hashes[begin];
  uint64_t split = 1;
  while (2 * split < end - begin) split *= 2;
  return merkle::NodeHash(TreeHash(hashes, begin, begin + split),
                          TreeHash(hashes, begin + split, end));
}

std::vector<std::string> VariedEntries(uint64_t size, const std::string& salt, uint64_t common) {
  std::vector<std::string> entries;
  for (uint64_t i = 0; i < size; ++i) {
    std::string& entry = entries.emplace_back(absl::StrCat(i < common ? "" : salt, i));
    entry.append(i % 37, static_cast<char>('a' + i % 26));
    if (i % 101 == 100) entry.clear();
  }
  return entries;
}

}  // namespace

ModelLog::ModelLog(uint64_t size, std::string salt, uint64_t common)
    : ModelLog(VariedEntries(size, salt, common)) {}

ModelLog::ModelLog(std::vector<std::string> entries)
    : entries_(std::move(entries)), signer_(note::TestLogSigner(kOrigin)) {
  subtrees_.resize(1);
  for (const std::string& entry : entries_) subtrees_[0].push_back(merkle::LeafHash(entry));
  while (subtrees_.back().size() >= merkle::kTileWidth) {
    const std::vector<Hash>& below = subtrees_.back();
    std::vector<Hash> level;
    for (uint64_t i = 0; (i + 1) * 256 <= below.size(); ++i) {
      level.push_back(TreeHash(below, i * 256, (i + 1) * 256));
    }
    subtrees_.push_back(std::move(level));
  }
}

LogTrust ModelLog::trust() const { return LogTrust(signer_->verifier()); }

Hash ModelLog::Root(uint64_t size) const { return TreeHash(subtrees_[0], 0, size); }

std::string ModelLog::Checkpoint(uint64_t size, const note::NoteSigner* witness) const {
  std::vector<const note::NoteSigner*> signers = {signer_.get()};
  if (witness != nullptr) signers.push_back(witness);
  return RequireOk(note::SignNote(note::FormatCheckpoint({kOrigin, size, Root(size)}), signers));
}

Files ModelLog::PublicFiles(uint64_t size) const {
  Files files;
  files["checkpoint"] = Checkpoint(size);
  uint64_t count = size;
  for (int level = 0; count > 0; ++level, count /= 256) {
    for (uint64_t begin = 0; begin < count; begin += 256) {
      const uint64_t end = std::min(begin + 256, count);
      const uint32_t width = static_cast<uint32_t>(end - begin);
      std::string& tile = files[merkle::TilePath({level, begin / 256, width})];
      for (uint64_t i = begin; i < end; ++i) {
        absl::StrAppend(&tile, base::AsBytes(subtrees_[static_cast<size_t>(level)][i]));
      }
      if (level > 0) continue;
      std::string& bundle = files[merkle::EntriesPath(begin / 256, width)];
      for (uint64_t i = begin; i < end; ++i) {
        RequireOk(merkle::AppendToBundle(entries_[i], &bundle));
      }
    }
  }
  return files;
}

void WriteFiles(const std::string& folder, const Files& files) {
  for (const auto& [path, bytes] : files) {
    const std::string file = absl::StrCat(folder, "/", path);
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    RequireOk(base::WriteFileAtomically(file, bytes));
  }
}

Files ReadFiles(const std::string& folder) {
  Files files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files[entry.path().lexically_relative(folder).string()] =
        RequireOk(base::ReadFile(entry.path().string()));
  }
  return files;
}

}  // namespace countersign::tlog
