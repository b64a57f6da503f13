// Load over HTTP/1.1 keep-alive connections, for whatever server: requests are rendered beforehand,
// and a request costs this side one send and one receive and allocates nothing.
#ifndef COUNTERSIGN_BENCHMARKS_HTTP_LOAD_H_
#define COUNTERSIGN_BENCHMARKS_HTTP_LOAD_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "benchmarks/load.h"

namespace countersign::bench {

// A whole request, and the answer that is right. HTTP/1.1, kept alive, no HEAD.
struct HttpExchange {
  std::string request;
  int status = 200;
  // The body, unless empty: then it has at least so many bytes.
  std::string body;
  size_t least_body_bytes = 0;
};

struct HttpLoadOptions {
  int port = 0;  // on 127.0.0.1
  int connections = 32;
  int threads = 1;
  // Requests a second in all, begun at even intervals whatever the answers do; their latency counts
  // from when they were due. 0: each connection asks again once it is answered.
  double rate = 0;
  absl::Duration warm_up = absl::Milliseconds(300);  // not counted
  absl::Duration length = absl::Seconds(3);
  // Instead of for `length`: each of the requests once, in turn, all counted.
  bool once = false;
  // Requests are chosen at random from this seed; 0: in turn.
  uint64_t seed = 0;
};

// Failures are wrong answers and missing ones. Unavailable when it cannot connect, or the server
// closes the connections.
absl::StatusOr<LoadResult> RunHttpLoad(const HttpLoadOptions& options,
                                       absl::Span<const HttpExchange> exchanges);

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_HTTP_LOAD_H_
