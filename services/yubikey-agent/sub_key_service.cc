#include "services/yubikey-agent/sub_key_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/runtime/call.h"
#include "libs/runtime/field_error.h"
#include "services/yubikey-agent/call_guard.h"
#include "services/yubikey-agent/sub_key_protos.h"

namespace countersign::yubikey {
namespace {

constexpr absl::Duration kLongestCertification = absl::Minutes(1);
constexpr size_t kMaxMessageBytes = 1 << 20;
constexpr size_t kMaxBatchMessageBytes = 64 << 10;
constexpr int kMaxBatch = 1000;
constexpr size_t kDigestBytes = 32;
constexpr size_t kEncBytes = 32;
// What is done on gRPC's thread takes at most about 300 µs.
constexpr int kInlineSignatures = 16;
constexpr size_t kInlineBytes = 256 << 10;
// What one task of a parallel batch signs, so that the hand-over between threads does not show.
constexpr int kChunk = 32;

using Generation = std::shared_ptr<const SubKeyGeneration>;

// The {sub_key} of `subKeys/{sub_key}`.
absl::StatusOr<absl::string_view> IdOf(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, "subKeys/") || name.empty()) {
    return runtime::FieldError("name", "must be subKeys/{sub_key}");
  }
  return name;
}

absl::StatusOr<std::string> SignOne(const SubKeyGeneration& generation, bool digest,
                                    const std::string& bytes) {
  return digest ? generation.key().SignDigest(bytes) : generation.key().SignMessage(bytes);
}

absl::Status CheckBatch(const v1::SubKeyServiceBatchSignRequest& request) {
  if (request.messages().empty() == request.digests().empty()) {
    return runtime::FieldError("messages", "either messages or digests must be given");
  }
  if (std::max(request.messages_size(), request.digests_size()) > kMaxBatch) {
    return runtime::FieldError("messages", "must be at most 1,000");
  }
  for (const std::string& message : request.messages()) {
    if (message.size() > kMaxBatchMessageBytes) {
      return runtime::FieldError("messages", "has a message of more than 64 KiB");
    }
  }
  for (const std::string& digest : request.digests()) {
    if (digest.size() != kDigestBytes)
      return runtime::FieldError("digests", "must be 32 bytes each");
  }
  return absl::OkStatus();
}

// Signs items [begin, end) into `*response`, which has room for all.
absl::Status SignRange(const SubKeyGeneration& generation,
                       const v1::SubKeyServiceBatchSignRequest& request, int begin, int end,
                       v1::SubKeyServiceBatchSignResponse* response) {
  const bool digests = !request.digests().empty();
  for (int i = begin; i < end; ++i) {
    ASSIGN_OR_RETURN(
        *response->mutable_signatures(i),
        SignOne(generation, digests, digests ? request.digests(i) : request.messages(i)));
  }
  return absl::OkStatus();
}

absl::Status SignAll(const SubKeyGeneration& generation,
                     const v1::SubKeyServiceBatchSignRequest& request, base::ThreadPool* executor,
                     v1::SubKeyServiceBatchSignResponse* response) {
  const int count = response->signatures_size();
  const int chunks = (count + kChunk - 1) / kChunk;
  std::vector<absl::Status> statuses(chunks);
  executor->ParallelFor(chunks, [&](int i) {
    statuses[i] =
        SignRange(generation, request, i * kChunk, std::min((i + 1) * kChunk, count), response);
  });
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

}  // namespace

absl::Time SubKeyService::Deadline(const grpc::CallbackServerContext& context) const {
  return std::min(runtime::Deadline(context), clock_->Now() + kLongestCertification);
}

grpc::ServerUnaryReactor* SubKeyService::CreateSubKey(grpc::CallbackServerContext* context,
                                                      const v1::CreateSubKeyRequest* request,
                                                      v1::CreateSubKeyResponse* response) {
  absl::StatusOr<SubKeySpec> spec = ToSpec(*request);
  if (!spec.ok()) return runtime::FinishUnary(context, spec.status());
  absl::Status allowed =
      Authorize(*context, sessions_, Operation::kCreateSubKey, CertifierOf(*spec));
  // A name that others trust is not to be taken by whoever comes first after a start.
  if (allowed.ok() && !request->sub_key_id().empty()) {
    allowed = Authorize(*context, sessions_, Operation::kCreateSubKey, spec->Name());
  }
  if (!allowed.ok()) return runtime::FinishUnary(context, allowed);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  sub_keys_->Create(*std::move(spec), Deadline(*context),
                    [context, reactor, response](absl::StatusOr<SubKeyInfo> info) {
                      if (info.ok()) ToProto(*info, response->mutable_sub_key());
                      runtime::FinishCall(context, reactor, info.status());
                    });
  return reactor;
}

grpc::ServerUnaryReactor* SubKeyService::GetSubKey(grpc::CallbackServerContext* context,
                                                   const v1::GetSubKeyRequest* request,
                                                   v1::GetSubKeyResponse* response) {
  const absl::StatusOr<absl::string_view> id = IdOf(request->name());
  if (!id.ok()) return runtime::FinishUnary(context, id.status());
  const absl::StatusOr<SubKeyInfo> info = sub_keys_->Get(*id);
  if (info.ok()) ToProto(*info, response->mutable_sub_key());
  return runtime::FinishUnary(context, info.status());
}

grpc::ServerUnaryReactor* SubKeyService::ListSubKeys(grpc::CallbackServerContext* context,
                                                     const v1::ListSubKeysRequest* request,
                                                     v1::ListSubKeysResponse* response) {
  return runtime::RunUnary(context, executor_, [this, response]() -> absl::Status {
    for (const SubKeyInfo& info : sub_keys_->List()) ToProto(info, response->add_sub_keys());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SubKeyService::RevokeSubKey(grpc::CallbackServerContext* context,
                                                      const v1::RevokeSubKeyRequest* request,
                                                      v1::RevokeSubKeyResponse* response) {
  const absl::StatusOr<absl::string_view> id = IdOf(request->name());
  if (!id.ok()) return runtime::FinishUnary(context, id.status());
  const absl::StatusOr<SubKeyInfo> info = sub_keys_->Get(*id);
  if (!info.ok()) return runtime::FinishUnary(context, info.status());
  const absl::Status allowed =
      Authorize(*context, sessions_, Operation::kCreateSubKey, CertifierOf(info->spec));
  if (!allowed.ok()) return runtime::FinishUnary(context, allowed);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  sub_keys_->Revoke(*id, Deadline(*context),
                    [context, reactor, response](absl::StatusOr<SubKeyInfo> revoked) {
                      if (revoked.ok()) ToProto(*revoked, response->mutable_sub_key());
                      runtime::FinishCall(context, reactor, revoked.status());
                    });
  return reactor;
}

grpc::ServerUnaryReactor* SubKeyService::Sign(grpc::CallbackServerContext* context,
                                              const v1::SubKeyServiceSignRequest* request,
                                              v1::SubKeyServiceSignResponse* response) {
  const auto take = [&]() -> absl::StatusOr<Generation> {
    ASSIGN_OR_RETURN(const absl::string_view id, IdOf(request->name()));
    RETURN_IF_ERROR(Authorize(*context, sessions_, Operation::kUseSubKey, request->name()));
    switch (request->payload_case()) {
      case v1::SubKeyServiceSignRequest::kMessage:
        if (request->message().size() > kMaxMessageBytes) {
          return runtime::FieldError("message", "is longer than 1 MiB; give its digest");
        }
        return sub_keys_->Take(id, SubKeys::Use::kSignMessage, 1);
      case v1::SubKeyServiceSignRequest::kDigest:
        if (request->digest().size() != kDigestBytes) {
          return runtime::FieldError("digest", "must be 32 bytes");
        }
        return sub_keys_->Take(id, SubKeys::Use::kSignDigest, 1);
      case v1::SubKeyServiceSignRequest::PAYLOAD_NOT_SET:
        break;
    }
    return runtime::FieldError("payload", "is missing");
  };
  absl::StatusOr<Generation> generation = take();
  if (!generation.ok()) return runtime::FinishUnary(context, generation.status());
  const auto sign = [request, response, generation = *std::move(generation)]() -> absl::Status {
    ASSIGN_OR_RETURN(*response->mutable_signature(),
                     SignOne(*generation, request->has_digest(),
                             request->has_digest() ? request->digest() : request->message()));
    response->set_generation(generation->number());
    response->set_certificate_fingerprint(generation->certificates().fingerprint);
    return absl::OkStatus();
  };
  if (request->message().size() > kInlineBytes) return runtime::RunUnary(context, executor_, sign);
  return runtime::FinishUnary(context, sign());
}

grpc::ServerUnaryReactor* SubKeyService::BatchSign(grpc::CallbackServerContext* context,
                                                   const v1::SubKeyServiceBatchSignRequest* request,
                                                   v1::SubKeyServiceBatchSignResponse* response) {
  const auto take = [&]() -> absl::StatusOr<Generation> {
    ASSIGN_OR_RETURN(const absl::string_view id, IdOf(request->name()));
    RETURN_IF_ERROR(Authorize(*context, sessions_, Operation::kUseSubKey, request->name()));
    RETURN_IF_ERROR(CheckBatch(*request));
    return request->digests().empty()
               ? sub_keys_->Take(id, SubKeys::Use::kSignMessage, request->messages_size())
               : sub_keys_->Take(id, SubKeys::Use::kSignDigest, request->digests_size());
  };
  const absl::StatusOr<Generation> taken = take();
  if (!taken.ok()) return runtime::FinishUnary(context, taken.status());
  const Generation& generation = *taken;
  response->set_generation(generation->number());
  response->set_certificate_fingerprint(generation->certificates().fingerprint);
  const int count = std::max(request->messages_size(), request->digests_size());
  response->mutable_signatures()->Reserve(count);
  for (int i = 0; i < count; ++i) response->add_signatures();
  if (count <= kInlineSignatures && request->ByteSizeLong() <= kInlineBytes) {
    return runtime::FinishUnary(context, SignRange(*generation, *request, 0, count, response));
  }
  return runtime::RunUnary(context, executor_, [this, generation, request, response] {
    return SignAll(*generation, *request, executor_, response);
  });
}

grpc::ServerUnaryReactor* SubKeyService::Decrypt(grpc::CallbackServerContext* context,
                                                 const v1::SubKeyServiceDecryptRequest* request,
                                                 v1::SubKeyServiceDecryptResponse* response) {
  const auto check = [&]() -> absl::Status {
    RETURN_IF_ERROR(IdOf(request->name()).status());
    RETURN_IF_ERROR(Authorize(*context, sessions_, Operation::kUseSubKey, request->name()));
    if (request->enc().size() != kEncBytes) return runtime::FieldError("enc", "must be 32 bytes");
    if (request->ciphertext().size() > kMaxMessageBytes + 16) {
      return runtime::FieldError("ciphertext", "must be at most 1 MiB and 16 bytes");
    }
    return absl::OkStatus();
  };
  if (const absl::Status checked = check(); !checked.ok()) {
    return runtime::FinishUnary(context, checked);
  }
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const absl::string_view id, IdOf(request->name()));
    ASSIGN_OR_RETURN(*response->mutable_plaintext(),
                     sub_keys_->Decrypt(id, request->enc(), request->info(), request->aad(),
                                        request->ciphertext()));
    return absl::OkStatus();
  });
}

}  // namespace countersign::yubikey
