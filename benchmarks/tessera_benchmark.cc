// The ledger beside Tessera: the same entries, durability, deduplication and callers, one after the
// other in the same run.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "benchmarks/append_streams.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "benchmarks/process_costs.h"
#include "benchmarks/tessera_peer.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/http/client.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::ledger::v1;

constexpr char kLog[] = "tenants/default/logs/main";
constexpr int kCallers = 256;
// The ledger has 16 batches of a stream in hand at a time.
constexpr int kStreams = kCallers / 16;
constexpr int kBatch = 1024;
constexpr size_t kEntryBytes = 256;
// How soon a caller that was turned away comes again.
constexpr auto kComeAgain = std::chrono::milliseconds(10);

std::string EntryOf(uint64_t number) {
  std::string entry(kEntryBytes - 8, 'e');
  base::AppendU64(&entry, number);
  return entry;
}

// Runs work at a later time, on a thread of its own.
class Later {
 public:
  Later() : thread_([this] { Run(); }) {}
  ~Later() {
    {
      base::MutexLock lock(&mutex_);
      ending_ = true;
      changed_.NotifyAll();
    }
    thread_.join();
  }

  void Do(std::function<void()> work) {
    base::MutexLock lock(&mutex_);
    waiting_.push({Clock::now() + kComeAgain, std::move(work)});
    changed_.NotifyAll();
  }

 private:
  using Clock = std::chrono::steady_clock;
  struct Item {
    Clock::time_point when;
    std::function<void()> work;
  };

  void Run() {
    for (;;) {
      std::function<void()> work;
      {
        base::MutexLock lock(&mutex_);
        while (waiting_.empty() && !ending_) changed_.Wait(&mutex_);
        if (waiting_.empty()) return;
        const auto left = waiting_.front().when - Clock::now();
        if (left > Clock::duration::zero()) {
          (void)changed_.WaitFor(&mutex_, absl::FromChrono(left), [this] { return ending_; });
          continue;
        }
        work = std::move(waiting_.front().work);
        waiting_.pop();
      }
      work();
    }
  }

  base::Mutex mutex_;
  base::CondVar changed_;
  std::queue<Item> waiting_ ABSL_GUARDED_BY(mutex_);  // each waits equally long
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Appends fresh entries for `length`, counting those that were appended, warm-up included.
using Appender = std::function<LoadResult(absl::Duration length, std::atomic<uint64_t>* appended)>;

Appender ToLedger(std::vector<std::shared_ptr<grpc::Channel>> channels, pb::WaitLevel wait) {
  auto number = std::make_shared<std::atomic<uint64_t>>(uint64_t{0});
  return [channels, wait, number](absl::Duration length, std::atomic<uint64_t>* appended) {
    return RunCalls<pb::LedgerService, pb::AppendEntryRequest, pb::AppendEntryResponse>(
        {.in_flight = kCallers, .length = length}, channels,
        [](auto* async, auto... arguments) { async->AppendEntry(arguments...); },
        [&](int, pb::AppendEntryRequest* request) {
          request->set_log(kLog);
          request->set_entry(EntryOf(number->fetch_add(1)));
          request->set_wait(wait);
        },
        [&](const pb::AppendEntryResponse& response) {
          appended->fetch_add(1);
          return !response.entry().duplicate();
        });
  };
}

// The same over a few streams, which the callers share.
Appender ToLedgerByStream(std::vector<std::shared_ptr<grpc::Channel>> channels,
                          pb::WaitLevel wait) {
  auto number = std::make_shared<std::atomic<uint64_t>>(uint64_t{0});
  return [channels, wait, number](absl::Duration length, std::atomic<uint64_t>* appended) {
    AppendStreams streams(channels, kStreams, kLog, wait);
    return RunLoad({.in_flight = kCallers, .length = length},
                   [&](int slot, std::function<void(bool)> done) {
                     streams.Append(slot, EntryOf(number->fetch_add(1)),
                                    [appended, done = std::move(done)](
                                        bool ok, const pb::StreamAppendEntriesResponse& response) {
                                      if (!ok) return done(false);
                                      appended->fetch_add(1);
                                      done(!response.entries(0).duplicate());
                                    });
                   });
  };
}

// The same in batches.
Appender ToLedgerByBatch(std::vector<std::shared_ptr<grpc::Channel>> channels, pb::WaitLevel wait) {
  auto number = std::make_shared<std::atomic<uint64_t>>(uint64_t{0});
  return [channels, wait, number](absl::Duration length, std::atomic<uint64_t>* appended) {
    LoadResult load =
        RunCalls<pb::LedgerService, pb::BatchAppendEntriesRequest, pb::BatchAppendEntriesResponse>(
            {.in_flight = 8, .length = length}, channels,
            [](auto* async, auto... arguments) { async->BatchAppendEntries(arguments...); },
            [&](int, pb::BatchAppendEntriesRequest* request) {
              request->Clear();
              request->set_log(kLog);
              request->set_wait(wait);
              for (int i = 0; i < kBatch; ++i) request->add_entries(EntryOf(number->fetch_add(1)));
            },
            [&](const pb::BatchAppendEntriesResponse& response) {
              appended->fetch_add(kBatch);
              return response.entries_size() == kBatch && !response.entries(0).duplicate();
            });
    load.operations *= kBatch;
    return load;
  };
}

Appender ToTessera(std::string url, std::atomic<uint64_t>* turned_away) {
  auto number = std::make_shared<std::atomic<uint64_t>>(uint64_t{0});
  return [url, turned_away, number](absl::Duration length, std::atomic<uint64_t>* appended) {
    Later later;
    http::Client client({.max_idle_per_host = kCallers});
    // Posts until the entry is taken: to a caller, being turned away is part of the time it takes.
    std::function<void(const std::string&, const std::function<void(bool)>&)> post =
        [&](const std::string& entry, const std::function<void(bool)>& done) {
          client.Send({.method = "POST", .url = url, .body = entry},
                      [&, entry, done](const absl::StatusOr<http::Response>& response) {
                        if (response.ok() && response->status == 200) {
                          appended->fetch_add(1);
                          return done(true);
                        }
                        if (!response.ok() || response->status != 500) return done(false);
                        turned_away->fetch_add(1);
                        later.Do([&post, entry, done] { post(entry, done); });
                      });
        };
    return RunLoad({.in_flight = kCallers, .length = length},
                   [&](int, const std::function<void(bool)>& done) {
                     post(EntryOf(number->fetch_add(1)), done);
                   });
  };
}

struct Measured {
  LoadResult load;
  double entries = 0;             // warm-up included
  double server_us_an_entry = 0;  // of processor time
  double client_us_an_entry = 0;
  std::string syncs_an_entry = "not counted";
};

std::string SyncsAnEntry(uint64_t syncs, double entries) {
  return absl::StrFormat("%.4f", static_cast<double>(syncs) / std::max(1.0, entries));
}

Measured Measure(pid_t pid, absl::Duration length, const Appender& append) {
  std::atomic<uint64_t> appended{0};
  Measured measured;
  const double server_before = CpuSeconds(pid).value_or(0);
  const double client_before = CpuSeconds(getpid()).value_or(0);
  measured.load = append(length, &appended);
  measured.entries = std::max(1.0, static_cast<double>(appended.load()));
  measured.server_us_an_entry =
      (CpuSeconds(pid).value_or(0) - server_before) * 1e6 / measured.entries;
  measured.client_us_an_entry =
      (CpuSeconds(getpid()).value_or(0) - client_before) * 1e6 / measured.entries;
  return measured;
}

absl::StatusOr<Measured> MeasureTessera(Environment& environment, const std::string& name,
                                        bool antispam, std::atomic<uint64_t>* turned_away) {
  const std::string data = absl::StrCat(environment.work(), "/", name);
  ASSIGN_OR_RETURN(const auto peer, TesseraPeer::Start(data, antispam));
  const Appender append = ToTessera(peer->add_url(), turned_away);
  Measured measured = Measure(peer->pid(), environment.length(), append);
  if (measured.load.operations == 0) {
    return absl::UnavailableError(absl::StrCat("Tessera took nothing; see ", data, "/tessera.log"));
  }
  // In a run of its own, because being traced takes time.
  std::atomic<uint64_t> traced{0};
  const auto syncs =
      CountSyncs(peer->pid(), data + "/trace", [&] { append(absl::Seconds(1), &traced); });
  if (syncs.ok()) {
    measured.syncs_an_entry = SyncsAnEntry(*syncs, static_cast<double>(traced.load()));
  }
  return measured;
}

using MakeAppender =
    std::function<Appender(std::vector<std::shared_ptr<grpc::Channel>>, pb::WaitLevel)>;

absl::StatusOr<Measured> MeasureLedger(Environment& environment, const std::string& name,
                                       pb::WaitLevel wait, const MakeAppender& make) {
  RETURN_IF_ERROR(
      environment.StartService(name, "ledger", {"--max-message-bytes", absl::StrCat(64 << 20)})
          .status());
  ASSIGN_OR_RETURN(const auto channels, environment.Channels(name));
  ASSIGN_OR_RETURN(const pid_t pid, environment.Pid(name));
  ASSIGN_OR_RETURN(const uint64_t before, environment.Syncs(name));
  Measured measured = Measure(pid, environment.length(), make(channels, wait));
  ASSIGN_OR_RETURN(const uint64_t after, environment.Syncs(name));
  measured.syncs_an_entry = SyncsAnEntry(after - before, measured.entries);
  RETURN_IF_ERROR(environment.StopService(name));
  return measured;
}

// What the HTTP client could do if Tessera took no time: answers a second of our own HTTP server.
absl::StatusOr<double> HttpClientRate(Environment& environment, const std::string& name) {
  ASSIGN_OR_RETURN(const runtime::BoundPorts ports, environment.StartService(name, "ledger", {}));
  const std::string url = absl::StrCat("http://127.0.0.1:", ports.http, "/checkpoint");
  LoadResult load;
  {
    http::Client client({.max_idle_per_host = kCallers});
    load = RunLoad({.in_flight = kCallers, .length = environment.length() / 4},
                   [&](int, std::function<void(bool)> done) {
                     client.Send({.method = "POST", .url = url, .body = EntryOf(0)},
                                 [done = std::move(done)](const absl::StatusOr<http::Response>& r) {
                                   done(r.ok());
                                 });
                   });
  }
  RETURN_IF_ERROR(environment.StopService(name));
  return load.PerSecond();
}

// One beside the other; `name` is the benchmark's.
absl::StatusOr<Result> Compare(Environment& environment, const std::string& name,
                               const MakeAppender& make) {
  std::atomic<uint64_t> turned_away{0};
  std::atomic<uint64_t> unused{0};
  ASSIGN_OR_RETURN(const Measured tessera,
                   MeasureTessera(environment, name + "-peer", true, &turned_away));
  ASSIGN_OR_RETURN(const Measured ours, MeasureLedger(environment, name + "-integrated",
                                                      pb::WAIT_LEVEL_INTEGRATED, make));
  ASSIGN_OR_RETURN(const Measured sequenced,
                   MeasureLedger(environment, name + "-sequenced", pb::WAIT_LEVEL_SEQUENCED, make));
  ASSIGN_OR_RETURN(const Measured forgetful,
                   MeasureTessera(environment, name + "-forgetful", false, &unused));
  ASSIGN_OR_RETURN(const double http, HttpClientRate(environment, name + "-http"));

  Result result = FromLoad(name, "entries/s", ours.load);
  result.baseline = "Tessera, POSIX, antispam";
  result.baseline_value = tessera.load.PerSecond();
  result.note = absl::StrFormat(
      "answered when durable and in the tree (ours: INTEGRATED, with proof and signed checkpoint); "
      "ours at SEQUENCED %.0f/s. Tessera: p50 %.1f ms, p95 %.1f ms, callers turned away %d times, "
      "%d failed; without antispam %.0f/s; its HTTP client alone %.0f/s. Synchronisations an "
      "entry: ours %s, Tessera %s. Processor us an entry, server + client: ours %.0f + %.0f, "
      "Tessera %.0f + %.0f",
      sequenced.load.PerSecond(), tessera.load.p50_ms, tessera.load.p95_ms, turned_away.load(),
      tessera.load.failures, forgetful.load.PerSecond(), http, ours.syncs_an_entry,
      tessera.syncs_an_entry, ours.server_us_an_entry, ours.client_us_an_entry,
      tessera.server_us_an_entry, tessera.client_us_an_entry);
  return result;
}

}  // namespace

std::vector<Benchmark> TesseraBenchmarks() {
  return {{"ledger-vs-tessera", "256 callers, one entry a call, beside Tessera's POSIX log",
           [](Environment& environment) {
             return Compare(environment, "ledger-vs-tessera", ToLedger);
           }},
          {"ledger-vs-tessera-stream", "the same, our callers sharing 16 streams",
           [](Environment& environment) {
             return Compare(environment, "ledger-vs-tessera-stream", ToLedgerByStream);
           }},
          {"ledger-vs-tessera-batch", "the same, ours in batches of 1,024, 8 in flight",
           [](Environment& environment) {
             return Compare(environment, "ledger-vs-tessera-batch", ToLedgerByBatch);
           }}};
}

}  // namespace countersign::bench
