// What the OCSP benchmarks share: one database of many certificates, and a responder that serves
// it.
#ifndef COUNTERSIGN_BENCHMARKS_OCSP_FIXTURE_H_
#define COUNTERSIGN_BENCHMARKS_OCSP_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "benchmarks/environment.h"
#include "benchmarks/http_load.h"
#include "benchmarks/ocsp_database.h"

namespace countersign::bench {

// Used by one thread. Everything is made on first use.
class OcspFixture {
 public:
  // 1,000,000 certificates; 100,000 in a quick run.
  absl::StatusOr<const OcspDatabase*> Database(Environment& environment);
  // The file of the KEK that the signer's key is sealed under.
  absl::StatusOr<std::string> KekFile(Environment& environment);
  // The URL of an SQLite database that holds it.
  absl::StatusOr<std::string> SqliteUrl(Environment& environment);
  // The HTTP port of a process that serves it, "ocsp" in the environment.
  absl::StatusOr<int> HttpPort(Environment& environment);

  // `count` requests for certificates here and there, by SHA-1 and by SHA-256, with their answers.
  absl::StatusOr<std::vector<HttpExchange>> Gets(Environment& environment, int count);
  absl::StatusOr<std::vector<HttpExchange>> Posts(Environment& environment, int count);

 private:
  std::unique_ptr<const OcspDatabase> database_;
  std::string kek_file_;
  std::string sqlite_url_;
  int http_port_ = 0;
};

// "GET /{base64}" as RFC 6960 appendix A.1 has it, and the same path as a server decodes it.
std::string OcspGetTarget(absl::string_view der);
std::string DecodedTarget(absl::string_view target);
HttpExchange OcspGet(absl::string_view der, std::string answer);
HttpExchange OcspPost(absl::string_view der, std::string answer);

// Starts an OCSP process as `name` on the database at `url`; returns its HTTP port once it answers
// as `probe` says.
absl::StatusOr<int> StartResponder(Environment& environment, const std::string& name,
                                   const std::string& url, const std::string& kek_file,
                                   const HttpExchange& probe);

// Waits until the server answers as `probe` says.
absl::Status AwaitAnswer(int port, const HttpExchange& probe, absl::Duration patience);

// A process's resident memory in bytes.
absl::StatusOr<double> ResidentBytes(pid_t pid);

double Median(std::vector<double> values);

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_OCSP_FIXTURE_H_
