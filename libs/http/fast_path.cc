#include "libs/http/fast_path.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/log.h"
#include "libs/http/message.h"

namespace countersign::http::internal {
namespace {

// Answers are sent when they are this long, whatever else has been asked.
constexpr size_t kBatchBytes = 64 * 1024;

constexpr uint64_t kOnes = 0x0101010101010101;
constexpr uint64_t kHighs = 0x8080808080808080;

// The token characters of RFC 9110 section 5.6.2.
constexpr std::array<bool, 256> kToken = [] {
  std::array<bool, 256> table = {};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = true;
  for (char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

// Not 0 when one of the eight bytes is below `least` (at most 0x80), is DEL or, if `ascii`, is
// above it. May also say so of others behind such a byte.
constexpr uint64_t Unprintable(uint64_t word, uint8_t least, bool ascii) {
  const uint64_t below = (word - kOnes * least) & ~word;
  const uint64_t del = word ^ (kOnes * 0x7f);
  return (below | ((del - kOnes) & ~del) | (ascii ? word : 0)) & kHighs;
}

constexpr uint64_t Equal(uint64_t word, char c) {
  const uint64_t same = word ^ (kOnes * static_cast<uint8_t>(c));
  return (same - kOnes) & ~same & kHighs;
}

// Calls `bad` with all bytes of `text`, eight at a time, some twice; `pad` fills up a short one.
template <typename Bad>
bool AnyWord(absl::string_view text, char pad, const Bad& bad) {
  uint64_t word = kOnes * static_cast<uint8_t>(pad);
  if (text.size() < sizeof(word)) {
    std::memcpy(&word, text.data(), text.size());
    return bad(word) != 0;
  }
  uint64_t seen = 0;
  size_t at = 0;
  for (; at + sizeof(word) <= text.size(); at += sizeof(word)) {
    std::memcpy(&word, text.data() + at, sizeof(word));
    seen |= bad(word);
  }
  std::memcpy(&word, text.data() + text.size() - sizeof(word), sizeof(word));
  return (seen | bad(word)) != 0;
}

// Printable ASCII without '#': what the session takes for a target.
bool PlainTarget(absl::string_view target) {
  return !target.empty() && target[0] == '/' && !AnyWord(target, '/', [](uint64_t word) {
    return Unprintable(word, 0x21, /*ascii=*/true) | Equal(word, '#');
  });
}

// Without control characters. A tab inside a value is left to the other parser.
bool PlainValue(absl::string_view value) {
  return !AnyWord(value, ' ', [](uint64_t word) { return Unprintable(word, 0x20, false); });
}

absl::string_view StripSpace(absl::string_view value) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  return value;
}

// The decimal number `text`; false when it has other characters, a leading zero or too many digits.
bool ParseLength(absl::string_view text, size_t* length) {
  if (text.empty() || text.size() > 9 || (text[0] == '0' && text.size() > 1)) return false;
  *length = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    *length = *length * 10 + static_cast<size_t>(c - '0');
  }
  return true;
}

// What the header fields say together.
struct Framing {
  int hosts = 0;
  int connections = 0;
  int lengths = 0;
  bool close = false;
  bool keep_alive = false;
  size_t length = 0;
};

// Takes note of a field that matters to the connection; false when it is an unusual one.
bool Note(const FastRequest::Field& field, Framing* framing) {
  switch (field.name.size()) {
    case 4:
      framing->hosts += absl::EqualsIgnoreCase(field.name, "Host");
      return true;
    case 6:
      return !absl::EqualsIgnoreCase(field.name, "Expect");
    case 7:
      return !absl::EqualsIgnoreCase(field.name, "Upgrade");
    case 10:
      if (!absl::EqualsIgnoreCase(field.name, "Connection")) return true;
      framing->close = absl::EqualsIgnoreCase(field.value, "close");
      framing->keep_alive = absl::EqualsIgnoreCase(field.value, "keep-alive");
      return ++framing->connections == 1 && (framing->close || framing->keep_alive);
    case 14:
      if (!absl::EqualsIgnoreCase(field.name, "Content-Length")) return true;
      return ++framing->lengths == 1 && ParseLength(field.value, &framing->length);
    case 16:
      return !absl::EqualsIgnoreCase(field.name, "Proxy-Connection");
    case 17:
      return !absl::EqualsIgnoreCase(field.name, "Transfer-Encoding");
    default:
      return true;
  }
}

// The line at the front of `*rest` without its CRLF, which is taken off; false when no whole line
// is there or it holds another CR.
bool TakeLine(absl::string_view* rest, absl::string_view* line) {
  const size_t end = rest->find('\r');
  if (end == absl::string_view::npos || end + 1 >= rest->size() || (*rest)[end + 1] != '\n') {
    return false;
  }
  *line = rest->substr(0, end);
  rest->remove_prefix(end + 2);
  return true;
}

bool ParseRequestLine(absl::string_view line, ParsedRequest* parsed) {
  FastRequest& request = parsed->request;
  request.head = false;
  if (absl::ConsumePrefix(&line, "GET ")) {
    request.method = "GET";
  } else if (absl::ConsumePrefix(&line, "POST ")) {
    request.method = "POST";
  } else if (absl::ConsumePrefix(&line, "HEAD ")) {
    request.method = "GET";
    request.head = true;
  } else {
    return false;
  }
  if (absl::ConsumeSuffix(&line, " HTTP/1.1")) {
    parsed->http10 = false;
  } else if (absl::ConsumeSuffix(&line, " HTTP/1.0")) {
    parsed->http10 = true;
  } else {
    return false;
  }
  request.target = line;
  return PlainTarget(line);
}

bool ParseField(absl::string_view line, FastRequest::Field* field) {
  size_t colon = 0;
  while (colon < line.size() && kToken[static_cast<unsigned char>(line[colon])]) ++colon;
  if (colon == 0 || colon == line.size() || line[colon] != ':') return false;
  field->name = line.substr(0, colon);
  field->value = StripSpace(line.substr(colon + 1));
  return PlainValue(field->value);
}

}  // namespace

bool ParsePlainRequest(absl::string_view bytes, size_t max_header_bytes, size_t max_body_bytes,
                       ParsedRequest* parsed) {
  FastRequest& request = parsed->request;
  request.field_count = 0;
  absl::string_view rest = bytes;
  absl::string_view line;
  if (!TakeLine(&rest, &line) || !ParseRequestLine(line, parsed)) return false;
  Framing framing;
  while (true) {
    if (!TakeLine(&rest, &line)) return false;
    if (line.empty()) break;
    if (request.field_count == FastRequest::kMaxFields) return false;
    FastRequest::Field& field = request.fields[request.field_count++];
    if (!ParseField(line, &field) || !Note(field, &framing)) return false;
  }
  if (bytes.size() - rest.size() >= max_header_bytes || framing.hosts != 1) return false;
  if (request.method == "POST" ? framing.lengths == 0 : framing.lengths != 0) return false;
  if (framing.length > max_body_bytes || framing.length > rest.size()) return false;
  request.body = rest.substr(0, framing.length);
  parsed->size = bytes.size() - rest.size() + framing.length;
  parsed->keep_alive = parsed->http10 ? framing.keep_alive : !framing.close;
  return true;
}

FastPath::FastPath(FastHandler handler, size_t max_header_bytes, size_t max_body_bytes)
    : handler_(std::move(handler)),
      max_header_bytes_(max_header_bytes),
      max_body_bytes_(max_body_bytes) {}

FastPath::Answered FastPath::Answer(absl::string_view bytes, absl::string_view date,
                                    bool draining) {
  Answered answered;
  out_.clear();
  while (!answered.close && answered.consumed < bytes.size() && out_.size() < kBatchBytes) {
    if (!ParsePlainRequest(bytes.substr(answered.consumed), max_header_bytes_, max_body_bytes_,
                           &parsed_)) {
      break;
    }
    response_.status = 200;
    response_.fields.clear();
    response_.body.clear();
    response_.scratch.clear();
    if (!handler_(parsed_.request, &response_)) break;
    if (response_.status < 200 || response_.status > 599) {
      base::Log(base::Severity::kError, "a fast HTTP handler answered with a status that is none",
                {{"status", absl::StrCat(response_.status)}});
      break;
    }
    answered.consumed += parsed_.size;
    answered.close = !parsed_.keep_alive || draining;
    AppendAnswer(date, answered.close);
  }
  return answered;
}

void FastPath::AppendAnswer(absl::string_view date, bool close) {
  const int status = response_.status;
  if (status == 200) {
    absl::StrAppend(&out_, "HTTP/1.1 200 OK\r\nDate: ", date, "\r\n", response_.fields);
  } else {
    absl::StrAppend(&out_, "HTTP/1.1 ", status, " ", ReasonPhrase(status));
    absl::StrAppend(&out_, "\r\nDate: ", date, "\r\n", response_.fields);
  }
  const bool bodiless = status == 204 || status == 304;
  if (!bodiless) absl::StrAppend(&out_, "Content-Length: ", response_.body.size(), "\r\n");
  if (close) {
    absl::StrAppend(&out_, "Connection: close\r\n\r\n");
  } else if (parsed_.http10) {
    absl::StrAppend(&out_, "Connection: keep-alive\r\n\r\n");
  } else {
    absl::StrAppend(&out_, "\r\n");
  }
  if (!bodiless && !parsed_.request.head) out_.append(response_.body);
}

}  // namespace countersign::http::internal
