#include "libs/acme/client.h"

#include <functional>
#include <map>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/acme/issuance.h"
#include "libs/acme/problem.h"
#include "libs/base/manual_clock.h"
#include "libs/base/mutex.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"
#include "nlohmann/json.hpp"

namespace countersign::acme {
namespace {

using absl::StatusCode;
using nlohmann::json;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

// A server of one account that answers as it is told, and takes each nonce once.
class FakeServer final : public Transport {
 public:
  using Handler = std::function<http::Response(const json& header, const std::string& payload)>;

  absl::StatusOr<http::Response> Send(const http::ClientRequest& request) override {
    base::MutexLock lock(&mutex_);
    ++requests_[request.url];
    if (request.url == "https://acme/dir") {
      return http::MakeResponse(
          200, "application/json",
          R"({"newNonce":"https://acme/nonce","newAccount":"https://acme/acct",)"
          R"("newOrder":"https://acme/order","renewalInfo":"https://acme/ari"})");
    }
    http::Response response;
    if (request.method == "POST") {
      const json jws = json::parse(request.body);
      const json header = json::parse(Decode(jws["protected"]));
      const std::string nonce = header["nonce"];
      if (nonces_.erase(nonce) == 0 || refuse_ > 0) {
        if (refuse_ > 0) --refuse_;
        response = Problem(400, "badNonce", "no");
      } else if (request.url == "https://acme/acct") {
        response = http::MakeResponse(201, "application/json", "{}");
        response.headers.Add("Location", "https://acme/acct/1");
      } else {
        response = handlers_.at(request.url)(header, Decode(jws["payload"]));
      }
    } else if (const auto found = handlers_.find(request.url); found != handlers_.end()) {
      response = found->second({}, "");
    }
    const std::string nonce = absl::StrCat("nonce-", ++last_nonce_);
    nonces_.insert(nonce);
    response.headers.Add("Replay-Nonce", nonce);
    return response;
  }

  static http::Response Problem(int status, const std::string& type, const std::string& detail) {
    return http::MakeResponse(
        status, "application/problem+json",
        json{{"type", "urn:ietf:params:acme:error:" + type}, {"detail", detail}}.dump());
  }
  void On(const std::string& url, Handler handler) {
    base::MutexLock lock(&mutex_);
    handlers_[url] = std::move(handler);
  }
  // Of the requests to come.
  void RefuseNonces(int count) {
    base::MutexLock lock(&mutex_);
    refuse_ = count;
  }
  int requests(const std::string& url) {
    base::MutexLock lock(&mutex_);
    return requests_[url];
  }

 private:
  static std::string Decode(const json& text) {
    std::string bytes;
    if (!absl::WebSafeBase64Unescape(text.get<std::string>(), &bytes)) std::abort();
    return bytes;
  }

  base::Mutex mutex_;
  std::map<std::string, Handler> handlers_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> nonces_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> requests_ ABSL_GUARDED_BY(mutex_);
  int last_nonce_ ABSL_GUARDED_BY(mutex_) = 0;
  int refuse_ ABSL_GUARDED_BY(mutex_) = 0;
};

struct TestClient {
  std::shared_ptr<FakeServer> server = std::make_shared<FakeServer>();
  base::ManualClock clock{absl::FromUnixSeconds(1800000000)};
  Client client{
      {.transport = server,
       .directory_url = "https://acme/dir",
       .key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256)),
       .contact = "mailto:a@example.com",
       .clock = &clock}};
};

const std::vector<Identifier> kHost = {{Identifier::Type::kDns, "a.example"}};

TEST_CASE("One account and one directory serve many orders, and an answer's nonce the next one") {
  TestClient test;
  test.server->On("https://acme/order", [](const json& header, const std::string& payload) {
    CHECK(header["kid"] == "https://acme/acct/1");
    CHECK(json::parse(payload) ==
          json::parse(R"({"identifiers":[{"type":"dns","value":"a.example"}]})"));
    http::Response response = http::MakeResponse(
        201, "application/json", R"({"status":"pending","authorizations":["https://acme/authz"]})");
    response.headers.Add("Location", "https://acme/order/7");
    return response;
  });
  for (int i = 0; i < 3; ++i) {
    const Order order = RequireOk(test.client.NewOrder(kHost));
    CHECK(order.url == "https://acme/order/7");
    CHECK(order.authorizations == std::vector<std::string>{"https://acme/authz"});
  }
  CHECK(test.server->requests("https://acme/dir") == 1);
  CHECK(test.server->requests("https://acme/acct") == 1);
  CHECK(test.server->requests("https://acme/nonce") == 1);
}

TEST_CASE("A refused nonce is replaced, but not for ever") {
  TestClient test;
  test.server->On("https://acme/order", [](const json&, const std::string&) {
    http::Response response = http::MakeResponse(201, "application/json", R"({"status":"ready"})");
    response.headers.Add("Location", "https://acme/order/7");
    return response;
  });
  test.server->RefuseNonces(7);
  CHECK_THAT(test.client.NewOrder(kHost), IsOk());
  test.server->RefuseNonces(1000);
  CHECK_THAT(test.client.NewOrder(kHost), StatusIs(StatusCode::kUnavailable, "badNonce"));
}

TEST_CASE("What a server refuses keeps its words, and says whether another try can help") {
  TestClient test;
  const auto order_fails = [&](http::Response response) {
    test.server->On("https://acme/order",
                    [response](const json&, const std::string&) { return response; });
    return test.client.NewOrder(kHost).status();
  };
  http::Response limited = FakeServer::Problem(429, "rateLimited", "too many");
  limited.headers.Add("Retry-After", "3600");
  const absl::Status status = order_fails(limited);
  CHECK_THAT(status, StatusIs(StatusCode::kResourceExhausted, "too many (rateLimited)"));
  CHECK(runtime::ReasonOf(status) == "ACME_RATE_LIMITED");
  CHECK(runtime::RetryAfterOf(status) == absl::Hours(1));
  CHECK_THAT(order_fails(FakeServer::Problem(400, "rejectedIdentifier", "not that")),
             StatusIs(StatusCode::kInvalidArgument, "not that"));
  CHECK_THAT(order_fails(FakeServer::Problem(403, "caa", "CAA forbids it")),
             StatusIs(StatusCode::kFailedPrecondition, "CAA"));
  CHECK_THAT(order_fails(FakeServer::Problem(500, "serverInternal", "oops")),
             StatusIs(StatusCode::kUnavailable));
  CHECK_THAT(order_fails(http::MakeResponse(502, "text/html", "<html>")),
             StatusIs(StatusCode::kUnavailable, "502"));
  CHECK_THAT(order_fails(http::MakeResponse(201, "application/json", "[]")),
             StatusIs(StatusCode::kUnavailable, "no JSON object"));
  CHECK_THAT(order_fails(http::MakeResponse(201, "application/json", R"({"status":"new"})")),
             StatusIs(StatusCode::kUnavailable));
}

TEST_CASE("Retry-After is seconds or a date, and never more than a day") {
  const absl::Time now = RequireOk([]() -> absl::StatusOr<absl::Time> {
    absl::Time time;
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, "2026-11-06T08:49:37Z", &time, &error)) {
      return absl::InternalError(error);
    }
    return time;
  }());
  const auto wait = [&](const std::string& text) {
    http::Response response;
    response.headers.Add("Retry-After", text);
    return RetryAfter(response, now);
  };
  CHECK(wait("120") == absl::Minutes(2));
  CHECK(wait("Fri, 06 Nov 2026 08:50:07 GMT") == absl::Seconds(30));
  CHECK(wait("Fri, 06 Nov 2026 08:00:00 GMT") == absl::ZeroDuration());
  CHECK(wait("-5") == absl::ZeroDuration());
  CHECK(wait("soon") == absl::ZeroDuration());
  CHECK(wait("99999999999") == absl::Hours(24));
  CHECK(RetryAfter({}, now) == absl::ZeroDuration());
}

TEST_CASE(
    "An order that a server has forgotten is begun again, and one that is done only fetched") {
  TestClient test;
  std::vector<std::string> saved;
  const IssuanceSteps steps = {.client = &test.client,
                               .challenges = nullptr,
                               .save =
                                   [&](const std::string& url) {
                                     saved.push_back(url);
                                     return absl::OkStatus();
                                   },
                               .sleep = [](absl::Duration) { return true; },
                               .clock = &test.clock};
  test.server->On("https://acme/order/old", [](const json&, const std::string&) {
    return FakeServer::Problem(404, "malformed", "no such order");
  });
  const auto valid = [](const json&, const std::string&) {
    http::Response response = http::MakeResponse(
        200, "application/json", R"({"status":"valid","certificate":"https://acme/cert"})");
    response.headers.Add("Location", "https://acme/order/new");
    return response;
  };
  test.server->On("https://acme/order", valid);
  test.server->On("https://acme/order/new", valid);
  test.server->On("https://acme/cert", [](const json&, const std::string& payload) {
    CHECK(payload.empty());
    return http::MakeResponse(200, "application/pem-certificate-chain", "chain");
  });
  CHECK(RequireOk(IssueByHttp01(steps, kHost, "csr", "https://acme/order/old")) == "chain");
  CHECK(saved == std::vector<std::string>{"https://acme/order/new"});
  CHECK(RequireOk(IssueByHttp01(steps, kHost, "csr", "https://acme/order/new")) == "chain");
  CHECK(saved.size() == 1);
  // An order that is never done ends all the same.
  test.server->On("https://acme/order/slow", [&](const json&, const std::string&) {
    test.clock.Advance(absl::Minutes(1));
    return http::MakeResponse(200, "application/json", R"({"status":"processing"})");
  });
  CHECK_THAT(IssueByHttp01(steps, kHost, "csr", "https://acme/order/slow"),
             StatusIs(StatusCode::kDeadlineExceeded));
  test.server->On("https://acme/order/bad", [&](const json&, const std::string&) {
    return http::MakeResponse(
        200, "application/json",
        R"({"status":"invalid","error":{"type":"urn:ietf:params:acme:error:dns","detail":"gone"}})");
  });
  const auto bad = IssueByHttp01(steps, kHost, "csr", "https://acme/order/bad");
  CHECK_THAT(bad, StatusIs(StatusCode::kFailedPrecondition, "gone"));
  CHECK(runtime::ReasonOf(bad.status()) == "ACME_DNS");
}

TEST_CASE("Renewal information is asked for by the certificate's key id and serial number") {
  TestClient test;
  // The example of RFC 9773 section 4.1.
  const std::string url = "https://acme/ari/aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";
  test.server->On(url, [](const json&, const std::string&) {
    return http::MakeResponse(200, "application/json",
                              R"({"suggestedWindow":{"start":"2026-01-03T00:00:00Z",)"
                              R"("end":"2026-01-07T00:00:00Z"}})");
  });
  std::string key_id;
  REQUIRE(absl::WebSafeBase64Unescape("aYhba4dGQEHhs3uEe6CuLN4ByNQ", &key_id));
  const auto window =
      RequireOk(test.client.GetRenewalWindow(key_id, absl::string_view("\x00\x87\x65\x43\x21", 5)));
  REQUIRE(window.has_value());
  CHECK(window->end - window->start == absl::Hours(96));
  CHECK_FALSE(RequireOk(test.client.GetRenewalWindow("", "s")).has_value());
  test.server->On(url, [](const json&, const std::string&) {
    return http::MakeResponse(200, "application/json", R"({"suggestedWindow":{}})");
  });
  CHECK_THAT(test.client.GetRenewalWindow(key_id, absl::string_view("\x00\x87\x65\x43\x21", 5)),
             StatusIs(StatusCode::kUnavailable));
}

}  // namespace
}  // namespace countersign::acme
