#include "libs/crypto/digest.h"

#include "libs/crypto/openssl_util.h"
#include "openssl/digest.h"
#include "openssl/sha.h"

namespace countersign::crypto {
namespace {

const EVP_MD* Md(DigestAlgorithm algorithm) {
  switch (algorithm) {
    case DigestAlgorithm::kNone:
      return nullptr;
    case DigestAlgorithm::kSha256:
      return EVP_sha256();
    case DigestAlgorithm::kSha384:
      return EVP_sha384();
    case DigestAlgorithm::kSha512:
      return EVP_sha512();
  }
  return nullptr;
}

}  // namespace

size_t DigestLength(DigestAlgorithm algorithm) {
  const EVP_MD* md = Md(algorithm);
  return md == nullptr ? 0 : EVP_MD_size(md);
}

absl::string_view DigestName(DigestAlgorithm algorithm) {
  switch (algorithm) {
    case DigestAlgorithm::kNone:
      return "none";
    case DigestAlgorithm::kSha256:
      return "sha256";
    case DigestAlgorithm::kSha384:
      return "sha384";
    case DigestAlgorithm::kSha512:
      return "sha512";
  }
  return "";
}

std::string Digest(DigestAlgorithm algorithm, absl::string_view data) {
  std::string digest(DigestLength(algorithm), '\0');
  switch (algorithm) {
    case DigestAlgorithm::kNone:
      break;
    case DigestAlgorithm::kSha256:
      SHA256(Bytes(data), data.size(), MutableBytes(&digest));
      break;
    case DigestAlgorithm::kSha384:
      SHA384(Bytes(data), data.size(), MutableBytes(&digest));
      break;
    case DigestAlgorithm::kSha512:
      SHA512(Bytes(data), data.size(), MutableBytes(&digest));
      break;
  }
  return digest;
}

std::array<uint8_t, 32> Sha256(absl::string_view data) {
  std::array<uint8_t, 32> digest;
  SHA256(Bytes(data), data.size(), digest.data());
  return digest;
}

std::array<uint8_t, 32> Sha256Parts(std::initializer_list<absl::string_view> parts) {
  SHA256_CTX context;
  SHA256_Init(&context);
  for (absl::string_view part : parts) SHA256_Update(&context, part.data(), part.size());
  std::array<uint8_t, 32> digest;
  SHA256_Final(digest.data(), &context);
  return digest;
}

void Sha256Raw(const uint8_t* data, size_t size, uint8_t* out) { SHA256(data, size, out); }

struct Hasher::State {
  DigestAlgorithm algorithm;
  bssl::ScopedEVP_MD_CTX context;
};

Hasher::Hasher(DigestAlgorithm algorithm) : state_(std::make_unique<State>()) {
  state_->algorithm = algorithm;
  Reset();
}

Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::Reset() {
  if (const EVP_MD* md = Md(state_->algorithm)) {
    EVP_DigestInit_ex(state_->context.get(), md, nullptr);
  }
}

void Hasher::Update(absl::string_view data) {
  if (state_->algorithm == DigestAlgorithm::kNone) return;
  EVP_DigestUpdate(state_->context.get(), data.data(), data.size());
}

std::string Hasher::Finish() {
  std::string digest(DigestLength(state_->algorithm), '\0');
  if (!digest.empty()) {
    EVP_DigestFinal_ex(state_->context.get(), MutableBytes(&digest), nullptr);
    Reset();
  }
  return digest;
}

}  // namespace countersign::crypto
