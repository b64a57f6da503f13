// Tessera's own server over its POSIX storage, a maintained C2SP log to be measured beside ours:
// cmd/conformance/posix of the version that tests/conformance/tessera pins.
#ifndef COUNTERSIGN_BENCHMARKS_TESSERA_PEER_H_
#define COUNTERSIGN_BENCHMARKS_TESSERA_PEER_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "libs/runtime/subprocess.h"

namespace countersign::bench {

// Stopped with this object.
class TesseraPeer {
 public:
  // Makes a log in the folder `data`. With `antispam` it remembers what it has in a database;
  // without, only the latest entries, in memory. NotFound when scripts/install-tools has not been
  // run.
  static absl::StatusOr<std::unique_ptr<TesseraPeer>> Start(const std::string& data, bool antispam);
  ~TesseraPeer();

  // POST an entry here: 200 and its index once it is durable and in the tree; 500 when the antispam
  // database lags and the caller should come again.
  std::string add_url() const { return url_ + "/add"; }
  pid_t pid() const { return process_->pid(); }

 private:
  TesseraPeer(std::unique_ptr<runtime::Subprocess> process, std::string url);

  const std::unique_ptr<runtime::Subprocess> process_;
  const std::string url_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_TESSERA_PEER_H_
