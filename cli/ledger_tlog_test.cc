#include <atomic>
#include <filesystem>
#include <memory>
#include <ostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "catch2/catch.hpp"
#include "cli/cli.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/bundle/hashedrekord.h"
#include "libs/bundle/test_log.h"
#include "libs/crypto/private_key.h"
#include "libs/http/server.h"
#include "libs/merkle/tile.h"
#include "libs/testing/eventually.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/tlog/model_log.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::ledger::v1;
using nlohmann::json;
using testing::RequireOk;
using tlog::Files;
using tlog::ModelLog;

constexpr char kLogName[] = "tenants/default/logs/main";

// A ledger service that serves a model log, at a size that can be changed.
class ModelLedger : public pb::LedgerService::Service {
 public:
  explicit ModelLedger(const ModelLog* log) : log_(log) {}

  void Publish(uint64_t size) { Serve(log_->PublicFiles(size)); }
  void Serve(Files files) {
    base::MutexLock lock(&mutex_);
    files_ = std::move(files);
  }
  // Whoever asks for that file is told to come later.
  void Withhold(const std::string& path) {
    base::MutexLock lock(&mutex_);
    withheld_ = path;
  }

  grpc::Status ListLogs(grpc::ServerContext*, const pb::ListLogsRequest*,
                        pb::ListLogsResponse* response) override {
    response->add_logs()->set_name(kLogName);
    return grpc::Status::OK;
  }
  grpc::Status GetLog(grpc::ServerContext*, const pb::GetLogRequest*,
                      pb::GetLogResponse* response) override {
    response->mutable_log()->set_name(kLogName);
    response->mutable_log()->set_vkey(log_->signer().vkey());
    return grpc::Status::OK;
  }
  grpc::Status GetCheckpoint(grpc::ServerContext*, const pb::GetCheckpointRequest*,
                             pb::GetCheckpointResponse* response) override {
    return Get("checkpoint", response->mutable_checkpoint());
  }
  grpc::Status GetTile(grpc::ServerContext*, const pb::GetTileRequest* request,
                       pb::GetTileResponse* response) override {
    return Get(merkle::TilePath({request->level(), static_cast<uint64_t>(request->index()),
                                 static_cast<uint32_t>(request->width())}),
               response->mutable_tile());
  }
  grpc::Status GetEntryBundle(grpc::ServerContext*, const pb::GetEntryBundleRequest* request,
                              pb::GetEntryBundleResponse* response) override {
    return Get(merkle::EntriesPath(static_cast<uint64_t>(request->index()),
                                   static_cast<uint32_t>(request->width())),
               response->mutable_entry_bundle());
  }

 private:
  grpc::Status Get(const std::string& path, std::string* bytes) {
    base::MutexLock lock(&mutex_);
    if (path == withheld_) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not now");
    const auto found = files_.find(path);
    if (found == files_.end()) return grpc::Status(grpc::StatusCode::NOT_FOUND, path);
    *bytes = found->second;
    return grpc::Status::OK;
  }

  const ModelLog* log_;
  base::Mutex mutex_;
  Files files_ ABSL_GUARDED_BY(mutex_);
  std::string withheld_ ABSL_GUARDED_BY(mutex_);
};

struct Result {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// A reader that counts lines and goes away after some.
class LeavingReader : public std::streambuf {
 public:
  explicit LeavingReader(int lines) : left_(lines) {}
  int lines() const { return lines_; }
  // Of the lines before it left. Not while they are written.
  const std::string& text() const { return text_; }

 private:
  int_type overflow(int_type c) override {
    if (left_ == 0) return traits_type::eof();
    text_.push_back(static_cast<char>(c));
    if (c == '\n') {
      --left_;
      ++lines_;
    }
    return c;
  }

  int left_;
  std::string text_;
  std::atomic<int> lines_{0};
};

// Tells that something was written.
class TroubleListener : public std::streambuf {
 public:
  bool written() const { return written_; }

 private:
  int_type overflow(int_type c) override {
    written_ = true;
    return c;
  }

  std::atomic<bool> written_{false};
};

// A log of 1,000 entries, a ledger that serves it, and a user's folder.
struct Suite {
  ModelLog log;
  ModelLedger ledger{&log};
  testing::InProcessServer server{&ledger};
  testing::TempDir dir;

  explicit Suite(ModelLog model = ModelLog(1000), uint64_t size = 700) : log(std::move(model)) {
    ledger.Publish(size);
  }

  std::string Path(const std::string& name) const { return dir.path() + "/" + name; }

  std::vector<std::string> Arguments(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "ledger");
    arguments.insert(arguments.end(), {"--data", Path("data"), "--endpoint",
                                       absl::StrCat("ledger=", server.address())});
    return arguments;
  }

  Result Run(const std::vector<std::string>& arguments) const {
    std::ostringstream out;
    std::ostringstream err;
    Result result;
    result.exit_code = RunCli(Arguments(arguments), Output(out, err, /*color=*/false));
    result.out = out.str();
    result.err = err.str();
    return result;
  }

  json RunJson(std::vector<std::string> arguments, int exit_code) const {
    arguments.push_back("--json");
    const Result result = Run(arguments);
    CAPTURE(result.out, result.err);
    REQUIRE(result.exit_code == exit_code);
    json parsed = json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    REQUIRE_FALSE(parsed.is_discarded());
    return parsed;
  }

  // The public files of the log at `size`, in a folder with the log's key beside it.
  std::string PublicFolder(uint64_t size, const std::string& name = "ledger") const {
    tlog::WriteFiles(Path(name + "/public"), log.PublicFiles(size));
    RequireOk(base::WriteFileAtomically(Path(name + "/log.vkey"), log.signer().vkey() + "\n"));
    return Path(name + "/public");
  }
};

// The entries of `tail --json`, which must stand one behind the other from `first` on.
std::vector<std::string> TailedEntries(const std::string& out, uint64_t first) {
  std::vector<std::string> entries;
  for (absl::string_view line : absl::StrSplit(out, '\n', absl::SkipEmpty())) {
    const json entry = json::parse(std::string(line), nullptr, /*allow_exceptions=*/false);
    REQUIRE(entry.is_object());
    REQUIRE(entry["index"] == first + entries.size());
    entries.push_back(RequireOk(base::Base64Decode(entry["data"].get<std::string>())));
    REQUIRE(entry["leafHash"] == merkle::EncodeHash(merkle::LeafHash(entries.back())));
  }
  return entries;
}

std::vector<std::string> Entries(const ModelLog& log, uint64_t begin, uint64_t end) {
  std::vector<std::string> entries;
  for (uint64_t i = begin; i < end; ++i) entries.push_back(log.entry(i));
  return entries;
}

TEST_CASE("fsck finds a log clean in a folder, in the data folder, and in the ledger") {
  const Suite suite;
  const std::string folder = suite.PublicFolder(700);
  const std::string root = merkle::EncodeHash(suite.log.Root(700));
  const std::vector<std::vector<std::string>> places = {{folder}, {suite.Path("ledger")}, {}};
  for (std::vector<std::string> place : places) {
    place.insert(place.begin(), "fsck");
    const Result result = suite.Run(place);
    CAPTURE(result.out, result.err);
    CHECK(result.exit_code == 0);
    CHECK(absl::StartsWith(result.out, "clean: 700 entries, root " + root));
    CHECK_FALSE(absl::StrContains(result.out, "not checked"));
    const json report = suite.RunJson(place, 0);
    CHECK(report["clean"] == true);
    CHECK(report["entries"] == 700);
    CHECK(report["root"] == root);
    CHECK(report["signatureChecked"] == true);
    CHECK(report["warnings"].empty());
  }
  std::filesystem::remove(suite.Path("ledger/log.vkey"));
  const Result unsigned_log = suite.Run({"fsck", folder});
  CHECK(unsigned_log.exit_code == 0);
  CHECK(absl::StrContains(unsigned_log.out, "not checked: give the log's key with --key"));
  CHECK(suite.RunJson({"fsck", folder, "--key", suite.log.signer().vkey()},
                      0)["signatureChecked"] == true);
}

TEST_CASE("fsck names the first damage and its place") {
  Suite suite;
  Files files = suite.log.PublicFiles(700);
  files["tile/0/001"][64] ^= 1;
  suite.ledger.Serve(files);
  const json report = suite.RunJson({"fsck"}, 1);
  CHECK(report["clean"] == false);
  CHECK(report["damage"]["kind"] == "WRONG_HASH");
  CHECK(report["damage"]["path"] == "tile/0/001");
  CHECK(report["damage"]["position"] == 2);
  CHECK(report["damage"]["expected"] == merkle::EncodeHash(merkle::LeafHash(suite.log.entry(258))));
  const Result text = suite.Run({"fsck"});
  CHECK(text.exit_code == 1);
  CHECK(absl::StartsWith(text.out, "damaged: tile/0/001: hash 2 is "));

  const ModelLog other(700, "other ");
  files = suite.log.PublicFiles(700);
  files["checkpoint"] = other.Checkpoint(700);
  suite.ledger.Serve(files);
  CHECK(suite.RunJson({"fsck"}, 1)["damage"]["kind"] == "ROOT");
}

TEST_CASE("fsck tells what else lies in the folder") {
  const Suite suite;
  const std::string folder = suite.PublicFolder(700);
  Files strays = {{"tile/readme", "x"}, {"tile/0/000.tmp.1.2", "x"}};
  strays.insert(*suite.log.PublicFiles(800).find("tile/0/003.p/32"));
  tlog::WriteFiles(folder, strays);
  const json report = suite.RunJson({"fsck", folder}, 0);
  REQUIRE(report["warnings"].size() == 2);
  CHECK(absl::StrContains(report["warnings"][0].get<std::string>(), "tile/0/003.p/32"));
  CHECK(absl::StrContains(report["warnings"][1].get<std::string>(), "tile/readme"));
  REQUIRE(report["notes"].size() == 1);
  CHECK(absl::StrContains(report["notes"][0].get<std::string>(), "tile/0/000.tmp.1.2"));
}

TEST_CASE("What fsck, mirror and tail cannot read or believe, they say") {
  const Suite suite;
  const std::string folder = suite.PublicFolder(700);
  const auto expect = [&](const std::vector<std::string>& arguments, const std::string& message) {
    const Result result = suite.Run(arguments);
    CAPTURE(message, result.out, result.err);
    CHECK(result.exit_code == 2);
    CHECK(absl::StrContains(result.err, message));
  };
  expect({"fsck", suite.Path("nowhere")}, "there is no folder");
  expect({"fsck", "https://log.example/"}, "TLS");
  expect({"fsck", folder, "--log", "main"}, "not both");
  expect({"fsck", folder, "--key", "no key"}, "key");
  expect({"fsck", folder, "--policy", suite.Path("ledger/log.vkey")}, "log.vkey");
  expect({"mirror", "http://127.0.0.1:1/", suite.Path("copy")}, "--key");
  expect({"tail", "http://127.0.0.1:1/"}, "--key");
  const std::string cursor = suite.Path("cursor");
  RequireOk(base::WriteFileAtomically(cursor, "countersign cursor v1\nx"));
  expect({"tail", "--cursor", cursor}, "not a cursor");
}

TEST_CASE("A log is exported, mirrored over HTTP from there, and checked") {
  Suite suite;
  const std::string exported = suite.Path("exported");
  Result result = suite.Run({"export", exported});
  CAPTURE(result.out, result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(absl::StartsWith(result.out, exported + " holds 700 entries of log.example/model"));
  CHECK(tlog::ReadFiles(exported) == suite.log.PublicFiles(700));

  const auto server =
      RequireOk(http::Server::Listen({}, [&](http::Request request, http::Responder respond) {
        const auto bytes = base::ReadFile(absl::StrCat(exported, request.path()));
        respond(bytes.ok() ? http::MakeResponse(200, "application/octet-stream", *bytes)
                           : http::MakeResponse(404, "text/plain", "no"));
      }));
  const std::string url = absl::StrCat("http://", server->address());
  const std::string copy = suite.Path("copy");
  const std::vector<std::string> mirror = {"mirror", url, copy, "--key", suite.log.signer().vkey()};
  json report = suite.RunJson(mirror, 0);
  CHECK(report["new"] == true);
  CHECK(report["entries"] == 700);
  CHECK(tlog::ReadFiles(copy) == suite.log.PublicFiles(700));
  CHECK(suite.RunJson(mirror, 0)["new"] == false);

  suite.ledger.Publish(1000);
  CHECK(suite.RunJson({"export", exported}, 0)["entries"] == 1000);
  CHECK(suite.RunJson(mirror, 0)["entries"] == 1000);
  CHECK(suite.RunJson({"fsck", url, "--key", suite.log.signer().vkey()}, 0)["entries"] == 1000);
  CHECK(suite.RunJson({"fsck", copy}, 0)["entries"] == 1000);
}

TEST_CASE("A mirror and a tail refuse a fork, with both checkpoints") {
  Suite suite;
  const ModelLog forked(1000, "forked ", 300);
  const std::string copy = suite.Path("copy");
  const std::string cursor = suite.Path("cursor");
  REQUIRE(suite.Run({"export", copy}).exit_code == 0);
  REQUIRE(suite.Run({"tail", "--cursor", cursor}).exit_code == 0);
  const std::string kept = RequireOk(base::ReadFile(cursor));
  for (const uint64_t size : {400, 700, 900}) {
    suite.ledger.Serve(forked.PublicFiles(size));
    const std::vector<std::vector<std::string>> commands = {{"export", copy},
                                                            {"tail", "--cursor", cursor, "--json"}};
    for (const auto& command : commands) {
      const Result result = suite.Run(command);
      CAPTURE(size, command[0], result.out, result.err);
      CHECK(result.exit_code == 1);
      if (size < 700 && command[0] == "tail") {
        // Only who has the old tiles can tell a fork from a stale answer.
        CHECK(absl::StrContains(result.err, "went back from 700 to 400"));
        continue;
      }
      CHECK(absl::StrContains(result.err, "has forked"));
      CHECK(absl::StrContains(result.err, merkle::EncodeHash(suite.log.Root(700))));
      CHECK(absl::StrContains(result.err, merkle::EncodeHash(forked.Root(size))));
    }
  }
  CHECK(tlog::ReadFiles(copy) == suite.log.PublicFiles(700));
  CHECK(RequireOk(base::ReadFile(cursor)) == kept);

  suite.ledger.Publish(600);
  const Result back = suite.Run({"export", copy});
  CHECK(back.exit_code == 1);
  CHECK(absl::StrContains(back.err, "went back from 700 to 600"));
}

TEST_CASE("tail prints the last entries, those from a place on, and those behind its cursor") {
  Suite suite;
  CHECK(TailedEntries(suite.Run({"tail", "--json"}).out, 680) == Entries(suite.log, 680, 700));
  CHECK(TailedEntries(suite.Run({"tail", "-n", "3", "--json"}).out, 697) ==
        Entries(suite.log, 697, 700));
  CHECK(TailedEntries(suite.Run({"tail", "--from", "500", "--json"}).out, 500) ==
        Entries(suite.log, 500, 700));
  CHECK(suite.Run({"tail", "--from", "2000", "--json"}).out.empty());
  const Result text = suite.Run({"tail", "-n", "1"});
  CHECK(text.out ==
        absl::StrCat("699  ",
                     base::HexEncode(base::AsBytes(merkle::LeafHash(suite.log.entry(699)))), "  ",
                     suite.log.entry(699), "\n"));

  const std::string cursor = suite.Path("cursor");
  const std::vector<std::string> tail = {"tail", "--cursor", cursor, "--from", "10", "--json"};
  CHECK(TailedEntries(suite.Run(tail).out, 10) == Entries(suite.log, 10, 700));
  CHECK(suite.Run(tail).out.empty());
  suite.ledger.Publish(1000);
  CHECK(TailedEntries(suite.Run(tail).out, 700) == Entries(suite.log, 700, 1000));
  CHECK(suite.Run(tail).out.empty());
}

TEST_CASE("tail -n skips once, and nothing after a look that failed") {
  Suite suite;
  suite.ledger.Withhold("tile/entries/002.p/188");
  LeavingReader reader(100);
  std::ostream out(&reader);
  TroubleListener trouble;
  std::ostream err(&trouble);
  std::thread tail([&] {
    RunCli(suite.Arguments({"tail", "-n", "3", "--json", "--follow", "--interval", "0.01"}),
           Output(out, err, false));
  });
  // The entries cannot be read at first, and the log has grown by when they can.
  CHECK(testing::Eventually([&] { return trouble.written(); }));
  suite.ledger.Publish(1000);
  tail.join();
  CHECK(TailedEntries(reader.text(), 697) == Entries(suite.log, 697, 797));
}

TEST_CASE("tail shows what an entry signs, its text, or how long it is") {
  const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const bundle::HashedRekord signature = bundle::SignedEntry(key, "artifact");
  const std::string digest = base::HexEncode(signature.digest);
  const Suite suite(ModelLog({RequireOk(bundle::FormatHashedRekord(signature)), "two\nlines",
                              std::string(300, 'x'), std::string("\0\xff", 2), "", "{}"}),
                    6);
  const std::vector<std::string> lines = absl::StrSplit(suite.Run({"tail"}).out, '\n');
  const std::vector<std::string> ends = {"  hashedrekord SHA2_256 " + digest,
                                         "  two\\x0alines",
                                         "xx… (300 bytes)",
                                         "  (2 bytes)",
                                         "  (0 bytes)",
                                         "  {}",
                                         ""};
  REQUIRE(lines.size() == ends.size());
  for (size_t i = 0; i < ends.size(); ++i) {
    CAPTURE(lines[i]);
    CHECK(absl::EndsWith(lines[i], ends[i]));
  }
  const std::string out = suite.Run({"tail", "--json"}).out;
  CHECK(TailedEntries(out, 0) == Entries(suite.log, 0, 6));
  const json first = json::parse(out.substr(0, out.find('\n')));
  CHECK(first["kind"] == "hashedrekord");
  CHECK(first["digestAlgorithm"] == "SHA2_256");
  CHECK(first["digest"] == digest);
}

TEST_CASE("tail follows the log until its reader goes, and loses no entry to it") {
  Suite suite;
  const std::string cursor = suite.Path("cursor");
  const std::vector<std::string> arguments =
      suite.Arguments({"tail", "--cursor", cursor, "--json", "--follow", "--interval", "0.01"});
  LeavingReader reader(950);
  std::ostream out(&reader);
  std::ostringstream err;
  std::atomic<int> exit_code{-1};
  suite.ledger.Publish(100);
  std::thread tail([&] { exit_code = RunCli(arguments, Output(out, err, false)); });
  for (const uint64_t size : {100, 101, 300, 700}) {
    suite.ledger.Publish(size);
    CHECK(testing::Eventually([&] { return reader.lines() >= static_cast<int>(size); }));
  }
  // Older checkpoints, as a cache may still have them, are waited out.
  suite.ledger.Publish(600);
  suite.ledger.Publish(1000);
  tail.join();
  CHECK(exit_code == 0);
  CHECK(TailedEntries(reader.text(), 0) == Entries(suite.log, 0, 950));

  // The batch that could not be printed whole is printed again.
  const Result rest = suite.Run({"tail", "--cursor", cursor, "--json"});
  CHECK(TailedEntries(rest.out, 768) == Entries(suite.log, 768, 1000));
}

}  // namespace
}  // namespace countersign::cli
