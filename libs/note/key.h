// Keys of signed notes: names, ids, verifier keys and signers (C2SP signed-note).
#ifndef COUNTERSIGN_LIBS_NOTE_KEY_H_
#define COUNTERSIGN_LIBS_NOTE_KEY_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"

namespace countersign::note {

// The first byte of a verifier key's key material.
enum class SignatureType : uint8_t {
  kEd25519 = 0x01,      // Ed25519 over the text
  kEcdsa = 0x02,        // ECDSA P-256 with SHA-256 over the text, ASN.1 DER; the key is an SPKI
  kCosignature = 0x04,  // timestamped Ed25519: cosignature.h
};

// Whether `name` may be a key's: not empty, UTF-8 without '+', Unicode spaces and control
// characters.
bool IsValidKeyName(absl::string_view name);

// The hash that a key id is the first four bytes of: SHA-256(name || 0x0A || type || public_key),
// or SHA-256(public_key), an SPKI, for kEcdsa. All 32 bytes of a log's are its Sigstore log id.
std::array<uint8_t, 32> KeyHash(absl::string_view name, SignatureType type,
                                absl::string_view public_key);

// What a checker knows of a key. Immutable and thread-safe; copies share the key.
class NoteVerifier {
 public:
  // InvalidArgument when the name is not valid or the key does not fit the type.
  static absl::StatusOr<NoteVerifier> Create(absl::string_view name, SignatureType type,
                                             const crypto::PublicKey& public_key);

  const std::string& name() const { return name_; }
  uint32_t key_id() const { return key_id_; }
  const std::array<uint8_t, 32>& key_hash() const { return key_hash_; }
  SignatureType type() const { return type_; }
  const crypto::PublicKey& public_key() const { return public_key_; }

  // "<name>+<8 hexadecimal digits of the id>+<base64 of type || key>".
  std::string vkey() const;

  // Whether `signature`, without the id in front, is this key's over the note text `text`. For
  // kCosignature it begins with its timestamp.
  bool Verify(absl::string_view text, absl::string_view signature) const;

  // The same key under the same name and type.
  friend bool operator==(const NoteVerifier& a, const NoteVerifier& b) {
    return a.name_ == b.name_ && a.key_hash_ == b.key_hash_ && a.type_ == b.type_;
  }

 private:
  NoteVerifier(std::string name, SignatureType type, crypto::PublicKey public_key);

  std::string name_;
  SignatureType type_;
  crypto::PublicKey public_key_;
  std::array<uint8_t, 32> key_hash_;
  uint32_t key_id_;
};

// Reads a verifier key. InvalidArgument when it is malformed, its id is not that of its key, or its
// type is not one of SignatureType.
absl::StatusOr<NoteVerifier> ParseVkey(absl::string_view vkey);

// Signs notes under one name. Thread-safe.
class NoteSigner {
 public:
  virtual ~NoteSigner() = default;

  // The public half: name, id, vkey.
  virtual const NoteVerifier& verifier() const = 0;

  // The signature over `text`, without the id in front: what verifier().Verify accepts.
  virtual absl::StatusOr<std::string> Sign(absl::string_view text) const = 0;

  const std::string& name() const { return verifier().name(); }
  uint32_t key_id() const { return verifier().key_id(); }
  std::string vkey() const { return verifier().vkey(); }
};

// A signer of type kEd25519. InvalidArgument when the name is not valid or the key not Ed25519.
absl::StatusOr<std::unique_ptr<NoteSigner>> NewEd25519Signer(absl::string_view name,
                                                             crypto::PrivateKey key);

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_KEY_H_
