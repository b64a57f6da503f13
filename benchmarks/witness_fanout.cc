// What witnesses cost a log: the throughput of appends, and the latency of cosigned ones.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "benchmarks/delay_proxy.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::ledger::v1;

constexpr char kLog[] = "tenants/default/logs/main";
constexpr size_t kEntryBytes = 256;

using Proxies = std::vector<std::unique_ptr<DelayProxy>>;

std::string FreshEntry() {
  static std::atomic<uint64_t> counter{0};
  std::string entry(kEntryBytes - 8, 'f');
  base::AppendU64(&entry, counter.fetch_add(1));
  return entry;
}

double Percentile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  const auto at =
      values.begin() + static_cast<ptrdiff_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

absl::StatusOr<std::string> ReadLine(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path));
  return std::string(absl::StripSuffix(text, "\n"));
}

// Starts the ledger `name` and, each a process of its own, as many witnesses as there are `delays`,
// all of which the policy demands. Given `timer`, each is as far away as its delay says.
absl::StatusOr<Proxies> StartFanout(Environment& environment, const std::string& name,
                                    const std::vector<absl::Duration>& delays, Timer* timer) {
  const std::string origin = "log.example/" + name;
  RETURN_IF_ERROR(environment.InitService(name, "ledger", {"--origin", origin}));
  ASSIGN_OR_RETURN(const std::string log_vkey,
                   ReadLine(absl::StrCat(environment.work(), "/", name, "/log.vkey")));
  std::string policy = absl::StrCat("log ", log_vkey, "\n");
  std::string members;
  Proxies proxies;
  for (size_t i = 0; i < delays.size(); ++i) {
    const std::string witness = absl::StrCat(name, "-witness-", i);
    ASSIGN_OR_RETURN(const runtime::BoundPorts ports,
                     environment.StartService(
                         witness, "witness",
                         {"--name", absl::StrCat("witness.example/", witness), "--log", log_vkey}));
    ASSIGN_OR_RETURN(const std::string vkey,
                     ReadLine(absl::StrCat(environment.work(), "/", witness, "/witness.vkey")));
    std::string url = absl::StrCat("http://127.0.0.1:", ports.http);
    if (timer != nullptr) {
      ASSIGN_OR_RETURN(proxies.emplace_back(), DelayProxy::Start(url, delays[i], timer));
      url = proxies.back()->url();
    }
    absl::StrAppend(&policy, "witness w", i, " ", vkey, " ", url, "\n");
    absl::StrAppend(&members, " w", i);
  }
  absl::StrAppend(&policy, "group everyone all", members, "\nquorum everyone\n");
  const std::string policy_path = absl::StrCat(environment.work(), "/", name, ".policy");
  RETURN_IF_ERROR(base::WriteFileAtomically(policy_path, policy));
  RETURN_IF_ERROR(
      environment
          .StartService(name, "ledger", {"--origin", origin, "--witness-policy", policy_path})
          .status());
  return proxies;
}

absl::Status StopFanout(Environment& environment, const std::string& name, size_t witnesses) {
  RETURN_IF_ERROR(environment.StopService(name));
  for (size_t i = 0; i < witnesses; ++i) {
    RETURN_IF_ERROR(environment.StopService(absl::StrCat(name, "-witness-", i)));
  }
  return absl::OkStatus();
}

void FillRequest(pb::WaitLevel wait, pb::AppendEntryRequest* request) {
  request->set_log(kLog);
  request->set_entry(FreshEntry());
  request->set_wait(wait);
}

absl::StatusOr<LoadResult> Append(Environment& environment, const std::string& ledger,
                                  absl::Duration length) {
  ASSIGN_OR_RETURN(const auto channels, environment.Channels(ledger));
  return RunCalls<pb::LedgerService, pb::AppendEntryRequest, pb::AppendEntryResponse>(
      {.in_flight = 256, .warm_up = absl::Milliseconds(300), .length = length}, channels,
      [](auto* async, auto... arguments) { async->AppendEntry(arguments...); },
      [](int, pb::AppendEntryRequest* request) { FillRequest(pb::WAIT_LEVEL_SEQUENCED, request); },
      [](const pb::AppendEntryResponse& response) { return !response.entry().duplicate(); });
}

// Ten witnesses against three, in turns, so that what else the machine does concerns both.
absl::StatusOr<Result> FanoutAppend(Environment& environment) {
  constexpr int kTurns = 4;
  RETURN_IF_ERROR(
      StartFanout(environment, "fanout-3", std::vector<absl::Duration>(3), nullptr).status());
  RETURN_IF_ERROR(
      StartFanout(environment, "fanout-10", std::vector<absl::Duration>(10), nullptr).status());
  double rate[2] = {0, 0};
  uint64_t failures = 0;
  LoadResult load;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (const bool ten : {turn % 2 == 0, turn % 2 != 0}) {
      ASSIGN_OR_RETURN(
          load, Append(environment, ten ? "fanout-10" : "fanout-3", environment.length() / 2));
      rate[ten] += load.PerSecond() / kTurns;
      failures += load.failures;
    }
  }
  Result result = FromLoad("witness-fanout-append", "entries/s", load);
  result.value = rate[1];
  result.failures = failures;
  result.note = absl::StrFormat(
      "256 callers, SEQUENCED; %d turns each of a log with 10 witnesses and one with 3, a process "
      "each, all in the quorum",
      kTurns);
  result.baseline = "3 witnesses";
  result.baseline_value = rate[0];
  RETURN_IF_ERROR(StopFanout(environment, "fanout-3", 3));
  RETURN_IF_ERROR(StopFanout(environment, "fanout-10", 10));
  return result;
}

struct Latencies {
  std::vector<double> ms;
  uint64_t failures = 0;
};

// An append every `gap`, whatever has become of those before, so that they meet the rounds of
// cosigning at any time.
absl::StatusOr<Latencies> AppendEvery(absl::Duration gap, absl::Duration length, pb::WaitLevel wait,
                                      Timer* timer,
                                      const std::vector<std::shared_ptr<grpc::Channel>>& channels) {
  struct Call {
    grpc::ClientContext context;
    pb::AppendEntryRequest request;
    pb::AppendEntryResponse response;
    absl::Time begun;
  };
  struct Run {
    base::Mutex mutex;
    base::CondVar ended;
    Latencies latencies ABSL_GUARDED_BY(mutex);
    int open ABSL_GUARDED_BY(mutex) = 0;
  } run;
  std::vector<std::unique_ptr<pb::LedgerService::Stub>> stubs;
  for (const auto& channel : channels) stubs.push_back(pb::LedgerService::NewStub(channel));
  const int calls = static_cast<int>(length / gap);
  run.open = calls;
  for (int i = 0; i < calls; ++i) {
    timer->After(gap * i, [&run, &stubs, i, wait] {
      auto call = std::make_shared<Call>();
      FillRequest(wait, &call->request);
      call->begun = absl::Now();
      stubs[static_cast<size_t>(i) % stubs.size()]->async()->AppendEntry(
          &call->context, &call->request, &call->response,
          [&run, call](const grpc::Status& status) {
            base::MutexLock lock(&run.mutex);
            if (status.ok()) {
              run.latencies.ms.push_back(absl::ToDoubleMilliseconds(absl::Now() - call->begun));
            } else {
              ++run.latencies.failures;
            }
            if (--run.open == 0) run.ended.NotifyAll();
          });
    });
  }
  base::MutexLock lock(&run.mutex);
  run.ended.Wait(&run.mutex, [&] { return run.open == 0; });
  return std::move(run.latencies);
}

// Witnesses 100 to 200 ms away.
absl::StatusOr<Result> FanoutCosigned(Environment& environment, const std::string& name,
                                      size_t witnesses) {
  constexpr absl::Duration kGap = absl::Milliseconds(7);
  std::vector<absl::Duration> delays;
  for (size_t i = 0; i < witnesses; ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(witnesses - 1);
    delays.push_back(absl::Milliseconds(100) * (1 + part));
  }
  Timer timer;
  ASSIGN_OR_RETURN(const Proxies proxies, StartFanout(environment, name, delays, &timer));
  ASSIGN_OR_RETURN(const auto channels, environment.Channels(name));
  // The first round, at which each witness learns of the log, is not counted.
  ASSIGN_OR_RETURN(Latencies appended, AppendEvery(kGap, absl::Milliseconds(500),
                                                   pb::WAIT_LEVEL_COSIGNED, &timer, channels));
  ASSIGN_OR_RETURN(const Latencies batch, AppendEvery(kGap, environment.length() / 2,
                                                      pb::WAIT_LEVEL_INTEGRATED, &timer, channels));
  for (const auto& proxy : proxies) proxy->TakeLatenciesMs();
  ASSIGN_OR_RETURN(
      appended, AppendEvery(kGap, environment.length(), pb::WAIT_LEVEL_COSIGNED, &timer, channels));
  std::vector<double> slowest;
  for (const auto& proxy : proxies) {
    std::vector<double> latencies = proxy->TakeLatenciesMs();
    if (Percentile(latencies, 0.5) > Percentile(slowest, 0.5)) slowest = std::move(latencies);
  }
  Result result;
  result.name = name;
  result.unit = "1/latency";
  result.p50_ms = Percentile(appended.ms, 0.50);
  result.p95_ms = Percentile(appended.ms, 0.95);
  result.p99_ms = Percentile(appended.ms, 0.99);
  result.value = 1000 / result.p50_ms;
  result.baseline = "slowest witness";
  result.baseline_value = 1000 / Percentile(slowest, 0.5);
  result.failures = appended.failures;
  const double batch_ms = Percentile(batch.ms, 0.5);
  result.note = absl::StrFormat(
      "%d witnesses, all in the quorum, 100 to 200 ms away; an append at COSIGNED every %s; "
      "slowest witness p50 %.0f ms, p95 %.0f ms; a batch (append to INTEGRATED) %.1f ms; p50 is "
      "%.2f, p95 %.2f times slowest witness + batch",
      witnesses, absl::FormatDuration(kGap), Percentile(slowest, 0.5), Percentile(slowest, 0.95),
      batch_ms, result.p50_ms / (Percentile(slowest, 0.5) + batch_ms),
      result.p95_ms / (Percentile(slowest, 0.95) + batch_ms));
  RETURN_IF_ERROR(StopFanout(environment, name, witnesses));
  return result;
}

}  // namespace

std::vector<Benchmark> WitnessFanoutBenchmarks() {
  return {
      {"witness-fanout-append", "append throughput, 10 witnesses against 3", FanoutAppend},
      {"witness-fanout-3", "append to cosigned, 3 witnesses 100-200 ms away",
       [](Environment& environment) { return FanoutCosigned(environment, "witness-fanout-3", 3); }},
      {"witness-fanout-10", "append to cosigned, 10 witnesses 100-200 ms away",
       [](Environment& environment) {
         return FanoutCosigned(environment, "witness-fanout-10", 10);
       }}};
}

}  // namespace countersign::bench
