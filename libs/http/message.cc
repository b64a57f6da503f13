#include "libs/http/message.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/civil_time.h"

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
  std::string date;
  AppendHttpDate(time, &date);
  return date;
}

void AppendHttpDate(absl::Time time, std::string* out) {
  // Not absl::FormatTime: day and month names must not follow a locale, and the hot path asks
  // often.
  static constexpr absl::string_view kDays = "MonTueWedThuFriSatSun";
  static constexpr absl::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const absl::CivilSecond civil = absl::ToCivilSecond(time, absl::UTCTimeZone());
  char text[] = "Day, 00 Mon 0000 00:00:00 GMT";
  const auto name = [&](size_t at, absl::string_view names, int index) {
    names.substr(static_cast<size_t>(index) * 3, 3).copy(text + at, 3);
  };
  const auto number = [&](size_t end, int64_t value, int digits) {
    for (; digits > 0; --digits, value /= 10) text[--end] = static_cast<char>('0' + value % 10);
  };
  name(0, kDays, static_cast<int>(absl::GetWeekday(civil)));
  number(7, civil.day(), 2);
  name(8, kMonths, civil.month() - 1);
  number(16, std::clamp<int64_t>(civil.year(), 0, 9999), 4);
  number(19, civil.hour(), 2);
  number(22, civil.minute(), 2);
  number(25, civil.second(), 2);
  out->append(text, sizeof(text) - 1);
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

bool ETagListMatches(absl::string_view if_none_match, absl::string_view etag) {
  absl::ConsumePrefix(&etag, "W/");
  // Quoted tags may hold commas: walk from quote to quote.
  absl::string_view rest = absl::StripAsciiWhitespace(if_none_match);
  if (rest == "*") return true;
  while (true) {
    const size_t open = rest.find('"');
    if (open == absl::string_view::npos) return false;
    const size_t close = rest.find('"', open + 1);
    if (close == absl::string_view::npos) return false;
    if (rest.substr(open, close - open + 1) == etag) return true;
    rest.remove_prefix(close + 1);
  }
}

bool MatchesETag(const Request& request, absl::string_view etag) {
  for (const auto& [name, value] : request.headers) {
    if (absl::EqualsIgnoreCase(name, "If-None-Match") && ETagListMatches(value, etag)) return true;
  }
  return false;
}

}  // namespace countersign::http
