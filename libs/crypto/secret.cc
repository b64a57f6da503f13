#include "libs/crypto/secret.h"

#include <cstring>
#include <utility>

#include "openssl/mem.h"

namespace countersign::crypto {

void Wipe(void* data, size_t size) { OPENSSL_cleanse(data, size); }

SecretBytes::SecretBytes(size_t size) : data_(std::make_unique<char[]>(size)), size_(size) {}

SecretBytes::SecretBytes(absl::string_view bytes) : SecretBytes(bytes.size()) {
  if (!bytes.empty()) std::memcpy(data_.get(), bytes.data(), bytes.size());
}

SecretBytes::~SecretBytes() {
  if (data_ != nullptr) Wipe(data_.get(), size_);
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) Wipe(data_.get(), size_);
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void SecretBytes::Truncate(size_t size) {
  Wipe(data_.get() + size, size_ - size);
  size_ = size;
}

}  // namespace countersign::crypto
