#include "libs/acme/https_transport.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::acme {
namespace {

constexpr size_t kMaxBodyBytes = 1 << 20;

// Not thread-safe, so it is done once, before the first use.
bool InitialiseCurl() {
  static const bool done = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return done;
}

struct Answer {
  http::Response response;
  std::string body;
};

size_t TakeBody(char* data, size_t, size_t size, void* user) {
  auto* answer = static_cast<Answer*>(user);
  if (answer->body.size() + size > kMaxBodyBytes) return 0;
  answer->body.append(data, size);
  return size;
}

size_t TakeHeader(char* data, size_t, size_t size, void* user) {
  auto* answer = static_cast<Answer*>(user);
  const absl::string_view line(data, size);
  // Of the last answer only: before it may come one with status 100.
  if (absl::StartsWith(line, "HTTP/")) answer->response.headers = {};
  const size_t colon = line.find(':');
  if (colon != absl::string_view::npos) {
    answer->response.headers.Add(line.substr(0, colon),
                                 absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return size;
}

absl::Status ToStatus(CURLcode code, absl::string_view url, absl::string_view detail) {
  const std::string message = absl::StrCat(
      url, ": ", detail.empty() ? absl::string_view(curl_easy_strerror(code)) : detail);
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
      return absl::InvalidArgumentError(message);
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(message);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return absl::FailedPreconditionError(message);
    case CURLE_WRITE_ERROR:
      return absl::ResourceExhaustedError(absl::StrCat(url, ": the answer is too long"));
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

HttpsTransport::HttpsTransport(Options options) : options_(std::move(options)) { InitialiseCurl(); }

absl::StatusOr<http::Response> HttpsTransport::Send(const http::ClientRequest& request) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(
      InitialiseCurl() ? curl_easy_init() : nullptr, curl_easy_cleanup);
  if (curl == nullptr) return absl::ResourceExhaustedError("libcurl cannot be started");
  Answer answer;
  char error[CURL_ERROR_SIZE] = "";
  curl_slist* lines = nullptr;
  // No "Expect: 100-continue", which costs a round trip.
  lines = curl_slist_append(lines, "Expect:");
  for (const auto& [name, value] : request.headers) {
    lines = curl_slist_append(lines, absl::StrCat(name, ": ", value).c_str());
  }
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(lines,
                                                                            curl_slist_free_all);
  CURL* handle = curl.get();
  curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_USERAGENT, options_.user_agent.c_str());
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(
      handle, CURLOPT_TIMEOUT_MS,
      static_cast<long>(std::max<int64_t>(1, absl::ToInt64Milliseconds(request.timeout))));
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, TakeBody);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, TakeHeader);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &answer);
  curl_easy_setopt(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options_.ca_pem.empty()) {
    curl_blob roots{const_cast<char*>(options_.ca_pem.data()), options_.ca_pem.size(),
                    CURL_BLOB_NOCOPY};
    curl_easy_setopt(handle, CURLOPT_CAINFO_BLOB, &roots);
    curl_easy_setopt(handle, CURLOPT_CAPATH, nullptr);
  }
  if (request.method == "HEAD") {
    curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
  } else if (request.method == "POST") {
    curl_easy_setopt(handle, CURLOPT_POST, 1L);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data());
  }
  if (const CURLcode code = curl_easy_perform(handle); code != CURLE_OK) {
    return ToStatus(code, request.url, error);
  }
  long status = 0;
  curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  answer.response.status = static_cast<int>(status);
  answer.response.body = std::make_shared<const std::string>(std::move(answer.body));
  return std::move(answer.response);
}

}  // namespace countersign::acme
