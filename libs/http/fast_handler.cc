#include "libs/http/fast_handler.h"

#include "absl/strings/match.h"

namespace countersign::http {

absl::string_view FastRequest::Get(absl::string_view name) const {
  for (size_t i = 0; i < field_count; ++i) {
    if (absl::EqualsIgnoreCase(fields[i].name, name)) return fields[i].value;
  }
  return {};
}

int FastRequest::Count(absl::string_view name) const {
  int count = 0;
  for (size_t i = 0; i < field_count; ++i) count += absl::EqualsIgnoreCase(fields[i].name, name);
  return count;
}

}  // namespace countersign::http
