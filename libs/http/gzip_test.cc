#include "libs/http/gzip.h"

#include <zlib.h>

#include <string>

#include "catch2/catch.hpp"

namespace countersign::http {
namespace {

Request Accepting(const std::string& encodings) {
  Request request;
  request.headers.Add("Accept-Encoding", encodings);
  return request;
}

std::string Gunzip(const std::string& compressed, size_t size) {
  z_stream stream = {};
  REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
  std::string out(size + 1, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST_CASE("What is compressed comes back") {
  std::string noise;
  for (unsigned i = 0, x = 1; i < 70000; ++i)
    noise.push_back(static_cast<char>((x *= 69069) >> 24));
  for (const std::string& bytes :
       {std::string(), std::string("a"), std::string(100000, 'z'), noise}) {
    CHECK(Gunzip(Gzip(bytes).value(), bytes.size()) == bytes);
  }
  CHECK(Gzip(std::string(100000, 'z')).value().size() < 2000);
}

TEST_CASE("gzip is used only where the client names it") {
  CHECK(AcceptsGzip(Accepting("gzip")));
  CHECK(AcceptsGzip(Accepting("br, GZIP;q=0.5 , deflate")));
  CHECK(AcceptsGzip(Accepting("gzip;q=1")));
  CHECK_FALSE(AcceptsGzip(Accepting("gzip;q=0")));
  CHECK_FALSE(AcceptsGzip(Accepting("identity, gzip; q=0.000")));
  CHECK_FALSE(AcceptsGzip(Accepting("br")));
  CHECK_FALSE(AcceptsGzip(Accepting("*")));
  CHECK_FALSE(AcceptsGzip(Accepting("")));
  CHECK_FALSE(AcceptsGzip(Request()));
}

}  // namespace
}  // namespace countersign::http
