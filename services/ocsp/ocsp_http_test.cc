#include "services/ocsp/ocsp_http.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/http/client.h"
#include "libs/http/raw_socket.h"
#include "libs/http/server.h"
#include "libs/pki/crl.h"
#include "libs/pki/ocsp_response.h"
#include "libs/pki/signature.h"
#include "libs/storage/testing.h"
#include "libs/testing/allocations.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "services/ocsp/testing.h"

namespace countersign::ocsp {
namespace {

using pki::OcspError;
using pki::OcspHash;
using storage::Value;
using testing::Allocations;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;

constexpr absl::string_view kErrorCaching = "no-cache, no-store";

sign::v1::AuthoritySettings Settings() {
  sign::v1::AuthoritySettings settings;
  settings.set_ocsp_nonces(true);
  settings.mutable_ocsp_max_age()->set_seconds(600);
  return settings;
}

// A responder of one authority, with certificates 1 (good) and 2 (revoked), over HTTP.
struct Fixture {
  explicit Fixture(std::string path = "/")
      : now(absl::Now()), authority(1, "issuing", now, Settings()) {
    CreateTables(*database);
    StoreAuthority(*database, authority);
    const std::vector<StoredRecord> records = {
        {1, TestSerial(1), authority.SignRecord(TestSerial(1), now)},
        {1, TestSerial(2),
         authority.SignRecord(TestSerial(2), now, true, absl::ToUnixSeconds(now) - 100, 1)}};
    RequireOk(StoreRecords(*database, records));
    source = std::make_unique<ChangeSource>(
        ChangeSource::Options{.open = [this] { return storage::Database::Open(empty.url()); },
                              .kek = &TestKek(),
                              .responses = &responses,
                              .interval = absl::Milliseconds(20)});
    REQUIRE(Eventually([&] { return responses.loaded(); }));
    files = std::make_unique<PublishedFiles>(PublishedFiles::Options{
        .responses = &responses, .source = source.get(), .executor = &executor});
    http = std::make_unique<OcspHttp>(OcspHttp::Options{.responder = &responder,
                                                        .live = &live,
                                                        .files = files.get(),
                                                        .metrics = &counts,
                                                        .path = std::move(path)});
    http::ServerOptions options;
    options.fast_handler = [this](const http::FastRequest& request, http::FastResponse* response) {
      return fast && http->AnswerFast(request, response);
    };
    server = RequireOk(http::Server::Listen(options, [this](auto request, auto respond) {
      http->Handle(std::move(request), std::move(respond));
    }));
  }
  ~Fixture() { server.reset(); }

  http::Response Call(const std::string& method, const std::string& target,
                      const std::string& body = "", http::Headers headers = {}) {
    http::Client client;
    return RequireOk(client.Call({.method = method,
                                  .url = absl::StrCat("http://", server->address(), target),
                                  .headers = std::move(headers),
                                  .body = body}));
  }
  http::Response Post(const std::string& request, http::Headers headers = {}) {
    headers.Add("Content-Type", "application/ocsp-request");
    return Call("POST", "/", request, std::move(headers));
  }
  http::Response Get(const std::string& request, http::Headers headers = {}) {
    return Call("GET", "/" + Encoded(request), "", std::move(headers));
  }
  static std::string Encoded(const std::string& request) {
    return absl::StrReplaceAll(base::Base64Encode(request),
                               {{"/", "%2F"}, {"+", "%2B"}, {"=", "%3D"}});
  }

  const absl::Time now;
  const storage::EmptyDatabase empty{storage::Engine::kSqlite};
  const std::unique_ptr<storage::Database> database = empty.Open();
  TestAuthority authority;
  runtime::Metrics metrics;
  const OcspMetrics counts{&metrics};
  Responses responses;
  const Responder responder{&responses};
  LiveSigner live{{.responder = &responder, .threads = 1}};
  base::ThreadPool executor{1};
  std::unique_ptr<ChangeSource> source;
  std::unique_ptr<PublishedFiles> files;
  std::unique_ptr<OcspHttp> http;
  std::atomic<bool> fast{true};
  std::unique_ptr<http::Server> server;
};

void CheckIsError(const http::Response& response, OcspError error) {
  CHECK(response.status == 200);
  CHECK(response.body_view() == pki::OcspErrorResponse(error));
  CHECK(response.headers.Get("Content-Type") == "application/ocsp-response");
  CHECK(response.headers.Get("Cache-Control") == kErrorCaching);
  CHECK_FALSE(response.headers.Has("ETag"));
  CHECK_FALSE(response.headers.Has("Expires"));
}

TEST_CASE(
    "GET, POST and HEAD of one certificate get the same, with the cache headers of RFC 9919") {
  Fixture fixture;
  fixture.fast = GENERATE(true, false);
  const OcspHash hash = GENERATE(OcspHash::kSha1, OcspHash::kSha256);
  const std::string request = fixture.authority.Request(TestSerial(1), hash);
  const http::Response posted = fixture.Post(request);
  const http::Response got = fixture.Get(request);
  REQUIRE(posted.status == 200);
  REQUIRE(got.status == 200);
  CHECK(posted.body_view() == got.body_view());
  const pki::OcspResponse parsed = RequireOk(pki::ParseOcspResponse(got.body_view()));
  CHECK_THAT(pki::CheckOcspResponse(parsed, fixture.authority.certificate, absl::Now()), IsOk());
  const pki::OcspResponse::Single& single = parsed.singles.at(0);
  for (const http::Response* response : {&posted, &got}) {
    CHECK(response->headers.Get("Content-Type") == "application/ocsp-response");
    CHECK(response->headers.Get("Content-Length") == absl::StrCat(got.body_view().size()));
    CHECK(
        response->headers.Get("ETag") ==
        absl::StrCat("\"", base::HexEncode(base::AsBytes(crypto::Sha256(got.body_view()))), "\""));
    CHECK(response->headers.Get("Last-Modified") == http::FormatHttpDate(single.this_update));
    CHECK(response->headers.Get("Expires") == http::FormatHttpDate(single.next_update));
    CHECK(response->headers.Get("Cache-Control") ==
          "max-age=600, public, no-transform, must-revalidate");
    CHECK(response->headers.Has("Date"));
    CHECK(absl::EndsWith(response->headers.Get("Last-Modified"), " GMT"));
  }
  http::RawSocket socket(fixture.server->port());
  socket.Send(absl::StrCat("HEAD /", Fixture::Encoded(request),
                           " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  const std::string head = socket.ReadToEnd();
  CHECK(absl::StartsWith(head, "HTTP/1.1 200 OK\r\n"));
  CHECK(absl::StrContains(head, absl::StrCat("Content-Length: ", got.body_view().size())));
  CHECK(absl::EndsWith(head, "\r\n\r\n"));
}

TEST_CASE(
    "A GET's path is decoded as it comes, raw or encoded, under every path of the responder") {
  Fixture fixture("/pki/ocsp/");
  fixture.fast = GENERATE(true, false);
  // Serial numbers until the base64 has all that needs care.
  std::string request;
  for (int64_t i = 0;; ++i) {
    const std::string serial =
        "\x40" + TestSerial(i * 0x3ff).substr(8) + "\xff\xff\xff\xff" + std::string(i % 3, '\x7e');
    request = fixture.authority.Request(serial, OcspHash::kSha256);
    const std::string base64 = base::Base64Encode(request);
    if (absl::StrContains(base64, "//") && absl::StrContains(base64, "+") &&
        absl::StrContains(base64, "=")) {
      fixture.responses.index().Apply({{1, fixture.authority.SignRecord(serial, fixture.now)}});
      break;
    }
    REQUIRE(i < 100'000);
  }
  const std::string raw = base::Base64Encode(request);
  const std::string encoded = Fixture::Encoded(request);
  for (const char* prefix : {"/pki/ocsp/", "/ocsp/", "/pki/ocsp//"}) {
    for (const std::string& path : {raw, encoded}) {
      const http::Response response = fixture.Call("GET", prefix + path);
      CHECK(response.status == 200);
      CHECK(RequireOk(pki::ParseOcspResponse(response.body_view())).response_status == 0);
    }
  }
  CHECK(fixture.Call("POST", "/pki/ocsp", request).status == 200);
  CHECK(fixture.Call("POST", "/pki/ocsp/", request).status == 200);
  CHECK(fixture.Call("POST", "/ocsp", request).status == 200);
  CHECK(fixture.Call("GET", "/" + encoded).status == 404);
  CHECK(fixture.Call("GET", "/pki/ocspx/" + encoded).status == 404);
  CHECK(fixture.Call("POST", "/", request).status == 404);
  CHECK(fixture.Call("POST", "/pki/ocsp/x", request).status == 404);
}

TEST_CASE("What has not changed is answered 304, by ETag first, by date else") {
  Fixture fixture;
  fixture.fast = GENERATE(true, false);
  const std::string request = fixture.authority.Request(TestSerial(1));
  const http::Response whole = fixture.Get(request);
  const std::string etag(whole.headers.Get("ETag"));
  const std::string modified(whole.headers.Get("Last-Modified"));
  const auto status = [&](http::Headers headers) {
    const http::Response response = fixture.Get(request, std::move(headers));
    if (response.status == 304) {
      CHECK(response.body_view().empty());
      for (const char* name : {"ETag", "Last-Modified", "Expires", "Cache-Control"}) {
        CHECK(response.headers.Get(name) == whole.headers.Get(name));
      }
    } else {
      CHECK(response.body_view() == whole.body_view());
    }
    return response.status;
  };
  const std::string later = http::FormatHttpDate(absl::Now() + absl::Hours(1));
  const std::string before = http::FormatHttpDate(absl::Now() - absl::Hours(1));
  CHECK(status({{"If-None-Match", etag}}) == 304);
  CHECK(status({{"If-None-Match", "W/" + etag}}) == 304);
  CHECK(status({{"If-None-Match", "\"x\", " + etag}}) == 304);
  CHECK(status({{"If-None-Match", "\"x\""}, {"if-none-match", etag}}) == 304);
  CHECK(status({{"If-None-Match", "*"}}) == 304);
  CHECK(status({{"If-None-Match", "\"x\""}}) == 200);
  CHECK(status({{"If-None-Match", "\"x\""}, {"If-Modified-Since", later}}) == 200);
  CHECK(status({{"If-Modified-Since", modified}}) == 304);
  CHECK(status({{"If-Modified-Since", later}}) == 304);
  CHECK(status({{"If-Modified-Since", before}}) == 200);
  CHECK(status({{"If-Modified-Since", "yesterday"}}) == 200);
  // Only what may be cached is revalidated.
  CHECK(fixture.Post(request, {{"If-None-Match", etag}}).status == 200);
}

TEST_CASE("Errors are OCSP responses that nobody keeps") {
  Fixture fixture;
  fixture.fast = GENERATE(true, false);
  CheckIsError(fixture.Post(fixture.authority.Request(TestSerial(3))), OcspError::kUnauthorized);
  CheckIsError(fixture.Get(fixture.authority.Request(TestSerial(3))), OcspError::kUnauthorized);
  CheckIsError(fixture.Post(""), OcspError::kMalformedRequest);
  CheckIsError(fixture.Post("garbage"), OcspError::kMalformedRequest);
  CheckIsError(fixture.Post(std::string(500'000, 'x')), OcspError::kMalformedRequest);
  CheckIsError(fixture.Call("GET", "/"), OcspError::kMalformedRequest);
  CheckIsError(fixture.Call("GET", "/ocsp"), OcspError::kMalformedRequest);
  CheckIsError(fixture.Call("GET", "/MEUwQzBB"), OcspError::kMalformedRequest);
  CheckIsError(fixture.Call("GET", "/not*base64"), OcspError::kMalformedRequest);
  CheckIsError(fixture.Call("GET", "/%4"), OcspError::kMalformedRequest);
  CheckIsError(fixture.Call("GET", "/robots.txt?x"), OcspError::kMalformedRequest);
  // Malformed with conditions is malformed.
  CheckIsError(fixture.Call("GET", "/", "", {{"If-None-Match", "*"}}),
               OcspError::kMalformedRequest);
}

TEST_CASE("Other methods are told which there are") {
  Fixture fixture;
  const std::string request = fixture.authority.Request(TestSerial(1));
  for (const char* method : {"PUT", "DELETE", "OPTIONS", "PATCH"}) {
    const http::Response response = fixture.Call(method, "/", request);
    CHECK(response.status == 405);
    CHECK(response.headers.Get("Allow") == "GET, HEAD, POST");
  }
}

TEST_CASE(
    "Answers with a nonce are signed on demand and kept by nobody; others on demand are kept") {
  Fixture fixture;
  fixture.fast = GENERATE(true, false);
  const std::string nonce(32, 'n');
  for (const bool get : {false, true}) {
    const std::string request = fixture.authority.Request(TestSerial(2), OcspHash::kSha256, nonce);
    const http::Response response = get ? fixture.Get(request) : fixture.Post(request);
    CHECK(response.status == 200);
    const pki::OcspResponse parsed = RequireOk(pki::ParseOcspResponse(response.body_view()));
    CHECK_THAT(pki::CheckOcspResponse(parsed, fixture.authority.certificate, absl::Now()), IsOk());
    CHECK(parsed.nonce == nonce);
    CHECK(parsed.singles.at(0).kind == pki::OcspResponse::Single::Kind::kRevoked);
    CHECK(response.headers.Get("Cache-Control") == "no-store");
    CHECK_FALSE(response.headers.Has("ETag"));
    CHECK_FALSE(response.headers.Has("Expires"));
  }
  const http::Response live =
      fixture.Get(fixture.authority.Request(TestSerial(1), OcspHash::kSha384));
  CHECK(live.headers.Get("Cache-Control") == "max-age=600, public, no-transform, must-revalidate");
  CHECK(live.headers.Has("ETag"));
  CHECK(absl::StrContains(fixture.metrics.Expose(),
                          "countersign_ocsp_requests_total{outcome=\"live_nonce\"} 2"));
  CHECK(absl::StrContains(fixture.metrics.Expose(),
                          "countersign_ocsp_requests_total{outcome=\"live\"} 1"));
}

TEST_CASE("A hit allocates nothing, by GET or POST, revalidated or not; nor does a miss") {
  Fixture fixture;
  std::vector<std::pair<std::string, std::string>> requests;  // target and body
  for (const OcspHash hash : {OcspHash::kSha1, OcspHash::kSha256}) {
    for (int64_t i = 1; i <= 3; ++i) {
      const std::string request = fixture.authority.Request(TestSerial(i), hash);
      requests.emplace_back("/" + Fixture::Encoded(request), "");
      requests.emplace_back("/ocsp", request);
    }
  }
  http::FastResponse response;
  uint64_t allocated = 0;
  int answered = 0;
  for (int round = 0; round < 3; ++round) {
    for (const auto& [target, body] : requests) {
      http::FastRequest request;
      request.method = body.empty() ? "GET" : "POST";
      request.target = target;
      request.body = body;
      request.fields[0] = {"Host", "ocsp.example"};
      request.fields[1] = {"If-None-Match", round == 1 ? "*" : "\"other\""};
      request.fields[2] = {"Accept", "*/*"};
      request.field_count = 3;
      response.status = 200;
      response.fields.clear();
      response.body.clear();
      const uint64_t before = Allocations();
      answered += fixture.http->AnswerFast(request, &response) ? 1 : 0;
      // The first round finds the buffers too small.
      if (round > 0) allocated += Allocations() - before;
    }
  }
  CHECK(answered == 36);
  CHECK(allocated == 0);
}

TEST_CASE("CRLs and issuers' certificates are where certificates say, kept until there are newer") {
  Fixture fixture;
  const auto publish = [&](int64_t number) {
    const std::string der = RequireOk(pki::SignAndAssemble(
        pki::BuildTbsCertList(
            {.issuer_der = fixture.authority.certificate.subject_der,
             .authority_key_id = fixture.authority.certificate.extensions.subject_key_id,
             .number = number,
             .this_update = absl::FromUnixSeconds(absl::ToUnixSeconds(fixture.now)),
             .next_update = fixture.now + absl::Hours(1)}),
        *fixture.authority.key));
    RequireOk(fixture.database->Run(
        "INSERT INTO crls VALUES (1, 0, $1, $2) ON CONFLICT (authority_id, shard) DO UPDATE SET "
        "number = excluded.number, der = excluded.der",
        {number, Value::Bytes(der)}));
    return der;
  };
  CHECK(fixture.Call("GET", "/crl/default/issuing/0.crl").status == 404);
  const std::string first = publish(1);
  const http::Response crl = fixture.Call("GET", "/crl/default/issuing/0.crl");
  CHECK(crl.status == 200);
  CHECK(crl.body_view() == first);
  CHECK(crl.headers.Get("Content-Type") == "application/pkix-crl");
  CHECK(crl.headers.Get("Last-Modified") == http::FormatHttpDate(fixture.now));
  CHECK(absl::StrContains(crl.headers.Get("Cache-Control"), "max-age=600"));
  CHECK(fixture
            .Call("GET", "/crl/default/issuing/0.crl", "",
                  {{"If-None-Match", std::string(crl.headers.Get("ETag"))}})
            .status == 304);
  const std::string second = publish(2);
  CHECK(Eventually(
      [&] { return fixture.Call("GET", "/crl/default/issuing/0.crl").body_view() == second; }));
  // From memory from now on, also when the database is gone.
  CHECK(Eventually([&] { return fixture.responses.Fresh(absl::Now()); }));
  RequireOk(fixture.database->Run("DROP TABLE crls"));
  CHECK(fixture.Call("GET", "/crl/default/issuing/0.crl").body_view() == second);
  CHECK(fixture.Call("GET", "/crl/default/issuing/1.crl").status == 503);

  const http::Response issuer = fixture.Call("GET", "/issuer/default/issuing.der");
  CHECK(issuer.status == 200);
  CHECK(issuer.body_view() == fixture.authority.certificate.der);
  CHECK(issuer.headers.Get("Content-Type") == "application/pkix-cert");
  for (const char* path : {"/crl/default/issuing/x.crl", "/crl/default/nobody/0.crl",
                           "/crl/default/issuing/0", "/crl/", "/issuer/default/nobody.der",
                           "/issuer/default/issuing", "/issuer/../issuing.der"}) {
    CHECK(fixture.Call("GET", path).status == 404);
  }
}

}  // namespace
}  // namespace countersign::ocsp
