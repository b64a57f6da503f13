// Data folders that are not what they were: refused, the damage named, nothing else touched.
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "tests/e2e/suite_process.h"

namespace countersign::e2e {
namespace {

namespace fs = std::filesystem;
namespace log = ::countersign::ledger::v1;
using Catch::Contains;
using testing::ChildProcess;
using testing::RequireOk;
using testing::TempDir;

constexpr char kOrigin[] = "log.example/damage";

// What a folder holds, but for its lock, the index that can be derived, and the journal: a record
// that is cut short at its end looks like a crash's and is cut off before the loss is noticed.
std::map<std::string, std::string> Contents(const std::string& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& file : fs::recursive_directory_iterator(folder)) {
    const std::string path = fs::relative(file.path(), folder).string();
    if (!file.is_regular_file() || path == "LOCK" || path.rfind("dedup/", 0) == 0 ||
        path.rfind("journal/", 0) == 0) {
      continue;
    }
    contents[path] = RequireOk(base::ReadFile(file.path().string()));
  }
  return contents;
}

void Cut(const fs::path& file, uintmax_t size) {
  REQUIRE(fs::file_size(file) > size);
  fs::resize_file(file, size);
}

void CutInHalf(const fs::path& file) { Cut(file, fs::file_size(file) / 2); }

struct Damage {
  std::string what;
  std::function<void(const fs::path&)> harm;
  std::string named;  // in the message
};

// Does each damage to a copy of `folder` and starts the service on it.
void CheckRefused(const std::string& service, const std::string& folder,
                  const std::vector<std::string>& flags, const std::vector<Damage>& damages) {
  for (const Damage& damage : damages) {
    INFO(service << ": " << damage.what);
    const std::string copy = folder + "-copy";
    fs::copy(folder, copy, fs::copy_options::recursive);
    damage.harm(copy);
    const auto before = Contents(copy);
    std::vector<std::string> args = flags;
    args.push_back("--data=" + copy);
    const CommandResult result = RunService(service, args);
    INFO(result.output);
    CHECK(result.exit_code == 1);
    const std::vector<std::string> lines = PlainLines(result.output);
    REQUIRE(lines.size() == 1);
    CHECK_THAT(lines[0], Contains(damage.named));
    CHECK((Contents(copy) == before));
    fs::remove_all(copy);
  }
}

TEST_CASE("A ledger whose folder is damaged does not start") {
  TempDir dir;
  const std::string folder = dir.path() + "/ledger";
  const std::vector<std::string> flags = {absl::StrCat("--origin=", kOrigin),
                                          "--settle-bytes=60000"};
  {
    std::vector<std::string> args = flags;
    args.insert(args.end(), {"--data=" + folder, "--listen=127.0.0.1:0",
                             "--http-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"});
    const auto ledger = ChildProcess::StartService(Binary("ledger"), args);
    const auto stub = log::LedgerService::NewStub(
        grpc::CreateChannel(ledger->grpc_address(), grpc::InsecureChannelCredentials()));
    for (int batch = 0; batch < 10; ++batch) {
      log::BatchAppendEntriesRequest request;
      request.set_log("tenants/default/logs/main");
      for (int i = 0; i < 100; ++i) {
        request.add_entries(absl::StrCat(batch, "/", i, std::string(200, '.')));
      }
      request.set_wait(log::WAIT_LEVEL_COSIGNED);
      RequireOk(Call(stub.get(), &log::LedgerService::Stub::BatchAppendEntries, request));
    }
    CHECK(ledger->Stop() == 0);
  }
  REQUIRE(base::FileExists(folder + "/state"));
  REQUIRE(base::FileExists(folder + "/public/tile/0/000"));
  const auto newest_segment = [](const fs::path& data) {
    fs::path newest;
    for (const auto& file : fs::directory_iterator(data / "journal")) {
      newest = std::max(newest, file.path());
    }
    return newest;
  };
  CheckRefused(
      "ledger", folder, flags,
      {{"no journal", [](const fs::path& data) { fs::remove_all(data / "journal"); }, "/journal"},
       {"a cut journal", [&](const fs::path& data) { CutInHalf(newest_segment(data)); },
        "/journal"},
       {"an altered record",
        [&](const fs::path& data) {
          const std::string path = newest_segment(data).string();
          std::string bytes = RequireOk(base::ReadFile(path));
          bytes[40] ^= 1;
          RequireOk(base::WriteFileAtomically(path, bytes));
        },
        ".journal"},
       {"a cut state", [](const fs::path& data) { CutInHalf(data / "state"); }, "/state"},
       {"no tile", [](const fs::path& data) { fs::remove(data / "public/tile/0/000"); },
        "tile/0/000"},
       {"a cut tile", [](const fs::path& data) { Cut(data / "public/tile/0/000", 100); },
        "tile/0/000"},
       {"a cut checkpoint", [](const fs::path& data) { CutInHalf(data / "public/checkpoint"); },
        "checkpoint"},
       {"no key", [](const fs::path& data) { fs::remove(data / "log.key"); }, "/log.key"},
       {"a cut key", [](const fs::path& data) { CutInHalf(data / "log.key"); }, "/log.key"},
       {"no KEK", [](const fs::path& data) { fs::remove(data / "kek"); }, "/kek"},
       {"a cut KEK", [](const fs::path& data) { CutInHalf(data / "kek"); }, "/kek"}});
}

TEST_CASE("Sign service and witness do not start on damaged folders, nor does the suite") {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  {
    SuiteProcess suite(data);
    for (const char* key : {"a", "b", "c"}) {
      REQUIRE(suite.Run({"keys", "create", key}).exit_code == 0);
    }
    CHECK(suite.process().Stop() == 0);
  }
  const std::string other_kek = std::string(64, 'a') + "\n";
  const auto replace_kek = [&](const fs::path& folder) {
    RequireOk(base::WriteFileAtomically((folder / "kek").string(), other_kek, 0600));
  };
  const auto no_kek = [](const fs::path& folder) { fs::remove(folder / "kek"); };
  CheckRefused("sign", data + "/sign", {},
               {{"half a database", [](const fs::path& folder) { CutInHalf(folder / "keys.db"); },
                 "/keys.db"},
                {"a database of one block",
                 [](const fs::path& folder) { Cut(folder / "keys.db", 4096); }, "/keys.db"},
                {"no database but text",
                 [](const fs::path& folder) {
                   RequireOk(base::WriteFileAtomically((folder / "keys.db").string(),
                                                       std::string(8192, 'x')));
                 },
                 "/keys.db"},
                {"another KEK", replace_kek, "key-encryption key"},
                {"no KEK", no_kek, "/kek"},
                {"a KEK that others may read",
                 [](const fs::path& folder) {
                   fs::permissions(folder / "kek", fs::perms::others_read, fs::perm_options::add);
                 },
                 "chmod 600"}});
  CheckRefused("witness", data + "/witness-1", {"--name=localhost/witness-1"},
               {{"half a database",
                 [](const fs::path& folder) { CutInHalf(folder / "witness.db"); }, "/witness.db"},
                {"another KEK", replace_kek, "/witness.key"},
                {"no KEK", no_kek, "/kek"},
                {"no key", [](const fs::path& folder) { fs::remove(folder / "witness.key"); },
                 "/witness.key"}});

  CutInHalf(data + "/sign/keys.db");
  const CommandResult up =
      Countersign(data, {"up", "--any-port", "--bin-dir", testing::Runfile("")});
  INFO(up.output);
  CHECK(up.exit_code == 1);
  CHECK_THAT(up.output,
             Contains("the sign service ended with exit code 1") && Contains("/sign/keys.db"));
}

}  // namespace
}  // namespace countersign::e2e
