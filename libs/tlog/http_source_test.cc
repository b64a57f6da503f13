#include "libs/tlog/http_source.h"

#include <zlib.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/mutex.h"
#include "libs/http/server.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "libs/tlog/check.h"
#include "libs/tlog/gzip.h"
#include "libs/tlog/mirror.h"
#include "libs/tlog/model_log.h"

namespace countersign::tlog {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

std::string Gzip(absl::string_view bytes) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// A file server of a log below /log/, with faults.
class LogServer {
 public:
  explicit LogServer(Files files) : files_(std::move(files)) {
    server_ = RequireOk(http::Server::Listen(
        {}, [this](http::Request request, http::Responder respond) { respond(Answer(request)); }));
  }

  std::string url() const { return absl::StrCat("http://", server_->address(), "/log/"); }
  std::unique_ptr<HttpSource> Source(int attempts = 4) const {
    return RequireOk(HttpSource::Create({.url = url(),
                                         .attempts = attempts,
                                         .backoff = absl::Milliseconds(1),
                                         .max_backoff = absl::Milliseconds(4)}));
  }

  // The next answers are these status codes.
  void Fail(int times, int status) {
    failures_ = times;
    status_ = status;
  }
  void CodeBundles(std::string coding) { coding_ = std::move(coding); }
  int requests() const { return requests_; }

 private:
  http::Response Answer(const http::Request& request) {
    ++requests_;
    if (failures_ > 0) {
      --failures_;
      return http::MakeResponse(status_, "text/plain", "not now");
    }
    const auto found = files_.find(std::string(request.path().substr(5)));
    if (found == files_.end()) return http::MakeResponse(404, "text/plain", "no");
    if (coding_.empty() || !absl::StrContains(request.path(), "entries")) {
      return http::MakeResponse(200, "application/octet-stream", found->second);
    }
    http::Response response =
        http::MakeResponse(200, "application/octet-stream", Gzip(found->second));
    response.headers.Add("Content-Encoding", coding_);
    return response;
  }

  const Files files_;
  std::atomic<int> failures_{0};
  std::atomic<int> status_{503};
  std::atomic<int> requests_{0};
  std::string coding_;
  std::unique_ptr<http::Server> server_;
};

TEST_CASE("A log is checked and copied over HTTP, its bundles compressed or not") {
  const ModelLog log(1300);
  for (const char* coding : {"", "gzip", "GZIP"}) {
    LogServer server(log.PublicFiles(1300));
    server.CodeBundles(coding);
    const auto source = server.Source();
    const CheckReport report = RequireOk(Check(*source, {.trust = log.trust(), .threads = 8}));
    CAPTURE(report.damage.has_value() ? Describe(*report.damage) : "");
    CHECK_FALSE(report.damage.has_value());
    testing::TempDir dir;
    const auto mirror = RequireOk(
        Mirror::Open({.folder = dir.path(), .source = source.get(), .trust = log.trust()}));
    CHECK_THAT(mirror->Update(), IsOk());
    CHECK(ReadFiles(dir.path()) == log.PublicFiles(1300));
  }
}

TEST_CASE("A server that is busy is asked again, a bounded number of times") {
  const ModelLog log(10);
  LogServer server(log.PublicFiles(10));
  for (int status : {429, 500, 503}) {
    server.Fail(3, status);
    CHECK_THAT(server.Source(4)->ReadCheckpoint(), IsOk());
    server.Fail(3, status);
    const int before = server.requests();
    CHECK_THAT(server.Source(3)->ReadCheckpoint().status(),
               StatusIs(absl::StatusCode::kUnavailable, absl::StrCat("answered ", status)));
    CHECK(server.requests() - before == 3);
  }
  server.Fail(1, 403);
  CHECK_THAT(server.Source()->ReadCheckpoint().status(),
             StatusIs(absl::StatusCode::kPermissionDenied, "answered 403"));
}

TEST_CASE("A partial tile that is gone is cut from the full one") {
  const ModelLog log(600);
  LogServer server(log.PublicFiles(600));
  const auto source = server.Source();
  const Files at_300 = log.PublicFiles(300);
  const Resource tile = RequireOk(source->ReadTile({0, 1, 44}));
  CHECK(tile.bytes == at_300.at("tile/0/001.p/44"));
  CHECK(tile.path == "tile/0/001");
  const Resource bundle = RequireOk(source->ReadEntryBundle(1, 44));
  CHECK(bundle.bytes == at_300.at("tile/entries/001.p/44"));
  CHECK(bundle.path == "tile/entries/001");
  CHECK_THAT(source->ReadTile({0, 2, 89}).status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_CASE("What was not asked for is refused with a reason") {
  CHECK_THAT(HttpSource::Create({.url = "https://log.example/"}).status(),
             StatusIs(absl::StatusCode::kInvalidArgument, "TLS"));
  CHECK_THAT(HttpSource::Create({.url = "ftp://log.example/"}).status(),
             StatusIs(absl::StatusCode::kInvalidArgument));
  const ModelLog log(10);
  LogServer server(log.PublicFiles(10));
  server.CodeBundles("br");
  CHECK_THAT(server.Source()->ReadEntryBundle(0, 10).status(),
             StatusIs(absl::StatusCode::kUnimplemented, "coded as br"));
}

TEST_CASE("gzip is decoded whole or not at all, and never beyond its bound") {
  const std::string text(300000, 'x');
  const std::string coded = Gzip(text);
  CHECK(RequireOk(Gunzip(coded, 300000)) == text);
  CHECK(RequireOk(Gunzip(Gzip(""), 0)).empty());
  CHECK(RequireOk(Gunzip(coded + Gzip("more"), 400000)) == text + "more");
  CHECK_THAT(Gunzip(coded, 299999).status(), StatusIs(absl::StatusCode::kResourceExhausted));
  for (size_t cut : {size_t{0}, size_t{5}, coded.size() / 2, coded.size() - 1}) {
    CHECK_THAT(Gunzip(coded.substr(0, cut), 300000).status(),
               StatusIs(absl::StatusCode::kInvalidArgument, "cut short"));
  }
  CHECK_THAT(Gunzip("plain", 100).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(Gunzip(coded + "x", 400000).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  std::string wrong = coded;
  wrong[wrong.size() - 6] ^= 1;  // of the CRC
  CHECK_THAT(Gunzip(wrong, 400000).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::tlog
