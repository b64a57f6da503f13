#include "benchmarks/nginx_peer.h"

#include <signal.h>

#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "absl/time/clock.h"
#include "benchmarks/free_port.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/http/client.h"

namespace countersign::bench {
namespace {

constexpr char kBinary[] = "/usr/sbin/nginx";

// A POST is answered like a GET: nginx refuses it for a file with 405, which is made an internal
// redirection to the same file; the body is read and dropped.
constexpr char kConfiguration[] = R"(daemon off;
user root;
worker_processes $0;
pid $1/pid;
error_log $1/error.log crit;
events {
  worker_connections 4096;
  multi_accept on;
}
http {
  access_log off;
  sendfile $2;
  tcp_nopush $2;
  tcp_nodelay on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  open_file_cache max=100000 inactive=1h;
  open_file_cache_valid 1h;
  open_file_cache_min_uses 1;
  server_tokens off;
  types {}
  default_type application/ocsp-response;
  client_body_temp_path $1/body;
  proxy_temp_path $1/proxy;
  fastcgi_temp_path $1/fastcgi;
  uwsgi_temp_path $1/uwsgi;
  scgi_temp_path $1/scgi;
  server {
    listen 127.0.0.1:$3 reuseport backlog=4096;
    root $1/files;
    error_page 405 =200 $$uri;
  }
}
)";

}  // namespace

NginxPeer::NginxPeer(std::unique_ptr<runtime::Subprocess> process, std::string data, int port)
    : process_(std::move(process)), data_(std::move(data)), port_(port) {}

NginxPeer::~NginxPeer() {
  process_->Signal(SIGTERM);
  if (!process_->Wait(absl::Seconds(10)).ok()) process_->Signal(SIGKILL);
}

absl::StatusOr<std::unique_ptr<NginxPeer>> NginxPeer::Start(const std::string& data,
                                                            const NginxOptions& options) {
  if (!base::FileExists(kBinary)) {
    return absl::NotFoundError(absl::StrCat(kBinary, " is missing: install nginx-light"));
  }
  RETURN_IF_ERROR(base::EnsureDirectory(data, 0755));
  RETURN_IF_ERROR(base::EnsureDirectory(data + "/files", 0755));
  ASSIGN_OR_RETURN(const int port, FreePort());
  const std::string file = data + "/nginx.conf";
  RETURN_IF_ERROR(
      base::WriteFileAtomically(file, absl::Substitute(kConfiguration, options.workers, data,
                                                       options.sendfile ? "on" : "off", port)));
  RETURN_IF_ERROR(base::WriteFileAtomically(data + "/files/ready", "ready"));
  runtime::SubprocessOptions start;
  start.binary = kBinary;
  start.args = {"-e", data + "/error.log", "-p", data, "-c", file};
  start.log_file = data + "/nginx.log";
  ASSIGN_OR_RETURN(auto process, runtime::Subprocess::Start(start));
  std::unique_ptr<NginxPeer> peer(new NginxPeer(std::move(process), data, port));
  http::Client client;
  for (const absl::Time give_up = absl::Now() + absl::Seconds(30);;) {
    const auto answer =
        client.Get(absl::StrCat("http://127.0.0.1:", port, "/ready"), absl::Seconds(5));
    if (answer.ok() && answer->status == 200) return peer;
    if (!peer->process_->Running() || absl::Now() > give_up) {
      return absl::UnavailableError("nginx did not start; see " + start.log_file);
    }
    std::this_thread::yield();
  }
}

absl::Status NginxPeer::AddFile(absl::string_view name, absl::string_view content) {
  const std::string path = absl::StrCat(data_, "/files/", name);
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return absl::UnavailableError(absl::StrCat("cannot make ", path));
  return base::WriteFileAtomically(path, content);
}

}  // namespace countersign::bench
