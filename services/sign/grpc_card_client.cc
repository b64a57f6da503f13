#include "services/sign/grpc_card_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/error_details.h"
#include "services/sign/algorithms.h"

namespace countersign::sign {
namespace {

namespace ypb = ::countersign::yubikey::v1;

// A card takes up to a minute to find an RSA key.
constexpr absl::Duration kGenerateTimeout = absl::Minutes(2);

// The two enumerations have the same numbers.
ypb::Algorithm ToAgent(crypto::Algorithm algorithm) {
  return static_cast<ypb::Algorithm>(ToProto(algorithm));
}

absl::StatusOr<CardKey> MakeCardKey(absl::string_view name, ypb::Algorithm algorithm,
                                    const std::string& spki) {
  if (spki.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("yubikey-agent: ", name,
                     " is no single key, or its public key is not known; name one by "
                     "`keys/{fingerprint}` or its slot"));
  }
  const auto key_algorithm = KeyAlgorithm("algorithm", static_cast<v1::Algorithm>(algorithm));
  absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromSpkiDer(spki);
  if (!key_algorithm.ok() || !key.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("yubikey-agent: ", name, " is a key of a kind or size that is not used here"));
  }
  return CardKey{absl::StrCat("keys/", key->Fingerprint()), *key_algorithm, *std::move(key)};
}

void SetToken(const std::string& token, grpc::ClientContext* context) {
  context->AddMetadata("authorization", absl::StrCat("Bearer ", token));
}

// Of a key that this service has: it is only the card that is not there.
absl::Status Unusable(absl::Status status) {
  if (!absl::IsNotFound(status)) return status;
  return runtime::AttachReason(
      absl::UnavailableError(absl::StrCat(status.message(), "; insert the card")), "CARD_REMOVED");
}

}  // namespace

// One signature, from its start to its answer.
struct GrpcCardClient::Operation {
  Call call;
  SignDone done;
  bool again = false;
  std::string token;
  std::unique_ptr<grpc::ClientContext> context;
  ypb::SignRequest request;
  ypb::SignResponse response;

  // The context goes first: it must not outlive the call that it is for, and `done` ends that.
  void Finish(absl::StatusOr<std::string> result) {
    context.reset();
    std::exchange(done, nullptr)(std::move(result));
  }
};

GrpcCardClient::GrpcCardClient(AgentSession::Options options)
    : caller_(options.caller),
      timeout_(options.timeout),
      keys_(ypb::KeyService::NewStub(options.channel)),
      cards_(ypb::CardService::NewStub(options.channel)),
      session_(std::move(options)) {}

GrpcCardClient::~GrpcCardClient() = default;

absl::StatusOr<CardKey> GrpcCardClient::Describe(const std::string& key) {
  const auto context = runtime::MakeContext(timeout_);
  ypb::GetKeyRequest request;
  request.set_name(key);
  ypb::GetKeyResponse response;
  const grpc::Status status = keys_->GetKey(context.get(), request, &response);
  if (!status.ok()) return FromAgent(status, caller_);
  return MakeCardKey(key, response.key().algorithm(), response.key().spki());
}

absl::StatusOr<CardKey> GrpcCardClient::Generate(const std::string& slot,
                                                 crypto::Algorithm algorithm) {
  ypb::GenerateKeyRequest request;
  request.set_name(slot);
  request.set_algorithm(ToAgent(algorithm));
  for (bool again = false;; again = true) {
    ASSIGN_OR_RETURN(const std::string token, session_.GetNow());
    const auto context = runtime::MakeContext(std::max(timeout_, kGenerateTimeout));
    SetToken(token, context.get());
    ypb::GenerateKeyResponse response;
    const grpc::Status status = cards_->GenerateKey(context.get(), request, &response);
    if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED && !again) {
      session_.Drop(token);
      continue;
    }
    if (!status.ok()) return FromAgent(status, caller_);
    return MakeCardKey(slot, response.slot().algorithm(), response.slot().spki());
  }
}

void GrpcCardClient::Sign(const std::string& key, crypto::Algorithm algorithm, std::string digest,
                          Call call, SignDone done) {
  auto operation = std::make_shared<Operation>();
  operation->call = call;
  operation->done = std::move(done);
  operation->request.set_name(key);
  operation->request.set_algorithm(ToAgent(algorithm));
  operation->request.set_digest(std::move(digest));
  Start(std::move(operation));
}

void GrpcCardClient::Start(std::shared_ptr<Operation> operation) {
  session_.Get([this, operation = std::move(operation)](absl::StatusOr<std::string> token) mutable {
    if (!token.ok()) return operation->Finish(token.status());
    operation->token = *std::move(token);
    Send(std::move(operation));
  });
}

void GrpcCardClient::Send(std::shared_ptr<Operation> operation) {
  Operation* const op = operation.get();
  op->context = op->call != nullptr ? runtime::MakeContext(*op->call, timeout_)
                                    : runtime::MakeContext(timeout_);
  SetToken(op->token, op->context.get());
  keys_->async()->Sign(
      op->context.get(), &op->request, &op->response,
      [this, operation = std::move(operation)](const grpc::Status& status) mutable {
        if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED && !operation->again) {
          operation->again = true;
          operation->context.reset();
          session_.Drop(operation->token);
          return Start(std::move(operation));
        }
        if (!status.ok()) return operation->Finish(Unusable(FromAgent(status, caller_)));
        operation->Finish(std::move(*operation->response.mutable_signature()));
      });
}

}  // namespace countersign::sign
