#include "libs/crypto/aead.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/openssl_util.h"
#include "libs/crypto/random.h"
#include "libs/crypto/secret_file.h"
#include "openssl/aead.h"

namespace countersign::crypto {
namespace {

constexpr char kVersion = 0x01;
constexpr size_t kKeySize = 32;
constexpr size_t kIdSize = 8;
constexpr size_t kHeaderSize = 1 + kIdSize;
constexpr size_t kNonceSize = 12;
constexpr size_t kTagSize = 16;
constexpr size_t kMaxFileBytes = 4096;

// What GCM authenticates beside the ciphertext: the header, whose length is fixed, then the
// caller's data.
std::string Authenticated(absl::string_view header, absl::string_view aad) {
  return absl::StrCat(header, aad);
}

std::string Directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Makes `path` with a fresh key unless somebody else did meanwhile: link() does not replace.
absl::Status CreateKeyFile(const std::string& path) {
  std::string bytes = RandomBytes(kKeySize);
  std::string digits = base::HexEncode(bytes);
  std::string text = absl::StrCat(digits, "\n");
  const std::string temporary = absl::StrCat(path, ".new.", RandomUuid());
  const absl::Status written = base::WriteFileDurably(temporary, text, 0600);
  for (std::string* copy : {&bytes, &digits, &text}) Wipe(copy->data(), copy->size());
  RETURN_IF_ERROR(written);
  const int linked = link(temporary.c_str(), path.c_str());
  const int error = errno;
  unlink(temporary.c_str());
  if (linked != 0 && error != EEXIST) {
    return base::ErrnoStatus(error, absl::StrCat("create ", path));
  }
  return base::SyncDirectory(Directory(path));
}

}  // namespace

struct Kek::Impl {
  std::string id;  // raw bytes
  std::string id_hex;
  bssl::ScopedEVP_AEAD_CTX context;
};

Kek::Kek(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Kek::~Kek() = default;
Kek::Kek(Kek&&) noexcept = default;
Kek& Kek::operator=(Kek&&) noexcept = default;

absl::StatusOr<Kek> Kek::LoadOrCreate(const std::string& path) {
  if (!base::FileExists(path)) RETURN_IF_ERROR(CreateKeyFile(path));
  ASSIGN_OR_RETURN(const SecretBytes text,
                   ReadSecretFile(path, "the key-encryption key", kMaxFileBytes));
  absl::string_view digits = text.Expose(SecretAccess::Grant());
  absl::ConsumeSuffix(&digits, "\n");
  SecretBytes key(kKeySize);
  bool well_formed = digits.size() == 2 * kKeySize;
  for (size_t i = 0; well_formed && i < digits.size(); ++i) {
    const char c = absl::ascii_tolower(digits[i]);
    well_formed = absl::ascii_isxdigit(c);
    const int nibble = c <= '9' ? c - '0' : c - 'a' + 10;
    char& byte = key.ExposeMutable(SecretAccess::Grant())[i / 2];
    byte = static_cast<char>((static_cast<unsigned char>(byte) << 4) | nibble);
  }
  if (!well_formed) {
    return absl::DataLossError(absl::StrCat(
        path,
        " is not a key-encryption key (64 hexadecimal digits and a newline); restore it "
        "from a backup"));
  }
  return FromBytes(key);
}

absl::StatusOr<Kek> Kek::FromBytes(const SecretBytes& key) {
  const absl::string_view bytes = key.Expose(SecretAccess::Grant());
  if (bytes.size() != kKeySize) {
    return absl::InvalidArgumentError(
        absl::StrCat("a key-encryption key has ", kKeySize, " bytes, not ", bytes.size()));
  }
  auto impl = std::make_unique<Impl>();
  if (!EVP_AEAD_CTX_init(impl->context.get(), EVP_aead_aes_256_gcm(), Bytes(bytes), bytes.size(),
                         kTagSize, nullptr)) {
    return Failure(absl::StatusCode::kInternal, "cannot set up AES-256-GCM");
  }
  const auto hash = Sha256Parts({"countersign kek id v1", bytes});
  impl->id = std::string(base::AsBytes(hash).substr(0, kIdSize));
  impl->id_hex = base::HexEncode(impl->id);
  return Kek(std::move(impl));
}

const std::string& Kek::id() const { return impl_->id_hex; }

absl::StatusOr<std::string> Kek::Seal(const SecretBytes& secret, absl::string_view aad) const {
  const absl::string_view plain = secret.Expose(SecretAccess::Grant());
  std::string sealed(1, kVersion);
  sealed += impl_->id;
  const std::string authenticated = Authenticated(sealed, aad);
  const std::string nonce = RandomBytes(kNonceSize);
  sealed += nonce;
  const size_t at = sealed.size();
  sealed.resize(at + plain.size() + kTagSize);
  size_t size = 0;
  if (!EVP_AEAD_CTX_seal(impl_->context.get(), MutableBytes(&sealed) + at, &size,
                         sealed.size() - at, Bytes(nonce), nonce.size(), Bytes(plain), plain.size(),
                         Bytes(authenticated), authenticated.size())) {
    return Failure(absl::StatusCode::kInternal, "AES-256-GCM sealing failed");
  }
  sealed.resize(at + size);
  return sealed;
}

absl::StatusOr<SecretBytes> Kek::Open(absl::string_view sealed, absl::string_view aad) const {
  if (sealed.size() < kHeaderSize + kNonceSize + kTagSize || sealed[0] != kVersion) {
    return absl::DataLossError("not a sealed secret, or one of an unknown version");
  }
  const absl::string_view header = sealed.substr(0, kHeaderSize);
  const absl::string_view nonce = sealed.substr(kHeaderSize, kNonceSize);
  const absl::string_view body = sealed.substr(kHeaderSize + kNonceSize);
  if (header.substr(1) != impl_->id) {
    return absl::FailedPreconditionError(absl::StrCat("sealed under the key-encryption key ",
                                                      base::HexEncode(header.substr(1)),
                                                      ", and the one loaded is ", impl_->id_hex));
  }
  const std::string authenticated = Authenticated(header, aad);
  SecretBytes plain(body.size());
  size_t size = 0;
  if (!EVP_AEAD_CTX_open(impl_->context.get(),
                         reinterpret_cast<uint8_t*>(plain.ExposeMutable(SecretAccess::Grant())),
                         &size, plain.size(), Bytes(nonce), nonce.size(), Bytes(body), body.size(),
                         Bytes(authenticated), authenticated.size())) {
    return Failure(absl::StatusCode::kDataLoss,
                   "a sealed secret does not open: it was altered, or belongs to another name");
  }
  plain.Truncate(size);
  return plain;
}

}  // namespace countersign::crypto
