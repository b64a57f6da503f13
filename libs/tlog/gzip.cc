#include "libs/tlog/gzip.h"

#include <zlib.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace countersign::tlog {
namespace {

constexpr int kGzipOnly = 16 + MAX_WBITS;
constexpr size_t kFirstBytes = 64 * 1024;

// An inflating stream that frees itself.
class Inflater {
 public:
  Inflater() : ready_(inflateInit2(&stream_, kGzipOnly) == Z_OK) {}
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool ready() const { return ready_; }
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
  const bool ready_;
};

}  // namespace

absl::StatusOr<std::string> Gunzip(absl::string_view bytes, size_t max_bytes) {
  Inflater inflater;
  if (!inflater.ready()) return absl::ResourceExhaustedError("no memory to decode gzip");
  z_stream& stream = inflater.stream();
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  size_t used = 0;
  while (true) {
    if (used == out.size()) {
      // One byte more than allowed shows that there is more.
      if (used > max_bytes) {
        return absl::ResourceExhaustedError(
            absl::StrCat("the gzip data decodes to more than ", max_bytes, " bytes"));
      }
      out.resize(std::min(max_bytes + 1, std::max(kFirstBytes, 2 * used)));
    }
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(out.size() - used);
    const int result = inflate(&stream, Z_NO_FLUSH);
    used = out.size() - stream.avail_out;
    if (result == Z_STREAM_END) {
      if (stream.avail_in == 0) break;
      if (inflateReset(&stream) != Z_OK) return absl::InternalError("cannot go on decoding gzip");
    } else if (result != Z_OK && !(result == Z_BUF_ERROR && stream.avail_out == 0)) {
      return absl::InvalidArgumentError(result == Z_BUF_ERROR ? "the gzip data is cut short"
                                                              : "the gzip data is malformed");
    }
  }
  if (used > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the gzip data decodes to more than ", max_bytes, " bytes"));
  }
  out.resize(used);
  return out;
}

}  // namespace countersign::tlog
