// Each kind of file operation of a ledger fails once, at several places: whatever is acknowledged
// is still kept, and the next start is a good one.
#include <errno.h>
#include <signal.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/testing/temp_dir.h"
#include "tests/fault/failing_calls.h"
#include "tests/fault/ledger_client.h"

namespace countersign::fault {
namespace {

using testing::IsOk;
using testing::TempDir;

struct Operation {
  const char* folder;  // below the data folder
  const char* call;
  std::string error;
};

const std::string& FaultyBinary() {
  static const std::string path = testing::Runfile("tests/fault/ledger_with_failing_calls");
  return path;
}

// Appends until the log has had a few full tiles, segments and settlings; notes what is
// acknowledged.
void AppendSome(Stub* stub, const note::NoteVerifier& key, Promises* promises) {
  for (int i = 0; i < 12; ++i) {
    std::vector<std::string> entries;
    for (int e = 0; e < 60; ++e) entries.push_back(absl::StrCat(i, "/", e, std::string(80, '.')));
    const auto appended = Append(stub, entries, pb::WAIT_LEVEL_INTEGRATED);
    if (!appended.ok()) {
      // Refused because of the fault; not because the process is gone.
      INFO(appended.status());
      CHECK_FALSE(absl::StrContains(appended.status().message(), "connect"));
      CHECK_FALSE(absl::StrContains(appended.status().message(), "Socket"));
      continue;
    }
    for (int e = 0; e < appended->entries_size(); ++e) {
      promises->Acknowledged(entries[static_cast<size_t>(e)],
                             static_cast<uint64_t>(appended->entries(e).index()));
    }
    promises->Seen(RequireOk(OpenCheckpoint(appended->checkpoint(), key)), /*published=*/false);
  }
}

TEST_CASE("A file operation that fails once, anywhere, breaks no promise") {
  const Operation operation = GENERATE(
      Operation{"/journal", "open", absl::StrCat(ENOSPC)},
      Operation{"/journal", "write", absl::StrCat(ENOSPC)}, Operation{"/journal", "write", "half"},
      Operation{"/journal", "write", absl::StrCat(EIO)},
      Operation{"/journal", "fdatasync", absl::StrCat(EIO)},
      Operation{"/journal", "fsync", absl::StrCat(EIO)},
      Operation{"/journal", "unlink", absl::StrCat(EIO)},
      Operation{"/public", "open", absl::StrCat(EMFILE)},
      Operation{"/public", "write", absl::StrCat(ENOSPC)}, Operation{"/public", "write", "half"},
      Operation{"/public", "rename", absl::StrCat(EIO)},
      Operation{"/public", "mkdir", absl::StrCat(ENOSPC)},
      Operation{"/state", "open", absl::StrCat(ENOSPC)},
      Operation{"/state", "write", absl::StrCat(ENOSPC)},
      Operation{"/state", "fdatasync", absl::StrCat(EIO)},
      Operation{"/state", "rename", absl::StrCat(EIO)},
      Operation{"/dedup", "open", absl::StrCat(ENOSPC)},
      Operation{"/dedup", "write", absl::StrCat(ENOSPC)},
      Operation{"/dedup", "fdatasync", absl::StrCat(EIO)},
      Operation{"/dedup", "rename", absl::StrCat(EIO)}, Operation{"", "syncfs", absl::StrCat(EIO)},
      Operation{"/log.", "write", absl::StrCat(ENOSPC)}, Operation{"/kek", "write", "half"});
  int injected = 0;
  for (const int n : {1, 2, 3, 5, 9}) {
    TempDir dir;
    const std::string data = dir.path() + "/data";
    const std::string fault =
        absl::StrCat(operation.call, ":", n, ":", operation.error, ":", data, operation.folder);
    INFO(fault);
    Promises promises;
    {
      TempDir ports;
      std::vector<std::string> flags = Flags(data);
      const std::string port_file = ports.path() + "/ports";
      flags.push_back("--port-file=" + port_file);
      runtime::SubprocessOptions options;
      options.binary = FaultyBinary();
      options.args = flags;
      options.env = {"FAULT=" + fault};
      options.log_file = ports.path() + "/output";
      const auto ledger = RequireOk(runtime::Subprocess::Start(options));
      const auto bound = ledger->WaitForPortFile(port_file, absl::Minutes(1));
      if (bound.ok()) {
        INFO(RequireOk(base::ReadFile(options.log_file)));
        const auto stub = Connect(absl::StrCat("127.0.0.1:", bound->grpc));
        AppendSome(stub.get(), LogKey(data), &promises);
        INFO(RequireOk(base::ReadFile(options.log_file)));
        CHECK(ledger->Running());
        ledger->Signal(SIGKILL);
      } else {
        INFO(RequireOk(base::ReadFile(options.log_file)));
        CHECK(RequireOk(ledger->Wait(absl::Minutes(1))) == 1);
      }
      const std::string output = RequireOk(base::ReadFile(options.log_file));
      injected += absl::StrContains(output, kFaultInjected);
      // Nobody is left without an explanation.
      if (!bound.ok()) CHECK(output.size() > strlen(kFaultInjected) + 20);
    }
    CHECK(promises.complaints() == std::vector<std::string>());

    const auto ledger = ChildProcess::StartService(FaultyBinary(), Flags(data));
    INFO(ledger->output());
    const auto stub = Connect(ledger->grpc_address());
    const note::NoteVerifier key = LogKey(data);
    CheckPromises(stub.get(), key, promises);
    const size_t before = promises.acknowledged();
    AppendSome(stub.get(), key, &promises);
    CHECK(promises.acknowledged() == 720);
    CHECK(before <= 720);
    CheckPromises(stub.get(), key, promises);
    CHECK(promises.complaints() == std::vector<std::string>());
  }
  // At least the first of its kind came.
  INFO(operation.call << " in " << operation.folder);
  CHECK(injected > 0);
}

}  // namespace
}  // namespace countersign::fault
