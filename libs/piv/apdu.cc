#include "libs/piv/apdu.h"

#include <algorithm>
#include <cstddef>

#include "libs/base/bytes.h"

namespace countersign::piv {
namespace {

constexpr size_t kHeaderBytes = 4;
constexpr size_t kMaxData = 255;
constexpr uint8_t kChained = 0x10;

void AppendBlock(const Command& command, bool last, absl::string_view data,
                 std::vector<std::string>* out) {
  const uint8_t cla = last ? command.cla : static_cast<uint8_t>(command.cla | kChained);
  std::string apdu;
  apdu.reserve(kHeaderBytes + 1 + data.size());
  for (const uint8_t byte : {cla, command.ins, command.p1, command.p2}) {
    apdu.push_back(static_cast<char>(byte));
  }
  apdu.push_back(static_cast<char>(data.size()));
  apdu.append(data.data(), data.size());
  out->push_back(std::move(apdu));
}

}  // namespace

std::vector<std::string> EncodeCommand(const Command& command) {
  std::vector<std::string> apdus;
  absl::string_view rest = command.data;
  do {
    const absl::string_view block = rest.substr(0, kMaxData);
    rest.remove_prefix(block.size());
    AppendBlock(command, rest.empty(), block, &apdus);
  } while (!rest.empty());
  return apdus;
}

absl::StatusOr<Command> ParseCommand(absl::string_view apdu) {
  if (apdu.size() < kHeaderBytes) {
    return absl::InvalidArgumentError("an APDU has at least four bytes");
  }
  Command command;
  command.cla = static_cast<uint8_t>(apdu[0]);
  command.ins = static_cast<uint8_t>(apdu[1]);
  command.p1 = static_cast<uint8_t>(apdu[2]);
  command.p2 = static_cast<uint8_t>(apdu[3]);
  absl::string_view body = apdu.substr(kHeaderBytes);
  if (body.size() <= 1) return command;
  const size_t length = static_cast<uint8_t>(body[0]);
  body.remove_prefix(1);
  if (body.size() < length || body.size() > length + 1) {
    return absl::InvalidArgumentError("an APDU is not as long as its Lc says");
  }
  command.data = std::string(body.substr(0, length));
  return command;
}

absl::StatusOr<Response> ParseResponse(absl::string_view bytes) {
  if (bytes.size() < 2) return absl::InvalidArgumentError("a response has at least two bytes");
  Response response;
  response.data = std::string(bytes.substr(0, bytes.size() - 2));
  base::ByteReader status(bytes.substr(bytes.size() - 2));
  status.ReadU16(&response.sw);
  return response;
}

std::string EncodeResponse(const Response& response) {
  std::string bytes = response.data;
  base::AppendU16(&bytes, response.sw);
  return bytes;
}

int TriesLeft(uint16_t sw) { return (sw & 0xFFF0) == 0x63C0 ? sw & 0x0F : -1; }

}  // namespace countersign::piv
