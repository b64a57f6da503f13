#include "libs/http/gzip.h"

#include <zlib.h>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace countersign::http {
namespace {

// Whose compressed form zlib's counters still hold.
constexpr size_t kMaxBytes = size_t{1} << 30;

}  // namespace

bool AcceptsGzip(const Request& request) {
  for (const absl::string_view item : absl::StrSplit(request.headers.Get("Accept-Encoding"), ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(item, ';');
    if (!absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(parts[0]), "gzip")) continue;
    for (size_t i = 1; i < parts.size(); ++i) {
      absl::string_view weight = absl::StripAsciiWhitespace(parts[i]);
      double value;
      if (absl::ConsumePrefix(&weight, "q=") && absl::SimpleAtod(weight, &value)) return value > 0;
    }
    return true;
  }
  return false;
}

absl::StatusOr<std::string> Gzip(absl::string_view bytes) {
  if (bytes.size() > kMaxBytes) return absl::ResourceExhaustedError("too long to be compressed");
  z_stream stream = {};
  // 16 more than the window asks for gzip's frame, whose header zlib leaves without a time.
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to compress");
  }
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) return absl::ResourceExhaustedError("compression was not finished");
  return out;
}

}  // namespace countersign::http
