#include "services/yubikey-agent/slot_changes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/runtime/error_details.h"

namespace countersign::yubikey {
namespace {

constexpr char kSlotInUse[] = "SLOT_IN_USE";
constexpr char kWrongKey[] = "WRONG_KEY";

}  // namespace

absl::Status InUse(const SlotRef& ref) {
  return runtime::AttachReason(
      absl::FailedPreconditionError(
          absl::StrCat("slot ", piv::SlotName(ref.slot), " of card ", ref.serial,
                       " is in use: ask to replace what is in it, if that may be lost")),
      kSlotInUse);
}

absl::Status CheckEmpty(piv::Applet& applet, const SlotRef& ref) {
  const absl::Status key = applet.GetMetadata(ref.slot).status();
  if (key.ok()) return InUse(ref);
  // Firmware before 5.3 shows certificates only.
  if (!absl::IsNotFound(key) && !absl::IsUnimplemented(key)) return key;
  const absl::Status certificate = applet.ReadCertificate(ref.slot).status();
  if (absl::IsNotFound(certificate)) return absl::OkStatus();
  return certificate.ok() || absl::IsDataLoss(certificate) ? InUse(ref) : certificate;
}

absl::Status WrongKey(piv::Slot slot) {
  return runtime::AttachReason(
      absl::FailedPreconditionError(
          absl::StrCat("the certificate is not of the key in slot ", piv::SlotName(slot))),
      kWrongKey);
}

CardPool::Body WriteOf(piv::Slot slot, std::string spki, std::string der) {
  return [slot, spki = std::move(spki), der = std::move(der)](piv::Applet& applet) -> absl::Status {
    const absl::StatusOr<piv::SlotMetadata> key = applet.GetMetadata(slot);
    if (key.ok() && !key->spki_der.empty() && key->spki_der != spki) return WrongKey(slot);
    return applet.WriteCertificate(slot, der);
  };
}

SlotInfo NewKey(piv::Slot slot, const piv::KeySettings& settings, piv::Origin origin) {
  SlotInfo info;
  info.slot = slot;
  info.key.algorithm = settings.algorithm;
  info.key.pin_policy = settings.pin_policy;
  info.key.touch_policy = settings.touch_policy;
  info.key.origin = origin;
  return info;
}

}  // namespace countersign::yubikey
