#include "libs/note/cosignature.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"

namespace countersign::note {
namespace {

constexpr uint64_t kMaxTimestamp = INT64_MAX;
constexpr size_t kSignatureBytes = 8 + 64;

}  // namespace

std::string CosignatureMessage(uint64_t timestamp, absl::string_view text) {
  return absl::StrCat("cosignature/v1\ntime ", timestamp, "\n", text);
}

std::optional<uint64_t> CosignatureTimestamp(absl::string_view signature) {
  uint64_t timestamp = 0;
  if (signature.size() != kSignatureBytes || !base::ByteReader(signature).ReadU64(&timestamp) ||
      timestamp > kMaxTimestamp) {
    return std::nullopt;
  }
  return timestamp;
}

CosignatureSigner::CosignatureSigner(NoteVerifier verifier, crypto::PrivateKey key,
                                     const base::Clock* clock)
    : verifier_(std::move(verifier)), key_(std::move(key)), clock_(clock) {}

absl::StatusOr<std::unique_ptr<CosignatureSigner>> CosignatureSigner::Create(
    absl::string_view name, crypto::PrivateKey key, const base::Clock* clock) {
  ASSIGN_OR_RETURN(NoteVerifier verifier,
                   NoteVerifier::Create(name, SignatureType::kCosignature, key.public_key()));
  return std::unique_ptr<CosignatureSigner>(
      new CosignatureSigner(std::move(verifier), std::move(key), clock));
}

absl::StatusOr<std::string> CosignatureSigner::Sign(absl::string_view text) const {
  const int64_t now = absl::ToUnixSeconds(clock_->Now());
  if (now <= 0) {
    return absl::FailedPreconditionError("the clock is not past 1970: set the machine's time");
  }
  return SignAt(text, static_cast<uint64_t>(now));
}

absl::StatusOr<std::string> CosignatureSigner::SignAt(absl::string_view text,
                                                      uint64_t timestamp) const {
  if (timestamp == 0 || timestamp > kMaxTimestamp) {
    return absl::InvalidArgumentError(
        absl::StrCat("a cosignature cannot bear the timestamp ", timestamp));
  }
  ASSIGN_OR_RETURN(const std::string signature,
                   key_.SignMessage(CosignatureMessage(timestamp, text)));
  std::string timestamped;
  base::AppendU64(&timestamped, timestamp);
  return timestamped + signature;
}

}  // namespace countersign::note
