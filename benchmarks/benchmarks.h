// The benchmarks by name.
#ifndef COUNTERSIGN_BENCHMARKS_BENCHMARKS_H_
#define COUNTERSIGN_BENCHMARKS_BENCHMARKS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/environment.h"
#include "benchmarks/report.h"

namespace countersign::bench {

struct Benchmark {
  std::string name;
  std::string what;  // one line for --list
  std::function<absl::StatusOr<Result>(Environment& environment)> run;
};

std::vector<Benchmark> SignBenchmarks();
std::vector<Benchmark> VerifyBenchmarks();
std::vector<Benchmark> LedgerBenchmarks();
std::vector<Benchmark> PostgresBenchmarks();
std::vector<Benchmark> LedgerGrowthBenchmarks();
std::vector<Benchmark> TesseraBenchmarks();
std::vector<Benchmark> WitnessBenchmarks();
std::vector<Benchmark> WitnessFanoutBenchmarks();
std::vector<Benchmark> LedgerProofsBenchmarks();
std::vector<Benchmark> MerkleBenchmarks();
std::vector<Benchmark> IssueBenchmarks();
std::vector<Benchmark> InventoryBenchmarks();
std::vector<Benchmark> RenewBenchmarks();
std::vector<Benchmark> YubikeyBenchmarks();

// Those of OCSP share what takes long to make.
class OcspFixture;
std::vector<Benchmark> OcspHttpBenchmarks(std::shared_ptr<OcspFixture> fixture);
std::vector<Benchmark> OcspMemoryBenchmarks(std::shared_ptr<OcspFixture> fixture);
std::vector<Benchmark> OcspPropagationBenchmarks();

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_BENCHMARKS_H_
