#include "services/ocsp/ocsp_service.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "grpcpp/grpcpp.h"
#include "libs/base/bytes.h"
#include "libs/pki/ocsp_response.h"
#include "libs/storage/testing.h"
#include "libs/testing/eventually.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "services/ocsp/testing.h"

namespace countersign::ocsp {
namespace {

using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;

constexpr char kAuthority[] = "tenants/default/authorities/issuing";

struct Fixture {
  Fixture() : now(absl::Now()), authority(1, "issuing", now) {
    sign::v1::AuthoritySettings settings;
    settings.set_ocsp_nonces(true);
    authority.row.settings = settings.SerializeAsString();
  }

  void Fill() {
    CreateTables(*database);
    StoreAuthority(*database, authority);
    Store(1, false);
  }
  int64_t Store(int64_t number, bool revoked) {
    const std::vector<StoredRecord> records = {
        {1, TestSerial(number),
         authority.SignRecord(TestSerial(number), now, revoked,
                              revoked ? absl::ToUnixSeconds(now) - 7 : 0, revoked ? 1 : 0)}};
    return RequireOk(StoreRecords(*database, records));
  }

  v1::RespondResponse Respond(const std::string& request) {
    grpc::ClientContext context;
    v1::RespondRequest message;
    message.set_request(request);
    v1::RespondResponse response;
    status = stub->Respond(&context, message, &response);
    return response;
  }
  v1::GetCertificateStatusResponse GetStatus(const std::string& name, const std::string& serial) {
    grpc::ClientContext context;
    v1::GetCertificateStatusRequest message;
    message.set_authority(name);
    message.set_serial_number(serial);
    v1::GetCertificateStatusResponse response;
    status = stub->GetCertificateStatus(&context, message, &response);
    return response;
  }
  int64_t Refresh(int64_t change_number) {
    grpc::ClientContext context;
    v1::RefreshRequest message;
    message.set_change_number(change_number);
    v1::RefreshResponse response;
    status = stub->Refresh(&context, message, &response);
    return response.change_number();
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
  ChangeSource source{{.open = [this] { return storage::Database::Open(empty.url()); },
                       .kek = &TestKek(),
                       .responses = &responses,
                       .max_back_off = absl::Milliseconds(20)}};
  OcspService service{{.responses = &responses,
                       .responder = &responder,
                       .live = &live,
                       .source = &source,
                       .metrics = &counts}};
  testing::InProcessServer server{&service};
  std::unique_ptr<v1::OcspService::Stub> stub = v1::OcspService::NewStub(server.channel());
  grpc::Status status;
};

TEST_CASE("Until everything is loaded the service is unavailable") {
  Fixture fixture;
  fixture.Respond(fixture.authority.Request(TestSerial(1)));
  CHECK(fixture.status.error_code() == grpc::StatusCode::UNAVAILABLE);
  fixture.GetStatus(kAuthority, "01");
  CHECK(fixture.status.error_code() == grpc::StatusCode::UNAVAILABLE);
  fixture.Refresh(0);
  CHECK(fixture.status.error_code() == grpc::StatusCode::UNAVAILABLE);
  grpc::ClientContext context;
  v1::GetResponderResponse responder;
  CHECK(fixture.stub->GetResponder(&context, {}, &responder).ok());
  CHECK_FALSE(responder.has_sync_time());
  fixture.Fill();
  CHECK(Eventually([&] { return fixture.responses.loaded(); }));
  fixture.Respond(fixture.authority.Request(TestSerial(1)));
  CHECK(fixture.status.ok());
}

TEST_CASE("Requests are answered from memory, on demand, and with OCSP's own errors") {
  Fixture fixture;
  fixture.Fill();
  REQUIRE(Eventually([&] { return fixture.responses.loaded(); }));
  for (const std::string& nonce : {std::string(), std::string(32, 'n')}) {
    const auto answer =
        fixture.Respond(fixture.authority.Request(TestSerial(1), pki::OcspHash::kSha256, nonce));
    REQUIRE(fixture.status.ok());
    const pki::OcspResponse parsed = RequireOk(pki::ParseOcspResponse(answer.response()));
    CHECK_THAT(pki::CheckOcspResponse(parsed, fixture.authority.certificate, absl::Now()), IsOk());
    CHECK(parsed.nonce == nonce);
  }
  CHECK(fixture.Respond("garbage").response() ==
        pki::OcspErrorResponse(pki::OcspError::kMalformedRequest));
  CHECK(fixture.status.ok());
  CHECK(fixture.Respond(fixture.authority.Request(TestSerial(2))).response() ==
        pki::OcspErrorResponse(pki::OcspError::kUnauthorized));
  CHECK(fixture.status.ok());
}

TEST_CASE("A revocation is answered as soon as Refresh is, and by status too") {
  Fixture fixture;
  fixture.Fill();
  REQUIRE(Eventually([&] { return fixture.responses.loaded(); }));
  const std::string serial = base::HexEncode(TestSerial(1));
  auto status = fixture.GetStatus(kAuthority, serial);
  CHECK(status.status() == v1::CERTIFICATE_STATUS_GOOD);
  CHECK_FALSE(status.has_revocation_time());
  CHECK(status.has_next_update());
  for (int i = 0; i < 20; ++i) {
    const int64_t number = fixture.Store(i, true);
    CHECK(fixture.Refresh(number) >= number);
    CHECK(fixture.status.ok());
    status = fixture.GetStatus(kAuthority, "0000" + base::HexEncode(TestSerial(i)));
    CHECK(status.status() == v1::CERTIFICATE_STATUS_REVOKED);
    CHECK(status.revocation_reason() == 1);
    CHECK(status.revocation_time().seconds() == absl::ToUnixSeconds(fixture.now) - 7);
  }
  grpc::ClientContext context;
  v1::GetResponderResponse responder;
  CHECK(fixture.stub->GetResponder(&context, {}, &responder).ok());
  CHECK(responder.authorities() == 1);
  CHECK(responder.certificates() == 20);
  CHECK(responder.change_number() == 21);
  CHECK(responder.memory_bytes() > 20 * 200);
  CHECK(responder.sync_time().seconds() >= absl::ToUnixSeconds(fixture.now));
}

TEST_CASE("What is asked wrongly is refused, what is not known is said to be unknown") {
  Fixture fixture;
  fixture.Fill();
  REQUIRE(Eventually([&] { return fixture.responses.loaded(); }));
  CHECK(fixture.GetStatus(kAuthority, "2").status() == v1::CERTIFICATE_STATUS_UNKNOWN);
  CHECK(fixture.status.ok());
  CHECK(fixture.GetStatus(kAuthority, "000").status() == v1::CERTIFICATE_STATUS_UNKNOWN);
  CHECK(fixture.status.ok());
  for (const char* serial : {"", "xyz", "-1"}) {
    fixture.GetStatus(kAuthority, serial);
    CHECK(fixture.status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  }
  fixture.GetStatus("tenants/default/authorities/other", "01");
  CHECK(fixture.status.error_code() == grpc::StatusCode::NOT_FOUND);
  fixture.Refresh(-1);
  CHECK(fixture.status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  fixture.Refresh(1000);
  CHECK(fixture.status.error_code() == grpc::StatusCode::OUT_OF_RANGE);
}

}  // namespace
}  // namespace countersign::ocsp
