#include "libs/testing/piv/card_host.h"

#include <utility>

#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/piv/tlv.h"
#include "libs/testing/matchers.h"
#include "openssl/cipher.h"

namespace countersign::testing::piv {
namespace {

using namespace countersign::piv;  // instructions and TLV

const EVP_CIPHER* CipherOf(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kAes128:
      return EVP_aes_128_ecb();
    case Algorithm::kAes192:
      return EVP_aes_192_ecb();
    case Algorithm::kAes256:
      return EVP_aes_256_ecb();
    default:
      return EVP_des_ede3_ecb();
  }
}

std::string Crypt(Algorithm algorithm, absl::string_view key, absl::string_view block,
                  int encrypt) {
  bssl::ScopedEVP_CIPHER_CTX context;
  std::string out(block.size() + EVP_MAX_BLOCK_LENGTH, '\0');
  int size = 0;
  REQUIRE(EVP_CipherInit_ex(context.get(), CipherOf(algorithm), nullptr,
                            reinterpret_cast<const uint8_t*>(key.data()), nullptr, encrypt));
  EVP_CIPHER_CTX_set_padding(context.get(), 0);
  REQUIRE(EVP_CipherUpdate(context.get(), reinterpret_cast<uint8_t*>(out.data()), &size,
                           reinterpret_cast<const uint8_t*>(block.data()),
                           static_cast<int>(block.size())));
  out.resize(static_cast<size_t>(size));
  return out;
}

}  // namespace

std::string Hex(absl::string_view hex) {
  return RequireOk(base::HexDecode(absl::StrReplaceAll(hex, {{" ", ""}})));
}

CardHost::CardHost(CardOptions options) : card_(RequireOk(Card::Create(std::move(options)))) {
  REQUIRE(Select() == kOk);
}

CardHost::CardHost(Version version) : CardHost(CardOptions{.version = version}) {}

absl::StatusOr<Response> CardHost::TrySend(uint8_t ins, uint8_t p1, uint8_t p2,
                                           absl::string_view data) {
  Response last;
  for (const std::string& apdu : EncodeCommand({0, ins, p1, p2, std::string(data)})) {
    ASSIGN_OR_RETURN(const std::string answer, card_->Transmit(apdu));
    last = RequireOk(ParseResponse(answer));
    if (!last.ok()) break;
  }
  Response whole = last;
  while (whole.sw >> 8 == 0x61) {
    ASSIGN_OR_RETURN(const std::string answer, card_->Transmit(Hex("00c0000000")));
    last = RequireOk(ParseResponse(answer));
    whole.data += last.data;
    whole.sw = last.sw;
  }
  return whole;
}

Response CardHost::Send(uint8_t ins, uint8_t p1, uint8_t p2, absl::string_view data) {
  return RequireOk(TrySend(ins, p1, p2, data));
}

int CardHost::Status(uint8_t ins, uint8_t p1, uint8_t p2, absl::string_view data) {
  return Send(ins, p1, p2, data).sw;
}

std::string CardHost::Data(uint8_t ins, uint8_t p1, uint8_t p2, absl::string_view data) {
  Response response = Send(ins, p1, p2, data);
  REQUIRE(response.sw == kOk);
  return std::move(response.data);
}

int CardHost::Select(absl::string_view aid) { return Status(kSelect, 0x04, 0, aid); }

int CardHost::Verify(absl::string_view pin) { return Status(kVerify, 0, 0x80, Pad(pin)); }

int CardHost::Authenticate() {
  const std::string metadata = Send(kGetMetadata, 0, kCardManagement).data;
  const Algorithm algorithm =
      metadata.size() > 2 ? static_cast<Algorithm>(metadata[2]) : Algorithm::kTripleDes;
  const auto p1 = static_cast<uint8_t>(algorithm);
  const Response witness = Send(kGeneralAuthenticate, p1, kCardManagement, Hex("7c028000"));
  const std::string block = Unwrap(0x80, Unwrap(0x7C, witness.data));
  std::string request;
  AppendTlv(0x80, DecryptBlock(algorithm, FactoryKey(), block), &request);
  AppendTlv(0x81, block, &request);
  return Status(kGeneralAuthenticate, p1, kCardManagement, Tlv(0x7C, request));
}

std::string CardHost::Generate(Slot slot, Algorithm algorithm, absl::string_view policies) {
  const char byte = static_cast<char>(algorithm);
  return Data(kGenerateAsymmetric, 0, slot,
              Tlv(0xAC, Tlv(0x80, absl::string_view(&byte, 1)) + std::string(policies)));
}

Response CardHost::Use(Slot slot, Algorithm algorithm, absl::string_view input, uint8_t tag) {
  std::string request = Hex("8200");
  AppendTlv(tag, input, &request);
  return Send(kGeneralAuthenticate, static_cast<uint8_t>(algorithm), slot, Tlv(0x7C, request));
}

std::string Pad(absl::string_view pin) {
  std::string padded(pin);
  padded.resize(kPinBytes, '\xFF');
  return padded;
}

std::string EncryptBlock(Algorithm algorithm, absl::string_view key, absl::string_view block) {
  return Crypt(algorithm, key, block, 1);
}

std::string DecryptBlock(Algorithm algorithm, absl::string_view key, absl::string_view block) {
  return Crypt(algorithm, key, block, 0);
}

std::string FactoryKey() { return Hex("010203040506070801020304050607080102030405060708"); }

std::string Unwrap(uint32_t tag, absl::string_view tlv) {
  TlvReader reader(tlv);
  absl::string_view contents;
  REQUIRE(reader.Read(tag, &contents));
  REQUIRE(reader.empty());
  return std::string(contents);
}

}  // namespace countersign::testing::piv
