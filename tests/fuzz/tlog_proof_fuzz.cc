#include <cstddef>
#include <cstdint>

#include "libs/note/tlog_proof.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace note = countersign::note;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto parsed = note::ParseTlogProof(input);
  if (!parsed.ok()) return 0;
  Holds(note::FormatTlogProof(*parsed) == input, "a proof file has one text");
  Holds(parsed->hashes.size() <= 63, "a proof is no longer than a tree is high");
  return 0;
}
