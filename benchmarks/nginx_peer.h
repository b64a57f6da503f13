// nginx with small static files, to be measured beside our own HTTP server.
#ifndef COUNTERSIGN_BENCHMARKS_NGINX_PEER_H_
#define COUNTERSIGN_BENCHMARKS_NGINX_PEER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/runtime/subprocess.h"

namespace countersign::bench {

struct NginxOptions {
  int workers = 1;
  // Whether a file goes out by sendfile, or is read and written.
  bool sendfile = true;
};

// Stopped with this object.
class NginxPeer {
 public:
  // Starts Debian's nginx with a configuration in the folder `data` that serves the files in
  // `data`/files as application/ocsp-response, as fast as nginx does it: no log, open files cached,
  // connections kept, a listening socket a worker. NotFound when nginx is not installed.
  static absl::StatusOr<std::unique_ptr<NginxPeer>> Start(const std::string& data,
                                                          const NginxOptions& options);
  ~NginxPeer();

  // Serves `content` as /NAME, to be called before it is first asked for. `name` is percent-decoded
  // and may hold slashes.
  absl::Status AddFile(absl::string_view name, absl::string_view content);

  int port() const { return port_; }

 private:
  NginxPeer(std::unique_ptr<runtime::Subprocess> process, std::string data, int port);

  const std::unique_ptr<runtime::Subprocess> process_;
  const std::string data_;
  const int port_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_NGINX_PEER_H_
