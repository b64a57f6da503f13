// The management key and the data objects of a simulated card (SP 800-73-4 part 2 sections 3.1.2,
// 3.2.4 and 3.3.1).
#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "libs/crypto/random.h"
#include "libs/piv/tlv.h"
#include "libs/testing/piv/card_applet.h"
#include "openssl/aes.h"
#include "openssl/des.h"

namespace countersign::testing::piv {
namespace {

using namespace countersign::piv;  // status words, objects and TLV

// Objects together take up less than this.
constexpr size_t kRoomBytes = 51200;

size_t KeyBytes(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kTripleDes:
    case Algorithm::kAes192:
      return 24;
    case Algorithm::kAes128:
      return 16;
    case Algorithm::kAes256:
      return 32;
    default:
      return 0;
  }
}

size_t BlockBytes(Algorithm algorithm) { return algorithm == Algorithm::kTripleDes ? 8 : 16; }

// One block, of the algorithm's size.
std::string Encrypt(Algorithm algorithm, const std::string& key, absl::string_view block) {
  std::string out(block.size(), '\0');
  const auto* in = reinterpret_cast<const uint8_t*>(block.data());
  const auto* bytes = reinterpret_cast<const uint8_t*>(key.data());
  auto* result = reinterpret_cast<uint8_t*>(out.data());
  if (algorithm == Algorithm::kTripleDes) {
    DES_key_schedule schedules[3];
    for (int i = 0; i < 3; ++i) {
      DES_cblock part;
      std::copy(bytes + 8 * i, bytes + 8 * i + 8, part.bytes);
      DES_set_key(&part, &schedules[i]);
    }
    DES_cblock from, to;
    std::copy(in, in + sizeof(from.bytes), from.bytes);
    DES_ecb3_encrypt(&from, &to, &schedules[0], &schedules[1], &schedules[2], DES_ENCRYPT);
    std::copy(to.bytes, to.bytes + sizeof(to.bytes), result);
    return out;
  }
  AES_KEY schedule;
  AES_set_encrypt_key(bytes, static_cast<unsigned>(key.size() * 8), &schedule);
  AES_encrypt(in, result, &schedule);
  return out;
}

// What may be read with a verified PIN alone (SP 800-73-4 part 1 table 2).
bool NeedsPin(uint32_t object) {
  constexpr uint32_t kFingerprints = 0x5FC103;
  constexpr uint32_t kFacialImage = 0x5FC108;
  constexpr uint32_t kIrisImages = 0x5FC121;
  return object == kObjectPrinted || object == kFingerprints || object == kFacialImage ||
         object == kIrisImages;
}

// The tag in the 5C at the front of GET DATA and PUT DATA; 0 for anything else.
uint32_t ReadTagList(TlvReader* data) {
  absl::string_view tag;
  if (!data->Read(0x5C, &tag) || tag.empty() || tag.size() > 3) return 0;
  uint32_t object = 0;
  for (const char byte : tag) object = object << 8 | static_cast<uint8_t>(byte);
  return object;
}

bool IsObject(uint32_t tag) { return tag >> 8 == 0x5FC1 || tag >> 8 == 0x5FFF; }

}  // namespace

CardApplet::Response CardApplet::AuthenticateManagement(const Command& command,
                                                        absl::string_view request) {
  constexpr uint8_t kTripleDesToo = 0;  // SP 800-78-4 table 6-2
  const Algorithm algorithm = state_->management_algorithm;
  const uint8_t asked =
      command.p1 == kTripleDesToo ? static_cast<uint8_t>(Algorithm::kTripleDes) : command.p1;
  if (asked != static_cast<uint8_t>(algorithm)) return {"", kWrongData};
  const std::string witness = std::exchange(witness_, "");
  const std::string challenge = std::exchange(challenge_, "");
  const size_t block = BlockBytes(algorithm);
  std::optional<absl::string_view> parts[3];  // 80 witness, 81 challenge, 82 response
  TlvReader reader(request);
  uint32_t tag = 0;
  absl::string_view value;
  while (reader.Read(&tag, &value)) {
    if (tag < 0x80 || tag > 0x82) return {"", kWrongData};
    parts[tag - 0x80] = value;
  }
  if (!reader.empty()) return {"", kWrongData};
  const auto answer = [](uint32_t answered, absl::string_view bytes) -> Response {
    return {Tlv(0x7C, Tlv(answered, bytes)), kOk};
  };
  const auto& [shown_witness, host_challenge, shown_response] = parts;
  // One begins each way: the card's witness, encrypted, or its challenge, plain.
  if (shown_witness.has_value() && shown_witness->empty()) {
    witness_ = crypto::RandomBytes(block);
    return answer(0x80, Encrypt(algorithm, state_->management_key, witness_));
  }
  if (host_challenge.has_value() && host_challenge->empty()) {
    challenge_ = crypto::RandomBytes(block);
    return answer(0x81, challenge_);
  }
  management_verified_ = false;
  const bool mutual = shown_witness.has_value() && host_challenge.has_value();
  if (mutual ? host_challenge->size() != block : !shown_response.has_value()) {
    return {"", kWrongData};
  }
  const bool right =
      mutual ? !witness.empty() && *shown_witness == witness
             : !challenge.empty() &&
                   *shown_response == Encrypt(algorithm, state_->management_key, challenge);
  if (!right || !Touched(state_->management_touch, command.ins)) {
    return {"", right ? kConditionsNotSatisfied : kSecurityStatusNotSatisfied};
  }
  management_verified_ = true;
  if (!mutual) return {"", kOk};
  return answer(0x82, Encrypt(algorithm, state_->management_key, *host_challenge));
}

CardApplet::Response CardApplet::SetManagementKey(const Command& command) {
  if (!management_verified_) return {"", kSecurityStatusNotSatisfied};
  // P2: FF never, FE always, FD cached.
  if (command.p1 != 0xFF || command.p2 < 0xFD) return {"", kWrongParameters};
  if (command.data.size() < 3) return {"", kWrongData};
  const auto algorithm = static_cast<Algorithm>(command.data[0]);
  absl::string_view key;
  TlvReader reader(absl::string_view(command.data).substr(1));
  if (!reader.Read(kCardManagement, &key) || !reader.empty() || KeyBytes(algorithm) == 0 ||
      key.size() != KeyBytes(algorithm) ||
      (algorithm != Algorithm::kTripleDes && !state_->version.AtLeast(5, 4))) {
    return {"", kWrongData};
  }
  state_->management_algorithm = algorithm;
  state_->management_key = std::string(key);
  state_->management_touch = static_cast<TouchPolicy>(0x100 - command.p2);
  outcome_.changed = true;
  return {"", kOk};
}

CardApplet::Response CardApplet::GetObject(const Command& command) {
  // Which AID it is, and that the application's PIN is the one (SP 800-73-4 part 1 section 3.3.2).
  constexpr absl::string_view kDiscovery(
      "\x4F\x0B\xA0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00\x5F\x2F\x02\x40\x00", 18);
  if (command.p1 != 0x3F || command.p2 != 0xFF) return {"", kWrongParameters};
  TlvReader reader(command.data);
  const uint32_t tag = ReadTagList(&reader);
  if (tag == 0) return {"", kWrongData};
  if (tag == kObjectDiscovery) return {Tlv(kObjectDiscovery, kDiscovery), kOk};
  if (NeedsPin(tag) && !pin_verified_) return {"", kSecurityStatusNotSatisfied};
  const auto object = state_->objects.find(tag);
  if (object == state_->objects.end()) return {"", kObjectNotFound};
  return {Tlv(0x53, object->second), kOk};
}

CardApplet::Response CardApplet::PutObject(const Command& command) {
  if (command.p1 != 0x3F || command.p2 != 0xFF) return {"", kWrongParameters};
  if (!management_verified_) return {"", kSecurityStatusNotSatisfied};
  TlvReader reader(command.data);
  const uint32_t tag = ReadTagList(&reader);
  absl::string_view contents;
  if (!IsObject(tag) || !reader.Read(0x53, &contents) || !reader.empty()) return {"", kWrongData};
  size_t taken = contents.size();
  for (const auto& [other, bytes] : state_->objects) taken += other == tag ? 0 : bytes.size();
  if (contents.size() > kMaxObjectBytes || taken > kRoomBytes) return {"", kNoSpace};
  outcome_.changed = true;
  state_->objects.erase(tag);
  if (!contents.empty()) state_->objects.emplace(tag, contents);
  return {"", kOk};
}

}  // namespace countersign::testing::piv
