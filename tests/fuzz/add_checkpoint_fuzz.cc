#include <cstddef>
#include <cstdint>

#include "libs/note/add_checkpoint.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace note = countersign::note;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto parsed = note::ParseAddCheckpoint(input); parsed.ok()) {
    Holds(note::FormatAddCheckpoint(*parsed) == input, "a request has one body");
    Holds(parsed->proof.size() <= note::kMaxAddCheckpointHashes, "a proof is not too long");
  }
  if (const auto answered = note::ParseTlogSize(input); answered.ok()) {
    Holds(*answered <= INT64_MAX, "a size fits a signed number");
  }
  return 0;
}
