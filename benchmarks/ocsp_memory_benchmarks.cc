// What the OCSP process does apart from HTTP: it starts, signs anew, and signs on demand.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/ocsp_fixture.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/random.h"
#include "libs/storage/database.h"
#include "libs/testing/postgres_server.h"
#include "services/ocsp/change_source.h"
#include "services/ocsp/resigner.h"
#include "services/ocsp/responder.h"
#include "services/ocsp/responses.h"

namespace countersign::bench {
namespace {

constexpr int kRounds = 3;
// A million certificates are to be there after so long.
constexpr double kWantedSeconds = 2;
constexpr double kWantedFor = 1'000'000;

int Cores() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

// P-256 signatures a second on all cores, now: the machine's pace changes.
absl::StatusOr<double> RawSignatures(const crypto::PrivateKey& key, absl::Duration length) {
  const std::string digest(32, 'd');
  std::atomic<bool> failed{false};
  const double rate = RunThreads(Cores(), length, [&](int) {
    if (!key.SignDigest(digest).ok()) failed = true;
  });
  if (failed) return absl::InternalError("cannot sign");
  return rate;
}

// The service's parts in this process, with everything loaded.
class LoadedResponses {
 public:
  static absl::StatusOr<std::unique_ptr<LoadedResponses>> Load(OcspFixture& fixture,
                                                               Environment& environment) {
    ASSIGN_OR_RETURN(const std::string url, fixture.SqliteUrl(environment));
    ASSIGN_OR_RETURN(const std::string kek_file, fixture.KekFile(environment));
    ASSIGN_OR_RETURN(crypto::Kek kek, crypto::Kek::LoadOrCreate(kek_file));
    auto loaded = std::make_unique<LoadedResponses>(std::move(kek), url);
    base::Mutex mutex;
    base::CondVar answered;
    bool done = false;
    absl::Status status;
    loaded->source_.Refresh(0, [&](absl::StatusOr<int64_t> change_number) {
      base::MutexLock lock(&mutex);
      status = change_number.status();
      done = true;
      answered.NotifyAll();
    });
    base::MutexLock lock(&mutex);
    answered.Wait(&mutex, [&] { return done; });
    RETURN_IF_ERROR(status);
    return loaded;
  }

  // For Load.
  LoadedResponses(crypto::Kek kek, const std::string& url)
      : kek_(std::move(kek)),
        source_({.open = [url] { return storage::Database::Open(url); },
                 .kek = &kek_,
                 .responses = &responses_}) {}

  ocsp::Responses& responses() { return responses_; }

 private:
  const crypto::Kek kek_;
  ocsp::Responses responses_;
  ocsp::ChangeSource source_;
};

absl::StatusOr<Result> Presign(OcspFixture& fixture, Environment& environment) {
  ASSIGN_OR_RETURN(const OcspDatabase* database, fixture.Database(environment));
  ASSIGN_OR_RETURN(const auto loaded, LoadedResponses::Load(fixture, environment));
  ocsp::Resigner resigner({.responses = &loaded->responses(), .threads = Cores()});
  Result result;
  result.name = "ocsp-presign";
  result.unit = "signs/s";
  std::vector<double> rates;
  std::vector<double> raw;
  for (int round = 0; round < kRounds; ++round) {
    ASSIGN_OR_RETURN(const double before, RawSignatures(database->signer_key(), absl::Seconds(1)));
    const absl::Time begun = absl::Now();
    const ocsp::Resigner::Outcome outcome = resigner.RunOnce(/*everything=*/true);
    const double seconds = absl::ToDoubleSeconds(absl::Now() - begun);
    ASSIGN_OR_RETURN(const double after, RawSignatures(database->signer_key(), absl::Seconds(1)));
    if (outcome.resigned != database->certificates()) ++result.failures;
    // One for SHA-1 CertIDs and one for SHA-256.
    rates.push_back(2 * static_cast<double>(outcome.resigned) / seconds);
    raw.push_back((before + after) / 2);
  }
  result.value = Median(rates);
  result.baseline = "p256-sign";
  result.baseline_value = Median(raw);
  result.note = absl::StrFormat(
      "%d certificates, both hashes, in %.1f s; %.0f MB of records", database->certificates(),
      2 * static_cast<double>(database->certificates()) / result.value,
      static_cast<double>(loaded->responses().index().memory_bytes()) / 1e6);
  return result;
}

absl::StatusOr<Result> LiveAlone(OcspFixture& fixture, Environment& environment) {
  ASSIGN_OR_RETURN(const OcspDatabase* database, fixture.Database(environment));
  ASSIGN_OR_RETURN(const auto loaded, LoadedResponses::Load(fixture, environment));
  const ocsp::Responder responder(&loaded->responses());
  std::vector<std::string> requests;
  for (int64_t i = 0; i < 1'000; ++i) {
    requests.push_back(database->Request(i * 97 % database->certificates(), pki::OcspHash::kSha256,
                                         crypto::RandomBytes(32)));
  }
  Result result;
  result.name = "ocsp-live-responder";
  result.unit = "ops/s";
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> failures{0};
  std::vector<double> rates;
  std::vector<double> raw;
  for (int round = 0; round < kRounds; ++round) {
    ASSIGN_OR_RETURN(const double signatures,
                     RawSignatures(database->signer_key(), environment.length() / kRounds));
    raw.push_back(signatures);
    rates.push_back(RunThreads(Cores(), environment.length() / kRounds, [&](int) {
      std::string answer;
      const auto kind = responder.AnswerLive(requests[next++ % requests.size()], &answer).kind;
      if (kind != ocsp::Answer::Kind::kLive) ++failures;
    }));
  }
  result.value = Median(rates);
  result.baseline = "p256-sign";
  result.baseline_value = Median(raw);
  result.failures = failures;
  result.note = "the responder alone on all cores, without HTTP and client";
  return result;
}

// Starts responders on the database at `url` by turns.
absl::StatusOr<Result> StartOn(const std::string& name, const std::string& url,
                               OcspFixture& fixture, Environment& environment) {
  ASSIGN_OR_RETURN(const OcspDatabase* database, fixture.Database(environment));
  ASSIGN_OR_RETURN(const std::string kek_file, fixture.KekFile(environment));
  // The last one that is loaded, and one that is revoked.
  const int64_t last = database->certificates() - 1;
  const HttpExchange probe = OcspPost(database->Request(last, pki::OcspHash::kSha256),
                                      database->Response(last, pki::OcspHash::kSha256));
  std::vector<double> seconds;
  double resident = 0;
  for (int round = 0; round < kRounds; ++round) {
    const absl::Time begun = absl::Now();
    RETURN_IF_ERROR(StartResponder(environment, name, url, kek_file, probe).status());
    seconds.push_back(absl::ToDoubleSeconds(absl::Now() - begun));
    ASSIGN_OR_RETURN(const pid_t pid, environment.Pid(name));
    ASSIGN_OR_RETURN(resident, ResidentBytes(pid));
    RETURN_IF_ERROR(environment.StopService(name));
  }
  const double count = static_cast<double>(database->certificates());
  Result result;
  result.name = name;
  result.unit = "certs/s";
  result.value = count / Median(seconds);
  result.baseline = "wanted";
  result.baseline_value = kWantedFor / kWantedSeconds;
  result.note = absl::StrFormat(
      "%.0f certificates: the first right answer %.2f s after the process was begun, %.0f MB"
      " resident, %.0f bytes a certificate",
      count, Median(seconds), resident / 1e6, resident / count);
  return result;
}

absl::StatusOr<Result> StartOnSqlite(OcspFixture& fixture, Environment& environment) {
  ASSIGN_OR_RETURN(const std::string url, fixture.SqliteUrl(environment));
  return StartOn("ocsp-start", url, fixture, environment);
}

absl::StatusOr<Result> StartOnPostgres(OcspFixture& fixture, Environment& environment) {
  ASSIGN_OR_RETURN(const OcspDatabase* database, fixture.Database(environment));
  ASSIGN_OR_RETURN(const std::string kek_file, fixture.KekFile(environment));
  ASSIGN_OR_RETURN(const crypto::Kek kek, crypto::Kek::LoadOrCreate(kek_file));
  ASSIGN_OR_RETURN(
      const auto server,
      testing::PostgresServer::Start({.data_folder = environment.work(),
                                      .settings = {"shared_buffers=1GB", "max_wal_size=4GB"}}));
  RETURN_IF_ERROR(database->Fill(server->Url(), kek));
  RETURN_IF_ERROR(server->Execute("VACUUM ANALYZE").status());
  return StartOn("ocsp-start-postgres", server->Url(), fixture, environment);
}

}  // namespace

std::vector<Benchmark> OcspMemoryBenchmarks(std::shared_ptr<OcspFixture> fixture) {
  return {{"ocsp-live-responder", "OCSP with nonces, without HTTP",
           [fixture](Environment& environment) { return LiveAlone(*fixture, environment); }},
          {"ocsp-presign", "all OCSP responses signed anew, on all cores",
           [fixture](Environment& environment) { return Presign(*fixture, environment); }},
          {"ocsp-start", "an OCSP process from nothing to its first answer, on SQLite",
           [fixture](Environment& environment) { return StartOnSqlite(*fixture, environment); }},
          {"ocsp-start-postgres", "the same on PostgreSQL",
           [fixture](Environment& environment) { return StartOnPostgres(*fixture, environment); }}};
}

}  // namespace countersign::bench
