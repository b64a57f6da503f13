#include "services/witness/front_end.h"

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"
#include "libs/note/utf8.h"

namespace countersign::witness {
namespace {

constexpr absl::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr absl::string_view kEllipsis = "\xe2\x80\xa6";     // U+2026

bool IsControl(uint32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

std::string PublicText(absl::string_view text) {
  std::string out;
  size_t cut = 0;  // where the ellipsis goes if there is too much
  while (!text.empty() && out.size() <= kMaxMessageBytes) {
    const absl::string_view before = text;
    uint32_t c = 0;
    absl::string_view piece = kReplacement;
    if (!note::ConsumeCodePoint(&text, &c)) {
      text.remove_prefix(1);
    } else if (!IsControl(c)) {
      piece = before.substr(0, before.size() - text.size());
    }
    out.append(piece.data(), piece.size());
    if (out.size() + kEllipsis.size() <= kMaxMessageBytes) cut = out.size();
  }
  if (out.size() > kMaxMessageBytes) {
    out.replace(cut, std::string::npos, kEllipsis.data(), kEllipsis.size());
  }
  return out;
}

}  // namespace

Admission::Admission(int limit) : limit_(limit), taken_(std::make_shared<std::atomic<int>>(0)) {}

std::shared_ptr<void> Admission::Enter() const {
  if (taken_->fetch_add(1) >= limit_) {
    taken_->fetch_sub(1);
    return nullptr;
  }
  return std::shared_ptr<void>(taken_.get(), [taken = taken_](void*) { taken->fetch_sub(1); });
}

absl::Status PublicStatus(const absl::Status& status) {
  if (status.ok()) return status;
  absl::Status out(status.code(), PublicText(status.message()));
  status.ForEachPayload(
      [&out](absl::string_view url, const absl::Cord& payload) { out.SetPayload(url, payload); });
  return out;
}

}  // namespace countersign::witness
