#include "cli/yubikey_names.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "cli/cert_commands.h"
#include "cli/names.h"
#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/pki/certificate.h"
#include "libs/pki/name.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;

bool IsSerial(absl::string_view text) {
  return !text.empty() && text.size() <= 10 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
}

// SERIAL and SLOT of either form of a slot's name; false for another name.
bool SplitSlot(absl::string_view given, std::string* serial, std::string* slot) {
  std::vector<std::string> parts = absl::StrSplit(given, '/');
  if (parts.size() == 4 && parts[0] == "cards" && parts[2] == "slots") {
    parts = {parts[1], parts[3]};
  }
  if (parts.size() != 2 || !IsSerial(parts[0]) || parts[1].empty()) return false;
  *serial = std::move(parts[0]);
  *slot = absl::AsciiStrToLower(parts[1]);
  return true;
}

std::string KnownOrNot(const std::string& text, int value) {
  return value == 0 ? "not known" : text;
}

}  // namespace

absl::StatusOr<std::string> CardName(absl::string_view given) {
  absl::string_view serial = given;
  absl::ConsumePrefix(&serial, "cards/");
  if (IsSerial(serial)) return absl::StrCat("cards/", serial);
  return absl::InvalidArgumentError(
      absl::StrCat("\"", given, "\" is no card: write its serial number, or cards/SERIAL; ",
                   "`countersign yubikey list` shows them"));
}

absl::StatusOr<std::string> SlotResourceName(absl::string_view given) {
  std::string serial;
  std::string slot;
  if (SplitSlot(given, &serial, &slot)) return absl::StrCat("cards/", serial, "/slots/", slot);
  return absl::InvalidArgumentError(
      absl::StrCat("\"", given, "\" is no slot: write SERIAL/SLOT, for example 14289367/9c"));
}

absl::StatusOr<std::string> CardKeyName(absl::string_view given) {
  if (absl::StartsWith(given, "keys/")) return std::string(given);
  if (!absl::StrContains(given, '/') && !given.empty()) return absl::StrCat("keys/", given);
  std::string serial;
  std::string slot;
  if (SplitSlot(given, &serial, &slot)) return absl::StrCat("cards/", serial, "/slots/", slot);
  return absl::InvalidArgumentError(
      absl::StrCat("\"", given, "\" is no key: write SERIAL/SLOT, a fingerprint, or an alias; ",
                   "`countersign yubikey keys` shows them"));
}

std::string SubKeyName(absl::string_view given) {
  return absl::StartsWith(given, "subKeys/") ? std::string(given) : absl::StrCat("subKeys/", given);
}

std::string CardOfSlot(absl::string_view slot) {
  return std::string(slot.substr(0, slot.find("/slots/")));
}

// Both contracts number the algorithms alike.
std::string AlgorithmText(pb::Algorithm algorithm) {
  const auto known = AlgorithmFromProto(algorithm);
  return known.ok() ? std::string(crypto::AlgorithmName(*known)) : "-";
}

absl::StatusOr<crypto::Algorithm> AlgorithmFromProto(pb::Algorithm algorithm) {
  return AlgorithmFromProto(static_cast<sign::v1::Algorithm>(algorithm));
}

absl::StatusOr<pb::Algorithm> ParseCardAlgorithm(absl::string_view name) {
  const auto* type = pb::Algorithm_descriptor();
  for (int i = 0; i < type->value_count(); ++i) {
    const auto value = static_cast<pb::Algorithm>(type->value(i)->number());
    if (value != pb::ALGORITHM_UNSPECIFIED && AlgorithmText(value) == name) return value;
  }
  return absl::InvalidArgumentError(absl::StrCat("the agent has no algorithm \"", name, "\""));
}

std::vector<std::string> CardAlgorithmNames() {
  std::vector<std::string> names;
  const auto* type = pb::Algorithm_descriptor();
  for (int i = 0; i < type->value_count(); ++i) {
    const auto value = static_cast<pb::Algorithm>(type->value(i)->number());
    if (value != pb::ALGORITHM_UNSPECIFIED && value != pb::ALGORITHM_HPKE_X25519) {
      names.push_back(AlgorithmText(value));
    }
  }
  return names;
}

std::string PolicyText(pb::PinPolicy policy) {
  return KnownOrNot(EnumText(pb::PinPolicy_descriptor(), policy), policy);
}

std::string PolicyText(pb::TouchPolicy policy) {
  return KnownOrNot(EnumText(pb::TouchPolicy_descriptor(), policy), policy);
}

void ShowSlot(absl::string_view headline, const pb::Slot& slot, Output* output) {
  if (!headline.empty()) output->Headline(true, headline);
  output->Field("Slot", slot.name(), Tone::kStrong);
  if (!slot.spki().empty() || slot.algorithm() != pb::ALGORITHM_UNSPECIFIED) {
    output->Field("Algorithm", AlgorithmText(slot.algorithm()));
    output->Field("PIN", PolicyText(slot.pin_policy()));
    output->Field("Touch", PolicyText(slot.touch_policy()));
    output->Field("Origin",
                  KnownOrNot(EnumText(pb::KeyOrigin_descriptor(), slot.origin()), slot.origin()));
    if (!slot.fingerprint().empty()) {
      output->Field("Fingerprint", absl::StrCat("sha256:", slot.fingerprint()));
    }
  } else {
    output->Field("Key", "not known, or none");
  }
  if (slot.certificate().empty()) return;
  const auto certificate = pki::ParseCertificate(slot.certificate());
  if (!certificate.ok()) {
    output->Field("Certificate", certificate.status().message(), Tone::kBad);
    return;
  }
  output->Field("Certificate", pki::FormatName(certificate->subject));
  output->Field("Expires", absl::StrCat(FormatUtc(certificate->not_after), ", ",
                                        Distance(certificate->not_after, absl::Now())));
}

void ShowFacts(const pb::AttestationFacts& facts, Output* output) {
  output->Field("Card", facts.serial_number() == 0 ? "does not tell its serial number"
                                                   : absl::StrCat(facts.serial_number()));
  if (!facts.slot().empty()) output->Field("Slot", facts.slot());
  output->Field("Firmware", facts.firmware_version());
  if (!facts.form_factor().empty()) output->Field("Form", facts.form_factor());
  if (facts.fips()) output->Field("Edition", "FIPS");
  output->Field("PIN", PolicyText(facts.pin_policy()));
  output->Field("Touch", PolicyText(facts.touch_policy()));
  const auto digest = crypto::Sha256(facts.spki());
  output->Field("Key", absl::StrCat("sha256:", base::HexEncode(base::AsBytes(digest))));
}

}  // namespace countersign::cli
