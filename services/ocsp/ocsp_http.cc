#include "services/ocsp/ocsp_http.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "libs/crypto/digest.h"
#include "libs/http/problem.h"

namespace countersign::ocsp {
namespace {

// As the gateway forwards it.
constexpr absl::string_view kGatewayPath = "/ocsp";
constexpr absl::string_view kAllow = "GET, HEAD, POST";
constexpr size_t kETagSize = 2 + 64;
constexpr size_t kDateSize = 29;

void Append(absl::string_view text, std::string* out) { out->append(text.data(), text.size()); }

// The quoted hexadecimal SHA-256.
void WriteETag(absl::string_view body, char (&etag)[kETagSize]) {
  constexpr char kDigits[] = "0123456789abcdef";
  char* out = etag;
  *out++ = '"';
  for (const uint8_t byte : crypto::Sha256(body)) {
    *out++ = kDigits[byte >> 4];
    *out++ = kDigits[byte & 15];
  }
  *out = '"';
}

// RFC 9110 section 13.2.2: If-None-Match decides alone where it is there.
bool NotModified(const http::FastRequest& request, absl::string_view etag,
                 absl::string_view last_modified, int64_t this_update) {
  if (request.method != "GET") return false;
  bool named = false;
  for (size_t i = 0; i < request.field_count; ++i) {
    const http::FastRequest::Field& field = request.fields[i];
    if (!absl::EqualsIgnoreCase(field.name, "If-None-Match")) continue;
    named = true;
    if (http::ETagListMatches(field.value, etag)) return true;
  }
  if (named) return false;
  const absl::string_view since = request.Get("If-Modified-Since");
  if (since.empty()) return false;
  if (since == last_modified) return true;
  absl::Time time;
  std::string error;
  return absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", since, &time, &error) &&
         absl::ToUnixSeconds(time) >= this_update;
}

// Header lines as http::Headers.
http::Response ToResponse(const http::FastResponse& fast) {
  http::Response response;
  response.status = fast.status;
  absl::string_view rest = fast.fields;
  while (!rest.empty()) {
    const size_t end = rest.find("\r\n");
    const absl::string_view line = rest.substr(0, end);
    const size_t colon = line.find(": ");
    response.headers.Add(line.substr(0, colon), line.substr(colon + 2));
    rest.remove_prefix(end + 2);
  }
  if (!fast.body.empty()) response.body = std::make_shared<const std::string>(fast.body);
  return response;
}

}  // namespace

OcspHttp::OcspHttp(Options options) : options_(std::move(options)) {
  while (absl::EndsWith(options_.path, "/")) options_.path.pop_back();
}

std::optional<absl::string_view> OcspHttp::BehindPath(absl::string_view target) const {
  // A request's base64 begins with 'M', so that no path is both.
  for (const absl::string_view path : {kGatewayPath, absl::string_view(options_.path)}) {
    absl::string_view rest = target;
    if (!absl::ConsumePrefix(&rest, path)) continue;
    if (rest.empty() || rest[0] == '/') return absl::StripPrefix(rest, "/");
  }
  return std::nullopt;
}

std::optional<absl::string_view> OcspHttp::RequestIn(absl::string_view method,
                                                     absl::string_view behind,
                                                     absl::string_view body,
                                                     std::string* scratch) const {
  if (method == "POST") return body;
  scratch->clear();
  // As long as any request that is answered, percent-encoded throughout.
  if (behind.size() > 4 * Responder::kMaxRequestBytes) return std::nullopt;
  if (!pki::DecodeOcspPath(behind, scratch)) return std::nullopt;
  return absl::string_view(*scratch);
}

void OcspHttp::Finish(const Answer& answer, const http::FastRequest& request,
                      http::FastResponse* response) const {
  options_.metrics->Count(answer);
  response->status = 200;
  std::string* const fields = &response->fields;
  if (answer.kind == Answer::Kind::kError) {
    Append("Content-Type: application/ocsp-response\r\nCache-Control: no-cache, no-store\r\n",
           fields);
    return;
  }
  if (answer.nonce) {
    Append("Content-Type: application/ocsp-response\r\nCache-Control: no-store\r\n", fields);
    return;
  }
  char etag_bytes[kETagSize];
  WriteETag(response->body, etag_bytes);
  const absl::string_view etag(etag_bytes, kETagSize);
  Append("Last-Modified: ", fields);
  http::AppendHttpDate(absl::FromUnixSeconds(answer.this_update), fields);
  if (NotModified(request, etag, absl::string_view(*fields).substr(fields->size() - kDateSize),
                  answer.this_update)) {
    response->status = 304;
    response->body.clear();
  }
  Append("\r\nExpires: ", fields);
  http::AppendHttpDate(absl::FromUnixSeconds(answer.next_update), fields);
  Append("\r\nCache-Control: max-age=", fields);
  const absl::AlphaNum max_age(answer.max_age);
  Append(max_age.Piece(), fields);
  Append(", public, no-transform, must-revalidate\r\nETag: ", fields);
  Append(etag, fields);
  Append("\r\n", fields);
  if (response->status == 200) Append("Content-Type: application/ocsp-response\r\n", fields);
}

bool OcspHttp::AnswerFast(const http::FastRequest& request, http::FastResponse* response) const {
  if (PublishedFiles::Serves(request.target)) return false;
  const auto behind = BehindPath(request.target);
  if (!behind.has_value()) return false;
  if (request.method == "POST" ? !behind->empty() : request.method != "GET") return false;
  const auto der = RequestIn(request.method, *behind, request.body, &response->scratch);
  const Answer answer = der.has_value()
                            ? options_.responder->TryAnswer(*der, &response->body)
                            : Responder::Fail(pki::OcspError::kMalformedRequest, &response->body);
  if (answer.kind == Answer::Kind::kNeedsSigning) {
    response->body.clear();
    return false;
  }
  Finish(answer, request, response);
  return true;
}

void OcspHttp::Handle(http::Request request, http::Responder respond) const {
  const bool get = request.method == "GET";
  if (get && PublishedFiles::Serves(request.path())) {
    return options_.files->Handle(std::move(request), std::move(respond));
  }
  const auto behind = BehindPath(request.target);
  if (!behind.has_value() || (request.method == "POST" && !behind->empty())) {
    return respond(http::ProblemResponse(404, "OCSP requests go to the responder's own path"));
  }
  if (!get && request.method != "POST") {
    http::Response response = http::ProblemResponse(405, "OCSP requests come by GET or POST");
    response.headers.Set("Allow", kAllow);
    return respond(std::move(response));
  }
  http::FastRequest fast;
  fast.method = request.method;
  fast.target = request.target;
  fast.body = request.body;
  for (const auto& [name, value] : request.headers) {
    if (fast.field_count == http::FastRequest::kMaxFields) break;
    if (absl::StartsWithIgnoreCase(name, "If-")) fast.fields[fast.field_count++] = {name, value};
  }
  http::FastResponse response;
  if (AnswerFast(fast, &response)) return respond(ToResponse(response));
  const auto der = RequestIn(request.method, *behind, request.body, &response.scratch);
  options_.live->Submit(
      *der, [this, respond = std::move(respond)](const Answer& answer, std::string body) {
        http::FastResponse response;
        response.body = std::move(body);
        // What is signed on demand is new to everyone: nothing to compare with.
        Finish(answer, {}, &response);
        respond(ToResponse(response));
      });
}

}  // namespace countersign::ocsp
