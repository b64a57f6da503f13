// Pages of the certificate inventory while it grows.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/durable_postgres.h"
#include "libs/base/bytes.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/storage/database.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/schema.h"

namespace countersign::bench {
namespace {

constexpr int64_t kCertificates = 1000000;
constexpr int64_t kQuickCertificates = 100000;
constexpr int64_t kWaiting = 8192;  // at most, while the inventory is filled
constexpr int kPage = 100;
constexpr int kInsertsPerSecond = 1000;
constexpr double kWantedMs = 1;

sign::NewCertificate MakeCertificate(int64_t number, absl::Time now) {
  sign::NewCertificate made;
  made.tenant = "default";
  pki::Certificate& certificate = made.certificate;
  const auto digest = crypto::Sha256(absl::StrCat(number));
  certificate.serial = std::string(base::AsBytes(digest).substr(0, 16));
  certificate.der = absl::StrCat(number, std::string(600, 'd'));
  certificate.spki_der = absl::StrCat("key ", number);
  certificate.not_before = now;
  // Anywhere in 90 days.
  certificate.not_after = now + absl::Seconds(60 + (number * 7919) % (90 * 86400));
  certificate.extensions.subject_alt_names = {
      {pki::GeneralName::Kind::kDns, absl::StrCat("host-", number, ".example.com")}};
  made.owner_team = absl::StrCat("team-", number % 1000);
  made.environment = number % 10 == 0 ? "staging" : "production";
  return made;
}

// Counts what is under way.
class InFlight {
 public:
  void Begin(int64_t most) {
    base::MutexLock lock(&mutex_);
    changed_.Wait(&mutex_, [&] { return count_ < most; });
    ++count_;
  }
  void End(const absl::Status& status) {
    base::MutexLock lock(&mutex_);
    --count_;
    if (status_.ok()) status_ = status;
    changed_.NotifyAll();
  }
  absl::Status Wait() {
    base::MutexLock lock(&mutex_);
    changed_.Wait(&mutex_, [&] { return count_ == 0; });
    return status_;
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  int64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

double Quantile(const std::vector<double>& sorted, double part) {
  return sorted[std::min(sorted.size() - 1,
                         static_cast<size_t>(static_cast<double>(sorted.size()) * part))];
}

absl::StatusOr<Result> MeasurePages(const Environment& environment, const std::string& name,
                                    const std::string& url) {
  ASSIGN_OR_RETURN(const auto database, storage::Database::Open(url));
  RETURN_IF_ERROR(sign::MigrateSchema(*database));
  sign::CertificateStore store({.database = database.get()});
  const absl::Time now = absl::Now();
  const int64_t filled =
      environment.length() > absl::Seconds(5) ? kCertificates : kQuickCertificates;
  InFlight in_flight;
  const auto insert = [&](int64_t number) {
    in_flight.Begin(kWaiting);
    store.Insert(MakeCertificate(number, now),
                 [&](const absl::StatusOr<sign::v1::Certificate>& result) {
                   in_flight.End(result.status());
                 });
  };
  for (int64_t i = 0; i < filled; ++i) insert(i);
  RETURN_IF_ERROR(in_flight.Wait());
  RETURN_IF_ERROR(database->Run("ANALYZE").status());

  std::atomic<bool> stop{false};
  std::atomic<int64_t> inserted{0};
  std::thread inserter([&] {
    const absl::Time begin = absl::Now();
    while (!stop) {
      const double due = absl::ToDoubleSeconds(absl::Now() - begin) * kInsertsPerSecond;
      while (static_cast<double>(inserted) < due && !stop) insert(filled + inserted.fetch_add(1));
      absl::SleepFor(absl::Milliseconds(5));
    }
  });
  std::vector<double> latencies;
  absl::Status failure;
  sign::v1::ListCertificatesRequest request;
  request.set_parent("tenants/default");
  request.set_page_size(kPage);
  const absl::Time end = absl::Now() + environment.length();
  for (int64_t i = 0; absl::Now() < end && failure.ok(); ++i) {
    // What expires from some day on, with its status.
    request.mutable_filter()->mutable_expires_from()->set_seconds(absl::ToUnixSeconds(now) +
                                                                  (i * 104729) % (80 * 86400));
    request.mutable_filter()->clear_statuses();
    request.mutable_filter()->add_statuses(sign::v1::CERTIFICATE_STATUS_ACTIVE);
    const absl::Time begin = absl::Now();
    const auto page = store.List(request);
    latencies.push_back(absl::ToDoubleMilliseconds(absl::Now() - begin));
    failure = page.status();
    if (page.ok() && page->certificates_size() != kPage) {
      failure = absl::InternalError("a page is not full");
    }
  }
  stop = true;
  inserter.join();
  RETURN_IF_ERROR(failure);
  RETURN_IF_ERROR(in_flight.Wait());
  std::sort(latencies.begin(), latencies.end());
  Result result;
  result.name = name;
  result.p50_ms = Quantile(latencies, 0.5);
  result.p95_ms = Quantile(latencies, 0.95);
  result.p99_ms = Quantile(latencies, 0.99);
  result.unit = "1/s (p99)";
  result.value = 1000 / result.p99_ms;
  result.baseline = "1 ms";
  result.baseline_value = 1000 / kWantedMs;
  result.note = absl::StrFormat(
      "%d pages of %d active certificates that expire from a day on, of %d in all, by the store in "
      "this process, beside %d inserts a second",
      latencies.size(), kPage, filled, kInsertsPerSecond);
  return result;
}

absl::StatusOr<Result> OnPostgres(Environment& environment) {
  ASSIGN_OR_RETURN(const auto server, StartPostgres(environment));
  return MeasurePages(environment, "inventory-expiry", server->Url());
}

absl::StatusOr<Result> OnSqlite(Environment& environment) {
  return MeasurePages(environment, "inventory-expiry-sqlite",
                      absl::StrCat("sqlite:", environment.work(), "/inventory.db"));
}

}  // namespace

std::vector<Benchmark> InventoryBenchmarks() {
  return {{"inventory-expiry", "pages of a million certificates on PostgreSQL, p99", OnPostgres},
          {"inventory-expiry-sqlite", "the same on SQLite", OnSqlite}};
}

}  // namespace countersign::bench
