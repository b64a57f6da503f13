// Appends by StreamAppendEntries: callers that share a few streams, one entry a message.
#ifndef COUNTERSIGN_BENCHMARKS_APPEND_STREAMS_H_
#define COUNTERSIGN_BENCHMARKS_APPEND_STREAMS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "countersign/ledger/v1/ledger.grpc.pb.h"

namespace countersign::bench {

// Thread-safe.
class AppendStreams {
 public:
  AppendStreams(const std::vector<std::shared_ptr<grpc::Channel>>& channels, int streams,
                std::string log, ledger::v1::WaitLevel wait);
  // Nothing may be under way.
  ~AppendStreams();

  // Sends an entry by stream `which`, modulo their number, and calls `done` when it is answered, in
  // order, or its stream has failed.
  void Append(int which, std::string entry,
              std::function<void(bool ok, const ledger::v1::StreamAppendEntriesResponse&)> done);

 private:
  class Stream;
  std::vector<std::unique_ptr<Stream>> streams_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_APPEND_STREAMS_H_
