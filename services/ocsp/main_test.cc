// The responder as a process, asked by other people's clients.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/aead.h"
#include "libs/http/client.h"
#include "libs/storage/testing.h"
#include "libs/testing/child_process.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/ocsp/testing.h"

namespace countersign::ocsp {
namespace {

using testing::ChildProcess;
using testing::Eventually;
using testing::RequireOk;
using testing::TempDir;

std::unique_ptr<ChildProcess> Start(const std::string& database, const std::string& kek) {
  return ChildProcess::StartService(
      testing::Runfile("services/ocsp/countersign-ocsp"),
      {"--database", database, "--kek", kek, "--listen", "127.0.0.1:0", "--http-listen",
       "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"});
}

std::string Pem(const std::string& der) {
  std::string pem = "-----BEGIN CERTIFICATE-----\n";
  const std::string base64 = base::Base64Encode(der);
  for (size_t i = 0; i < base64.size(); i += 64) absl::StrAppend(&pem, base64.substr(i, 64), "\n");
  return pem + "-----END CERTIFICATE-----\n";
}

TEST_CASE("openssl accepts what the responder says: good, revoked, with a nonce, by both hashes") {
  const storage::EmptyDatabase empty(
      GENERATE(storage::Engine::kSqlite, storage::Engine::kPostgres));
  const auto database = empty.Open();
  const TempDir dir;
  const absl::Time now = absl::Now();
  sign::v1::AuthoritySettings settings;
  settings.set_ocsp_nonces(true);
  const TestAuthority authority(1, "issuing", now, settings);
  const std::string ca = dir.path() + "/ca.pem";
  RequireOk(base::WriteFileAtomically(ca, Pem(authority.certificate.der)));
  const std::string kek = dir.path() + "/kek";
  RequireOk(base::WriteFileAtomically(
      kek, absl::StrCat(base::HexEncode(std::string(32, 'k')), "\n"), 0600));

  // It waits for its tables.
  const auto process = Start(empty.url(), kek);
  http::Client client;
  const auto ready = [&] {
    return RequireOk(client.Get(absl::StrCat("http://", process->admin_address(), "/readyz"),
                                absl::Seconds(30)))
               .status == 200;
  };
  CHECK_FALSE(ready());
  CreateTables(*database);
  StoreAuthority(*database, authority);
  const std::vector<StoredRecord> records = {
      {1, TestSerial(1), authority.SignRecord(TestSerial(1), now)},
      {1, TestSerial(2),
       authority.SignRecord(TestSerial(2), now, true, absl::ToUnixSeconds(now) - 100, 1)}};
  RequireOk(StoreRecords(*database, records));
  REQUIRE(Eventually(ready));
  // What came between the making of the tables and that of the records is polled for.
  const auto ask = [&](const std::vector<std::string>& more, int64_t number) {
    std::vector<std::string> args = {"ocsp",
                                     "-issuer",
                                     ca,
                                     "-CAfile",
                                     ca,
                                     "-url",
                                     absl::StrCat("http://", process->http_address(), "/ocsp/")};
    args.insert(args.end(), more.begin(), more.end());
    args.insert(args.end(), {"-serial", "0x" + base::HexEncode(TestSerial(number))});
    ChildProcess openssl("/usr/bin/openssl", args);
    openssl.Wait();
    return openssl.output();
  };
  CHECK(Eventually([&] { return absl::StrContains(ask({"-no_nonce"}, 1), ": good"); }));
  for (const char* hash : {"-sha1", "-sha256", "-sha512"}) {
    for (const char* nonce : {"-nonce", "-no_nonce"}) {
      const std::string good = ask({hash, nonce}, 1);
      INFO(good);
      CHECK(absl::StrContains(good, "Response verify OK"));
      CHECK(absl::StrContains(good, ": good"));
      CHECK_FALSE(absl::StrContains(good, "WARNING"));
      const std::string revoked = ask({hash, nonce}, 2);
      INFO(revoked);
      CHECK(absl::StrContains(revoked, "Response verify OK"));
      CHECK(absl::StrContains(revoked, ": revoked"));
      CHECK(absl::StrContains(revoked, "Reason: keyCompromise"));
    }
  }
  CHECK(absl::StrContains(ask({"-no_nonce"}, 3), "unauthorized"));

  const http::Response metrics = RequireOk(
      client.Get(absl::StrCat("http://", process->admin_address(), "/metrics"), absl::Seconds(30)));
  for (const char* line :
       {"countersign_ocsp_records 2", "countersign_ocsp_authorities 1",
        "countersign_ocsp_requests_total{outcome=\"live_nonce\"} 6",
        "database_query_duration_seconds_count{query_type=\"load\"}",
        "countersign_ocsp_database_queries_total", "countersign_ocsp_live_queue_size 0"}) {
    INFO(metrics.body_view());
    CHECK(absl::StrContains(metrics.body_view(), line));
  }
  CHECK(process->Stop() == 0);
}

TEST_CASE("A database file that is not there is waited for, and not made") {
  const TempDir dir;
  const std::string file = dir.path() + "/sign.db";
  const auto process = Start("sqlite:" + file, dir.path() + "/kek");
  CHECK(Eventually([&] { return absl::StrContains(process->output(), "is not there yet"); }));
  CHECK_FALSE(base::FileExists(file));
  CHECK(process->Stop() == 0);
}

}  // namespace
}  // namespace countersign::ocsp
