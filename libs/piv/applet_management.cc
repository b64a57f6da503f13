#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/block_cipher.h"
#include "libs/crypto/random.h"
#include "libs/piv/applet.h"
#include "libs/piv/status_words.h"
#include "libs/piv/tlv.h"

namespace countersign::piv {
namespace {

using crypto::BlockCipher;

constexpr uint32_t kDynamicTemplate = 0x7C;
constexpr uint32_t kWitness = 0x80;
constexpr uint32_t kChallenge = 0x81;
constexpr uint32_t kResponse = 0x82;
// P2 of SET MANAGEMENT KEY.
constexpr uint8_t kWithoutTouch = 0xFF;
constexpr uint8_t kWithTouch = 0xFE;

absl::StatusOr<BlockCipher> CipherOf(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kTripleDes:
      return BlockCipher::kTripleDes;
    case Algorithm::kAes128:
      return BlockCipher::kAes128;
    case Algorithm::kAes192:
      return BlockCipher::kAes192;
    case Algorithm::kAes256:
      return BlockCipher::kAes256;
    default:
      return absl::InvalidArgumentError(absl::StrCat("management keys are 3DES or AES, not of ",
                                                     "algorithm ", static_cast<int>(algorithm)));
  }
}

absl::Status CheckKey(BlockCipher cipher, const crypto::SecretBytes& key) {
  if (key.size() == crypto::KeyBytes(cipher)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the management key has ", key.size(), " bytes, and ",
                   cipher == BlockCipher::kTripleDes ? "3DES" : "this AES", " takes ",
                   crypto::KeyBytes(cipher)));
}

// The one element `tag` that a dynamic authentication template answers.
absl::StatusOr<std::string> ReadBlock(absl::string_view answer, uint32_t tag, size_t size) {
  TlvReader outer(answer);
  absl::string_view inside;
  absl::string_view block;
  if (!outer.Read(kDynamicTemplate, &inside) || !outer.empty()) inside = {};
  TlvReader inner(inside);
  if (!inner.Read(tag, &block) || !inner.empty() || block.size() != size) {
    return absl::InternalError("authenticating: the card answered no block of the cipher");
  }
  return std::string(block);
}

}  // namespace

absl::Status Applet::AuthenticateManagement(const crypto::SecretBytes& key) {
  constexpr absl::string_view kDoing = "authenticating with the management key";
  Algorithm algorithm = Algorithm::kTripleDes;
  const absl::StatusOr<SlotMetadata> metadata = GetMetadata(kCardManagement);
  if (metadata.ok()) {
    algorithm = metadata->algorithm;
  } else if (!absl::IsUnimplemented(metadata.status())) {
    return metadata.status();
  }
  ASSIGN_OR_RETURN(const BlockCipher cipher, CipherOf(algorithm));
  RETURN_IF_ERROR(CheckKey(cipher, key));
  const size_t block_bytes = crypto::BlockBytes(cipher);
  const auto command = [&](std::string inside) {
    return Command{0, kGeneralAuthenticate, static_cast<uint8_t>(algorithm), kCardManagement,
                   Tlv(kDynamicTemplate, inside)};
  };

  ASSIGN_OR_RETURN(const std::string witness_answer,
                   Exchange(transport_, command(Tlv(kWitness, "")), Concern::kManagement, kDoing));
  ASSIGN_OR_RETURN(const std::string witness, ReadBlock(witness_answer, kWitness, block_bytes));
  ASSIGN_OR_RETURN(const std::string decrypted, crypto::DecryptBlock(cipher, key, witness));
  const std::string challenge = crypto::RandomBytes(block_bytes);
  ASSIGN_OR_RETURN(
      const std::string answer,
      Exchange(transport_,
               command(absl::StrCat(Tlv(kWitness, decrypted), Tlv(kChallenge, challenge))),
               Concern::kManagementKey, kDoing));
  ASSIGN_OR_RETURN(const std::string response, ReadBlock(answer, kResponse, block_bytes));
  ASSIGN_OR_RETURN(const std::string expected, crypto::EncryptBlock(cipher, key, challenge));
  if (!crypto::ConstantTimeEquals(response, expected)) {
    return absl::UnauthenticatedError(
        absl::StrCat(kDoing, ": the card does not know the key that it accepted"));
  }
  return absl::OkStatus();
}

absl::Status Applet::SetManagementKey(Algorithm algorithm, const crypto::SecretBytes& key,
                                      bool touch) {
  ASSIGN_OR_RETURN(const BlockCipher cipher, CipherOf(algorithm));
  RETURN_IF_ERROR(CheckKey(cipher, key));
  const absl::string_view bytes = key.Expose(crypto::SecretAccess::Grant());
  Command command{0, kSetManagementKey, 0xFF, touch ? kWithTouch : kWithoutTouch, ""};
  command.data.reserve(3 + bytes.size());
  command.data.push_back(static_cast<char>(algorithm));
  AppendTlv(kCardManagement, bytes, &command.data);
  return Exchange(transport_, std::move(command), Concern::kManagement,
                  "setting the management key")
      .status();
}

}  // namespace countersign::piv
