// The OCSP process over HTTP, beside nginx.
#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/http_load.h"
#include "benchmarks/nginx_peer.h"
#include "benchmarks/ocsp_fixture.h"
#include "benchmarks/process_costs.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/http/client.h"
#include "libs/pki/ocsp_response.h"

namespace countersign::bench {
namespace {

constexpr char kQueries[] = "countersign_ocsp_database_queries_total";
constexpr int kConnections = 32;
// Different requests, each a file of nginx's.
constexpr int kRequests = 1'000;
constexpr int kRounds = 5;

// Counts what the responder asks its database, from here on.
class QueryCount {
 public:
  static absl::StatusOr<QueryCount> Begin(Environment* environment) {
    ASSIGN_OR_RETURN(const double queries, environment->Metric("ocsp", kQueries));
    return QueryCount(environment, queries);
  }

  struct Counted {
    double queries = 0;
    double seconds = 0;
    // One a second, and what the edges of the measurement may add.
    bool TooMany() const { return queries > seconds + 2; }
    std::string ToString() const {
      return absl::StrFormat("%.0f database queries in %.1f s", queries, seconds);
    }
  };
  absl::StatusOr<Counted> End() const {
    ASSIGN_OR_RETURN(const double queries, environment_->Metric("ocsp", kQueries));
    return Counted{queries - queries_, absl::ToDoubleSeconds(absl::Now() - begun_)};
  }

 private:
  QueryCount(Environment* environment, double queries)
      : environment_(environment), queries_(queries), begun_(absl::Now()) {}

  Environment* environment_;
  double queries_;
  absl::Time begun_;
};

absl::StatusOr<LoadResult> Closed(int port, const std::vector<HttpExchange>& exchanges,
                                  absl::Duration length) {
  return RunHttpLoad({.port = port, .connections = kConnections, .length = length}, exchanges);
}

struct Nginx {
  std::unique_ptr<NginxPeer> peer;
  std::string name;
};

// nginx in its fastest form here, with `exchanges` answered from files.
absl::StatusOr<Nginx> StartNginx(const Environment& environment, const std::string& folder,
                                 const std::vector<HttpExchange>& exchanges,
                                 const std::vector<std::string>& files) {
  Nginx best;
  double best_rate = 0;
  for (const bool sendfile : {true, false}) {
    for (const int workers : {1, 2}) {
      const std::string name = absl::StrCat(workers, workers == 1 ? " worker, " : " workers, ",
                                            sendfile ? "sendfile" : "writev");
      ASSIGN_OR_RETURN(auto peer,
                       NginxPeer::Start(absl::StrCat(environment.work(), "/", folder, "-", workers,
                                                     sendfile ? "-sendfile" : "-writev"),
                                        {.workers = workers, .sendfile = sendfile}));
      for (size_t i = 0; i < exchanges.size(); ++i) {
        RETURN_IF_ERROR(peer->AddFile(files[i], exchanges[i].body));
      }
      std::vector<double> rates;
      for (int i = 0; i < 3; ++i) {
        ASSIGN_OR_RETURN(const LoadResult load,
                         Closed(peer->port(), exchanges, environment.length() / 16));
        if (load.failures != 0) return absl::InternalError("nginx gave a wrong answer");
        rates.push_back(load.PerSecond());
      }
      if (Median(rates) <= best_rate) continue;
      best_rate = Median(rates);
      best = {std::move(peer), name};
    }
  }
  return best;
}

// What a server does at half the rate that it can.
absl::StatusOr<LoadResult> HalfLoad(int port, const std::vector<HttpExchange>& exchanges,
                                    double rate, absl::Duration length) {
  return RunHttpLoad(
      {.port = port, .connections = kConnections, .rate = rate / 2, .length = length}, exchanges);
}

absl::StatusOr<Result> BesideNginx(const std::string& name, bool post, OcspFixture& fixture,
                                   Environment& environment) {
  ASSIGN_OR_RETURN(const int port, fixture.HttpPort(environment));
  ASSIGN_OR_RETURN(
      const std::vector<HttpExchange> ours,
      post ? fixture.Posts(environment, kRequests) : fixture.Gets(environment, kRequests));
  // nginx gets the same bytes; a POST, whose path is one, as many bytes to a path of its own.
  std::vector<HttpExchange> theirs = ours;
  std::vector<std::string> files;
  for (size_t i = 0; i < ours.size(); ++i) {
    std::string& request = theirs[i].request;
    if (post) {
      files.push_back(absl::StrCat(i));
      request.replace(request.find("POST / "), 7, absl::StrCat("POST /", i, " "));
    } else {
      files.push_back(DecodedTarget(request.substr(5, request.find(' ', 5) - 5)));
    }
  }
  ASSIGN_OR_RETURN(const Nginx nginx, StartNginx(environment, name, theirs, files));

  ASSIGN_OR_RETURN(const QueryCount queries, QueryCount::Begin(&environment));
  const absl::Duration length = environment.length() / kRounds;
  std::vector<double> our_rates;
  std::vector<double> their_rates;
  std::vector<double> ratios;
  uint64_t failures = 0;
  for (int round = 0; round < kRounds; ++round) {
    ASSIGN_OR_RETURN(const LoadResult their_load, Closed(nginx.peer->port(), theirs, length));
    ASSIGN_OR_RETURN(const LoadResult our_load, Closed(port, ours, length));
    failures += our_load.failures + their_load.failures;
    our_rates.push_back(our_load.PerSecond());
    their_rates.push_back(their_load.PerSecond());
    ratios.push_back(our_load.PerSecond() / their_load.PerSecond());
  }
  Result result;
  result.name = name;
  result.unit = "ops/s";
  result.value = Median(our_rates);
  result.baseline = absl::StrCat("nginx (", nginx.name, ")");
  result.baseline_value = Median(their_rates);

  std::vector<LoadResult> halves;
  std::vector<double> their_p99;
  for (int round = 0; round < 3; ++round) {
    ASSIGN_OR_RETURN(const LoadResult half, HalfLoad(port, ours, result.value, length));
    halves.push_back(half);
    ASSIGN_OR_RETURN(const LoadResult their_half,
                     HalfLoad(nginx.peer->port(), theirs, result.baseline_value, length));
    their_p99.push_back(their_half.p99_ms);
    failures += half.failures + their_half.failures;
  }
  std::sort(halves.begin(), halves.end(),
            [](const LoadResult& a, const LoadResult& b) { return a.p99_ms < b.p99_ms; });
  const LoadResult& half = halves[halves.size() / 2];
  result.p50_ms = half.p50_ms;
  result.p95_ms = half.p95_ms;
  result.p99_ms = half.p99_ms;
  ASSIGN_OR_RETURN(const auto counted, queries.End());
  result.failures = failures + (counted.TooMany() ? 1 : 0);
  result.note = absl::StrFormat(
      "latencies at half load; nginx's p99 is %.3f ms at half of its own; median ratio %.2f; %s",
      Median(their_p99), Median(ratios), counted.ToString());
  return result;
}

// Every request is for a serial number that was never issued, but for one in a hundred.
absl::StatusOr<Result> UnknownFlood(OcspFixture& fixture, Environment& environment) {
  ASSIGN_OR_RETURN(const int port, fixture.HttpPort(environment));
  ASSIGN_OR_RETURN(const OcspDatabase* database, fixture.Database(environment));
  const std::string unauthorized(pki::OcspErrorResponse(pki::OcspError::kUnauthorized));
  const int64_t total = database->certificates();
  constexpr int64_t kAtOnce = 50'000;
  constexpr int64_t kIssuedEvery = 100;
  ASSIGN_OR_RETURN(const std::vector<HttpExchange> known, fixture.Posts(environment, kRequests));
  std::vector<double> known_rates;
  ASSIGN_OR_RETURN(const QueryCount queries, QueryCount::Begin(&environment));
  Result result;
  result.name = "ocsp-unknown-flood";
  result.unit = "ops/s";
  std::vector<double> rates;
  for (int64_t first = 0; first < total; first += kAtOnce) {
    std::vector<HttpExchange> exchanges;
    for (int64_t i = first; i < std::min(first + kAtOnce, total); ++i) {
      const auto hash = i % 2 == 0 ? pki::OcspHash::kSha1 : pki::OcspHash::kSha256;
      exchanges.push_back(OcspPost(database->Request(total + i, hash), unauthorized));
      if (i % kIssuedEvery != 0) continue;
      exchanges.push_back(OcspPost(database->Request(i, hash), database->Response(i, hash)));
    }
    ASSIGN_OR_RETURN(
        const LoadResult load,
        RunHttpLoad({.port = port, .connections = kConnections, .once = true}, exchanges));
    ASSIGN_OR_RETURN(const LoadResult hits, Closed(port, known, absl::Milliseconds(300)));
    rates.push_back(load.PerSecond());
    known_rates.push_back(hits.PerSecond());
    result.failures += load.failures + hits.failures;
    result.p50_ms = load.p50_ms;
    result.p95_ms = load.p95_ms;
    result.p99_ms = load.p99_ms;
  }
  ASSIGN_OR_RETURN(const auto counted, queries.End());
  result.failures += counted.TooMany() ? 1 : 0;
  result.value = Median(rates);
  result.baseline = "issued ones alone";
  result.baseline_value = Median(known_rates);
  result.note = absl::StrFormat(
      "%d random serial numbers, each answered unauthorized, and %d issued ones between them, each"
      " answered rightly; %s",
      total, total / kIssuedEvery, counted.ToString());
  return result;
}

// The response to a request with a nonce is signed, bears it, and is good.
absl::Status CheckNonceAnswer(int port, const OcspDatabase& database) {
  const std::string nonce(32, 'n');
  http::Client client;
  http::ClientRequest request;
  request.method = "POST";
  request.url = absl::StrCat("http://127.0.0.1:", port, "/");
  request.headers.Add("Content-Type", "application/ocsp-request");
  request.body = database.Request(0, pki::OcspHash::kSha1, nonce);
  ASSIGN_OR_RETURN(const http::Response answer, client.Call(request));
  ASSIGN_OR_RETURN(const pki::OcspResponse response, pki::ParseOcspResponse(answer.body_view()));
  RETURN_IF_ERROR(pki::CheckOcspResponse(response, database.authority(), absl::Now()));
  if (response.nonce != nonce || response.singles.size() != 1) {
    return absl::InternalError("the answer bears another nonce");
  }
  return absl::OkStatus();
}

absl::StatusOr<Result> Live(OcspFixture& fixture, Environment& environment) {
  ASSIGN_OR_RETURN(const int port, fixture.HttpPort(environment));
  ASSIGN_OR_RETURN(const OcspDatabase* database, fixture.Database(environment));
  RETURN_IF_ERROR(CheckNonceAnswer(port, *database));
  std::vector<HttpExchange> exchanges;
  for (int64_t i = 0; i < 10'000; ++i) {
    exchanges.push_back(OcspPost(database->Request(i % database->certificates(),
                                                   pki::OcspHash::kSha256, crypto::RandomBytes(32)),
                                 ""));
    // What is signed, not an error.
    exchanges.back().least_body_bytes = 300;
  }
  ASSIGN_OR_RETURN(const pid_t pid, environment.Pid("ocsp"));
  ASSIGN_OR_RETURN(const double cpu_before, CpuSeconds(pid));
  ASSIGN_OR_RETURN(const LoadResult load, RunHttpLoad({.port = port,
                                                       .connections = 64,
                                                       .warm_up = absl::ZeroDuration(),
                                                       .length = environment.length()},
                                                      exchanges));
  ASSIGN_OR_RETURN(const double cpu_after, CpuSeconds(pid));
  Result result = FromLoad("ocsp-live", "ops/s", load);
  result.baseline = "p256-sign";
  ASSIGN_OR_RETURN(result.baseline_value, environment.SignRate());
  // More in flight than the queue takes.
  std::vector<HttpExchange> flood = exchanges;
  for (HttpExchange& exchange : flood) exchange.least_body_bytes = 5;
  ASSIGN_OR_RETURN(
      const LoadResult crowd,
      RunHttpLoad({.port = port, .connections = 3'000, .length = absl::Seconds(1)}, flood));
  result.failures += crowd.failures;
  const double each_us = (cpu_after - cpu_before) * 1e6 / static_cast<double>(load.operations);
  const double raw_us = std::thread::hardware_concurrency() * 1e6 / result.baseline_value;
  result.note = absl::StrFormat(
      "64 in flight; the client shares the cores: of processor time the responder took %.1f us an"
      " answer, a signature alone takes %.1f; with 3,000 in flight %.0f answers/s, p99 %.0f ms,"
      " tryLater among them",
      each_us, raw_us, crowd.PerSecond(), crowd.p99_ms);
  return result;
}

}  // namespace

std::vector<Benchmark> OcspHttpBenchmarks(std::shared_ptr<OcspFixture> fixture) {
  return {{"ocsp-get", "OCSP by GET from memory, beside nginx with files",
           [fixture](Environment& environment) {
             return BesideNginx("ocsp-get", false, *fixture, environment);
           }},
          {"ocsp-post", "OCSP by POST from memory, beside nginx with files",
           [fixture](Environment& environment) {
             return BesideNginx("ocsp-post", true, *fixture, environment);
           }},
          {"ocsp-unknown-flood", "a million serial numbers that were never issued",
           [fixture](Environment& environment) { return UnknownFlood(*fixture, environment); }},
          {"ocsp-live", "OCSP with nonces: each answer signed",
           [fixture](Environment& environment) { return Live(*fixture, environment); }}};
}

}  // namespace countersign::bench
