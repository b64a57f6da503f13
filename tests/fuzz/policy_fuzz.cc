#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "libs/note/policy.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace note = countersign::note;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto parsed = note::Policy::Parse(input);
  if (!parsed.ok()) return 0;
  const std::string text = parsed->Format();
  const auto again = note::Policy::Parse(text);
  Holds(again.ok(), "a policy written can be read");
  Holds(again->Format() == text, "a policy written is stable");
  std::set<std::string, std::less<>> names;
  for (const note::PolicyWitness& witness : parsed->witnesses()) names.insert(witness.name);
  Holds(parsed->Satisfied(names), "all witnesses together meet every quorum");
  Holds(parsed->Satisfied({}) == (parsed->quorum() == "none"), "nobody meets only the quorum none");
  return 0;
}
