#include <cstddef>
#include <cstdint>
#include <string>

#include "services/yubikey-agent/callers_file.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace yubikey = countersign::yubikey;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto parsed = yubikey::ParseCallers(input);
  if (!parsed.ok()) return 0;
  for (const yubikey::Caller& caller : *parsed) {
    Holds(caller.key.has_value() || !caller.api_key_hash.empty() || caller.card_serial != 0,
          "a caller has a proof");
    Holds(caller.scope->operations != 0 && !caller.scope->names.empty(), "a caller has a scope");
    Holds(caller.scope->Includes(*caller.scope), "a scope includes itself");
  }
  const std::string text = yubikey::FormatCallers(*parsed);
  const auto again = yubikey::ParseCallers(text);
  Holds(again.ok(), "callers written can be read");
  Holds(yubikey::FormatCallers(*again) == text, "callers written are stable");
  return 0;
}
