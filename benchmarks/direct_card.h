// A card without the agent: libykpiv's own signing, for what the agent adds to it.
#ifndef COUNTERSIGN_BENCHMARKS_DIRECT_CARD_H_
#define COUNTERSIGN_BENCHMARKS_DIRECT_CARD_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace countersign::bench {

// Used by one thread. libpcsclite keeps to the first daemon that a process meets: one such object's
// daemon for the whole process.
class DirectCard {
 public:
  // The first card of the daemon at `socket`.
  static absl::StatusOr<std::unique_ptr<DirectCard>> Open(const std::string& socket);
  ~DirectCard();

  // VERIFY with the factory's PIN, then a P-256 signature by the key in 9c.
  absl::Status Sign(const std::string& digest);

 private:
  struct Impl;
  explicit DirectCard(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_DIRECT_CARD_H_
