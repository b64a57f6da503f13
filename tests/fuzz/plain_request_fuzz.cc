#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "libs/http/fast_path.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace beast = boost::beast;
namespace internal = countersign::http::internal;

namespace {

constexpr size_t kMaxHeader = 2048;
constexpr size_t kMaxBody = 1000;

using Fields = std::multimap<std::string, std::string>;

std::string Text(beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

// What is taken for a plain request is the same request to the parser that reads all others.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  internal::ParsedRequest parsed;
  if (!internal::ParsePlainRequest(input, kMaxHeader, kMaxBody, &parsed)) return 0;
  const countersign::http::FastRequest& request = parsed.request;

  beast::http::request_parser<beast::http::string_body> parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit(kMaxBody);
  parser.eager(true);
  beast::error_code error;
  const size_t used = parser.put(boost::asio::buffer(data, size), error);
  Holds(!error && parser.is_done(), "a plain request is a request, whole");
  Holds(used == parsed.size, "it ends where it ends");
  const auto& message = parser.get();
  Holds(message.method_string() == (request.head ? "HEAD" : std::string(request.method)),
        "the method is the same");
  Holds(Text(message.target()) == request.target, "the target is the same");
  Holds(message.body() == request.body, "the body is the same");
  Holds(message.keep_alive() == parsed.keep_alive, "the connection is kept or not");
  Holds((message.version() == 10) == parsed.http10, "the version is the same");
  Holds(!parser.chunked(), "a plain request is not chunked");
  // Beast keeps fields of one name together, in order.
  Fields theirs;
  for (const auto& field : message) {
    theirs.emplace(absl::AsciiStrToLower(Text(field.name_string())), Text(field.value()));
  }
  Fields ours;
  for (size_t i = 0; i < request.field_count; ++i) {
    ours.emplace(absl::AsciiStrToLower(request.fields[i].name),
                 std::string(request.fields[i].value));
  }
  Holds(ours == theirs, "the fields are the same");
  return 0;
}
