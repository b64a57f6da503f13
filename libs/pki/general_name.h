// Alternative names (RFC 5280 section 4.2.1.6) and constraints on them (4.2.1.10).
//
// Values and pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PKI_GENERAL_NAME_H_
#define COUNTERSIGN_LIBS_PKI_GENERAL_NAME_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/pki/der.h"
#include "libs/pki/name.h"

namespace countersign::pki {

struct GeneralName {
  enum class Kind { kDns, kIp, kEmail, kUri, kDirectory, kOther };
  Kind kind = Kind::kDns;
  // kDns, kEmail, kUri: the text. kIp: 4 or 16 bytes (in constraints 8 or 32: address and mask).
  // kDirectory: the Name's DER. kOther: the whole element.
  std::string value;

  friend bool operator==(const GeneralName& a, const GeneralName& b) {
    return a.kind == b.kind && a.value == b.value;
  }
};

// "DNS:www.example.com", "IP:192.0.2.1", "IP:2001:db8::1", "email:a@example.com", "URI:https://…",
// "DirName:CN=…", "other:" and hexadecimal digits. ParseGeneralName reads the first four, and
// checks them with CheckSyntax.
std::string FormatGeneralName(const GeneralName& name);
absl::StatusOr<GeneralName> ParseGeneralName(absl::string_view text);
// "192.0.2.1" or "2001:db8::1" (RFC 5952) of 4 or 16 bytes.
std::string FormatIp(absl::string_view bytes);

// Whether it is spelt as RFC 5280 and the profile of host names ask: a DNS name in the preferred
// syntax (LDH labels of at most 63, 253 in all, no dot at the end, at most one "*" as the whole
// leftmost label, no bare public suffix check), an address of 4 or 16 bytes, an RFC 5321 mailbox in
// ASCII, an absolute URI with a host. InvalidArgument, saying what is wrong.
absl::Status CheckSyntax(const GeneralName& name);

// GeneralNames (a SEQUENCE's contents). InvalidArgument when it does not parse or is empty.
absl::StatusOr<std::vector<GeneralName>> ReadGeneralNames(DerReader contents);
// The next of them; with `subtree`, an address has its mask behind it. False when it does not
// parse.
bool ReadGeneralName(DerReader* in, bool subtree, GeneralName* name);
void WriteGeneralName(const GeneralName& name, DerWriter* out);

// Subtrees as they stand in a NameConstraints extension.
struct NameConstraints {
  std::vector<GeneralName> permitted;
  std::vector<GeneralName> excluded;

  bool empty() const { return permitted.empty() && excluded.empty(); }
};

// The contents of the extension, all of it. InvalidArgument when it does not parse, holds no
// subtree, or has a minimum or maximum (RFC 5280 asks for none).
absl::StatusOr<NameConstraints> ReadNameConstraints(DerReader contents);
// The whole element.
void WriteNameConstraints(const NameConstraints& constraints, DerWriter* out);

// A subtree as AuthoritySettings spells it: "example.com" (and what is below it), "10.0.0.0/8",
// "@example.com" (with a dot behind the "@": what is below it), "a@example.com", "uri:example.com",
// "uri:.example.com". InvalidArgument for another form.
absl::StatusOr<GeneralName> ParseSubtree(absl::string_view text);

// OK when no excluded subtree holds `name` and, where subtrees of its kind are permitted, one of
// them does (RFC 5280 section 6.1.4 b). FailedPrecondition, naming both, otherwise; also for a
// constraint of a kind that is not understood and applies to `name`.
absl::Status CheckConstraints(const NameConstraints& constraints, const GeneralName& name);
// The same of a subject, under its DirectoryName subtrees; e-mail addresses in it count as
// rfc822Name.
absl::Status CheckConstraints(const NameConstraints& constraints, const Name& subject);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_GENERAL_NAME_H_
