// RFC 5280 section 4.2.1.10: NameConstraints.
#include <cstddef>
#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/pki/general_name.h"
#include "libs/pki/name_syntax.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

using Kind = GeneralName::Kind;

absl::Status ReadSubtrees(absl::string_view contents, std::vector<GeneralName>* subtrees) {
  DerReader list(contents);
  while (!list.empty()) {
    DerReader subtree;
    if (!list.Read(kSequence, &subtree) ||
        !ReadGeneralName(&subtree, /*subtree=*/true, &subtrees->emplace_back())) {
      return absl::InvalidArgumentError("a subtree of the name constraints does not parse");
    }
    if (!subtree.empty()) {
      return absl::InvalidArgumentError("a subtree of the name constraints has more than its base");
    }
  }
  if (subtrees->empty()) {
    return absl::InvalidArgumentError("a list of subtrees in the name constraints is empty");
  }
  return absl::OkStatus();
}

void WriteSubtrees(int number, const std::vector<GeneralName>& subtrees, DerWriter* out) {
  if (subtrees.empty()) return;
  const size_t list = out->Begin(ContextConstructed(number));
  for (const GeneralName& base : subtrees) {
    const size_t subtree = out->Begin(kSequence);
    WriteGeneralName(base, out);
    out->End(subtree);
  }
  out->End(list);
}

// Whether `host` is `base` or, label for label, below it. Of ".base" only what is below.
bool HostWithin(absl::string_view host, absl::string_view base) {
  if (absl::StartsWith(base, "."))
    return host.size() > base.size() && absl::EndsWithIgnoreCase(host, base);
  if (base.empty() || absl::EqualsIgnoreCase(host, base)) return true;
  return host.size() > base.size() && absl::EndsWithIgnoreCase(host, base) &&
         host[host.size() - base.size() - 1] == '.';
}

// Hosts of mailboxes and URIs: one exactly, or those below ".base".
bool HostIs(absl::string_view host, absl::string_view base) {
  return absl::StartsWith(base, ".") ? HostWithin(host, base) : absl::EqualsIgnoreCase(host, base);
}

// A wildcard stands for every name one label longer than what follows the star.
bool DnsExcluded(absl::string_view name, absl::string_view base) {
  if (HostWithin(name, base)) return true;
  absl::ConsumePrefix(&base, ".");
  const size_t dot = base.find('.');
  return absl::ConsumePrefix(&name, "*.") && dot != absl::string_view::npos &&
         absl::EqualsIgnoreCase(name, base.substr(dot + 1));
}

bool MailboxWithin(absl::string_view mailbox, absl::string_view base) {
  const size_t at = mailbox.rfind('@');
  if (at == absl::string_view::npos) return false;
  const absl::string_view host = mailbox.substr(at + 1);
  const size_t base_at = base.rfind('@');
  if (base_at == absl::string_view::npos) return base.empty() || HostIs(host, base);
  return mailbox.substr(0, at) == base.substr(0, base_at) &&
         absl::EqualsIgnoreCase(host, base.substr(base_at + 1));
}

bool AddressWithin(absl::string_view address, absl::string_view subnet) {
  if (subnet.size() != 2 * address.size()) return false;
  for (size_t i = 0; i < address.size(); ++i) {
    if (((address[i] ^ subnet[i]) & subnet[address.size() + i]) != 0) return false;
  }
  return true;
}

bool DirectoryWithin(absl::string_view name_der, absl::string_view base_der) {
  const absl::StatusOr<Name> name = ParseName(name_der);
  const absl::StatusOr<Name> base = ParseName(base_der);
  return name.ok() && base.ok() && IsBelow(*name, *base);
}

// Whether a subtree says something about `name`.
bool Applies(const GeneralName& subtree, const GeneralName& name) {
  return subtree.kind == name.kind &&
         (name.kind != Kind::kOther || subtree.value.substr(0, 1) == name.value.substr(0, 1));
}

bool Within(const GeneralName& name, const GeneralName& subtree, bool excluded) {
  switch (name.kind) {
    case Kind::kDns:
      return excluded ? DnsExcluded(name.value, subtree.value)
                      : HostWithin(name.value, subtree.value);
    case Kind::kEmail:
      return MailboxWithin(name.value, subtree.value);
    case Kind::kUri:
      return subtree.value.empty() || HostIs(UriHost(name.value), subtree.value);
    case Kind::kIp:
      return AddressWithin(name.value, subtree.value);
    case Kind::kDirectory:
      return DirectoryWithin(name.value, subtree.value);
    case Kind::kOther:
      break;
  }
  return excluded;
}

// What no subtree of its kind can be held against: always refused where one applies.
bool Incomparable(const GeneralName& name) {
  if (name.kind == Kind::kOther) return true;
  if (name.kind != Kind::kUri) return false;
  const absl::string_view host = UriHost(name.value);
  return host.empty() || IsIpHost(host);
}

absl::StatusOr<GeneralName> ParseSubnet(absl::string_view text, size_t slash) {
  const auto bad = [text](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("subtree \"", text, "\" ", what));
  };
  const std::string address = ParseIp(text.substr(0, slash));
  const absl::string_view length = text.substr(slash + 1);
  uint32_t ones;
  if (address.empty() || !absl::SimpleAtoi(length, &ones) || ones > 8 * address.size() ||
      length != absl::StrCat(ones)) {
    return bad("is no IP address and the length of its prefix");
  }
  std::string mask(address.size(), '\0');
  for (size_t i = 0; i < ones; ++i) mask[i / 8] |= static_cast<char>(0x80 >> (i % 8));
  for (size_t i = 0; i < address.size(); ++i) {
    if ((address[i] & ~mask[i]) != 0) return bad("has bits behind its prefix");
  }
  return GeneralName{Kind::kIp, address + mask};
}

}  // namespace

absl::StatusOr<NameConstraints> ReadNameConstraints(DerReader contents) {
  NameConstraints constraints;
  DerReader sequence;
  absl::string_view permitted;
  absl::string_view excluded;
  bool some_permitted;
  bool some_excluded;
  if (!contents.Read(kSequence, &sequence) || !contents.empty() ||
      !sequence.ReadOptional(ContextConstructed(0), &permitted, &some_permitted) ||
      !sequence.ReadOptional(ContextConstructed(1), &excluded, &some_excluded) ||
      !sequence.empty() || (!some_permitted && !some_excluded)) {
    return absl::InvalidArgumentError("the name constraints do not parse");
  }
  if (some_permitted) RETURN_IF_ERROR(ReadSubtrees(permitted, &constraints.permitted));
  if (some_excluded) RETURN_IF_ERROR(ReadSubtrees(excluded, &constraints.excluded));
  return constraints;
}

void WriteNameConstraints(const NameConstraints& constraints, DerWriter* out) {
  const size_t sequence = out->Begin(kSequence);
  WriteSubtrees(0, constraints.permitted, out);
  WriteSubtrees(1, constraints.excluded, out);
  out->End(sequence);
}

absl::StatusOr<GeneralName> ParseSubtree(absl::string_view text) {
  if (const size_t slash = text.find('/'); slash != absl::string_view::npos) {
    return ParseSubnet(text, slash);
  }
  absl::string_view base = text;
  if (absl::ConsumePrefix(&base, "uri:")) {
    absl::string_view host = base;
    absl::ConsumePrefix(&host, ".");
    RETURN_IF_ERROR(CheckHostName(host, /*wildcard=*/false));
    return GeneralName{Kind::kUri, std::string(base)};
  }
  if (absl::ConsumePrefix(&base, "@")) {
    absl::string_view host = base;
    absl::ConsumePrefix(&host, ".");
    RETURN_IF_ERROR(CheckHostName(host, /*wildcard=*/false));
    return GeneralName{Kind::kEmail, std::string(base)};
  }
  GeneralName subtree{absl::StrContains(text, "@") ? Kind::kEmail : Kind::kDns, std::string(text)};
  if (subtree.kind == Kind::kDns) {
    RETURN_IF_ERROR(CheckHostName(text, /*wildcard=*/false));
  } else {
    RETURN_IF_ERROR(CheckSyntax(subtree));
  }
  return subtree;
}

absl::Status CheckConstraints(const NameConstraints& constraints, const GeneralName& name) {
  const bool incomparable = Incomparable(name);
  const auto refuse = [&name](absl::string_view why, const GeneralName& subtree) {
    return absl::FailedPreconditionError(absl::StrCat(
        FormatGeneralName(name), why, FormatGeneralName(subtree), " of the issuer's constraints"));
  };
  for (const GeneralName& subtree : constraints.excluded) {
    if (!Applies(subtree, name)) continue;
    if (incomparable || Within(name, subtree, /*excluded=*/true)) {
      return refuse(" is excluded by ", subtree);
    }
  }
  const GeneralName* unmet = nullptr;
  for (const GeneralName& subtree : constraints.permitted) {
    if (!Applies(subtree, name)) continue;
    if (!incomparable && Within(name, subtree, /*excluded=*/false)) return absl::OkStatus();
    unmet = &subtree;
  }
  return unmet == nullptr ? absl::OkStatus() : refuse(" is not within ", *unmet);
}

absl::Status CheckConstraints(const NameConstraints& constraints, const Name& subject) {
  if (constraints.empty() || subject.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(
      CheckConstraints(constraints, GeneralName{Kind::kDirectory, EncodeName(subject)}));
  for (const std::vector<NameAttribute>& rdn : subject.rdns) {
    for (const NameAttribute& attribute : rdn) {
      if (attribute.oid != kOidEmailAddress) continue;
      RETURN_IF_ERROR(CheckConstraints(constraints, GeneralName{Kind::kEmail, attribute.value}));
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::pki
