// A card that answers what it likes.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/private_key.h"
#include "libs/piv/applet.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace crypto = countersign::crypto;
namespace piv = countersign::piv;

namespace {

// Each answer is a length of two bytes and that many bytes of the input, the last two being the
// status word; behind the input's end, 6F00.
class HostileCard final : public piv::Transport {
 public:
  explicit HostileCard(absl::string_view input) : input_(input) {}

  absl::StatusOr<piv::Response> Transmit(const piv::Command& command) override {
    ++commands;
    absl::string_view answer = Take(2);
    if (answer.size() < 2) return piv::Response{"", piv::kUnknownError};
    const size_t size = static_cast<uint8_t>(answer[0]) << 8 | static_cast<uint8_t>(answer[1]);
    answer = Take(size);
    answered = answer.size();
    if (answer.size() < 2) return piv::Response{std::string(answer), piv::kOk};
    return piv::ParseResponse(answer);
  }
  absl::Status BeginTransaction() override { return absl::OkStatus(); }
  void EndTransaction() override {}

  int commands = 0;
  size_t answered = 0;  // bytes of the last answer

 private:
  absl::string_view Take(size_t count) {
    const absl::string_view taken = input_.substr(0, count);
    input_.remove_prefix(taken.size());
    return taken;
  }

  absl::string_view input_;
};

const crypto::SecretBytes& Secret() {
  static const auto* const secret = new crypto::SecretBytes("12345678");
  return *secret;
}

void Run(uint8_t what, HostileCard* card) {
  piv::Applet applet(card);
  const std::string digest(32, 'd');
  switch (what % 16) {
    case 0: {
      const auto serial = applet.GetSerial();
      const auto tries = applet.PinTries();
      Holds(!tries.ok() || !tries->has_value() || (**tries >= 0 && **tries <= 15),
            "tries are counted in four bits");
      break;
    }
    case 1: {
      const absl::Status status = applet.VerifyPin(Secret());
      const auto tries = piv::TriesLeftOf(status);
      Holds(tries.has_value() == absl::IsPermissionDenied(status),
            "a wrong PIN comes with its tries, and nothing else does");
      Holds(!absl::StrContains(status.message(), "12345678"), "no message holds the PIN");
      break;
    }
    case 2:
      Holds(!applet.AuthenticateManagement(crypto::SecretBytes(std::string(24, 'k'))).ok(),
            "who does not know the key cannot prove it");
      break;
    case 3:
    case 4:
    case 5:
    case 6: {
      constexpr piv::Algorithm kAlgorithms[] = {piv::Algorithm::kRsa2048, piv::Algorithm::kEccP256,
                                                piv::Algorithm::kEccP384, piv::Algorithm::kEd25519};
      constexpr crypto::Algorithm kKnown[] = {
          crypto::Algorithm::kRsaPkcs1_2048Sha256, crypto::Algorithm::kEcdsaP256Sha256,
          crypto::Algorithm::kEcdsaP384Sha384, crypto::Algorithm::kEd25519};
      const auto key =
          applet.GenerateKey(piv::kSignature, {.algorithm = kAlgorithms[what % 16 - 3]});
      Holds(!key.ok() || key->Check(kKnown[what % 16 - 3]).ok(),
            "a generated key is of the kind that was asked for");
      break;
    }
    case 7: {
      const auto metadata = applet.GetMetadata(piv::kSignature);
      Holds(!metadata.ok() || metadata->spki_der.empty() ||
                crypto::PublicKey::FromSpkiDer(metadata->spki_der).ok(),
            "metadata name a key or none");
      break;
    }
    case 8: {
      const auto signature = applet.Sign(piv::kSignature, piv::Algorithm::kEccP256, digest);
      Holds(!signature.ok() || (*signature)[0] == 0x30, "an ECDSA signature is a SEQUENCE");
      break;
    }
    case 9: {
      const auto signature =
          applet.Sign(piv::kSignature, piv::Algorithm::kRsa2048, std::string(256, 'd'));
      Holds(!signature.ok() || signature->size() == 256, "a signature is as long as the modulus");
      break;
    }
    case 10: {
      const auto secret = applet.Agree(piv::kKeyManagement, piv::Algorithm::kEccP256,
                                       "\x04" + std::string(64, 'p'));
      Holds(!secret.ok() || secret->size() == 32, "a secret is a coordinate");
      break;
    }
    case 11: {
      const auto block =
          applet.Decipher(piv::kKeyManagement, piv::Algorithm::kRsa2048, std::string(256, 'c'));
      Holds(!block.ok() || block->size() == 256, "a block is as long as the modulus");
      break;
    }
    case 12: {
      const auto certificate = applet.Attest(piv::kSignature);
      Holds(!certificate.ok() || (*certificate)[0] == 0x30, "an attestation is a SEQUENCE");
      break;
    }
    case 13: {
      const auto certificate = applet.ReadCertificate(piv::kSignature);
      Holds(!certificate.ok() || (*certificate)[0] == 0x30, "a certificate is a SEQUENCE");
      Holds(!certificate.ok() || certificate->size() <= 65536,
            "a certificate is no larger than what a card can answer, compressed or not");
      break;
    }
    case 14: {
      const auto object = applet.ReadObject(piv::kObjectDiscovery);
      Holds(card->commands == 1, "an object is one command");
      Holds(!object.ok() || object->size() < card->answered, "an object is part of the answer");
      break;
    }
    case 15: {
      const absl::Status status = applet.Logout();
      Holds(card->commands <= 3, "logging out ends");
      Holds(!status.ok() || card->commands >= 2, "who is logged out has it in writing");
      break;
    }
  }
  Holds(card->commands <= 5, "nothing is tried again");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  HostileCard card(absl::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  Run(data[0], &card);
  return 0;
}
