#include "libs/pki/general_name.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/pki/name_syntax.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

using Kind = GeneralName::Kind;

// Context tags of RFC 5280's GeneralName.
constexpr uint8_t kOtherNameTag = ContextConstructed(0);
constexpr uint8_t kEmailTag = ContextTag(1);
constexpr uint8_t kDnsTag = ContextTag(2);
constexpr uint8_t kX400Tag = ContextConstructed(3);
constexpr uint8_t kDirectoryTag = ContextConstructed(4);
constexpr uint8_t kEdiPartyTag = ContextConstructed(5);
constexpr uint8_t kUriTag = ContextTag(6);
constexpr uint8_t kIpTag = ContextTag(7);
constexpr uint8_t kRegisteredIdTag = ContextTag(8);

// Visible ASCII and spaces: of what IA5String may hold, the control characters are never meant.
bool IsText(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7E; });
}

bool IsOtherName(DerReader contents) {
  absl::string_view oid;
  DerReader value;
  uint8_t tag;
  absl::string_view ignored;
  return contents.Read(kOid, &oid) && IsOid(oid) && contents.Read(ContextConstructed(0), &value) &&
         contents.empty() && value.ReadAny(&tag, &ignored) && value.empty();
}

// "10.0.0.0/8", or the mask itself when its ones do not lead.
std::string FormatSubnet(absl::string_view bytes) {
  const absl::string_view address = bytes.substr(0, bytes.size() / 2);
  const absl::string_view mask = bytes.substr(bytes.size() / 2);
  size_t ones = 0;
  const auto bit = [mask](size_t i) { return (mask[i / 8] >> (7 - i % 8) & 1) != 0; };
  while (ones < mask.size() * 8 && bit(ones)) ++ones;
  for (size_t i = ones; i < mask.size() * 8; ++i) {
    if (bit(i)) return absl::StrCat(FormatIp(address), "/", FormatIp(mask));
  }
  return absl::StrCat(FormatIp(address), "/", ones);
}

}  // namespace

std::string FormatIp(absl::string_view bytes) {
  char text[INET6_ADDRSTRLEN];
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if ((bytes.size() != 4 && bytes.size() != 16) ||
      inet_ntop(family, bytes.data(), text, sizeof(text)) == nullptr) {
    return base::HexEncode(bytes);
  }
  return text;
}

std::string FormatGeneralName(const GeneralName& name) {
  switch (name.kind) {
    case Kind::kDns:
      return absl::StrCat("DNS:", name.value);
    case Kind::kEmail:
      return absl::StrCat("email:", name.value);
    case Kind::kUri:
      return absl::StrCat("URI:", name.value);
    case Kind::kIp:
      if (name.value.size() == 8 || name.value.size() == 32) {
        return absl::StrCat("IP:", FormatSubnet(name.value));
      }
      return absl::StrCat("IP:", FormatIp(name.value));
    case Kind::kDirectory:
      if (const absl::StatusOr<Name> parsed = ParseName(name.value); parsed.ok()) {
        return absl::StrCat("DirName:", FormatName(*parsed));
      }
      break;
    case Kind::kOther:
      break;
  }
  return absl::StrCat("other:", base::HexEncode(name.value));
}

absl::StatusOr<GeneralName> ParseGeneralName(absl::string_view text) {
  GeneralName name;
  absl::string_view value = text;
  if (absl::ConsumePrefix(&value, "DNS:")) {
    name.kind = Kind::kDns;
  } else if (absl::ConsumePrefix(&value, "email:")) {
    name.kind = Kind::kEmail;
  } else if (absl::ConsumePrefix(&value, "URI:")) {
    name.kind = Kind::kUri;
  } else if (absl::ConsumePrefix(&value, "IP:")) {
    name.kind = Kind::kIp;
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "alternative name \"", text, "\" begins with none of DNS:, IP:, email: and URI:"));
  }
  if (name.kind == Kind::kIp) {
    name.value = ParseIp(value);
    if (name.value.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("\"", value, "\" is no IP address"));
    }
    return name;
  }
  name.value = std::string(value);
  RETURN_IF_ERROR(CheckSyntax(name));
  return name;
}

bool ReadGeneralName(DerReader* in, bool subtree, GeneralName* name) {
  uint8_t tag;
  absl::string_view contents;
  absl::string_view element;
  if (!in->ReadAny(&tag, &contents, &element)) return false;
  absl::string_view value = contents;
  switch (tag) {
    case kDnsTag:
    case kEmailTag:
    case kUriTag:
      name->kind = tag == kDnsTag ? Kind::kDns : tag == kEmailTag ? Kind::kEmail : Kind::kUri;
      if (!IsText(contents) || (contents.empty() && !subtree)) return false;
      break;
    case kIpTag:
      name->kind = Kind::kIp;
      if (contents.size() != (subtree ? 8 : 4) && contents.size() != (subtree ? 32 : 16)) {
        return false;
      }
      break;
    case kDirectoryTag:
      name->kind = Kind::kDirectory;
      if (!ParseName(contents).ok()) return false;
      break;
    case kOtherNameTag:
      name->kind = Kind::kOther;
      if (!IsOtherName(DerReader(contents))) return false;
      value = element;
      break;
    case kRegisteredIdTag:
      name->kind = Kind::kOther;
      if (!IsOid(contents)) return false;
      value = element;
      break;
    case kX400Tag:
    case kEdiPartyTag:
      name->kind = Kind::kOther;
      value = element;
      break;
    default:
      return false;
  }
  name->value.assign(value.data(), value.size());
  return true;
}

absl::StatusOr<std::vector<GeneralName>> ReadGeneralNames(DerReader contents) {
  std::vector<GeneralName> names;
  while (!contents.empty()) {
    if (!ReadGeneralName(&contents, /*subtree=*/false, &names.emplace_back())) {
      return absl::InvalidArgumentError(
          absl::StrCat("alternative name number ", names.size(), " does not parse"));
    }
  }
  if (names.empty()) return absl::InvalidArgumentError("a list of alternative names is empty");
  return names;
}

void WriteGeneralName(const GeneralName& name, DerWriter* out) {
  switch (name.kind) {
    case Kind::kDns:
      out->Add(kDnsTag, name.value);
      return;
    case Kind::kEmail:
      out->Add(kEmailTag, name.value);
      return;
    case Kind::kUri:
      out->Add(kUriTag, name.value);
      return;
    case Kind::kIp:
      out->Add(kIpTag, name.value);
      return;
    case Kind::kDirectory:
      out->Add(kDirectoryTag, name.value);
      return;
    case Kind::kOther:
      out->AddRaw(name.value);
      return;
  }
}

}  // namespace countersign::pki
