#include "services/gateway/transcoder.h"

#include <nlohmann/json.hpp>

#include "countersign/ledger/v1/ledger.pb.h"
#include "countersign/sign/v1/authority_service.pb.h"
#include "countersign/sign/v1/certificate_service.pb.h"
#include "countersign/sign/v1/issuance_service.pb.h"
#include "countersign/sign/v1/sign.pb.h"
#include "countersign/verify/v1/verify.pb.h"
#include "libs/http/message.h"
#include "libs/http/url.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"
#include "services/gateway/problems.h"

namespace countersign::gateway {
namespace {

using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;

Transcoder For(const std::string& method, const std::string& rpc) {
  for (const RpcRoute& route : RpcRoutes()) {
    if (route.method == method && route.rpc == rpc) return RequireOk(Transcoder::Create(route));
  }
  FAIL("no route " << method << " " << rpc);
  throw 0;
}

http::Request Ask(const std::string& target, std::string body = "") {
  http::Request request;
  request.target = target;
  request.headers.Add("Content-Type", "application/json; charset=utf-8");
  request.body = std::move(body);
  request.params = {{"tenant", "t"}, {"key", "k"},   {"version", "3"},
                    {"log", "l"},    {"index", "7"}, {"authority", "ca"}};
  return request;
}

template <typename Message>
Message Parse(const absl::StatusOr<std::string>& bytes) {
  Message message;
  REQUIRE(message.ParseFromString(RequireOk(bytes)));
  return message;
}

// {field, description} of the one violation of a problem.
std::pair<std::string, std::string> ViolationOf(const absl::Status& status) {
  const http::Response problem = ToProblem(status, "id");
  CHECK(problem.status == 400);
  const auto json = nlohmann::json::parse(*problem.body);
  REQUIRE(json.contains("fieldViolations"));
  REQUIRE(json["fieldViolations"].size() == 1);
  return {json["fieldViolations"][0]["field"], json["fieldViolations"][0]["description"]};
}

TEST_CASE("Every route of the table names an RPC and a field that exist") {
  for (const RpcRoute& route : RpcRoutes()) {
    CAPTURE(route.method, route.pattern);
    CHECK_THAT(Transcoder::Create(route), IsOk());
  }
}

TEST_CASE("A route that names what does not exist, or a stream, is refused") {
  for (const RpcRoute& bad : {RpcRoute{Service::kSign, "POST", "/x", "NoSuchMethod", "", ""},
                              RpcRoute{Service::kSign, "POST", "/x", "StreamSign", "", ""},
                              RpcRoute{Service::kSign, "POST", "/x", "Sign", "nope", "x"},
                              RpcRoute{Service::kSign, "POST", "/x", "Sign", "name.deeper", "x"},
                              RpcRoute{Service::kSign, "POST", "/x", "Sign", "ledger", "x"}}) {
    CHECK_THAT(Transcoder::Create(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("A body and the path make one request") {
  const auto request = Parse<sign::v1::SignRequest>(
      For("POST", "Sign").ToRpc(Ask("/", R"({"message":"aGk=","ledger":"LEDGER_WAIT_COSIGNED"})")));
  CHECK(request.name() == "tenants/t/keys/k");
  CHECK(request.message() == "hi");
  CHECK(request.ledger() == sign::v1::LEDGER_WAIT_COSIGNED);
  const auto empty = Parse<sign::v1::RotateKeyRequest>(For("POST", "RotateKey").ToRpc(Ask("/")));
  CHECK(empty.name() == "tenants/t/keys/k");
}

TEST_CASE("The path may give a field inside a message") {
  const auto request = Parse<sign::v1::UpdateKeyRequest>(
      For("PATCH", "UpdateKey").ToRpc(Ask("/", R"({"key":{"owner":"me"},"updateMask":"owner"})")));
  CHECK(request.key().name() == "tenants/t/keys/k");
  CHECK(request.key().owner() == "me");
  CHECK(request.update_mask().paths(0) == "owner");
}

TEST_CASE("A write without a request id gets one of its own, a signature none") {
  namespace sign = countersign::sign::v1;
  const Transcoder rotate = For("POST", "RotateKey");
  const auto first = Parse<sign::RotateKeyRequest>(rotate.ToRpc(Ask("/")));
  const auto second = Parse<sign::RotateKeyRequest>(rotate.ToRpc(Ask("/")));
  CHECK_FALSE(first.request_id().empty());
  CHECK(first.request_id() != second.request_id());
  CHECK(Parse<sign::RotateKeyRequest>(rotate.ToRpc(Ask("/", R"({"requestId":"mine"})")))
            .request_id() == "mine");
  const Transcoder sign_once = For("POST", "Sign");
  CHECK(Parse<sign::SignRequest>(sign_once.ToRpc(Ask("/"))).request_id().empty());
}

TEST_CASE("A query fills numbers, text, bytes, truth values and enumerations") {
  const auto list = Parse<ledger::v1::ListEntriesRequest>(
      For("GET", "ListEntries").ToRpc(Ask("/?startIndex=9000000000&page_size=5&pageToken=a%2Fb")));
  CHECK(list.log() == "tenants/t/logs/l");
  CHECK(list.start_index() == 9000000000);
  CHECK(list.page_size() == 5);
  CHECK(list.page_token() == "a/b");
  const auto proofs = For("GET", "GetInclusionProof");
  CHECK(Parse<ledger::v1::GetInclusionProofRequest>(proofs.ToRpc(Ask("/?leafHash=-_%2b%2F")))
            .leaf_hash() == "\xfb\xff\xbf");
  CHECK(Parse<ledger::v1::GetInclusionProofRequest>(proofs.ToRpc(Ask("/?leafHash=+/8=")))
            .leaf_hash() == "\xfb\xff");
  const auto zero = Parse<ledger::v1::GetInclusionProofRequest>(proofs.ToRpc(Ask("/?index=0")));
  CHECK(zero.entry_case() == ledger::v1::GetInclusionProofRequest::kIndex);
  CHECK(Parse<ledger::v1::GetCheckpointRequest>(
            For("GET", "GetCheckpoint").ToRpc(Ask("/?unpublished=true")))
            .unpublished());
}

TEST_CASE("Each request of a batch, and one that is queued, gets an id of its own") {
  namespace sign = countersign::sign::v1;
  const auto batch = Parse<sign::BatchIssueCertificatesRequest>(
      For("POST", "BatchIssueCertificates")
          .ToRpc(Ask("/", R"({"requests":[{"csr":"AA=="},{"requestId":"mine"}]})")));
  CHECK(batch.parent() == "tenants/t/authorities/ca");
  CHECK(batch.requests(0).request_id().size() == 36);
  CHECK(batch.requests(1).request_id() == "mine");
  const auto one = Parse<sign::IssueCertificateRequest>(
      For("POST", "IssueCertificate").ToRpc(Ask("/", R"({"csr":"AA=="})")));
  CHECK(one.request_id().size() == 36);
  const auto queued = Parse<sign::EnqueueIssuanceRequest>(
      For("POST", "EnqueueIssuance").ToRpc(Ask("/", R"({"request":{"csr":"AA=="}})")));
  CHECK(queued.request().request_id().size() == 36);
  const auto many = Parse<sign::BatchEnqueueIssuancesRequest>(
      For("POST", "BatchEnqueueIssuances").ToRpc(Ask("/", R"({"requests":[{"request":{}},{}]})")));
  CHECK(many.requests(0).request().request_id().size() == 36);
  CHECK_FALSE(many.requests(1).has_request());
}

TEST_CASE("A query leads into messages, repeats enumerations and tells times") {
  const auto list = Parse<sign::v1::ListCertificatesRequest>(
      For("GET", "ListCertificates")
          .ToRpc(Ask("/?filter.ownerTeam=ops&filter.host_name=*.example.com"
                     "&filter.statuses=CERTIFICATE_STATUS_ACTIVE"
                     "&filter.statuses=CERTIFICATE_STATUS_ON_HOLD"
                     "&filter.expiresBefore=2027-01-01T00:00:00Z&pageSize=5")));
  CHECK(list.parent() == "tenants/t");
  CHECK(list.filter().owner_team() == "ops");
  CHECK(list.filter().host_name() == "*.example.com");
  CHECK(list.filter().statuses_size() == 2);
  CHECK(list.filter().expires_before().seconds() == 1798761600);
  CHECK(list.page_size() == 5);
  CHECK(Parse<sign::v1::GetCrlRequest>(For("GET", "GetCrl").ToRpc(Ask("/?shard=3"))).shard() == 3);
}

TEST_CASE("A query that does not fit is refused by the field's name") {
  const auto [rpc, query, field] = GENERATE(table<std::string, std::string, std::string>({
      {"ListEntries", "nope=1", "nope"},
      {"ListEntries", "pageSize=x", "pageSize"},
      {"ListEntries", "pageSize=99999999999", "pageSize"},
      {"ListEntries", "startIndex=1.5", "startIndex"},
      {"ListEntries", "pageSize=1&pageSize=2", "pageSize"},
      {"GetInclusionProof", "leafHash=%21", "leafHash"},
      {"GetInclusionProof", "index=1&leafHash=AA==", "leafHash"},
      {"GetCheckpoint", "unpublished=1", "unpublished"},
      {"GetLog", "name=tenants/other/logs/l", "name"},
      {"ListCertificates", "filter=x", "filter"},
      {"ListCertificates", "filter.nope=1", "filter.nope"},
      {"ListCertificates", "filter.ownerTeam.x=1", "filter.ownerTeam.x"},
      {"ListCertificates", "filter.=1", "filter."},
      {"ListCertificates", "filter.expiresBefore=tomorrow", "expiresBefore"},
      {"ListCertificates", "filter.statuses=ACTIVE", "statuses"},
  }));
  CAPTURE(rpc, query);
  CHECK(ViolationOf(For("GET", rpc).ToRpc(Ask("/?" + query)).status()).first == field);
}

TEST_CASE("A body that does not fit is refused by the field's name, without its value") {
  const auto [body, field, description] = GENERATE(table<std::string, std::string, std::string>({
      {R"({"mesage":"aGk="})", "mesage", "does not exist here"},
      {R"({"message":"secret!"})", "message", "is not a string of base64"},
      {R"({"requestId":5})", "requestId", "is not a string"},
      {R"({"ledger":"NEVER"})", "ledger", "is not a value of its type"},
      {R"({"name":"tenants/t/keys/other"})", "name", "is not what the path says, tenants/t/keys/k"},
  }));
  CAPTURE(body);
  const absl::Status status = For("POST", "Sign").ToRpc(Ask("/", body)).status();
  CHECK(ViolationOf(status) == std::make_pair(field, description));
  CHECK_FALSE(absl::StrContains(status.message(), "secret"));
}

TEST_CASE("Fields of nested messages are named by their path") {
  const auto create = For("POST", "CreateKey");
  CHECK(ViolationOf(create.ToRpc(Ask("/", R"({"key":{"colour":"red"}})")).status()).first ==
        "key.colour");
  const auto batch = For("POST", "BatchGetConsistencyProofs");
  CHECK(ViolationOf(batch.ToRpc(Ask("/", R"({"pairs":[{},{"firstSize":"x"}]})")).status()).first ==
        "pairs[1].firstSize");
}

TEST_CASE("What is not JSON is refused") {
  const auto sign = For("POST", "Sign");
  for (const char* bad : {"{", "[]", "null", "\"x\"", "{\"message\":\"aGk=\"} x",
                          "{\"a\":\"\xff\"}", R"({"message":"aGk=","digest":"aGk="})"}) {
    CAPTURE(bad);
    CHECK_THAT(sign.ToRpc(Ask("/", bad)), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  // Nested deeper than protobuf's own limit.
  std::string deep = R"({"message":)";
  for (int i = 0; i < 100000; ++i) deep += "[";
  CHECK_THAT(sign.ToRpc(Ask("/", deep)), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("A body of another type is an unsupported media type") {
  http::Request request = Ask("/", "message=hi");
  request.headers.Set("Content-Type", "application/x-www-form-urlencoded");
  const absl::Status status = For("POST", "Sign").ToRpc(request).status();
  CHECK(IsUnsupportedMediaType(status));
  CHECK(ToProblem(status, "id").status == 415);
}

TEST_CASE("A path parameter cannot name a resource of another parent") {
  http::Request request = Ask("/");
  request.params[1].second = "a/versions/1";
  CHECK(ViolationOf(For("GET", "GetKey").ToRpc(request).status()).first == "key");
}

TEST_CASE("Text that is not UTF-8 is refused wherever it stands") {
  for (const char* bad :
       {"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80"}) {
    CAPTURE(bad);
    http::Request request = Ask("/");
    request.params[1].second = bad;
    CHECK(ViolationOf(For("GET", "GetKey").ToRpc(request).status()).second == "is not UTF-8");
    const std::string query = "/?pageToken=" + http::PercentEncode(bad);
    CHECK(ViolationOf(For("GET", "ListKeys").ToRpc(Ask(query)).status()).first == "pageToken");
  }
  const std::string good = "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91";
  CHECK(Parse<sign::v1::ListKeysRequest>(
            For("GET", "ListKeys").ToRpc(Ask("/?owner=" + http::PercentEncode(good))))
            .owner() == good);
}

TEST_CASE("Answers are JSON with lowerCamel names, base64, and zeros shown") {
  ledger::v1::GetEntryResponse response;
  response.mutable_entry()->set_name("n");
  response.mutable_entry()->set_data(std::string("\xfb\xff\0", 3));
  const auto json =
      nlohmann::json::parse(RequireOk(For("GET", "GetEntry").ToJson(response.SerializeAsString())));
  CHECK(json ==
        nlohmann::json{
            {"entry", {{"name", "n"}, {"index", "0"}, {"data", "+/8A"}, {"leafHash", ""}}}});
  verify::v1::VerifySignatureResponse verdict;
  verdict.mutable_verdict()->set_reason(verify::v1::REASON_SIGNATURE_INVALID);
  const auto verdict_json = nlohmann::json::parse(
      RequireOk(For("POST", "VerifySignature").ToJson(verdict.SerializeAsString())));
  CHECK(verdict_json["verdict"]["verified"] == false);
  CHECK(verdict_json["verdict"]["reason"] == "REASON_SIGNATURE_INVALID");
  CHECK_THAT(For("GET", "GetEntry").ToJson("\xff\xff"), StatusIs(absl::StatusCode::kInternal));
}

TEST_CASE("A problem tells reason and waiting time, rounded up") {
  absl::Status status = runtime::AttachReason(absl::ResourceExhaustedError("full"), "QUEUE_FULL");
  status = runtime::AttachRetryAfter(status, absl::Milliseconds(1200));
  const http::Response problem = ToProblem(status, "id-1");
  CHECK(problem.status == 503);
  CHECK(problem.headers.Get("Retry-After") == "2");
  const auto json = nlohmann::json::parse(*problem.body);
  CHECK(json["reason"] == "QUEUE_FULL");
  CHECK(json["retryAfterSeconds"] == 2);
  CHECK(json["requestId"] == "id-1");
  CHECK(json["code"] == "RESOURCE_EXHAUSTED");
  // Not a queue's fault: the caller asks for too much.
  CHECK(ToProblem(absl::ResourceExhaustedError("over your limit"), "id-2").status == 429);
}

}  // namespace
}  // namespace countersign::gateway
