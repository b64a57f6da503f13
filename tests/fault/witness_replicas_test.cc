// Three processes that are one witness, on one PostgreSQL, before logs that fork: replicas are
// killed and the database is stopped under load, and all that was ever cosigned is one history.
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/crypto/digest.h"
#include "libs/http/client.h"
#include "libs/note/add_checkpoint.h"
#include "libs/note/checkpoint.h"
#include "libs/note/key.h"
#include "libs/testing/child_process.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/postgres_server.h"
#include "libs/testing/temp_dir.h"
#include "services/witness/forking_log.h"

namespace countersign {
namespace {

using testing::ChildProcess;
using testing::Eventually;
using testing::PostgresServer;
using testing::PostgresShutdown;
using testing::RequireOk;
using witness::ForkingLog;

constexpr size_t kReplicas = 3;
constexpr size_t kLogs = 3;
constexpr int kClients = 6;
constexpr char kName[] = "witness.example/replicated";

class Witness {
 public:
  explicit Witness(const std::vector<std::unique_ptr<ForkingLog>>& logs) : logs_(logs) {
    for (size_t i = 0; i < kReplicas; ++i) Start(i);
    const std::string vkey = RequireOk(base::ReadFile(Folder(0) + "/witness.vkey"));
    key_ = std::make_unique<note::NoteVerifier>(
        RequireOk(note::ParseVkey(absl::StripSuffix(vkey, "\n"))));
  }

  PostgresServer& server() { return *server_; }
  const note::NoteVerifier& key() const { return *key_; }

  // Of the replica that listens there, or did until a moment ago.
  std::string Url(size_t replica) {
    base::MutexLock lock(&mutex_);
    return urls_[replica];
  }

  void Kill(size_t replica) { processes_[replica]->Kill(); }

  // With the folder that it had.
  void Start(size_t replica) {
    std::vector<std::string> args = {
        "--data",        Folder(replica), "--kek",          dir_.path() + "/kek", "--name",
        kName,           "--database",    server_->Url(),   "--listen",           "127.0.0.1:0",
        "--http-listen", "127.0.0.1:0",   "--admin-listen", "127.0.0.1:0"};
    for (const auto& log : logs_) args.insert(args.end(), {"--log", log->vkey()});
    processes_[replica] = ChildProcess::StartService(
        testing::Runfile("services/witness/countersign-witness"), std::move(args));
    base::MutexLock lock(&mutex_);
    urls_[replica] = absl::StrCat("http://", processes_[replica]->http_address());
  }

 private:
  std::string Folder(size_t replica) const { return absl::StrCat(dir_.path(), "/", replica); }

  const std::vector<std::unique_ptr<ForkingLog>>& logs_;
  const testing::TempDir dir_;
  const std::unique_ptr<PostgresServer> server_ = RequireOk(PostgresServer::Start());
  std::array<std::unique_ptr<ChildProcess>, kReplicas> processes_;
  std::unique_ptr<note::NoteVerifier> key_;
  base::Mutex mutex_;
  std::array<std::string, kReplicas> urls_ ABSL_GUARDED_BY(mutex_);
};

// How often the witness answered what.
struct Answers {
  std::atomic<int> cosigned{0};
  std::atomic<int> conflicts{0};
  std::atomic<int> refused{0};
  std::atomic<int> unavailable{0};  // 503, or no answer
  std::atomic<int> wrong{0};        // anything else
};

void Submit(http::Client* client, const std::string& url, ForkingLog* log, std::minstd_rand* random,
            Answers* answers) {
  const ForkingLog::Offer offer = log->Next(random);
  const auto response = client->Post(url + "/add-checkpoint", "text/plain",
                                     note::FormatAddCheckpoint(offer.request), absl::Seconds(20));
  if (!response.ok() || response->status == 503) {
    ++answers->unavailable;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // leaves it room to come back
  } else if (response->status == 200) {
    log->Cosigned(offer, std::string(response->body_view()));
    ++answers->cosigned;
  } else if (const auto size = note::ParseTlogSize(response->body_view());
             response->status == 409 && size.ok()) {
    log->Conflict(*size);
    ++answers->conflicts;
  } else {
    ++(response->status == 422 ? answers->refused : answers->wrong);
  }
}

std::string LatestCheckpoint(http::Client* client, const std::string& url, const ForkingLog& log) {
  const auto response = RequireOk(client->Get(
      absl::StrCat(url, "/", base::HexEncode(base::AsBytes(crypto::Sha256(log.origin()))),
                   "/checkpoint"),
      absl::Seconds(20)));
  REQUIRE(response.status == 200);
  return std::string(response.body_view());
}

TEST_CASE("Replicas that are killed, and whose database is, cosign one history of each log") {
  std::vector<std::unique_ptr<ForkingLog>> logs;
  for (size_t i = 0; i < kLogs; ++i) {
    logs.push_back(std::make_unique<ForkingLog>(absl::StrCat("example.com/", i)));
  }
  Witness witness(logs);

  Answers answers;
  std::atomic<bool> stop{false};
  std::vector<std::thread> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&, c] {
      http::Client client;
      std::minstd_rand random(c + 1);
      while (!stop) {
        Submit(&client, witness.Url(random() % kReplicas), logs[random() % kLogs].get(), &random,
               &answers);
      }
    });
  }

  std::minstd_rand random(7);
  const auto kill_one = [&] {
    const size_t replica = random() % kReplicas;
    witness.Kill(replica);
    witness.Start(replica);
  };
  const std::function<void()> faults[] = {
      kill_one,
      [&] { CHECK_THAT(witness.server().Restart(PostgresShutdown::kFast), testing::IsOk()); },
      kill_one,
      [&] { CHECK_THAT(witness.server().Restart(PostgresShutdown::kImmediate), testing::IsOk()); },
      kill_one,
      [&] { CHECK_THAT(witness.server().TerminateConnections(), testing::IsOk()); },
      // Both at once: what was committed is told to nobody.
      [&] {
        CHECK_THAT(witness.server().Stop(PostgresShutdown::kImmediate), testing::IsOk());
        for (size_t i = 0; i < kReplicas; ++i) witness.Kill(i);
        CHECK_THAT(witness.server().StartAgain(), testing::IsOk());
        for (size_t i = 0; i < kReplicas; ++i) witness.Start(i);
      },
  };
  bool goes_on = true;
  for (int round = 0; round < 2 && goes_on; ++round) {
    for (const auto& fault : faults) {
      const int before = answers.cosigned;
      goes_on = goes_on && Eventually([&] { return answers.cosigned > before + 20; });
      if (goes_on) fault();
    }
  }
  const int before = answers.cosigned;
  goes_on = goes_on && Eventually([&] { return answers.cosigned > before + 20; });
  stop = true;
  for (std::thread& client : clients) client.join();
  CHECK(goes_on);

  CAPTURE(answers.cosigned, answers.conflicts, answers.refused, answers.unavailable);
  CHECK(answers.wrong == 0);
  // The forks were really offered.
  CHECK(answers.conflicts > 0);
  CHECK(answers.refused > 0);
  http::Client client;
  for (const auto& log : logs) {
    CHECK(log->Fault(witness.key()) == "");
    // Nothing cosigned is forgotten, and all replicas tell the same.
    const std::string latest = LatestCheckpoint(&client, witness.Url(0), *log);
    for (size_t i = 1; i < kReplicas; ++i) {
      CHECK(LatestCheckpoint(&client, witness.Url(i), *log) == latest);
    }
    const uint64_t size = RequireOk(note::ParseSignedCheckpoint(latest)).size;
    CHECK(size >= log->latest().size());
    // Where no answer told how the witness came there, its answers now tell of which history it is.
    for (int i = 0; i < 1000 && log->latest().size() < size; ++i) {
      Submit(&client, witness.Url(0), log.get(), &random, &answers);
    }
    CHECK(log->latest().size() >= size);
    CHECK(log->Fault(witness.key()) == "");
  }
}

}  // namespace
}  // namespace countersign
