#include <algorithm>

#include "services/yubikey-agent/sessions.h"

namespace countersign::yubikey {
namespace {

bool Holds(const std::vector<std::string>& sorted, absl::string_view name) {
  return std::binary_search(sorted.begin(), sorted.end(), name,
                            [](absl::string_view a, absl::string_view b) { return a < b; });
}

// `cards/{serial}` of `cards/{serial}/slots/{slot}`; empty for a name of another form.
absl::string_view CardOf(absl::string_view name) {
  constexpr absl::string_view kCards = "cards/";
  if (name.substr(0, kCards.size()) != kCards) return {};
  const size_t end = name.find('/', kCards.size());
  return end == absl::string_view::npos ? absl::string_view() : name.substr(0, end);
}

}  // namespace

bool Scope::Covers(absl::string_view name) const {
  if (Holds(names, "*") || Holds(names, name)) return true;
  const absl::string_view card = CardOf(name);
  return !card.empty() && Holds(names, card);
}

bool Scope::Includes(const Scope& other) const {
  return (other.operations & ~operations) == 0 &&
         std::all_of(other.names.begin(), other.names.end(),
                     [this](const std::string& name) { return Covers(name); });
}

}  // namespace countersign::yubikey
