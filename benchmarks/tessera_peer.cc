#include "benchmarks/tessera_peer.h"

#include <signal.h>

#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "benchmarks/free_port.h"
#include "benchmarks/tool.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/http/client.h"

namespace countersign::bench {
namespace {

// A private key in the form of Go's sumdb/note, which Tessera reads.
absl::StatusOr<std::string> MakeKey(const std::string& data) {
  const std::string keys = data + "/keys";
  ASSIGN_OR_RETURN(const std::string binary, Tool("witness-check"));
  ASSIGN_OR_RETURN(
      const auto process,
      runtime::Subprocess::Start(
          {.binary = binary, .args = {"keys", "bench.example/tessera"}, .log_file = keys}));
  ASSIGN_OR_RETURN(const int code, process->Wait(absl::Seconds(30)));
  if (code != 0) return absl::InternalError(absl::StrCat("no key; see ", keys));
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(keys));
  const std::string file = data + "/key";
  RETURN_IF_ERROR(base::WriteFileAtomically(
      file, std::vector<std::string>(absl::StrSplit(text, '\n')).front()));
  return file;
}

}  // namespace

TesseraPeer::TesseraPeer(std::unique_ptr<runtime::Subprocess> process, std::string url)
    : process_(std::move(process)), url_(std::move(url)) {}

TesseraPeer::~TesseraPeer() { process_->Signal(SIGTERM); }

absl::StatusOr<std::unique_ptr<TesseraPeer>> TesseraPeer::Start(const std::string& data,
                                                                bool antispam) {
  ASSIGN_OR_RETURN(const std::string binary, Tool("tessera-posix"));
  RETURN_IF_ERROR(base::EnsureDirectory(data, 0700));
  ASSIGN_OR_RETURN(const std::string key, MakeKey(data));
  ASSIGN_OR_RETURN(const int port, FreePort());
  const std::string address = absl::StrCat("127.0.0.1:", port);
  runtime::SubprocessOptions options;
  options.binary = binary;
  options.args = {"--storage_dir", data + "/log", "--listen", address, "--private_key", key};
  if (antispam) options.args.push_back("--antispam");
  options.log_file = data + "/tessera.log";
  ASSIGN_OR_RETURN(auto process, runtime::Subprocess::Start(options));
  std::unique_ptr<TesseraPeer> peer(new TesseraPeer(std::move(process), "http://" + address));
  http::Client client;
  for (const absl::Time give_up = absl::Now() + absl::Seconds(30);;) {
    const auto answer = client.Get(peer->url_ + "/checkpoint", absl::Seconds(5));
    if (answer.ok() && answer->status == 200) return peer;
    if (!peer->process_->Running() || absl::Now() > give_up) {
      return absl::UnavailableError("Tessera did not start; see " + options.log_file);
    }
    std::this_thread::yield();
  }
}

}  // namespace countersign::bench
