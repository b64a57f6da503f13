// Runs the benchmarks that are named, or all; see scripts/bench.

#include <sys/resource.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "benchmarks/benchmarks.h"
#include "benchmarks/ocsp_fixture.h"
#include "libs/base/file.h"

namespace bench = countersign::bench;

int main(int argc, char** argv) {
  CLI::App app("Measures the suite against baselines of the same run.");
  std::vector<std::string> names;
  bool quick = false;
  bool list = false;
  std::string json;
  std::string bin;
  std::string work;
  std::string commit = "unknown";
  app.add_option("NAME", names,
                 "Benchmarks to run, or the first part of their names; all when none");
  app.add_flag("--quick", quick, "Short measurements: everything within a minute");
  app.add_flag("--list", list, "Name the benchmarks and stop");
  app.add_option("--json", json, "Also write the results to this file");
  app.add_option("--bin", bin, "Folder of the built binaries")->required();
  app.add_option("--work", work, "Empty folder on the disk to measure")->required();
  app.add_option("--commit", commit, "Commit to name in the results");
  CLI11_PARSE(app, argc, argv);

  // For thousands of connections, here and in the processes that are started.
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }

  const auto ocsp = std::make_shared<bench::OcspFixture>();
  std::vector<bench::Benchmark> all;
  for (auto& group :
       {bench::SignBenchmarks(), bench::VerifyBenchmarks(), bench::LedgerBenchmarks(),
        bench::PostgresBenchmarks(), bench::LedgerGrowthBenchmarks(), bench::TesseraBenchmarks(),
        bench::LedgerProofsBenchmarks(), bench::MerkleBenchmarks(), bench::WitnessBenchmarks(),
        bench::WitnessFanoutBenchmarks(), bench::RenewBenchmarks(), bench::IssueBenchmarks(),
        bench::InventoryBenchmarks(), bench::OcspHttpBenchmarks(ocsp),
        bench::OcspMemoryBenchmarks(ocsp), bench::OcspPropagationBenchmarks(),
        bench::YubikeyBenchmarks()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  std::vector<bench::Benchmark> chosen;
  for (const bench::Benchmark& benchmark : all) {
    if (list) std::printf("%-22s %s\n", benchmark.name.c_str(), benchmark.what.c_str());
    for (const std::string& name : names) {
      if (benchmark.name.rfind(name, 0) == 0) {
        chosen.push_back(benchmark);
        break;
      }
    }
  }
  if (list) return 0;
  if (names.empty()) chosen = all;
  if (chosen.empty()) {
    std::cerr << "no benchmark of that name; --list names them\n";
    return 2;
  }

  std::vector<bench::Result> results;
  bool failed = false;
  {
    bench::Environment environment(bin, work, quick ? absl::Seconds(2) : absl::Seconds(8));
    std::cout << bench::TableHeader() << std::flush;
    for (const bench::Benchmark& benchmark : chosen) {
      const absl::StatusOr<bench::Result> result = benchmark.run(environment);
      if (!result.ok()) {
        std::cout << benchmark.name << ": " << result.status().ToString() << "\n" << std::flush;
        failed = true;
        continue;
      }
      failed |= result->failures != 0;
      std::cout << bench::TableRow(*result) << std::flush;
      results.push_back(*result);
    }
  }
  if (!json.empty()) {
    const absl::Status written =
        countersign::base::WriteFileDurably(json, bench::ToJson(commit, results));
    if (!written.ok()) {
      std::cerr << written.ToString() << "\n";
      return 1;
    }
  }
  return failed ? 1 : 0;
}
