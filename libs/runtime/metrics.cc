#include "libs/runtime/metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace countersign::runtime {
namespace {

[[noreturn]] void Mistake(absl::string_view what, absl::string_view name) {
  std::fprintf(stderr, "metric \"%.*s\": %.*s\n", static_cast<int>(name.size()), name.data(),
               static_cast<int>(what.size()), what.data());
  std::abort();
}

bool ValidName(absl::string_view name) {
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == ':';
  });
}

std::string Escape(absl::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
  return out;
}

std::string FormatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end.ptr);
}

// `name="value",…` without braces.
std::string FormatLabels(const Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    absl::StrAppend(&out, out.empty() ? "" : ",", name, "=\"", Escape(value, true), "\"");
  }
  return out;
}

void AppendSample(std::string* out, absl::string_view name, absl::string_view suffix,
                  absl::string_view labels, absl::string_view extra_label,
                  absl::string_view value) {
  absl::StrAppend(out, name, suffix);
  if (!labels.empty() || !extra_label.empty()) {
    absl::StrAppend(out, "{", labels, labels.empty() || extra_label.empty() ? "" : ",", extra_label,
                    "}");
  }
  absl::StrAppend(out, " ", value, "\n");
}

// A field of /proc/self/status such as "VmRSS", in its own unit; 0 when it is not there.
double ProcStatus(absl::string_view field) {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    absl::string_view rest = line;
    if (!absl::ConsumePrefix(&rest, field) || !absl::ConsumePrefix(&rest, ":")) continue;
    const std::vector<absl::string_view> parts =
        absl::StrSplit(rest, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    double value = 0;
    if (!parts.empty() && absl::SimpleAtod(parts[0], &value)) return value;
  }
  return 0;
}

double OpenFiles() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  int entries = 0;
  while (readdir(directory) != nullptr) ++entries;
  closedir(directory);
  return std::max(0, entries - 3);  // ".", ".." and this folder itself
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Field 22 of /proc/self/stat is in clock ticks since boot (proc(5)).
double StartTime() {
  std::ifstream stat_file("/proc/self/stat");
  std::string stat((std::istreambuf_iterator<char>(stat_file)), std::istreambuf_iterator<char>());
  std::ifstream boot_file("/proc/stat");
  std::string line;
  double boot = 0;
  while (std::getline(boot_file, line)) {
    absl::string_view rest = line;
    if (absl::ConsumePrefix(&rest, "btime ") && absl::SimpleAtod(rest, &boot)) break;
  }
  // The name, field 2, may hold spaces: count from its closing parenthesis.
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return 0;
  const std::vector<std::string> fields =
      absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipEmpty());
  double ticks = 0;
  if (fields.size() < 20 || !absl::SimpleAtod(fields[19], &ticks)) return 0;
  return boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

size_t Counter::ThreadShard() {
  static std::atomic<size_t> next{0};
  thread_local const size_t shard = next.fetch_add(1, std::memory_order_relaxed) % kShards;
  return shard;
}

void Counter::Increment(uint64_t by) {
  shards_[ThreadShard()].value.fetch_add(by, std::memory_order_relaxed);
}

uint64_t Counter::Value() const {
  uint64_t sum = 0;
  for (const Shard& shard : shards_) sum += shard.value.load(std::memory_order_relaxed);
  return sum;
}

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)) {
  if (bounds_.size() >= kMaxBuckets || !std::is_sorted(bounds_.begin(), bounds_.end())) {
    Mistake("bounds must ascend, at most 31", "histogram");
  }
}

void Histogram::Observe(double value) {
  const size_t bucket = static_cast<size_t>(
      std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin());
  Shard& shard = shards_[Counter::ThreadShard()];
  shard.buckets[bucket].fetch_add(1, std::memory_order_relaxed);
  shard.sum.fetch_add(value, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::Take() const {
  Snapshot snapshot;
  snapshot.cumulative.resize(bounds_.size() + 1);
  for (const Shard& shard : shards_) {
    for (size_t i = 0; i <= bounds_.size(); ++i) {
      snapshot.cumulative[i] += shard.buckets[i].load(std::memory_order_relaxed);
    }
    snapshot.sum += shard.sum.load(std::memory_order_relaxed);
  }
  for (size_t i = 1; i <= bounds_.size(); ++i) snapshot.cumulative[i] += snapshot.cumulative[i - 1];
  return snapshot;
}

std::vector<double> LatencyBounds() {
  return {0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
}

std::vector<double> PowersOfTwo(int count) {
  std::vector<double> bounds;
  for (int i = 0; i < count; ++i) bounds.push_back(std::ldexp(1.0, i));
  return bounds;
}

// One line, or one histogram, of a family.
struct Metrics::Series {
  std::string labels;
  std::unique_ptr<Counter> counter;
  std::unique_ptr<Gauge> gauge;
  std::unique_ptr<Histogram> histogram;
  std::function<double()> read;
};

struct Metrics::Family {
  std::string help;
  Kind kind;
  std::vector<std::unique_ptr<Series>> series;
};

Metrics::Metrics() = default;
Metrics::~Metrics() = default;

Metrics::Series* Metrics::FindOrAdd(absl::string_view name, absl::string_view help, Kind kind,
                                    Labels labels) {
  if (!ValidName(name)) Mistake("not a Prometheus name", name);
  for (const auto& label : labels) {
    if (!ValidName(label.first)) Mistake("bad label name", name);
  }
  std::unique_ptr<Family>& family = families_[std::string(name)];
  if (family == nullptr) {
    family = std::make_unique<Family>(Family{std::string(help), kind, {}});
  }
  if (family->kind != kind) Mistake("exists as another kind", name);
  const std::string formatted = FormatLabels(labels);
  for (const auto& series : family->series) {
    if (series->labels == formatted) return series.get();
  }
  family->series.push_back(std::make_unique<Series>());
  family->series.back()->labels = formatted;
  return family->series.back().get();
}

Counter* Metrics::AddCounter(absl::string_view name, absl::string_view help, Labels labels) {
  base::MutexLock lock(&mutex_);
  Series* series = FindOrAdd(name, help, Kind::kCounter, std::move(labels));
  if (series->counter == nullptr) series->counter = std::make_unique<Counter>();
  return series->counter.get();
}

Gauge* Metrics::AddGauge(absl::string_view name, absl::string_view help, Labels labels) {
  base::MutexLock lock(&mutex_);
  Series* series = FindOrAdd(name, help, Kind::kGauge, std::move(labels));
  if (series->gauge == nullptr) series->gauge = std::make_unique<Gauge>();
  return series->gauge.get();
}

Histogram* Metrics::AddHistogram(absl::string_view name, absl::string_view help,
                                 std::vector<double> bounds, Labels labels) {
  base::MutexLock lock(&mutex_);
  Series* series = FindOrAdd(name, help, Kind::kHistogram, std::move(labels));
  if (series->histogram == nullptr)
    series->histogram = std::make_unique<Histogram>(std::move(bounds));
  return series->histogram.get();
}

void Metrics::AddGaugeFunction(absl::string_view name, absl::string_view help,
                               std::function<double()> read, Labels labels) {
  base::MutexLock lock(&mutex_);
  FindOrAdd(name, help, Kind::kGauge, std::move(labels))->read = std::move(read);
}

void Metrics::AddCounterFunction(absl::string_view name, absl::string_view help,
                                 std::function<double()> read, Labels labels) {
  base::MutexLock lock(&mutex_);
  FindOrAdd(name, help, Kind::kCounter, std::move(labels))->read = std::move(read);
}

void Metrics::AddProcessMetrics(absl::string_view service, absl::string_view version) {
  AddCounterFunction("process_cpu_seconds_total", "CPU time of the process, user and system.",
                     CpuSeconds);
  AddGaugeFunction("process_resident_memory_bytes", "Resident memory.",
                   [] { return ProcStatus("VmRSS") * 1024; });
  AddGaugeFunction("process_virtual_memory_bytes", "Virtual memory.",
                   [] { return ProcStatus("VmSize") * 1024; });
  AddGaugeFunction("process_threads", "Threads of the process.",
                   [] { return ProcStatus("Threads"); });
  AddGaugeFunction("process_open_fds", "Open file descriptors.", OpenFiles);
  AddGaugeFunction("process_max_fds", "Limit of open file descriptors.", [] {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<double>(limit.rlim_cur);
  });
  AddGaugeFunction("process_start_time_seconds", "Start of the process, Unix time.",
                   [start = StartTime()] { return start; });
  AddGauge("build_info", "1; what runs is in the labels.",
           {{"service", std::string(service)}, {"version", std::string(version)}})
      ->Set(1);
}

std::string Metrics::Expose() const {
  static constexpr absl::string_view kKindNames[] = {"counter", "gauge", "histogram"};
  std::string out;
  base::MutexLock lock(&mutex_);
  for (const auto& [name, family] : families_) {
    absl::StrAppend(&out, "# HELP ", name, " ", Escape(family->help, false), "\n# TYPE ", name, " ",
                    kKindNames[static_cast<int>(family->kind)], "\n");
    for (const auto& series : family->series) {
      if (series->read) {
        AppendSample(&out, name, "", series->labels, "", FormatNumber(series->read()));
      } else if (series->counter != nullptr) {
        AppendSample(&out, name, "", series->labels, "", absl::StrCat(series->counter->Value()));
      } else if (series->gauge != nullptr) {
        AppendSample(&out, name, "", series->labels, "", FormatNumber(series->gauge->Value()));
      } else if (series->histogram != nullptr) {
        const Histogram::Snapshot snapshot = series->histogram->Take();
        const std::vector<double>& bounds = series->histogram->bounds();
        for (size_t i = 0; i < snapshot.cumulative.size(); ++i) {
          const std::string le = i < bounds.size() ? FormatNumber(bounds[i]) : "+Inf";
          AppendSample(&out, name, "_bucket", series->labels, absl::StrCat("le=\"", le, "\""),
                       absl::StrCat(snapshot.cumulative[i]));
        }
        AppendSample(&out, name, "_sum", series->labels, "", FormatNumber(snapshot.sum));
        AppendSample(&out, name, "_count", series->labels, "",
                     absl::StrCat(snapshot.cumulative.back()));
      }
    }
  }
  return out;
}

}  // namespace countersign::runtime
