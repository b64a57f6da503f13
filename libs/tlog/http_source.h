// A log behind an HTTP prefix: a server of C2SP tlog-tiles, or any file server.
#ifndef COUNTERSIGN_LIBS_TLOG_HTTP_SOURCE_H_
#define COUNTERSIGN_LIBS_TLOG_HTTP_SOURCE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/http/client.h"
#include "libs/tlog/tile_source.h"

namespace countersign::tlog {

// Answers of 429 and 5xx, broken connections and time-outs are tried again.
class HttpSource : public TileSource {
 public:
  struct Options {
    // http://host[:port]/prefix; a slash at its end does not matter.
    std::string url;
    absl::Duration timeout = absl::Seconds(30);  // of one request
    int attempts = 5;
    // Between attempts; doubles each time, and Retry-After may ask for more, up to the longest.
    absl::Duration backoff = absl::Milliseconds(200);
    absl::Duration max_backoff = absl::Seconds(10);
    int connections = 16;
  };

  // InvalidArgument when the URL is not one of http.
  static absl::StatusOr<std::unique_ptr<HttpSource>> Create(Options options);

  const std::string& name() const override { return options_.url; }

 private:
  explicit HttpSource(Options options);

  absl::StatusOr<std::string> Fetch(const std::string& path) const override;
  absl::StatusOr<std::string> FetchOnce(const std::string& path, absl::Duration* retry_after) const;

  const Options options_;
  const std::unique_ptr<http::Client> client_;
};

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_HTTP_SOURCE_H_
