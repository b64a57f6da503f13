// Software cards in the readers of a real pcscd, which sees them through vpcd.
#ifndef COUNTERSIGN_LIBS_TESTING_PIV_VIRTUAL_READER_H_
#define COUNTERSIGN_LIBS_TESTING_PIV_VIRTUAL_READER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/testing/piv/card.h"

namespace countersign::testing::piv {

// A pcscd of the test's own, with `readers` virtual readers, on a socket of its own: other tests'
// daemons, and the machine's, are not disturbed. It dies with this object. Not thread-safe, except
// SocketPath.
class PcscDaemon {
 public:
  // Returns when it answers. Unavailable, saying why, when pcscd or vpcd is not installed or may
  // not be started.
  static absl::StatusOr<std::unique_ptr<PcscDaemon>> Start(int readers);
  ~PcscDaemon();
  PcscDaemon(const PcscDaemon&) = delete;
  PcscDaemon& operator=(const PcscDaemon&) = delete;

  // For PCSCLITE_CSOCK_NAME of the programs that shall meet this daemon.
  const std::string& SocketPath() const;
  // The TCP port that reader `i`'s card dials.
  int port(int i) const;
  // Kills it and starts it anew on the same socket and ports; cards have to be inserted again
  // (VirtualReader does by itself).
  absl::Status Restart();
  void Stop();

 private:
  struct Impl;
  explicit PcscDaemon(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Puts `card` into a reader and answers for it on a thread of its own, until it is pulled. A card
// that a fault pulled comes back at Insert. Of a command during which the card is pulled, vpcd
// makes one that succeeds with an answer of no bytes, where real readers report an error.
// Thread-safe.
class VirtualReader {
 public:
  // `card` must outlive it.
  VirtualReader(int port, Card* card);
  ~VirtualReader();
  VirtualReader(const VirtualReader&) = delete;
  VirtualReader& operator=(const VirtualReader&) = delete;

  // Returns when vpcd has taken the card; DeadlineExceeded when it does not within 10 seconds. A
  // card that was pulled comes back only after pcscd has found the reader empty, however soon.
  absl::Status Insert();
  void Remove();
  bool inserted() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::testing::piv

#endif  // COUNTERSIGN_LIBS_TESTING_PIV_VIRTUAL_READER_H_
