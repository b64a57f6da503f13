#include <cstddef>
#include <cstdint>

#include "libs/bundle/jcs.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace bundle = countersign::bundle;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto once =
      bundle::CanonicalizeJson(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!once.ok()) return 0;
  const auto twice = bundle::CanonicalizeJson(*once);
  Holds(twice.ok(), "canonical JSON is JSON");
  Holds(*twice == *once, "canonical JSON is its own canonical form");
  return 0;
}
