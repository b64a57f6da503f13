#include "libs/tlog/log_trust.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/tlog/damage.h"

namespace countersign::tlog {
namespace {

absl::Status Damaged(DamageKind kind, const absl::Status& why) {
  return DamageError({kind, "checkpoint", {}, "", "", std::string(why.message())});
}

}  // namespace

absl::StatusOr<SignedCheckpoint> LogTrust::OpenKnown(absl::string_view note) const {
  absl::StatusOr<note::Checkpoint> checkpoint = note::ParseSignedCheckpoint(note);
  if (!checkpoint.ok()) return Damaged(DamageKind::kMalformed, checkpoint.status());
  if (key_.has_value()) {
    checkpoint = note::OpenCheckpoint(note, key_->name(), {&*key_, 1});
    if (!checkpoint.ok()) return Damaged(DamageKind::kSignature, checkpoint.status());
  }
  if (policy_.has_value()) {
    const absl::StatusOr<note::PolicyVerdict> verdict = policy_->Check(note);
    if (!verdict.ok()) return Damaged(DamageKind::kSignature, verdict.status());
  }
  return SignedCheckpoint{*std::move(checkpoint), std::string(note)};
}

absl::StatusOr<SignedCheckpoint> LogTrust::Open(absl::string_view note) const {
  ASSIGN_OR_RETURN(SignedCheckpoint checkpoint, OpenKnown(note));
  if (policy_.has_value()) {
    const absl::StatusOr<note::PolicyVerdict> verdict = policy_->Verify(note);
    if (!verdict.ok()) return Damaged(DamageKind::kQuorum, verdict.status());
  }
  return checkpoint;
}

}  // namespace countersign::tlog
