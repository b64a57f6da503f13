#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/private_key_parts.h"
#include "libs/piv/applet.h"
#include "libs/piv/card_key.h"
#include "libs/piv/status_words.h"
#include "libs/piv/tlv.h"
#include "libs/pki/der.h"

namespace countersign::piv {
namespace {

constexpr uint32_t kKeyTemplate = 0xAC;
constexpr uint32_t kPublicKeyTemplate = 0x7F49;
constexpr uint32_t kAlgorithmTag = 0x80;
constexpr uint32_t kPinPolicyTag = 0xAA;
constexpr uint32_t kTouchPolicyTag = 0xAB;
// Elements of the dynamic authentication template.
constexpr uint32_t kDynamicTemplate = 0x7C;
constexpr uint32_t kChallenge = 0x81;
constexpr uint32_t kResponse = 0x82;
constexpr uint32_t kExponentiation = 0x85;
// Elements of an imported key.
constexpr uint32_t kPrimeP = 0x01;
constexpr uint32_t kPrimeQ = 0x02;
constexpr uint32_t kExponentP = 0x03;
constexpr uint32_t kExponentQ = 0x04;
constexpr uint32_t kCoefficient = 0x05;
constexpr uint32_t kEcScalar = 0x06;
constexpr uint32_t kEd25519Scalar = 0x07;
// Elements of metadata.
constexpr uint32_t kMetadataAlgorithm = 0x01;
constexpr uint32_t kMetadataPolicy = 0x02;
constexpr uint32_t kMetadataOrigin = 0x03;
constexpr uint32_t kMetadataPublicKey = 0x04;
// Where MOVE KEY moves what shall be no more.
constexpr uint8_t kNowhere = 0xFF;
constexpr char kUncompressed = 0x04;
constexpr size_t kEd25519SignatureBytes = 64;

std::string Byte(uint8_t value) { return std::string(1, static_cast<char>(value)); }

void AppendPolicies(const KeySettings& settings, std::string* out) {
  if (settings.pin_policy != PinPolicy::kDefault) {
    AppendTlv(kPinPolicyTag, Byte(static_cast<uint8_t>(settings.pin_policy)), out);
  }
  if (settings.touch_policy != TouchPolicy::kDefault) {
    AppendTlv(kTouchPolicyTag, Byte(static_cast<uint8_t>(settings.touch_policy)), out);
  }
}

// The suite's algorithm for keys that it generates, imports and signs by.
absl::StatusOr<crypto::Algorithm> KnownAlgorithm(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRsa2048:
      return crypto::Algorithm::kRsaPkcs1_2048Sha256;
    case Algorithm::kEccP256:
      return crypto::Algorithm::kEcdsaP256Sha256;
    case Algorithm::kEccP384:
      return crypto::Algorithm::kEcdsaP384Sha384;
    case Algorithm::kEd25519:
      return crypto::Algorithm::kEd25519;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("keys are P-256, P-384, RSA-2048 or Ed25519, not of algorithm ",
                       static_cast<int>(algorithm)));
  }
}

// GENERAL AUTHENTICATE with one input. The answer's only element.
absl::StatusOr<std::string> Use(Transport* transport, Slot slot, Algorithm algorithm,
                                uint32_t input_tag, absl::string_view input,
                                absl::string_view doing) {
  Command command{0, kGeneralAuthenticate, static_cast<uint8_t>(algorithm), slot, ""};
  std::string inside = Tlv(kResponse, "");
  AppendTlv(input_tag, input, &inside);
  AppendTlv(kDynamicTemplate, inside, &command.data);
  ASSIGN_OR_RETURN(std::string answer, Exchange(transport, std::move(command), Concern::kKeyUse,
                                                absl::StrCat(doing, SlotName(slot))));
  TlvReader outer(answer);
  absl::string_view contents;
  absl::string_view result;
  if (!outer.Read(kDynamicTemplate, &contents) || !outer.empty()) contents = {};
  TlvReader inner(contents);
  const bool read = inner.Read(kResponse, &result) && inner.empty() && !result.empty();
  std::string out(result);
  crypto::Wipe(answer.data(), answer.size());
  if (!read) {
    return absl::InternalError(
        absl::StrCat(doing, SlotName(slot), ": the card answered what is no result"));
  }
  return out;
}

absl::StatusOr<crypto::SecretBytes> Secret(absl::StatusOr<std::string> result, size_t size) {
  RETURN_IF_ERROR(result.status());
  crypto::SecretBytes out(*result);
  crypto::Wipe(result->data(), result->size());
  if (out.size() != size) {
    return absl::InternalError(
        absl::StrCat("the card answered ", out.size(), " bytes where there are ", size));
  }
  return out;
}

}  // namespace

absl::StatusOr<crypto::PublicKey> Applet::GenerateKey(Slot slot, const KeySettings& settings) {
  RETURN_IF_ERROR(KnownAlgorithm(settings.algorithm).status());
  std::string inside = Tlv(kAlgorithmTag, Byte(static_cast<uint8_t>(settings.algorithm)));
  AppendPolicies(settings, &inside);
  ASSIGN_OR_RETURN(
      const std::string answer,
      Exchange(transport_, {0, kGenerateAsymmetric, 0, slot, Tlv(kKeyTemplate, inside)},
               Concern::kManagement, absl::StrCat("generating a key in slot ", SlotName(slot))));
  TlvReader reader(answer);
  absl::string_view elements;
  if (!reader.Read(kPublicKeyTemplate, &elements) || !reader.empty()) {
    return absl::InternalError("generating a key: the card answered no public key");
  }
  ASSIGN_OR_RETURN(const std::string spki, CardKeySpki(settings.algorithm, elements));
  absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromSpkiDer(spki);
  if (key.ok()) return key;
  return absl::InternalError(
      absl::StrCat("generating a key: the card answered a bad one: ", key.status().message()));
}

absl::Status Applet::ImportKey(Slot slot, const crypto::SecretBytes& pkcs8,
                               const KeySettings& settings) {
  ASSIGN_OR_RETURN(const crypto::Algorithm known, KnownAlgorithm(settings.algorithm));
  ASSIGN_OR_RETURN(const crypto::PrivateKeyParts parts, crypto::PartsOfPkcs8(pkcs8, known));
  Command command{0, kImportKey, static_cast<uint8_t>(settings.algorithm), slot, ""};
  // Of no less than it becomes, so that the string leaves no part of the key behind where it grows.
  command.data.reserve(5 * (4 + parts.p.size()) + 2 + parts.scalar.size() + 6);
  const auto append = [&](uint32_t tag, const crypto::SecretBytes& part) {
    AppendTlv(tag, part.Expose(crypto::SecretAccess::Grant()), &command.data);
  };
  if (IsRsa(settings.algorithm)) {
    append(kPrimeP, parts.p);
    append(kPrimeQ, parts.q);
    append(kExponentP, parts.dp);
    append(kExponentQ, parts.dq);
    append(kCoefficient, parts.qinv);
  } else {
    append(IsEc(settings.algorithm) ? kEcScalar : kEd25519Scalar, parts.scalar);
  }
  AppendPolicies(settings, &command.data);
  return Exchange(transport_, std::move(command), Concern::kManagement,
                  absl::StrCat("importing a key into slot ", SlotName(slot)))
      .status();
}

absl::Status Applet::DeleteKey(Slot slot) {
  return Exchange(transport_, {0, kMoveKey, kNowhere, slot, ""}, Concern::kManagement,
                  absl::StrCat("deleting the key in slot ", SlotName(slot)))
      .status();
}

absl::StatusOr<SlotMetadata> Applet::GetMetadata(Slot slot) {
  const std::string doing = absl::StrCat("reading the metadata of slot ", SlotName(slot));
  ASSIGN_OR_RETURN(const std::string answer,
                   Exchange(transport_, {0, kGetMetadata, 0, slot, ""}, Concern::kReading, doing));
  const auto bad = [&] {
    return absl::InternalError(absl::StrCat(doing, ": the card answered what are none"));
  };
  SlotMetadata metadata;
  bool has_algorithm = false;
  absl::string_view elements;
  uint32_t tag;
  absl::string_view value;
  TlvReader reader(answer);
  while (reader.Read(&tag, &value)) {
    switch (tag) {
      case kMetadataAlgorithm:
        if (value.size() != 1) return bad();
        metadata.algorithm = static_cast<Algorithm>(static_cast<uint8_t>(value[0]));
        has_algorithm = true;
        break;
      case kMetadataPolicy:
        if (value.size() != 2) return bad();
        metadata.pin_policy = static_cast<PinPolicy>(static_cast<uint8_t>(value[0]));
        metadata.touch_policy = static_cast<TouchPolicy>(static_cast<uint8_t>(value[1]));
        break;
      case kMetadataOrigin:
        if (value.size() != 1) return bad();
        metadata.origin = static_cast<Origin>(static_cast<uint8_t>(value[0]));
        break;
      case kMetadataPublicKey:
        elements = value;
        break;
      default:
        break;
    }
  }
  if (!reader.empty() || !has_algorithm) return bad();
  if (elements.empty() || !KnownAlgorithm(metadata.algorithm).ok()) return metadata;
  ASSIGN_OR_RETURN(std::string spki, CardKeySpki(metadata.algorithm, elements));
  if (crypto::PublicKey::FromSpkiDer(spki).ok()) metadata.spki_der = std::move(spki);
  return metadata;
}

absl::StatusOr<std::string> Applet::Sign(Slot slot, Algorithm algorithm, absl::string_view input) {
  const size_t size = InputBytes(algorithm);
  if (IsEc(algorithm) ? input.empty() || input.size() > size
                      : IsRsa(algorithm) && input.size() != size) {
    return absl::InvalidArgumentError(absl::StrCat("the key signs ", IsEc(algorithm) ? "1 to " : "",
                                                   size, " bytes, not ", input.size()));
  }
  if (size == 0 && algorithm != Algorithm::kEd25519) {
    return absl::InvalidArgumentError(
        absl::StrCat("keys of algorithm ", static_cast<int>(algorithm), " do not sign"));
  }
  ASSIGN_OR_RETURN(std::string signature, Use(transport_, slot, algorithm, kChallenge, input,
                                              "signing with the key in slot "));
  if (IsEc(algorithm)) {
    pki::DerReader der(signature);
    absl::string_view numbers;
    if (der.Read(pki::kSequence, &numbers) && der.empty()) return signature;
  } else if (signature.size() == (IsRsa(algorithm) ? size : kEd25519SignatureBytes)) {
    return signature;
  }
  return absl::InternalError(absl::StrCat("signing: the card answered what is no signature, ",
                                          signature.size(), " bytes"));
}

absl::StatusOr<crypto::SecretBytes> Applet::Agree(Slot slot, Algorithm algorithm,
                                                  absl::string_view point) {
  if (!IsEc(algorithm)) {
    return absl::InvalidArgumentError("keys on P-256 and P-384 agree on secrets, and no others");
  }
  const size_t size = InputBytes(algorithm);
  if (point.size() != 1 + 2 * size || point[0] != kUncompressed) {
    return absl::InvalidArgumentError(
        absl::StrCat("the peer's public key is no uncompressed point of ", 1 + 2 * size, " bytes"));
  }
  return Secret(Use(transport_, slot, algorithm, kExponentiation, point,
                    "agreeing on a secret with the key in slot "),
                size);
}

absl::StatusOr<crypto::SecretBytes> Applet::Decipher(Slot slot, Algorithm algorithm,
                                                     absl::string_view ciphertext) {
  if (!IsRsa(algorithm)) return absl::InvalidArgumentError("only RSA keys decrypt");
  const size_t size = InputBytes(algorithm);
  if (ciphertext.size() != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key decrypts ", size, " bytes, not ", ciphertext.size()));
  }
  return Secret(
      Use(transport_, slot, algorithm, kChallenge, ciphertext, "decrypting with the key in slot "),
      size);
}

absl::StatusOr<std::string> Applet::Attest(Slot slot) {
  const std::string doing = absl::StrCat("attesting the key in slot ", SlotName(slot),
                                         " (which was to be generated on the card)");
  ASSIGN_OR_RETURN(std::string certificate,
                   Exchange(transport_, {0, kAttest, slot, 0, ""}, Concern::kReading, doing));
  pki::DerReader der(certificate);
  absl::string_view contents;
  if (!der.Read(pki::kSequence, &contents) || !der.empty()) {
    return absl::InternalError(absl::StrCat(doing, ": the card answered no certificate"));
  }
  return certificate;
}

}  // namespace countersign::piv
