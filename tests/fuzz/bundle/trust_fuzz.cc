#include <cstddef>
#include <cstdint>

#include "libs/bundle/trust.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace bundle = countersign::bundle;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed =
      bundle::TrustPolicy::Parse(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) return 0;
  const std::string text = parsed->Format();
  const auto again = bundle::TrustPolicy::Parse(text);
  Holds(again.ok(), "what is written can be read");
  Holds(again->Format() == text, "a trust file that was written has one text");
  return 0;
}
