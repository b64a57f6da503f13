#include "services/sign/signer.h"

#include <algorithm>
#include <utility>

#include "libs/base/thread_pool.h"

namespace countersign::sign {
namespace {

// An inline call takes at most about 200 µs: 16 signatures, or one hash of 256 KiB.
constexpr size_t kInlinePayloads = 16;
constexpr size_t kInlineBytes = 256 << 10;
// What one task of a parallel batch signs, so that the hand-over between threads does not show.
constexpr size_t kCheapChunk = 32;

absl::StatusOr<std::string> SignOne(const crypto::PrivateKey& key, const Payload& payload) {
  return payload.kind == Payload::Kind::kDigest ? key.SignDigest(payload.bytes)
                                                : key.SignMessage(payload.bytes);
}

absl::Status SignRange(const crypto::PrivateKey& key, absl::Span<const Payload> payloads,
                       size_t begin, size_t end, std::vector<std::string>* signatures) {
  for (size_t i = begin; i < end; ++i) {
    absl::StatusOr<std::string> signature = SignOne(key, payloads[i]);
    if (!signature.ok()) return signature.status();
    (*signatures)[i] = *std::move(signature);
  }
  return absl::OkStatus();
}

// Ed25519 and P-256 take some 10 µs; P-384 and RSA up to a hundred times as much.
bool IsCheap(const crypto::PrivateKey& key) {
  const crypto::KeyType type = key.public_key().type();
  return type == crypto::KeyType::kEd25519 || type == crypto::KeyType::kEcP256;
}

}  // namespace

SoftwareSigner::SoftwareSigner(std::shared_ptr<const crypto::PrivateKey> key,
                               base::ThreadPool* executor)
    : key_(std::move(key)), executor_(executor), cheap_(IsCheap(*key_)) {}

absl::StatusOr<std::string> SoftwareSigner::SignNow(absl::string_view message) {
  return key_->SignMessage(message);
}

void SoftwareSigner::Sign(absl::Span<const Payload> payloads, Call, Done done) {
  size_t bytes = 0;
  for (const Payload& payload : payloads) bytes += payload.bytes.size();
  if (cheap_ && payloads.size() <= kInlinePayloads && bytes <= kInlineBytes) {
    std::vector<std::string> signatures(payloads.size());
    const absl::Status status = SignRange(*key_, payloads, 0, payloads.size(), &signatures);
    if (!status.ok()) return done(status);
    return done(std::move(signatures));
  }
  executor_->Schedule([this, key = key_, payloads, done = std::move(done)] {
    const size_t chunk = cheap_ ? kCheapChunk : 1;
    const size_t chunks = (payloads.size() + chunk - 1) / chunk;
    std::vector<std::string> signatures(payloads.size());
    std::vector<absl::Status> statuses(chunks);
    const auto sign = [&](int i) {
      const size_t begin = static_cast<size_t>(i) * chunk;
      statuses[i] =
          SignRange(*key, payloads, begin, std::min(begin + chunk, payloads.size()), &signatures);
    };
    if (chunks == 1) {
      sign(0);
    } else {
      executor_->ParallelFor(static_cast<int>(chunks), sign);
    }
    for (const absl::Status& status : statuses) {
      if (!status.ok()) return done(status);
    }
    done(std::move(signatures));
  });
}

}  // namespace countersign::sign
