#include "libs/http/message.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace countersign::http {

absl::string_view Headers::Get(absl::string_view name) const {
  for (const Field& field : fields_) {
    if (absl::EqualsIgnoreCase(field.first, name)) return field.second;
  }
  return {};
}

bool Headers::Has(absl::string_view name) const { return Count(name) > 0; }

int Headers::Count(absl::string_view name) const {
  return std::count_if(fields_.begin(), fields_.end(), [&](const Field& field) {
    return absl::EqualsIgnoreCase(field.first, name);
  });
}

void Headers::Add(absl::string_view name, absl::string_view value) {
  fields_.emplace_back(std::string(name), std::string(value));
}

void Headers::Set(absl::string_view name, absl::string_view value) {
  Remove(name);
  Add(name, value);
}

void Headers::Remove(absl::string_view name) {
  fields_.erase(
      std::remove_if(fields_.begin(), fields_.end(),
                     [&](const Field& field) { return absl::EqualsIgnoreCase(field.first, name); }),
      fields_.end());
}

absl::string_view Request::path() const {
  const absl::string_view all = target;
  return all.substr(0, all.find('?'));
}

absl::string_view Request::query() const {
  const absl::string_view all = target;
  const size_t mark = all.find('?');
  return mark == absl::string_view::npos ? absl::string_view() : all.substr(mark + 1);
}

absl::string_view Request::Param(absl::string_view name) const {
  for (const auto& [key, value] : params) {
    if (key == name) return value;
  }
  return {};
}

Response MakeResponse(int status, absl::string_view content_type, std::string body) {
  Response response;
  response.status = status;
  response.headers.Add("Content-Type", content_type);
  response.body = std::make_shared<const std::string>(std::move(body));
  return response;
}

absl::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 425:
      return "Too Early";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

std::string FormatHttpDate(absl::Time time) {
  // Not absl::FormatTime: day and month names must not follow a locale, and the hot path asks
  // often.
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::tm tm = absl::ToTM(time, absl::UTCTimeZone());
  return absl::StrFormat("%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[tm.tm_wday], tm.tm_mday,
                         kMonths[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void SetImmutable(Response* response) {
  response->headers.Set("Cache-Control", "public, max-age=31536000, immutable");
}

void SetMaxAge(absl::Duration age, Response* response) {
  response->headers.Set(
      "Cache-Control",
      absl::StrCat("public, max-age=", std::max<int64_t>(0, absl::ToInt64Seconds(age))));
}

void SetNoStore(Response* response) { response->headers.Set("Cache-Control", "no-store"); }

bool MatchesETag(const Request& request, absl::string_view etag) {
  absl::ConsumePrefix(&etag, "W/");
  for (const auto& [name, value] : request.headers) {
    if (!absl::EqualsIgnoreCase(name, "If-None-Match")) continue;
    // Quoted tags may hold commas: walk from quote to quote.
    absl::string_view rest = absl::StripAsciiWhitespace(value);
    if (rest == "*") return true;
    while (true) {
      const size_t open = rest.find('"');
      if (open == absl::string_view::npos) break;
      const size_t close = rest.find('"', open + 1);
      if (close == absl::string_view::npos) break;
      if (rest.substr(open, close - open + 1) == etag) return true;
      rest.remove_prefix(close + 1);
    }
  }
  return false;
}

}  // namespace countersign::http
