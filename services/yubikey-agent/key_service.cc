#include "services/yubikey-agent/key_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/runtime/call.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/field_error.h"
#include "services/yubikey-agent/call_guard.h"
#include "services/yubikey-agent/conversions.h"

namespace countersign::yubikey {
namespace {

constexpr char kDecryptionFailed[] = "DECRYPTION_FAILED";
// The longest input of an algorithm: a message for Ed25519.
constexpr size_t kMaxMessageBytes = 2048;
// Of RSA-2048.
constexpr size_t kCiphertextBytes = 256;

// `status`, with `field` to blame when it says that an argument is.
absl::Status Blame(absl::string_view field, const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? runtime::FieldError(field, status.message()) : status;
}

bool IsRsa(const KeyPlace& place) {
  return DefaultAlgorithm(place.spki_der) == v1::ALGORITHM_RSA_PKCS1_2048_SHA256;
}

void SetBytes(const crypto::SecretBytes& secret, std::string* out) {
  const absl::string_view bytes = secret.Expose(crypto::SecretAccess::Grant());
  out->assign(bytes.data(), bytes.size());
}

}  // namespace

absl::StatusOr<CardKey> KeyService::Find(const grpc::CallbackServerContext& context,
                                         Operation operation, const std::string& name) {
  RETURN_IF_ERROR(Authorize(context, sessions_, operation, name));
  absl::StatusOr<CardKey> key = pool_->Find(name);
  if (!key.ok()) return Blame("name", key.status());
  return key;
}

grpc::ServerUnaryReactor* KeyService::ListKeys(grpc::CallbackServerContext* context,
                                               const v1::ListKeysRequest*,
                                               v1::ListKeysResponse* response) {
  std::vector<CardKey> keys = pool_->Keys();
  std::sort(keys.begin(), keys.end(),
            [](const CardKey& a, const CardKey& b) { return a.name < b.name; });
  for (const CardKey& key : keys) *response->add_keys() = ToProto(key);
  return runtime::FinishUnary(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* KeyService::GetKey(grpc::CallbackServerContext* context,
                                             const v1::GetKeyRequest* request,
                                             v1::GetKeyResponse* response) {
  const absl::StatusOr<CardKey> key = pool_->Find(request->name());
  if (key.ok()) *response->mutable_key() = ToProto(*key);
  return runtime::FinishUnary(context, Blame("name", key.status()));
}

grpc::ServerUnaryReactor* KeyService::Sign(grpc::CallbackServerContext* context,
                                           const v1::SignRequest* request,
                                           v1::SignResponse* response) {
  const absl::StatusOr<CardKey> key = Find(*context, Operation::kSign, request->name());
  if (!key.ok()) return runtime::FinishUnary(context, key.status());
  const v1::Algorithm wanted = request->algorithm() != v1::ALGORITHM_UNSPECIFIED
                                   ? request->algorithm()
                                   : DefaultAlgorithm(key->places.front().spki_der);
  const absl::StatusOr<crypto::Algorithm> algorithm = CardAlgorithm("algorithm", wanted);
  if (!algorithm.ok()) return runtime::FinishUnary(context, algorithm.status());
  const size_t bytes = request->digest().size();
  if (*algorithm == crypto::Algorithm::kEd25519) {
    if (bytes > kMaxMessageBytes) {
      return runtime::FinishUnary(
          context, runtime::FieldError("digest", absl::StrCat("has ", bytes, " bytes, and at most ",
                                                              kMaxMessageBytes, " are taken")));
    }
  } else if (const size_t expected = crypto::DigestLength(crypto::DigestFor(*algorithm));
             bytes != expected) {
    return runtime::FinishUnary(
        context, runtime::FieldError("digest", absl::StrCat("has ", bytes, " bytes: ",
                                                            crypto::AlgorithmName(*algorithm),
                                                            " signs digests of ", expected)));
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  pool_->Sign(request->name(), *algorithm, request->digest(), runtime::Deadline(*context),
              [context, reactor, response, wanted](absl::StatusOr<Signed> result) {
                if (result.ok()) {
                  response->set_signature(std::move(result->signature));
                  response->set_algorithm(wanted);
                  response->set_slot(result->place.Name());
                  response->set_spki(result->place.spki_der);
                }
                runtime::FinishCall(context, reactor, Blame("algorithm", result.status()));
              });
  return reactor;
}

grpc::ServerUnaryReactor* KeyService::Decrypt(grpc::CallbackServerContext* context,
                                              const v1::DecryptRequest* request,
                                              v1::DecryptResponse* response) {
  const absl::StatusOr<CardKey> key = Find(*context, Operation::kDecrypt, request->name());
  if (!key.ok()) return runtime::FinishUnary(context, key.status());
  crypto::RsaEncryption encryption;
  switch (request->encryption()) {
    case v1::RSA_ENCRYPTION_PKCS1:
      encryption = crypto::RsaEncryption::kPkcs1;
      break;
    case v1::RSA_ENCRYPTION_OAEP_SHA256:
      encryption = crypto::RsaEncryption::kOaepSha256;
      break;
    default:
      return runtime::FinishUnary(context,
                                  runtime::FieldError("encryption", "PKCS1 or OAEP_SHA256"));
  }
  if (std::none_of(key->places.begin(), key->places.end(), IsRsa)) {
    return runtime::FinishUnary(
        context, runtime::FieldError("name", "is of no RSA-2048 key, and others do not decrypt"));
  }
  if (request->ciphertext().size() != kCiphertextBytes) {
    return runtime::FinishUnary(
        context,
        runtime::FieldError("ciphertext", absl::StrCat("has ", request->ciphertext().size(),
                                                       " bytes, not ", kCiphertextBytes)));
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  pool_->Decrypt(request->name(), encryption, request->ciphertext(), runtime::Deadline(*context),
                 [context, reactor, response](absl::StatusOr<Decrypted> result) {
                   absl::Status status = result.status();
                   if (result.ok()) {
                     SetBytes(result->secret, response->mutable_plaintext());
                   } else if (absl::IsInvalidArgument(status)) {
                     status = runtime::AttachReason(std::move(status), kDecryptionFailed);
                   }
                   runtime::FinishCall(context, reactor, status);
                 });
  return reactor;
}

grpc::ServerUnaryReactor* KeyService::Agree(grpc::CallbackServerContext* context,
                                            const v1::AgreeRequest* request,
                                            v1::AgreeResponse* response) {
  const absl::StatusOr<CardKey> key = Find(*context, Operation::kAgree, request->name());
  if (!key.ok()) return runtime::FinishUnary(context, key.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  pool_->Agree(request->name(), request->peer_spki(), runtime::Deadline(*context),
               [context, reactor, response](absl::StatusOr<Decrypted> result) {
                 if (result.ok()) SetBytes(result->secret, response->mutable_secret());
                 runtime::FinishCall(context, reactor, Blame("peer_spki", result.status()));
               });
  return reactor;
}

}  // namespace countersign::yubikey
