#include "libs/note/key.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/note/cosignature.h"
#include "libs/note/utf8.h"

namespace countersign::note {
namespace {

using crypto::Algorithm;

constexpr size_t kCosignatureTimeBytes = 8;

char TypeByte(SignatureType type) { return static_cast<char>(type); }

Algorithm AlgorithmOf(SignatureType type) {
  switch (type) {
    case SignatureType::kEcdsa:
      return Algorithm::kEcdsaP256Sha256;
    case SignatureType::kEd25519:
    case SignatureType::kCosignature:
      break;
  }
  return Algorithm::kEd25519;
}

// The key as a verifier key carries it.
const std::string& KeyBytes(SignatureType type, const crypto::PublicKey& key) {
  return type == SignatureType::kEcdsa ? key.spki_der() : key.ed25519_raw();
}

uint32_t KeyId(const std::array<uint8_t, 32>& hash) {
  return uint32_t{hash[0]} << 24 | uint32_t{hash[1]} << 16 | uint32_t{hash[2]} << 8 | hash[3];
}

class Ed25519Signer : public NoteSigner {
 public:
  Ed25519Signer(NoteVerifier verifier, crypto::PrivateKey key)
      : verifier_(std::move(verifier)), key_(std::move(key)) {}

  const NoteVerifier& verifier() const override { return verifier_; }

  absl::StatusOr<std::string> Sign(absl::string_view text) const override {
    return key_.SignMessage(text);
  }

 private:
  const NoteVerifier verifier_;
  const crypto::PrivateKey key_;
};

}  // namespace

bool IsValidKeyName(absl::string_view name) {
  if (name.empty()) return false;
  uint32_t c = 0;
  while (ConsumeCodePoint(&name, &c)) {
    if (c == '+' || c < 0x20 || IsUnicodeSpace(c)) return false;
  }
  return name.empty();
}

std::array<uint8_t, 32> KeyHash(absl::string_view name, SignatureType type,
                                absl::string_view public_key) {
  if (type == SignatureType::kEcdsa) return crypto::Sha256(public_key);
  const char type_byte = TypeByte(type);
  return crypto::Sha256Parts({name, "\n", absl::string_view(&type_byte, 1), public_key});
}

NoteVerifier::NoteVerifier(std::string name, SignatureType type, crypto::PublicKey public_key)
    : name_(std::move(name)),
      type_(type),
      public_key_(std::move(public_key)),
      key_hash_(KeyHash(name_, type_, KeyBytes(type_, public_key_))),
      key_id_(KeyId(key_hash_)) {}

absl::StatusOr<NoteVerifier> NoteVerifier::Create(absl::string_view name, SignatureType type,
                                                  const crypto::PublicKey& public_key) {
  if (!IsValidKeyName(name)) {
    return absl::InvalidArgumentError(
        "a key name must be UTF-8, not empty and without spaces, control characters and '+'");
  }
  RETURN_IF_ERROR(public_key.Check(AlgorithmOf(type)));
  return NoteVerifier(std::string(name), type, public_key);
}

std::string NoteVerifier::vkey() const {
  std::string key(1, TypeByte(type_));
  key += KeyBytes(type_, public_key_);
  return absl::StrCat(name_, "+", absl::StrFormat("%08x", key_id_), "+", base::Base64Encode(key));
}

bool NoteVerifier::Verify(absl::string_view text, absl::string_view signature) const {
  std::string message;
  if (type_ == SignatureType::kCosignature) {
    const std::optional<uint64_t> timestamp = CosignatureTimestamp(signature);
    if (!timestamp.has_value()) return false;
    signature.remove_prefix(kCosignatureTimeBytes);
    message = CosignatureMessage(*timestamp, text);
    text = message;
  }
  const absl::StatusOr<bool> valid = public_key_.VerifyMessage(AlgorithmOf(type_), text, signature);
  return valid.ok() && *valid;
}

absl::StatusOr<NoteVerifier> ParseVkey(absl::string_view vkey) {
  // The base64 of the key may hold '+' itself; the name may not.
  const std::vector<absl::string_view> parts = absl::StrSplit(vkey, absl::MaxSplits('+', 2));
  if (parts.size() != 3) {
    return absl::InvalidArgumentError("a verifier key has the form <name>+<key id>+<key>");
  }
  const absl::string_view name = parts[0];
  const absl::StatusOr<std::string> key = base::Base64Decode(parts[2]);
  if (!key.ok() || key->empty()) {
    return absl::InvalidArgumentError("the key of a verifier key must be base64 of a type and key");
  }
  const absl::string_view key_bytes = absl::string_view(*key).substr(1);
  const uint8_t type_byte = static_cast<uint8_t>((*key)[0]);
  SignatureType type;
  absl::StatusOr<crypto::PublicKey> public_key = absl::InternalError("");
  switch (type_byte) {
    case static_cast<uint8_t>(SignatureType::kEd25519):
    case static_cast<uint8_t>(SignatureType::kCosignature):
      type = static_cast<SignatureType>(type_byte);
      public_key = crypto::PublicKey::FromEd25519Raw(key_bytes);
      break;
    case static_cast<uint8_t>(SignatureType::kEcdsa):
      type = SignatureType::kEcdsa;
      public_key = crypto::PublicKey::FromSpkiDer(key_bytes);
      break;
    default:
      return absl::InvalidArgumentError(
          absl::StrFormat("signature type 0x%02x of a verifier key is not supported: use Ed25519 "
                          "(0x01), ECDSA (0x02) or cosignature/v1 (0x04)",
                          type_byte));
  }
  RETURN_IF_ERROR(public_key.status());
  ASSIGN_OR_RETURN(NoteVerifier verifier, NoteVerifier::Create(name, type, *public_key));
  if (parts[1] != absl::StrFormat("%08x", verifier.key_id())) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key id of the verifier key of ", name, " is not that of its key"));
  }
  return verifier;
}

absl::StatusOr<std::unique_ptr<NoteSigner>> NewEd25519Signer(absl::string_view name,
                                                             crypto::PrivateKey key) {
  ASSIGN_OR_RETURN(NoteVerifier verifier,
                   NoteVerifier::Create(name, SignatureType::kEd25519, key.public_key()));
  return std::make_unique<Ed25519Signer>(std::move(verifier), std::move(key));
}

}  // namespace countersign::note
