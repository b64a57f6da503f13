// A YubiKey agent in the test's own process.
#ifndef COUNTERSIGN_SERVICES_SIGN_FAKE_AGENT_H_
#define COUNTERSIGN_SERVICES_SIGN_FAKE_AGENT_H_

#include <grpcpp/grpcpp.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "countersign/yubikey/v1/key_service.grpc.pb.h"
#include "countersign/yubikey/v1/session_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/crypto/private_key.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/status.h"
#include "libs/testing/matchers.h"

namespace countersign::sign {

inline constexpr char kFakeSlot[] = "cards/7/slots/9c";

// An agent with one card, one P-256 key and one caller, "sign", whose sessions last 15 minutes.
// Thread-safe.
class FakeAgent : public yubikey::v1::SessionService::CallbackService,
                  public yubikey::v1::KeyService::CallbackService,
                  public yubikey::v1::CardService::CallbackService {
 public:
  explicit FakeAgent(crypto::PublicKey caller) : caller_(std::move(caller)) {}

  // As services of an in-process server.
  std::vector<grpc::Service*> services() {
    return {static_cast<yubikey::v1::SessionService::CallbackService*>(this),
            static_cast<yubikey::v1::KeyService::CallbackService*>(this),
            static_cast<yubikey::v1::CardService::CallbackService*>(this)};
  }

  // Registers another public key in the caller's place.
  void Register(crypto::PublicKey caller) {
    base::MutexLock lock(&mutex_);
    caller_ = std::move(caller);
  }
  std::string KeyName() const { return "keys/" + key.public_key().Fingerprint(); }

  grpc::ServerUnaryReactor* CreateChallenge(
      grpc::CallbackServerContext* context, const yubikey::v1::CreateChallengeRequest* request,
      yubikey::v1::CreateChallengeResponse* response) override {
    base::MutexLock lock(&mutex_);
    challenge_ = std::string(31, 'c') + static_cast<char>('0' + opened_ % 10);
    response->set_challenge(challenge_);
    return Finish(context, grpc::Status::OK);
  }

  grpc::ServerUnaryReactor* OpenSession(grpc::CallbackServerContext* context,
                                        const yubikey::v1::OpenSessionRequest* request,
                                        yubikey::v1::OpenSessionResponse* response) override {
    base::MutexLock lock(&mutex_);
    if (silent_) return Hang(context);
    std::string message = "countersign-yubikey-session/v1";
    message.push_back('\0');
    message += "sign";
    message.push_back('\0');
    message += challenge_;
    const auto valid = caller_.VerifyMessage(crypto::Algorithm::kEd25519, message,
                                             request->signed_challenge().signature());
    if (refuse_callers_ || request->caller() != "sign" ||
        request->signed_challenge().challenge() != challenge_ || !valid.ok() || !*valid) {
      return Finish(context, {grpc::StatusCode::UNAUTHENTICATED, "no session"});
    }
    const std::string token = "token-" + std::to_string(++opened_);
    tokens_.insert(token);
    response->set_token(token);
    response->mutable_session()->mutable_create_time()->set_seconds(5000);
    response->mutable_session()->mutable_expire_time()->set_seconds(5000 + 900);
    return Finish(context, grpc::Status::OK);
  }

  grpc::ServerUnaryReactor* GetKey(grpc::CallbackServerContext* context,
                                   const yubikey::v1::GetKeyRequest* request,
                                   yubikey::v1::GetKeyResponse* response) override {
    base::MutexLock lock(&mutex_);
    if (request->name() == "keys/mixed") {
      response->mutable_key()->set_name(request->name());
      return Finish(context, grpc::Status::OK);
    }
    if (request->name() != kFakeSlot && request->name() != KeyName()) {
      return Finish(context, runtime::ToGrpcStatus(absl::NotFoundError("no such key")));
    }
    response->mutable_key()->set_algorithm(yubikey::v1::ALGORITHM_ECDSA_P256_SHA256);
    response->mutable_key()->set_spki(key.public_key().spki_der());
    return Finish(context, grpc::Status::OK);
  }

  grpc::ServerUnaryReactor* GenerateKey(grpc::CallbackServerContext* context,
                                        const yubikey::v1::GenerateKeyRequest* request,
                                        yubikey::v1::GenerateKeyResponse* response) override {
    base::MutexLock lock(&mutex_);
    if (!Covered(context)) return Refuse(context);
    if (request->replace()) return Finish(context, grpc::Status(grpc::StatusCode::INTERNAL, ""));
    response->mutable_slot()->set_name(request->name());
    response->mutable_slot()->set_algorithm(request->algorithm());
    response->mutable_slot()->set_spki(key.public_key().spki_der());
    return Finish(context, grpc::Status::OK);
  }

  grpc::ServerUnaryReactor* Sign(grpc::CallbackServerContext* context,
                                 const yubikey::v1::SignRequest* request,
                                 yubikey::v1::SignResponse* response) override {
    base::MutexLock lock(&mutex_);
    ++signs_;
    if (hang_) return Hang(context);
    if (!Covered(context)) return Refuse(context);
    if (!failure_.ok()) return Finish(context, runtime::ToGrpcStatus(failure_));
    response->set_signature(*key.SignDigest(request->digest()));
    return Finish(context, grpc::Status::OK);
  }

  // As a restart does.
  void ForgetSessions() {
    base::MutexLock lock(&mutex_);
    tokens_.clear();
  }
  void RefuseCallers(bool refuse) {
    base::MutexLock lock(&mutex_);
    refuse_callers_ = refuse;
  }
  // Takes no token, though it opens sessions.
  void RefuseTokens() {
    base::MutexLock lock(&mutex_);
    refuse_tokens_ = true;
  }
  void FailWith(absl::Status status) {
    base::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }
  // Never answers Sign, or OpenSession.
  void HangSign() {
    base::MutexLock lock(&mutex_);
    hang_ = true;
  }
  void HangOpenSession(bool hang) {
    base::MutexLock lock(&mutex_);
    silent_ = hang;
  }
  int opened() const {
    base::MutexLock lock(&mutex_);
    return opened_;
  }
  int signs() const {
    base::MutexLock lock(&mutex_);
    return signs_;
  }

  const crypto::PrivateKey key =
      testing::RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));

 private:
  static grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context,
                                          const grpc::Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  static grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context) {
    return Finish(context, runtime::ToGrpcStatus(runtime::AttachReason(
                               absl::UnauthenticatedError("no such session"), "SESSION_INVALID")));
  }

  static grpc::ServerUnaryReactor* Hang(grpc::CallbackServerContext*) {
    class Hanging : public grpc::ServerUnaryReactor {
      void OnCancel() override { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }
    };
    return new Hanging;
  }

  bool Covered(grpc::CallbackServerContext* context) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = context->client_metadata().find("authorization");
    if (found == context->client_metadata().end() || refuse_tokens_) return false;
    const std::string value(found->second.data(), found->second.size());
    return value.rfind("Bearer ", 0) == 0 && tokens_.count(value.substr(7)) == 1;
  }

  mutable base::Mutex mutex_;
  crypto::PublicKey caller_ ABSL_GUARDED_BY(mutex_);
  std::string challenge_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> tokens_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool refuse_callers_ ABSL_GUARDED_BY(mutex_) = false;
  bool refuse_tokens_ ABSL_GUARDED_BY(mutex_) = false;
  bool hang_ ABSL_GUARDED_BY(mutex_) = false;
  bool silent_ ABSL_GUARDED_BY(mutex_) = false;
  int opened_ ABSL_GUARDED_BY(mutex_) = 0;
  int signs_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_FAKE_AGENT_H_
