// The witness as a process: its key, its flags, and what a kill leaves.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/http/client.h"
#include "libs/note/key.h"
#include "libs/note/signed_note.h"
#include "libs/testing/child_process.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/witness/testing.h"

namespace countersign::witness {
namespace {

using testing::ChildProcess;
using testing::RequireOk;
using testing::TempDir;

std::string Binary() { return testing::Runfile("services/witness/countersign-witness"); }

std::vector<std::string> Args(const std::string& data, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"--data", data, "--name", kWitnessName});
  return more;
}

std::unique_ptr<ChildProcess> Start(const std::string& data, std::vector<std::string> more) {
  more.insert(more.end(), {"--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
                           "--admin-listen", "127.0.0.1:0"});
  return ChildProcess::StartService(Binary(), Args(data, std::move(more)));
}

http::Response Add(const ChildProcess& process, const note::AddCheckpointRequest& request) {
  http::Client client;
  return RequireOk(client.Post(absl::StrCat("http://", process.http_address(), "/add-checkpoint"),
                               "text/plain", note::FormatAddCheckpoint(request),
                               absl::Seconds(30)));
}

TEST_CASE("A witness makes its key once, and a killed one goes on where it stood") {
  TempDir dir;
  const std::string data = dir.path() + "/witness";
  ChildProcess init(Binary(), Args(data, {"--init"}));
  REQUIRE(init.Wait() == 0);
  const std::string vkey_line = RequireOk(base::ReadFile(data + "/witness.vkey"));
  const note::NoteVerifier key = RequireOk(note::ParseVkey(absl::StripSuffix(vkey_line, "\n")));
  CHECK(key.name() == kWitnessName);

  const TestLog log;
  auto process = Start(data, {"--log", log.vkey()});
  const http::Response cosigned = Add(*process, log.Request(0, 5));
  REQUIRE(cosigned.status == 200);
  const auto lines = RequireOk(note::ParseSignatureLines(cosigned.body_view()));
  CHECK(key.Verify(RequireOk(note::ParseNote(log.Checkpoint(5))).text, lines.at(0).signature));

  process->Kill();
  process = Start(data, {"--log", log.vkey()});
  const http::Response conflict = Add(*process, log.Request(0, 5));
  CHECK(conflict.status == 409);
  CHECK(conflict.body_view() == "5\n");
  CHECK(Add(*process, TestLog(kOrigin, "fork").Request(5, 5)).status == 422);
  CHECK(Add(*process, log.Request(5, 6)).status == 200);

  // A second process on the same folder could fork nothing, yet is refused.
  ChildProcess second(Binary(), Args(data, {"--listen", "127.0.0.1:0"}));
  CHECK(second.Wait() == 1);
  CHECK(absl::StrContains(second.output(), data));

  http::Client client;
  const http::Response metrics = RequireOk(
      client.Get(absl::StrCat("http://", process->admin_address(), "/metrics"), absl::Seconds(30)));
  CHECK(absl::StrContains(metrics.body_view(),
                          "countersign_witness_checkpoints_total{result=\"cosigned\"} 1"));
  CHECK(absl::StrContains(metrics.body_view(), "countersign_witness_forks_total 1"));
  CHECK(process->Stop() == 0);
}

TEST_CASE("A name that is not the key's is refused, as are a bad name and a bad log") {
  TempDir dir;
  const std::string data = dir.path() + "/witness";
  ChildProcess init(Binary(), Args(data, {"--init"}));
  REQUIRE(init.Wait() == 0);
  ChildProcess renamed(Binary(), {"--data", data, "--name", "witness.example/w2", "--init"});
  CHECK(renamed.Wait() == 1);
  CHECK(absl::StrContains(renamed.output(), "witness.vkey"));
  ChildProcess nameless(Binary(), {"--data", data, "--name", "a b", "--init"});
  CHECK(nameless.Wait() == 1);
  ChildProcess bad_log(Binary(), Args(data, {"--log", "nonsense", "--listen", "127.0.0.1:0"}));
  CHECK(bad_log.Wait() == 1);
  CHECK(absl::StrContains(bad_log.output(), "verifier key"));
  ChildProcess no_data(Binary(), {"--name", "w"});
  CHECK(no_data.Wait() == 2);
}

}  // namespace
}  // namespace countersign::witness
