#include "libs/tlog/http_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/http/url.h"
#include "libs/tlog/damage.h"
#include "libs/tlog/gzip.h"

namespace countersign::tlog {
namespace {

std::string WithoutSlash(std::string url) {
  while (!url.empty() && url.back() == '/') url.pop_back();
  return url;
}

bool WorthRetrying(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

absl::Status StatusOfAnswer(const std::string& url, int status) {
  const std::string message = absl::StrCat(url, " is answered ", status);
  if (status == 404 || status == 410) return absl::NotFoundError(message);
  if (status == 429 || status >= 500) return absl::UnavailableError(message);
  if (status == 401 || status == 403) return absl::PermissionDeniedError(message);
  return absl::UnknownError(message);
}

}  // namespace

HttpSource::HttpSource(Options options)
    : options_(std::move(options)),
      client_(std::make_unique<http::Client>(http::ClientOptions{
          .max_response_bytes = kMaxResourceBytes, .max_idle_per_host = options_.connections})) {}

absl::StatusOr<std::unique_ptr<HttpSource>> HttpSource::Create(Options options) {
  if (absl::StartsWithIgnoreCase(options.url, "https://")) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.url,
                     ": TLS is not spoken here; let a local proxy do it and give its "
                     "http:// URL. What is read is verified all the same"));
  }
  options.url = WithoutSlash(std::move(options.url));
  RETURN_IF_ERROR(http::ParseHttpUrl(options.url).status());
  return std::unique_ptr<HttpSource>(new HttpSource(std::move(options)));
}

absl::StatusOr<std::string> HttpSource::Fetch(const std::string& path) const {
  absl::Duration backoff = options_.backoff;
  for (int attempt = 1;; ++attempt) {
    absl::Duration retry_after;
    absl::StatusOr<std::string> bytes = FetchOnce(path, &retry_after);
    if (bytes.ok() || !WorthRetrying(bytes.status()) || attempt >= options_.attempts) return bytes;
    absl::SleepFor(std::min(std::max(backoff, retry_after), options_.max_backoff));
    backoff *= 2;
  }
}

absl::StatusOr<std::string> HttpSource::FetchOnce(const std::string& path,
                                                  absl::Duration* retry_after) const {
  http::ClientRequest request;
  request.url = absl::StrCat(options_.url, "/", path);
  request.headers.Add("Accept-Encoding", "gzip");
  request.timeout = options_.timeout;
  const absl::StatusOr<http::Response> response = client_->Call(request);
  if (!response.ok()) {
    if (!absl::IsResourceExhausted(response.status())) return response.status();
    return DamageError(
        {DamageKind::kLong, path, {}, absl::StrCat("at most ", MaxBytesOf(path)), "more", ""});
  }
  if (response->status != 200) {
    int seconds = 0;
    if (absl::SimpleAtoi(response->headers.Get("Retry-After"), &seconds) && seconds > 0) {
      *retry_after = absl::Seconds(seconds);
    }
    return StatusOfAnswer(request.url, response->status);
  }
  const std::string coding = absl::AsciiStrToLower(response->headers.Get("Content-Encoding"));
  if (coding.empty() || coding == "identity") return std::string(response->body_view());
  if (coding != "gzip" && coding != "x-gzip") {
    return absl::UnimplementedError(
        absl::StrCat(request.url, " is coded as ", coding, ", which was not asked for; gzip was"));
  }
  absl::StatusOr<std::string> decoded = Gunzip(response->body_view(), MaxBytesOf(path));
  if (decoded.ok()) return decoded;
  return DamageError(
      {DamageKind::kMalformed, path, {}, "", "", std::string(decoded.status().message())});
}

}  // namespace countersign::tlog
