#include "services/sign/sign_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "catch2/catch.hpp"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "libs/bundle/hashedrekord.h"
#include "libs/crypto/random.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "services/sign/errors.h"
#include "services/sign/grpc_ledger_client.h"
#include "services/sign/testing.h"

namespace countersign::sign {
namespace {

namespace lpb = ::countersign::ledger::v1;
using ::countersign::testing::InProcessServer;
using ::countersign::testing::RequireOk;

constexpr char kRelease[] = "tenants/default/keys/release";
constexpr char kLog[] = "tenants/default/logs/main";

// The ledger's side of its contract, for one log, in memory.
class FakeLedgerService final : public lpb::LedgerService::Service {
 public:
  grpc::Status GetLog(grpc::ServerContext*, const lpb::GetLogRequest* request,
                      lpb::GetLogResponse* response) override {
    base::MutexLock lock(&mutex_);
    ++get_log_calls_;
    if (request->name() != kLog) return {grpc::StatusCode::NOT_FOUND, "no such log"};
    response->mutable_log()->set_origin("example.com/log");
    response->mutable_log()->set_key_id(std::string(32, 'i'));
    return grpc::Status::OK;
  }

  grpc::Status BatchAppendEntries(grpc::ServerContext* context,
                                  const lpb::BatchAppendEntriesRequest* request,
                                  lpb::BatchAppendEntriesResponse* response) override {
    base::MutexLock lock(&mutex_);
    const auto id = context->client_metadata().find("x-request-id");
    last_request_id_ = id == context->client_metadata().end()
                           ? ""
                           : std::string(id->second.data(), id->second.size());
    last_wait_ = request->wait();
    has_deadline_ = context->deadline() != std::chrono::system_clock::time_point::max();
    for (const std::string& entry : request->entries()) {
      const auto [it, inserted] = places_.emplace(entry, places_.size());
      auto* appended = response->add_entries();
      appended->set_index(static_cast<int64_t>(it->second));
      appended->set_duplicate(!inserted);
      if (request->wait() != lpb::WAIT_LEVEL_SEQUENCED) {
        appended->mutable_proof()->set_tree_size(static_cast<int64_t>(it->second) + 1);
        appended->mutable_proof()->add_hashes(std::string(32, 'h'));
        response->set_checkpoint("example.com/log\n1\n");
      }
    }
    return grpc::Status::OK;
  }

  int get_log_calls() const { return Locked(get_log_calls_); }
  std::string last_request_id() const { return Locked(last_request_id_); }
  lpb::WaitLevel last_wait() const { return Locked(last_wait_); }
  bool has_deadline() const { return Locked(has_deadline_); }
  size_t size() const {
    base::MutexLock lock(&mutex_);
    return places_.size();
  }

 private:
  template <typename T>
  T Locked(const T& field) const {
    base::MutexLock lock(&mutex_);
    return field;
  }

  mutable base::Mutex mutex_;
  std::map<std::string, size_t> places_;
  int get_log_calls_ = 0;
  std::string last_request_id_;
  lpb::WaitLevel last_wait_ = lpb::WAIT_LEVEL_UNSPECIFIED;
  bool has_deadline_ = false;
};

struct Fixture {
  TestStore keys;
  base::ThreadPool executor{2};
  KeyRing ring{keys.store.get(), &executor};
  FakeLedgerService ledger_service;
  InProcessServer ledger_server{&ledger_service};
  GrpcLedgerClient ledger{ledger_server.channel(), absl::Seconds(30)};
  Signing signing{{.keys = &ring,
                   .store = keys.store.get(),
                   .ledger = &ledger,
                   .executor = &executor,
                   .default_log = kLog}};
  SignService service{keys.store.get(), &ring, &signing, &executor};
  InProcessServer server{&service};
  std::unique_ptr<v1::SignService::Stub> stub = v1::SignService::NewStub(server.channel());
};

template <typename Request, typename Response>
absl::Status Call(Fixture& f,
                  grpc::Status (v1::SignService::Stub::*method)(grpc::ClientContext*,
                                                                const Request&, Response*),
                  const Request& request, Response* response) {
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "test-request");
  return runtime::FromGrpcStatus(((*f.stub).*method)(&context, request, response));
}

v1::SignRequest SignRequest(const std::string& message,
                            v1::LedgerWait ledger = v1::LEDGER_WAIT_NONE) {
  auto request = Named<v1::SignRequest>(kRelease);
  request.set_message(message);
  request.set_ledger(ledger);
  return request;
}

bool Verifies(const v1::CreateKeyResponse& created, const std::string& message,
              const v1::Signature& signature) {
  const auto key = RequireOk(crypto::PublicKey::FromSpkiDer(created.key_version().spki()));
  return RequireOk(
      key.VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, message, signature.signature()));
}

TEST_CASE("A key lives its life over gRPC") {
  Fixture f;
  v1::CreateKeyRequest create;
  create.set_parent("tenants/default");
  create.set_key_id("release");
  create.mutable_key()->set_algorithm(v1::ALGORITHM_ECDSA_P256_SHA256);
  v1::CreateKeyResponse created;
  RequireOk(Call(f, &v1::SignService::Stub::CreateKey, create, &created));

  v1::GetKeyResponse got;
  RequireOk(Call(f, &v1::SignService::Stub::GetKey, Named<v1::GetKeyRequest>(kRelease), &got));
  CHECK(Same(got.key(), created.key()));

  v1::ListKeysRequest list;
  list.set_parent("tenants/default");
  v1::ListKeysResponse listed;
  RequireOk(Call(f, &v1::SignService::Stub::ListKeys, list, &listed));
  CHECK(listed.keys_size() == 1);

  v1::UpdateKeyRequest update;
  *update.mutable_key() = created.key();
  update.mutable_key()->set_owner("ann");
  v1::UpdateKeyResponse updated;
  RequireOk(Call(f, &v1::SignService::Stub::UpdateKey, update, &updated));
  CHECK(updated.key().owner() == "ann");

  v1::RotateKeyResponse rotated;
  RequireOk(
      Call(f, &v1::SignService::Stub::RotateKey, Named<v1::RotateKeyRequest>(kRelease), &rotated));
  const std::string second = rotated.key_version().name();
  v1::GetKeyVersionResponse version;
  RequireOk(Call(f, &v1::SignService::Stub::GetKeyVersion, Named<v1::GetKeyVersionRequest>(second),
                 &version));
  CHECK(version.key_version().spki() == rotated.key_version().spki());
  v1::ListKeyVersionsRequest list_versions;
  list_versions.set_parent(kRelease);
  v1::ListKeyVersionsResponse versions;
  RequireOk(Call(f, &v1::SignService::Stub::ListKeyVersions, list_versions, &versions));
  CHECK(versions.key_versions_size() == 2);

  v1::DisableKeyVersionResponse disabled;
  RequireOk(Call(f, &v1::SignService::Stub::DisableKeyVersion,
                 Named<v1::DisableKeyVersionRequest>(second), &disabled));
  v1::SignResponse signature;
  const absl::Status refused = Call(f, &v1::SignService::Stub::Sign, SignRequest("m"), &signature);
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(runtime::ReasonOf(refused) == kKeyVersionDisabled);
  v1::EnableKeyVersionResponse enabled;
  RequireOk(Call(f, &v1::SignService::Stub::EnableKeyVersion,
                 Named<v1::EnableKeyVersionRequest>(second), &enabled));
  RequireOk(Call(f, &v1::SignService::Stub::Sign, SignRequest("m"), &signature));
  CHECK(signature.signature().key_version() == second);

  v1::DestroyKeyVersionResponse destroyed;
  RequireOk(Call(f, &v1::SignService::Stub::DestroyKeyVersion,
                 Named<v1::DestroyKeyVersionRequest>(second), &destroyed));
  RequireOk(Call(f, &v1::SignService::Stub::Sign, SignRequest("m"), &signature));
  CHECK(signature.signature().key_version() == created.key_version().name());
  CHECK(Verifies(created, "m", signature.signature()));
  v1::GetPublicKeyResponse public_key;
  RequireOk(Call(f, &v1::SignService::Stub::GetPublicKey, Named<v1::GetPublicKeyRequest>(kRelease),
                 &public_key));
  CHECK(public_key.spki() == created.key_version().spki());
}

TEST_CASE("Signing with the ledger answers the entry's place") {
  Fixture f;
  f.keys.Create("release");
  v1::SignResponse response;
  RequireOk(
      Call(f, &v1::SignService::Stub::Sign, SignRequest("m", v1::LEDGER_WAIT_COSIGNED), &response));
  const v1::LedgerProof& proof = response.signature().ledger_proof();
  CHECK(proof.log_origin() == "example.com/log");
  CHECK(proof.log_key_id() == std::string(32, 'i'));
  CHECK(proof.index() == 0);
  CHECK(proof.tree_size() == 1);
  CHECK(proof.hashes_size() == 1);
  CHECK(proof.checkpoint() == "example.com/log\n1\n");
  const auto entry = RequireOk(bundle::ParseHashedRekord(proof.canonicalized_body()));
  CHECK(entry.signature == response.signature().signature());
  CHECK(RequireOk(bundle::CheckSignature(entry)));
  CHECK(f.ledger_service.last_wait() == lpb::WAIT_LEVEL_COSIGNED);
  CHECK(f.ledger_service.has_deadline());
  CHECK(f.ledger_service.last_request_id() == "test-request");

  RequireOk(Call(f, &v1::SignService::Stub::Sign, SignRequest("n", v1::LEDGER_WAIT_SEQUENCED),
                 &response));
  CHECK(response.signature().ledger_proof().index() == 1);
  CHECK(response.signature().ledger_proof().tree_size() == 0);
  CHECK(response.signature().ledger_proof().checkpoint().empty());
  // The log's identity is asked for once.
  CHECK(f.ledger_service.get_log_calls() == 1);
}

TEST_CASE("A repeated request with the ledger has one entry") {
  Fixture f;
  f.keys.Create("release");
  auto request = SignRequest("m", v1::LEDGER_WAIT_INTEGRATED);
  request.set_request_id(crypto::RandomUuid());
  v1::SignResponse first, second;
  RequireOk(Call(f, &v1::SignService::Stub::Sign, request, &first));
  RequireOk(Call(f, &v1::SignService::Stub::Sign, request, &second));
  CHECK(Same(first, second));
  CHECK(f.ledger_service.size() == 1);
  request.set_message("another");
  const absl::Status refused = Call(f, &v1::SignService::Stub::Sign, request, &second);
  CHECK(refused.code() == absl::StatusCode::kAlreadyExists);
  CHECK(runtime::ReasonOf(refused) == kRequestIdReused);
}

TEST_CASE("The ledger's failures come through with their code") {
  Fixture f;
  f.keys.Create("release");
  auto request = SignRequest("m", v1::LEDGER_WAIT_INTEGRATED);
  request.set_log("tenants/default/logs/missing");
  v1::SignResponse response;
  absl::Status status = Call(f, &v1::SignService::Stub::Sign, request, &response);
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK(std::string(status.message()).find("ledger: no such log") == 0);
  f.ledger_server.Stop();
  request.clear_log();
  status = Call(f, &v1::SignService::Stub::Sign, request, &response);
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK_FALSE(response.has_signature());
  RequireOk(Call(f, &v1::SignService::Stub::Sign, SignRequest("m"), &response));
}

TEST_CASE("A batch is answered in order, or refused whole") {
  Fixture f;
  const auto created = f.keys.Create("release");
  for (v1::LedgerWait ledger : {v1::LEDGER_WAIT_NONE, v1::LEDGER_WAIT_INTEGRATED}) {
    auto request = Named<v1::BatchSignRequest>(kRelease);
    request.set_ledger(ledger);
    for (int i = 0; i < 100; ++i) request.add_items()->set_message(std::to_string(i));
    v1::BatchSignResponse response;
    RequireOk(Call(f, &v1::SignService::Stub::BatchSign, request, &response));
    REQUIRE(response.signatures_size() == 100);
    for (int i = 0; i < 100; ++i) {
      CHECK(Verifies(created, std::to_string(i), response.signatures(i)));
      CHECK(response.signatures(i).ledger_proof().index() ==
            (ledger == v1::LEDGER_WAIT_NONE ? 0 : i));
    }
  }
  v1::BatchSignResponse response;
  auto request = Named<v1::BatchSignRequest>(kRelease);
  CHECK(Call(f, &v1::SignService::Stub::BatchSign, request, &response).code() ==
        absl::StatusCode::kInvalidArgument);
  request.add_items()->set_message("fine");
  request.add_items();
  absl::Status refused = Call(f, &v1::SignService::Stub::BatchSign, request, &response);
  CHECK(refused.code() == absl::StatusCode::kInvalidArgument);
  CHECK(std::string(refused.message()).find("items[1]") != std::string::npos);
  request.mutable_items(1)->set_digest("short");
  CHECK(Call(f, &v1::SignService::Stub::BatchSign, request, &response).code() ==
        absl::StatusCode::kInvalidArgument);
  request.clear_items();
  for (int i = 0; i < 1001; ++i) request.add_items()->set_message("m");
  CHECK(Call(f, &v1::SignService::Stub::BatchSign, request, &response).code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("Malformed arguments name their field") {
  Fixture f;
  v1::SignResponse response;
  const absl::Status status =
      Call(f, &v1::SignService::Stub::Sign, Named<v1::SignRequest>(kRelease), &response);
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  REQUIRE(payload.has_value());
  google::rpc::BadRequest details;
  REQUIRE(details.ParseFromString(std::string(*payload)));
  REQUIRE(details.field_violations_size() == 1);
  CHECK(details.field_violations(0).field() == "payload");
}

TEST_CASE("An empty message is a message") {
  Fixture f;
  const auto created = f.keys.Create("release");
  v1::SignResponse response;
  RequireOk(Call(f, &v1::SignService::Stub::Sign, SignRequest(""), &response));
  CHECK(Verifies(created, "", response.signature()));
}

TEST_CASE("Every request of a stream is answered once, under its number") {
  Fixture f;
  const auto created = f.keys.Create("release");
  f.keys.Create("rsa", v1::ALGORITHM_RSA_PKCS1_2048_SHA256);
  grpc::ClientContext context;
  auto stream = f.stub->StreamSign(&context);
  constexpr int kCount = 3000;  // more than the server reads ahead
  std::map<int64_t, v1::StreamSignResponse> answers;
  bool unique = true;
  std::thread reader([&] {
    v1::StreamSignResponse response;
    while (stream->Read(&response)) {
      unique = answers.emplace(response.correlation_id(), response).second && unique;
    }
  });
  for (int i = 0; i < kCount; ++i) {
    v1::StreamSignRequest request;
    request.set_correlation_id(i);
    request.set_message(std::to_string(i));
    if (i == 0) request.set_name(kRelease);
    if (i == 10) request.set_name("tenants/default/keys/missing");
    if (i == 11) request.set_name(kRelease);
    if (i == 20) request.set_digest("short");
    if (i == 30) request.clear_payload();
    if (i == 40) request.set_name("tenants/default/keys/rsa");
    if (i == 45) request.set_name(kRelease);
    if (i == 50) request.set_ledger(v1::LEDGER_WAIT_INTEGRATED);
    REQUIRE(stream->Write(request));
  }
  stream->WritesDone();
  reader.join();
  REQUIRE(stream->Finish().ok());
  CHECK(unique);
  REQUIRE(answers.size() == kCount);
  int verified = 0;
  for (const auto& [number, answer] : answers) {
    if (!answer.has_signature()) continue;
    if (answer.signature().algorithm() == v1::ALGORITHM_ECDSA_P256_SHA256) {
      verified += Verifies(created, std::to_string(number), answer.signature());
    }
  }
  CHECK(verified == kCount - 3 - 5);
  CHECK(answers[10].error().code() == grpc::StatusCode::NOT_FOUND);
  CHECK(answers[20].error().code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(answers[30].error().code() == grpc::StatusCode::INVALID_ARGUMENT);
  for (int i = 40; i < 45; ++i) {
    CHECK(answers[i].signature().algorithm() == v1::ALGORITHM_RSA_PKCS1_2048_SHA256);
  }
  CHECK(answers[50].signature().ledger_proof().tree_size() == 1);
}

// A log that lets its callers wait.
class HeldLedger : public LedgerClient {
 public:
  void Append(const std::string&, std::vector<std::string> entries, v1::LedgerWait, sign::Call,
              Done done) override {
    base::MutexLock lock(&mutex_);
    waiting_.push_back([count = entries.size(), done = std::move(done)] {
      done(std::vector<v1::LedgerProof>(count));
    });
    most_ = std::max(most_, waiting_.size());
    changed_.NotifyAll();
  }

  // Answers the one that waits longest, once `count` do.
  void AnswerOneOf(size_t count) {
    std::function<void()> answer;
    {
      base::MutexLock lock(&mutex_);
      changed_.Wait(&mutex_, [&] { return waiting_.size() >= count; });
      answer = std::move(waiting_.front());
      waiting_.pop_front();
    }
    answer();
  }

  // The most that waited at once.
  size_t most() const {
    base::MutexLock lock(&mutex_);
    return most_;
  }

 private:
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t most_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST_CASE("A stream of large requests is read no faster than it is answered") {
  TestStore keys;
  keys.Create("release");
  base::ThreadPool executor(2);
  KeyRing ring(keys.store.get(), &executor);
  HeldLedger ledger;
  Signing signing({.keys = &ring,
                   .store = keys.store.get(),
                   .ledger = &ledger,
                   .executor = &executor,
                   .default_log = kLog});
  SignService service(keys.store.get(), &ring, &signing, &executor);
  InProcessServer server(&service);
  const auto stub = v1::SignService::NewStub(server.channel());
  grpc::ClientContext context;
  const auto stream = stub->StreamSign(&context);
  constexpr size_t kCount = 40;
  constexpr size_t kRoom = 16;  // of 1 MiB each
  std::thread writer([&] {
    v1::StreamSignRequest request;
    request.set_name(kRelease);
    request.set_message(std::string(1 << 20, 'x'));
    request.set_ledger(v1::LEDGER_WAIT_SEQUENCED);
    for (size_t i = 0; i < kCount; ++i) stream->Write(request);
    stream->WritesDone();
  });
  size_t answers = 0;
  std::thread reader([&] {
    for (v1::StreamSignResponse response; stream->Read(&response);)
      answers += response.has_signature();
  });
  for (size_t left = kCount; left > 0; --left) ledger.AnswerOneOf(std::min(left, kRoom));
  writer.join();
  reader.join();
  CHECK(stream->Finish().ok());
  CHECK(answers == kCount);
  CHECK(ledger.most() == kRoom);
}

TEST_CASE("A stream's first request has to name a key") {
  Fixture f;
  grpc::ClientContext context;
  auto stream = f.stub->StreamSign(&context);
  v1::StreamSignRequest request;
  request.set_correlation_id(7);
  request.set_message("m");
  REQUIRE(stream->Write(request));
  v1::StreamSignResponse response;
  REQUIRE(stream->Read(&response));
  CHECK(response.correlation_id() == 7);
  CHECK(response.error().code() == grpc::StatusCode::INVALID_ARGUMENT);
  stream->WritesDone();
  CHECK_FALSE(stream->Read(&response));
  CHECK(stream->Finish().ok());
}

TEST_CASE("A cancelled stream ends, and the server goes on") {
  Fixture f;
  f.keys.Create("release", v1::ALGORITHM_RSA_PSS_2048_SHA256);
  {
    grpc::ClientContext context;
    auto stream = f.stub->StreamSign(&context);
    v1::StreamSignRequest request;
    request.set_name(kRelease);
    request.set_message("m");
    for (int i = 0; i < 50; ++i) stream->Write(request);
    context.TryCancel();
    CHECK(stream->Finish().error_code() == grpc::StatusCode::CANCELLED);
  }
  v1::SignResponse response;
  RequireOk(Call(f, &v1::SignService::Stub::Sign, SignRequest("m"), &response));
}

TEST_CASE("Encryption and decryption work over gRPC") {
  Fixture f;
  f.keys.Create("box", v1::ALGORITHM_HPKE_X25519);
  auto encrypt = Named<v1::EncryptRequest>("tenants/default/keys/box");
  encrypt.set_plaintext("secret");
  v1::EncryptResponse sealed;
  RequireOk(Call(f, &v1::SignService::Stub::Encrypt, encrypt, &sealed));
  auto decrypt = Named<v1::DecryptRequest>(sealed.key_version());
  decrypt.set_enc(sealed.enc());
  decrypt.set_ciphertext(sealed.ciphertext());
  v1::DecryptResponse opened;
  RequireOk(Call(f, &v1::SignService::Stub::Decrypt, decrypt, &opened));
  CHECK(opened.plaintext() == "secret");
  decrypt.set_aad("other");
  const absl::Status refused = Call(f, &v1::SignService::Stub::Decrypt, decrypt, &opened);
  CHECK(refused.code() == absl::StatusCode::kInvalidArgument);
  CHECK(runtime::ReasonOf(refused) == kDecryptionFailed);
}

}  // namespace
}  // namespace countersign::sign
