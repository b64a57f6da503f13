#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "libs/piv/apdu.h"
#include "libs/piv/tlv.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace piv = countersign::piv;

namespace {

void CheckCommand(absl::string_view input) {
  const auto parsed = piv::ParseCommand(input);
  if (!parsed.ok()) return;
  Holds(parsed->data.size() <= 255, "a short APDU holds at most 255 bytes");
  Holds(parsed->data.size() + 4 <= input.size(), "a command holds no more than arrived");
  const std::vector<std::string> apdus = piv::EncodeCommand(*parsed);
  Holds(apdus.size() == 1, "what arrived in one APDU leaves in one");
  const auto again = piv::ParseCommand(apdus[0]);
  Holds(again.ok() && again->cla == parsed->cla && again->ins == parsed->ins &&
            again->p1 == parsed->p1 && again->p2 == parsed->p2 && again->data == parsed->data,
        "a command reads as it was written");
}

// A command of any length, sent in a chain and put together as a card does.
void CheckChain(absl::string_view input) {
  piv::Command command{0, 0xDB, 0x3F, 0xFF, std::string(input)};
  const std::vector<std::string> apdus = piv::EncodeCommand(command);
  std::string joined;
  for (size_t i = 0; i < apdus.size(); ++i) {
    const auto block = piv::ParseCommand(apdus[i]);
    Holds(block.ok(), "each block is an APDU");
    Holds((block->cla == 0x10) == (i + 1 < apdus.size()), "all blocks but the last are chained");
    Holds(block->ins == 0xDB && block->p1 == 0x3F && block->p2 == 0xFF, "blocks are alike");
    joined += block->data;
  }
  Holds(joined == input, "a chain holds the data");
}

void CheckResponse(absl::string_view input) {
  const auto parsed = piv::ParseResponse(input);
  Holds(parsed.ok() == (input.size() >= 2), "two bytes are a response, and fewer are none");
  if (!parsed.ok()) return;
  Holds(piv::EncodeResponse(*parsed) == input, "a response has one encoding");
  const int tries = piv::TriesLeft(parsed->sw);
  Holds(tries == -1 || (tries >= 0 && parsed->sw == 0x63C0 + tries), "tries are of 63Cx");
}

// Reads `input` to its end, and into what looks nested.
void CheckTlv(absl::string_view input, int depth) {
  piv::TlvReader reader(input);
  uint32_t tag;
  absl::string_view value;
  while (true) {
    const absl::string_view before = reader.rest();
    if (!reader.Read(&tag, &value)) {
      Holds(reader.rest() == before, "a reader that fails stays where it was");
      break;
    }
    Holds(reader.rest().size() < before.size(), "a reader goes on");
    Holds(value.empty() || (value.data() >= before.data() &&
                            value.data() + value.size() <= before.data() + before.size()),
          "a value lies in the bytes that are read");
    if (value.size() < 65536) {
      const std::string element = piv::Tlv(tag, value);
      piv::TlvReader again(element);
      absl::string_view same;
      Holds(again.Read(tag, &same) && again.empty() && same == value,
            "an element reads as it was written");
      Holds(element.size() <= before.size() - reader.rest().size(),
            "what is written is the shortest");
    }
    if (depth < 4) CheckTlv(value, depth + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  CheckCommand(input);
  CheckChain(input);
  CheckResponse(input);
  CheckTlv(input, 0);
  return 0;
}
