#include "benchmarks/report.h"

#include <sys/sysinfo.h>

#include <cmath>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace countersign::bench {
namespace {

std::string Machine() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string line;
  std::string model = "unknown processor";
  while (std::getline(cpuinfo, line)) {
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos) {
      model = line.substr(line.find(": ") + 2);
      break;
    }
  }
  struct sysinfo info;
  const double gib = sysinfo(&info) == 0 ? static_cast<double>(info.totalram) * info.mem_unit /
                                               (1024.0 * 1024 * 1024)
                                         : 0;
  return absl::StrFormat("%s, %d cores, %.0f GiB", model, get_nprocs(), gib);
}

double Rounded(double value, double unit) { return std::round(value / unit) * unit; }

// 1234567 -> "1,234,567".
std::string Grouped(double value) {
  if (value < 100) return absl::StrFormat("%.1f", value);
  std::string digits = absl::StrFormat("%.0f", value);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

}  // namespace

Result FromLoad(std::string name, std::string unit, const LoadResult& load, double per_operation) {
  Result result;
  result.name = std::move(name);
  result.unit = std::move(unit);
  result.value = load.PerSecond() * per_operation;
  result.p50_ms = load.p50_ms;
  result.p95_ms = load.p95_ms;
  result.p99_ms = load.p99_ms;
  result.failures = load.failures;
  return result;
}

std::string TableHeader() {
  return absl::StrFormat("%-22s %12s %-10s %9s %9s %9s  %6s  %s\n", "benchmark", "value", "unit",
                         "p50 ms", "p95 ms", "p99 ms", "ratio", "of the baseline");
}

std::string TableRow(const Result& result) {
  std::string row = absl::StrFormat("%-22s %12s %-10s %9.3f %9.3f %9.3f  %6.2f  %s %s/s\n",
                                    result.name, Grouped(result.value), result.unit, result.p50_ms,
                                    result.p95_ms, result.p99_ms, result.Ratio(), result.baseline,
                                    Grouped(result.baseline_value));
  if (!result.note.empty()) absl::StrAppend(&row, "    ", result.note, "\n");
  if (result.failures != 0) absl::StrAppend(&row, "    ", result.failures, " operations FAILED\n");
  return row;
}

std::string ToJson(const std::string& commit, const std::vector<Result>& results) {
  nlohmann::ordered_json root;
  root["machine"] = Machine();
  root["commit"] = commit;
  root["results"] = nlohmann::ordered_json::array();
  for (const Result& result : results) {
    root["results"].push_back({{"name", result.name},
                               {"value", Rounded(result.value, 0.1)},
                               {"unit", result.unit},
                               {"p50_ms", Rounded(result.p50_ms, 0.001)},
                               {"p95_ms", Rounded(result.p95_ms, 0.001)},
                               {"p99_ms", Rounded(result.p99_ms, 0.001)},
                               {"baseline", result.baseline},
                               {"baseline_value", Rounded(result.baseline_value, 0.1)},
                               {"ratio", Rounded(result.Ratio(), 0.001)},
                               {"failures", result.failures},
                               {"note", result.note}});
  }
  return root.dump(2) + "\n";
}

}  // namespace countersign::bench
