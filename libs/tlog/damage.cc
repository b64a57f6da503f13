#include "libs/tlog/damage.h"

#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace countersign::tlog {
namespace {

constexpr char kPayload[] = "countersign/tlog-damage";
// Of the payload's fields; `detail`, the last, may hold anything.
constexpr char kSeparator = '\0';
constexpr DamageKind kKinds[] = {
    DamageKind::kMissing,   DamageKind::kShort,     DamageKind::kLong,   DamageKind::kMalformed,
    DamageKind::kWrongHash, DamageKind::kSignature, DamageKind::kQuorum, DamageKind::kRoot};

std::string Detail(const Damage& damage) {
  return damage.detail.empty() ? "" : absl::StrCat(" (", damage.detail, ")");
}

std::string DescribeHash(const Damage& damage) {
  const std::string hashes =
      absl::StrCat(" is ", damage.found, " where ", damage.expected, " is expected");
  if (!damage.position.has_value()) {
    return absl::StrCat(damage.path, " is wrong: the root over it", hashes);
  }
  if (absl::StartsWith(damage.path, "tile/entries/")) {
    return absl::StrCat(damage.path, ": entry ", *damage.position,
                        " is not the one in the log: its leaf hash", hashes);
  }
  return absl::StrCat(damage.path, ": hash ", *damage.position, hashes);
}

}  // namespace

absl::string_view DamageKindName(DamageKind kind) {
  switch (kind) {
    case DamageKind::kMissing:
      return "MISSING";
    case DamageKind::kShort:
      return "SHORT";
    case DamageKind::kLong:
      return "LONG";
    case DamageKind::kMalformed:
      return "MALFORMED";
    case DamageKind::kWrongHash:
      return "WRONG_HASH";
    case DamageKind::kSignature:
      return "SIGNATURE";
    case DamageKind::kQuorum:
      return "QUORUM";
    case DamageKind::kRoot:
      return "ROOT";
  }
  return "UNKNOWN";
}

std::string Describe(const Damage& damage) {
  switch (damage.kind) {
    case DamageKind::kMissing:
      return absl::StrCat(damage.path, " is missing", Detail(damage));
    case DamageKind::kShort:
      return absl::StrCat(damage.path, " is too short: ", damage.found, " bytes, expected ",
                          damage.expected, Detail(damage));
    case DamageKind::kLong:
      return absl::StrCat(damage.path, " is too long: ", damage.found, " bytes, expected ",
                          damage.expected, Detail(damage));
    case DamageKind::kMalformed:
      return absl::StrCat(damage.path, " is malformed", Detail(damage));
    case DamageKind::kWrongHash:
      return absl::StrCat(DescribeHash(damage), Detail(damage));
    case DamageKind::kSignature:
      return absl::StrCat(damage.path, " is not signed by the log", Detail(damage));
    case DamageKind::kQuorum:
      return absl::StrCat(damage.path, " lacks the quorum of witnesses", Detail(damage));
    case DamageKind::kRoot:
      return absl::StrCat(damage.path, " has the root ", damage.found, ", the tiles have ",
                          damage.expected, Detail(damage));
  }
  return damage.path;
}

absl::Status DamageError(const Damage& damage) {
  absl::Status status = absl::DataLossError(Describe(damage));
  const std::vector<std::string> fields = {
      absl::StrCat(static_cast<int>(damage.kind)),
      damage.path,
      damage.position.has_value() ? absl::StrCat(*damage.position) : "",
      damage.expected,
      damage.found,
      damage.detail};
  status.SetPayload(kPayload, absl::Cord(absl::StrJoin(fields, absl::string_view(&kSeparator, 1))));
  return status;
}

std::optional<Damage> DamageOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return std::nullopt;
  const std::vector<std::string> fields =
      absl::StrSplit(std::string(*payload), absl::MaxSplits(kSeparator, 5));
  size_t kind = 0;
  if (fields.size() != 6 || !absl::SimpleAtoi(fields[0], &kind) || kind >= std::size(kKinds)) {
    return std::nullopt;
  }
  Damage damage{kKinds[kind], fields[1], std::nullopt, fields[3], fields[4], fields[5]};
  uint64_t position = 0;
  if (absl::SimpleAtoi(fields[2], &position)) damage.position = position;
  return damage;
}

}  // namespace countersign::tlog
