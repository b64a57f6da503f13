#include "benchmarks/ocsp_fixture.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/aead.h"

namespace countersign::bench {
namespace {

constexpr absl::Duration kQuick = absl::Seconds(4);
// Far from each other in the database; no multiple of its size.
constexpr int64_t kStride = 7'919;

// Requests by `make` for certificates here and there.
template <typename Make>
std::vector<HttpExchange> Spread(const OcspDatabase& database, int count, const Make& make) {
  std::vector<HttpExchange> exchanges;
  for (int64_t i = 0; exchanges.size() < static_cast<size_t>(count); ++i) {
    const int64_t index = i * kStride % database.certificates();
    const auto hash = i % 2 == 0 ? pki::OcspHash::kSha1 : pki::OcspHash::kSha256;
    const std::string request = database.Request(index, hash);
    // Such a path can be no file's.
    if (absl::EndsWith(DecodedTarget(OcspGetTarget(request)), "/")) continue;
    exchanges.push_back(make(request, database.Response(index, hash)));
  }
  return exchanges;
}

}  // namespace

absl::StatusOr<const OcspDatabase*> OcspFixture::Database(Environment& environment) {
  if (database_ == nullptr) {
    ASSIGN_OR_RETURN(database_,
                     OcspDatabase::Create(environment.length() < kQuick ? 100'000 : 1'000'000));
  }
  return database_.get();
}

absl::StatusOr<std::string> OcspFixture::KekFile(Environment& environment) {
  if (kek_file_.empty()) {
    const std::string file = environment.work() + "/ocsp-kek";
    RETURN_IF_ERROR(crypto::Kek::LoadOrCreate(file).status());
    kek_file_ = file;
  }
  return kek_file_;
}

absl::StatusOr<std::string> OcspFixture::SqliteUrl(Environment& environment) {
  if (sqlite_url_.empty()) {
    ASSIGN_OR_RETURN(const OcspDatabase* database, Database(environment));
    ASSIGN_OR_RETURN(const std::string kek_file, KekFile(environment));
    ASSIGN_OR_RETURN(const crypto::Kek kek, crypto::Kek::LoadOrCreate(kek_file));
    const std::string url = absl::StrCat("sqlite:", environment.work(), "/ocsp.db");
    RETURN_IF_ERROR(database->Fill(url, kek));
    sqlite_url_ = url;
  }
  return sqlite_url_;
}

absl::StatusOr<int> OcspFixture::HttpPort(Environment& environment) {
  if (http_port_ == 0) {
    ASSIGN_OR_RETURN(const std::string url, SqliteUrl(environment));
    ASSIGN_OR_RETURN(const std::vector<HttpExchange> probe, Posts(environment, 1));
    ASSIGN_OR_RETURN(http_port_,
                     StartResponder(environment, "ocsp", url, kek_file_, probe.front()));
  }
  return http_port_;
}

absl::StatusOr<std::vector<HttpExchange>> OcspFixture::Gets(Environment& environment, int count) {
  ASSIGN_OR_RETURN(const OcspDatabase* database, Database(environment));
  return Spread(*database, count, OcspGet);
}

absl::StatusOr<std::vector<HttpExchange>> OcspFixture::Posts(Environment& environment, int count) {
  ASSIGN_OR_RETURN(const OcspDatabase* database, Database(environment));
  return Spread(*database, count, OcspPost);
}

std::string OcspGetTarget(absl::string_view der) {
  return absl::StrCat("/", absl::StrReplaceAll(absl::Base64Escape(der),
                                               {{"+", "%2B"}, {"/", "%2F"}, {"=", "%3D"}}));
}

std::string DecodedTarget(absl::string_view target) {
  return absl::StrReplaceAll(target, {{"%2B", "+"}, {"%2F", "/"}, {"%3D", "="}});
}

HttpExchange OcspGet(absl::string_view der, std::string answer) {
  HttpExchange exchange;
  exchange.request = absl::StrCat("GET ", OcspGetTarget(der),
                                  " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n"
                                  "Accept: */*\r\n\r\n");
  exchange.body = std::move(answer);
  return exchange;
}

HttpExchange OcspPost(absl::string_view der, std::string answer) {
  HttpExchange exchange;
  exchange.request = absl::StrCat(
      "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n"
      "Content-Type: application/ocsp-request\r\nContent-Length: ",
      der.size(), "\r\n\r\n", der);
  exchange.body = std::move(answer);
  return exchange;
}

absl::StatusOr<int> StartResponder(Environment& environment, const std::string& name,
                                   const std::string& url, const std::string& kek_file,
                                   const HttpExchange& probe) {
  ASSIGN_OR_RETURN(const runtime::BoundPorts ports,
                   environment.StartService(name, "ocsp", {"--database", url, "--kek", kek_file}));
  RETURN_IF_ERROR(AwaitAnswer(ports.http, probe, absl::Seconds(60)));
  return ports.http;
}

absl::Status AwaitAnswer(int port, const HttpExchange& probe, absl::Duration patience) {
  const absl::Time give_up = absl::Now() + patience;
  while (true) {
    const auto asked =
        RunHttpLoad({.port = port, .connections = 1, .once = true}, absl::MakeSpan(&probe, 1));
    if (asked.ok() && asked->failures == 0) return absl::OkStatus();
    if (absl::Now() > give_up) {
      return absl::DeadlineExceededError(
          absl::StrCat("port ", port, " does not give the answer that is right"));
    }
    absl::SleepFor(absl::Milliseconds(1));
  }
}

absl::StatusOr<double> ResidentBytes(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string status,
                   base::ReadFile(absl::StrCat("/proc/", pid, "/status")));
  const size_t at = status.find("VmRSS:");
  double kilobytes = 0;
  if (at == std::string::npos || !absl::SimpleAtod(absl::StripAsciiWhitespace(status.substr(
                                                       at + 6, status.find("kB", at) - at - 6)),
                                                   &kilobytes)) {
    return absl::InternalError("/proc shows no VmRSS");
  }
  return kilobytes * 1024;
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace countersign::bench
