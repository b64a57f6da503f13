#include "services/witness/witness_service.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/thread_pool.h"
#include "libs/note/signed_note.h"
#include "libs/note/utf8.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/witness/testing.h"
#include "services/witness/witness_http.h"

namespace countersign::witness {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

struct Fixture {
  explicit Fixture(int max_waiting = kMaxWaiting) : service(witness.get(), &executor, max_waiting) {
    RequireOk(witness->AddLog("", {log.vkey()}));
  }

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::WitnessService::Stub::*method)(grpc::ClientContext*,
                                                                     const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    return runtime::FromGrpcStatus(((*stub).*method)(&context, request, response));
  }
  absl::Status Add(const v1::AddCheckpointRequest& request) {
    added.Clear();
    return Call(&v1::WitnessService::Stub::AddCheckpoint, request, &added);
  }

  testing::TempDir dir;
  FaultyDatabase* database = new FaultyDatabase(OpenDatabase(dir.path()));
  std::unique_ptr<Witness> witness = OpenWitness(std::unique_ptr<storage::Database>(database));
  base::ThreadPool executor{2};
  WitnessService service;
  testing::InProcessServer server{&service};
  std::unique_ptr<v1::WitnessService::Stub> stub = v1::WitnessService::NewStub(server.channel());
  TestLog log;
  v1::AddCheckpointResponse added;
};

v1::AddCheckpointRequest ToProto(const note::AddCheckpointRequest& request) {
  v1::AddCheckpointRequest proto;
  proto.set_old_size(static_cast<int64_t>(request.old_size));
  for (const merkle::Hash& hash : request.proof) {
    proto.add_consistency_proof(hash.data(), hash.size());
  }
  proto.set_checkpoint(request.checkpoint);
  return proto;
}

TEST_CASE("A checkpoint is cosigned, and a stale old size answered with the latest") {
  Fixture f;
  REQUIRE_THAT(f.Add(ToProto(f.log.Request(0, 5))), IsOk());
  CHECK(f.added.result_case() == v1::AddCheckpointResponse::kCosignatures);
  const std::string cosignatures = f.added.cosignatures();
  CHECK(note::ParseSignatureLines(cosignatures).ok());

  REQUIRE_THAT(f.Add(ToProto(f.log.Request(0, 7))), IsOk());
  CHECK(f.added.result_case() == v1::AddCheckpointResponse::kConflict);
  CHECK(f.added.conflict().latest_size() == 5);

  v1::GetCheckpointRequest get;
  get.set_origin(kOrigin);
  v1::GetCheckpointResponse latest;
  REQUIRE_THAT(f.Call(&v1::WitnessService::Stub::GetCheckpoint, get, &latest), IsOk());
  CHECK(latest.checkpoint() == f.log.Checkpoint(5) + cosignatures);

  REQUIRE_THAT(f.Add(ToProto(f.log.Request(5, 7))), IsOk());
  CHECK(f.added.has_cosignatures());
}

TEST_CASE("Refusals have the codes and reasons of the contract") {
  Fixture f;
  v1::AddCheckpointRequest request = ToProto(f.log.Request(0, 5));
  request.set_old_size(-1);
  CHECK_THAT(f.Add(request), StatusIs(StatusCode::kInvalidArgument, "old_size"));
  request.set_old_size(6);
  CHECK_THAT(f.Add(request), StatusIs(StatusCode::kInvalidArgument));
  request = ToProto(f.log.Request(0, 5));
  request.add_consistency_proof("short");
  CHECK_THAT(f.Add(request), StatusIs(StatusCode::kInvalidArgument, "consistency_proof"));
  CHECK_THAT(f.Add({}), StatusIs(StatusCode::kInvalidArgument));
  request = {};
  request.set_checkpoint(std::string(kMaxBodyBytes + 1, 'x'));
  CHECK_THAT(f.Add(request), StatusIs(StatusCode::kInvalidArgument, "bytes"));
  CHECK_THAT(f.Add(ToProto(TestLog("example.com/other").Request(0, 1))),
             StatusIs(StatusCode::kNotFound));
  CHECK_THAT(f.Add(ToProto(TestLog(kOrigin, "", 'M').Request(0, 1))),
             StatusIs(StatusCode::kPermissionDenied));
  REQUIRE_THAT(f.Add(ToProto(f.log.Request(0, 5))), IsOk());
  const absl::Status fork = f.Add(ToProto(TestLog(kOrigin, "fork").Request(5, 5)));
  CHECK_THAT(fork, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(fork) == "ROOT_MISMATCH");
  const absl::Status proof = f.Add(ToProto(TestLog(kOrigin, "fork").Request(5, 7)));
  CHECK_THAT(proof, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(proof) == "PROOF_INVALID");
}

TEST_CASE("Calls beyond the limit are turned away at once and told when to come again") {
  Fixture f(/*max_waiting=*/3);  // with two threads
  f.database->Set(FaultyDatabase::Fault::kWait);
  struct Call {
    grpc::ClientContext context;
    v1::AddCheckpointResponse response;
  };
  const v1::AddCheckpointRequest request = ToProto(f.log.Request(0, 5));
  Call calls[4];
  base::Mutex mutex;
  base::CondVar changed;
  std::vector<absl::Status> ended;
  for (Call& call : calls) {
    call.context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    f.stub->async()->AddCheckpoint(&call.context, &request, &call.response, [&](grpc::Status s) {
      base::MutexLock lock(&mutex);
      ended.push_back(runtime::FromGrpcStatus(s));
      changed.NotifyAll();
    });
  }
  const auto await = [&](size_t count) {
    base::MutexLock lock(&mutex);
    changed.Wait(&mutex, [&] { return ended.size() >= count; });
    return ended;
  };
  const absl::Status refused = await(1)[0];
  f.database->Set(FaultyDatabase::Fault::kNone);
  const std::vector<absl::Status> all = await(4);
  CHECK_THAT(refused, StatusIs(StatusCode::kResourceExhausted));
  CHECK(runtime::ReasonOf(refused) == "TOO_MUCH_WAITING");
  CHECK(runtime::RetryAfterOf(refused) == absl::Seconds(1));
  for (size_t i : {1, 2, 3}) CHECK_THAT(all[i], IsOk());
  for (int i = 0; i < 4; ++i) CHECK_THAT(f.Add(request), IsOk());
}

TEST_CASE("An error that quotes the request is short and UTF-8") {
  Fixture f;
  std::string name(980, 'x');
  for (int i = 0; i < 3000; ++i) name += "\xc3\xa9";
  v1::AddLogRequest add;
  std::string vkey = TestLog(name).vkey();
  vkey[name.size() + 1] = vkey[name.size() + 1] == '0' ? '1' : '0';
  add.add_vkeys(vkey);
  v1::AddLogResponse added;
  const absl::Status refused = f.Call(&v1::WitnessService::Stub::AddLog, add, &added);
  CHECK_THAT(refused, StatusIs(StatusCode::kInvalidArgument, "key id"));
  CHECK(refused.message().size() <= kMaxMessageBytes);
  CHECK(note::IsUtf8(refused.message()));
}

TEST_CASE("Logs are added and listed in pages") {
  Fixture f;
  for (const char* origin : {"b", "a"}) {
    v1::AddLogRequest add;
    add.set_origin(origin);
    add.add_vkeys(f.log.vkey());
    v1::AddLogResponse added;
    REQUIRE_THAT(f.Call(&v1::WitnessService::Stub::AddLog, add, &added), IsOk());
    CHECK(added.log().origin() == origin);
    CHECK(added.log().tree_size() == 0);
    CHECK_FALSE(added.log().has_cosign_time());
  }
  REQUIRE_THAT(f.Add(ToProto(f.log.Request(0, 5))), IsOk());
  v1::ListLogsRequest list;
  list.set_page_size(2);
  v1::ListLogsResponse page;
  REQUIRE_THAT(f.Call(&v1::WitnessService::Stub::ListLogs, list, &page), IsOk());
  REQUIRE(page.logs_size() == 2);
  CHECK(page.logs(0).origin() == "a");
  CHECK(page.logs(1).origin() == "b");
  list.set_page_token(page.next_page_token());
  page.Clear();
  REQUIRE_THAT(f.Call(&v1::WitnessService::Stub::ListLogs, list, &page), IsOk());
  REQUIRE(page.logs_size() == 1);
  CHECK(page.logs(0).origin() == kOrigin);
  CHECK(page.logs(0).vkeys(0) == f.log.vkey());
  CHECK(page.logs(0).tree_size() == 5);
  CHECK(page.logs(0).has_cosign_time());
  CHECK(page.next_page_token().empty());

  list.set_page_token("not base64");
  CHECK_THAT(f.Call(&v1::WitnessService::Stub::ListLogs, list, &page),
             StatusIs(StatusCode::kInvalidArgument, "page_token"));
  list.Clear();
  list.set_page_size(-1);
  CHECK_THAT(f.Call(&v1::WitnessService::Stub::ListLogs, list, &page),
             StatusIs(StatusCode::kInvalidArgument, "page_size"));
}

TEST_CASE("A log with other keys exists already, and one without is no log") {
  Fixture f;
  v1::AddLogRequest add;
  v1::AddLogResponse added;
  CHECK_THAT(f.Call(&v1::WitnessService::Stub::AddLog, add, &added),
             StatusIs(StatusCode::kInvalidArgument));
  add.set_origin(kOrigin);
  add.add_vkeys(TestLog("example.com/other").vkey());
  CHECK_THAT(f.Call(&v1::WitnessService::Stub::AddLog, add, &added),
             StatusIs(StatusCode::kAlreadyExists));
}

TEST_CASE("The witness says who it is") {
  Fixture f;
  v1::GetWitnessResponse response;
  REQUIRE_THAT(f.Call(&v1::WitnessService::Stub::GetWitness, v1::GetWitnessRequest(), &response),
               IsOk());
  CHECK(response.witness().name() == kWitnessName);
  REQUIRE(response.witness().vkeys_size() == 1);
  CHECK(response.witness().vkeys(0) == f.witness->vkey());
}

}  // namespace
}  // namespace countersign::witness
