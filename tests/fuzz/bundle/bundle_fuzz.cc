#include <cstddef>
#include <cstdint>

#include "libs/bundle/bundle.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace bundle = countersign::bundle;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed =
      bundle::ParseBundle(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) return 0;
  const std::string text = bundle::FormatBundle(*parsed);
  const auto again = bundle::ParseBundle(text);
  Holds(again.ok(), "what is written can be read");
  Holds(bundle::FormatBundle(*again) == text, "a bundle that was written has one text");
  return 0;
}
