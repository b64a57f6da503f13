// What is wrong with a log, told exactly, and carried by absl::Status.
//
// Thread-safe: pure functions over values.
#ifndef COUNTERSIGN_LIBS_TLOG_DAMAGE_H_
#define COUNTERSIGN_LIBS_TLOG_DAMAGE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign::tlog {

enum class DamageKind {
  kMissing,    // the file is not there, nor a full one in its place
  kShort,      // fewer bytes than its hashes have
  kLong,       // more
  kMalformed,  // not the format that it should be
  kWrongHash,  // a hash of a tile, or an entry's, is not the tree's
  kSignature,  // the checkpoint is not signed by the log
  kQuorum,     // too few witnesses cosigned it
  kRoot,       // tiles and entries agree with each other, but not with the checkpoint
};

struct Damage {
  DamageKind kind = DamageKind::kMissing;
  std::string path;  // below the log's prefix: "checkpoint", "tile/1/000.p/17", "tile/entries/000"
  std::optional<uint64_t> position;  // of the hash in the tile, of the entry in the bundle; from 0
  // What should be there and what is: base64 hashes, or numbers of bytes. Empty when not known.
  std::string expected;
  std::string found;
  std::string detail;  // what else there is to say
};

// "WRONG_HASH".
absl::string_view DamageKindName(DamageKind kind);

// One sentence for people.
std::string Describe(const Damage& damage);

// DataLoss with Describe's text, from which DamageOf has the damage back.
absl::Status DamageError(const Damage& damage);
std::optional<Damage> DamageOf(const absl::Status& status);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_DAMAGE_H_
