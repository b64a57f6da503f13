#include "libs/runtime/metrics.h"

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "catch2/catch.hpp"

namespace countersign::runtime {
namespace {

TEST_CASE("the exposition is Prometheus text, families in order of name") {
  Metrics metrics;
  metrics.AddGauge("queue_length", "Waiting.")->Set(2.5);
  Counter* one = metrics.AddCounter("calls_total", "Calls\nby \\ kind.", {{"kind", "a\"b\\c\nd"}});
  one->Increment();
  one->Increment(41);
  metrics.AddCounter("calls_total", "", {{"kind", "other"}});
  Histogram* histogram = metrics.AddHistogram("batch_entries", "Sizes.", {1, 2.5}, {{"log", "x"}});
  histogram->Observe(1);
  histogram->Observe(2);
  histogram->Observe(100);
  metrics.AddGaugeFunction("answer", "Read when asked.", [] { return 42.0; });
  CHECK(metrics.Expose() ==
        "# HELP answer Read when asked.\n"
        "# TYPE answer gauge\n"
        "answer 42\n"
        "# HELP batch_entries Sizes.\n"
        "# TYPE batch_entries histogram\n"
        "batch_entries_bucket{log=\"x\",le=\"1\"} 1\n"
        "batch_entries_bucket{log=\"x\",le=\"2.5\"} 2\n"
        "batch_entries_bucket{log=\"x\",le=\"+Inf\"} 3\n"
        "batch_entries_sum{log=\"x\"} 103\n"
        "batch_entries_count{log=\"x\"} 3\n"
        "# HELP calls_total Calls\\nby \\\\ kind.\n"
        "# TYPE calls_total counter\n"
        "calls_total{kind=\"a\\\"b\\\\c\\nd\"} 42\n"
        "calls_total{kind=\"other\"} 0\n"
        "# HELP queue_length Waiting.\n"
        "# TYPE queue_length gauge\n"
        "queue_length 2.5\n");
}

TEST_CASE("the same name and labels are the same handle") {
  Metrics metrics;
  CHECK(metrics.AddCounter("a_total", "", {{"x", "1"}}) ==
        metrics.AddCounter("a_total", "", {{"x", "1"}}));
  CHECK(metrics.AddCounter("a_total", "", {{"x", "1"}}) !=
        metrics.AddCounter("a_total", "", {{"x", "2"}}));
}

TEST_CASE("nothing is lost when many threads count") {
  Metrics metrics;
  Counter* counter = metrics.AddCounter("a_total", "");
  Gauge* gauge = metrics.AddGauge("b", "");
  Histogram* histogram = metrics.AddHistogram("c", "", LatencyBounds());
  std::vector<std::thread> threads;
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        counter->Increment();
        gauge->Add(1);
        histogram->Observe(0.002);
      }
      CHECK(metrics.Expose().size() > 100);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(counter->Value() == 12000);
  CHECK(gauge->Value() == 12000);
  const Histogram::Snapshot snapshot = histogram->Take();
  CHECK(snapshot.cumulative.back() == 12000);
  CHECK(std::abs(snapshot.sum - 24) < 1e-6);
}

TEST_CASE("a value on a bound falls into that bound's bucket") {
  Histogram histogram({1, 2, 4});
  for (const double value : {0.0, 1.0, 1.5, 2.0, 4.0, 4.5}) histogram.Observe(value);
  CHECK(histogram.Take().cumulative == std::vector<uint64_t>{2, 4, 5, 6});
  CHECK(PowersOfTwo(4) == std::vector<double>{1, 2, 4, 8});
}

TEST_CASE("the process's own metrics have plausible values") {
  Metrics metrics;
  metrics.AddProcessMetrics("sign", "1.2.3");
  const std::string text = metrics.Expose();
  CHECK_THAT(text, Catch::Contains("build_info{service=\"sign\",version=\"1.2.3\"} 1\n"));
  const auto value = [&text](const std::string& name) {
    const size_t at = text.find("\n" + name + " ");
    REQUIRE(at != std::string::npos);
    return std::stod(text.substr(at + name.size() + 2));
  };
  CHECK(value("process_resident_memory_bytes") > 1e5);
  CHECK(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
  CHECK(value("process_open_fds") >= 1);
  CHECK(value("process_threads") >= 1);
  CHECK(value("process_start_time_seconds") > 1.6e9);
  CHECK(value("process_cpu_seconds_total") >= 0);
}

}  // namespace
}  // namespace countersign::runtime
