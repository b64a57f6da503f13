// The results of a benchmark run: a table for people, JSON for programs.
#ifndef COUNTERSIGN_BENCHMARKS_REPORT_H_
#define COUNTERSIGN_BENCHMARKS_REPORT_H_

#include <string>
#include <vector>

#include "benchmarks/load.h"

namespace countersign::bench {

struct Result {
  std::string name;
  double value = 0;
  std::string unit;  // "ops/s", "entries/s"
  double p50_ms = 0;
  double p95_ms = 0;
  double p99_ms = 0;
  // Measured in the same run.
  std::string baseline;
  double baseline_value = 0;
  // For people: what was done, and what was durable and how that is known.
  std::string note;
  uint64_t failures = 0;

  // Value over baseline: more is better.
  double Ratio() const { return baseline_value > 0 ? value / baseline_value : 0; }
};

// A result with the latencies of `load`, each of whose operations counts `per_operation`.
Result FromLoad(std::string name, std::string unit, const LoadResult& load,
                double per_operation = 1);

std::string TableHeader();
std::string TableRow(const Result& result);

// {"machine":…,"commit":…,"results":[…]}.
std::string ToJson(const std::string& commit, const std::vector<Result>& results);

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_REPORT_H_
