#include "libs/pki/name.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/pki/der.h"
#include "libs/pki/name_attributes.h"
#include "libs/pki/oid.h"

namespace countersign::pki {
namespace {

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("name: ", what));
}

// One RelativeDistinguishedName's contents.
absl::Status ParseRdn(DerReader set, std::vector<NameAttribute>* rdn) {
  absl::string_view before;
  while (!set.empty()) {
    absl::string_view element;
    if (!set.ReadElement(kSequence, &element)) return Bad("an attribute is no SEQUENCE");
    if (element < before) return Bad("the attributes of an RDN are not in the order of DER");
    before = element;
    DerReader attribute;
    absl::string_view oid;
    uint8_t tag;
    absl::string_view contents;
    NameAttribute parsed;
    if (!DerReader(element).Read(kSequence, &attribute) || !attribute.Read(kOid, &oid) ||
        !IsOid(oid) || !attribute.ReadAny(&tag, &contents) || !attribute.empty()) {
      return Bad("an attribute is not a type and a value");
    }
    if (!DecodeString(tag, contents, &parsed.value)) {
      return Bad(absl::StrCat("the value of ", AttributeText(oid), " is no string of its type"));
    }
    parsed.oid.assign(oid.data(), oid.size());
    rdn->push_back(std::move(parsed));
  }
  return absl::OkStatus();
}

void WriteAttribute(const NameAttribute& attribute, DerWriter* out) {
  const size_t sequence = out->Begin(kSequence);
  out->Add(kOid, attribute.oid);
  out->Add(StringTag(attribute.oid, attribute.value), attribute.value);
  out->End(sequence);
}

// Folds ASCII letters, and runs of spaces to one; drops spaces at both ends.
std::string Folded(absl::string_view value) {
  std::string folded;
  folded.reserve(value.size());
  for (const char c : value) {
    if (c == ' ') {
      if (!folded.empty() && folded.back() != ' ') folded.push_back(' ');
    } else {
      folded.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    }
  }
  if (!folded.empty() && folded.back() == ' ') folded.pop_back();
  return folded;
}

// The same attributes, in whatever order: folding can change how they sort.
bool SameRdn(const std::vector<NameAttribute>& a, const std::vector<NameAttribute>& b) {
  if (a.size() != b.size()) return false;
  if (a.size() == 1) {
    return a[0].oid == b[0].oid &&
           (a[0].value == b[0].value || Folded(a[0].value) == Folded(b[0].value));
  }
  const auto sorted = [](const std::vector<NameAttribute>& rdn) {
    std::vector<std::pair<absl::string_view, std::string>> attributes;
    for (const NameAttribute& attribute : rdn) {
      attributes.emplace_back(attribute.oid, Folded(attribute.value));
    }
    std::sort(attributes.begin(), attributes.end());
    return attributes;
  };
  return sorted(a) == sorted(b);
}

}  // namespace

absl::string_view Name::CommonName() const {
  for (auto rdn = rdns.rbegin(); rdn != rdns.rend(); ++rdn) {
    for (const NameAttribute& attribute : *rdn) {
      if (attribute.oid == kOidCommonName) return attribute.value;
    }
  }
  return "";
}

absl::StatusOr<Name> ParseName(absl::string_view der) {
  DerReader in(der);
  DerReader sequence;
  if (!in.Read(kSequence, &sequence) || !in.empty()) return Bad("it is no SEQUENCE");
  Name name;
  name.rdns.reserve(4);
  while (!sequence.empty()) {
    DerReader set;
    if (!sequence.Read(kSet, &set) || set.empty()) return Bad("an RDN is no SET with attributes");
    RETURN_IF_ERROR(ParseRdn(set, &name.rdns.emplace_back()));
  }
  return name;
}

std::string EncodeName(const Name& name) {
  DerWriter out(128);
  const size_t sequence = out.Begin(kSequence);
  for (const std::vector<NameAttribute>& rdn : name.rdns) {
    const size_t set = out.Begin(kSet);
    if (rdn.size() == 1) {
      WriteAttribute(rdn[0], &out);
    } else {
      std::vector<std::string> elements;
      for (const NameAttribute& attribute : rdn) {
        DerWriter element;
        WriteAttribute(attribute, &element);
        elements.push_back(element.Take());
      }
      std::sort(elements.begin(), elements.end());
      for (const std::string& element : elements) out.AddRaw(element);
    }
    out.End(set);
  }
  out.End(sequence);
  return out.Take();
}

absl::Status CheckBounds(const Name& name) {
  for (const std::vector<NameAttribute>& rdn : name.rdns) {
    for (const NameAttribute& attribute : rdn) RETURN_IF_ERROR(CheckAttribute(attribute));
  }
  return absl::OkStatus();
}

bool IsBelow(const Name& name, const Name& ancestor) {
  return name.rdns.size() >= ancestor.rdns.size() &&
         std::equal(ancestor.rdns.begin(), ancestor.rdns.end(), name.rdns.begin(), SameRdn);
}

bool SameName(const Name& a, const Name& b) {
  return a.rdns.size() == b.rdns.size() && IsBelow(a, b);
}

}  // namespace countersign::pki
