#include "libs/pki/pem.h"

#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/pki/der.h"

namespace countersign::pki {
namespace {

constexpr absl::string_view kBegin = "-----BEGIN ";
constexpr absl::string_view kEnd = "-----END ";
constexpr absl::string_view kDashes = "-----";

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Takes a line off the front of `*text`, without what is blank at its end.
absl::string_view TakeLine(absl::string_view* text) {
  const size_t end = text->find('\n');
  absl::string_view line = text->substr(0, end);
  text->remove_prefix(end == absl::string_view::npos ? text->size() : end + 1);
  while (!line.empty() && IsBlank(line.back())) line.remove_suffix(1);
  return line;
}

// The label of "-----BEGIN label-----"; RFC 7468 section 3 keeps single spaces and dashes inside
// it.
bool ReadLabel(absl::string_view line, absl::string_view prefix, absl::string_view* label) {
  if (line.size() <= prefix.size() + kDashes.size() || !absl::EndsWith(line, kDashes)) return false;
  *label = line.substr(prefix.size(), line.size() - prefix.size() - kDashes.size());
  char before = ' ';
  for (const char c : *label) {
    const bool separates = c == ' ' || c == '-';
    if (c < 0x20 || c > 0x7E || (separates && (before == ' ' || before == '-'))) return false;
    before = c;
  }
  return before != ' ' && before != '-';
}

absl::Status Malformed(absl::string_view label, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("PEM block \"", label, "\": ", what));
}

}  // namespace

absl::StatusOr<std::vector<PemBlock>> ParsePem(absl::string_view text) {
  std::vector<PemBlock> blocks;
  while (!text.empty()) {
    const absl::string_view begin = TakeLine(&text);
    if (absl::StartsWith(begin, kEnd)) {
      return absl::InvalidArgumentError("a PEM block ends that has not begun");
    }
    if (!absl::StartsWith(begin, kBegin)) continue;
    absl::string_view label;
    if (!ReadLabel(begin, kBegin, &label)) {
      return absl::InvalidArgumentError("a line \"-----BEGIN\" without a label and five dashes");
    }
    std::string base64;
    absl::string_view line;
    while (true) {
      if (text.empty()) return Malformed(label, "it has no end");
      line = TakeLine(&text);
      if (absl::StartsWith(line, kDashes)) break;
      while (!line.empty() && IsBlank(line.front())) line.remove_prefix(1);
      base64.append(line.data(), line.size());
    }
    absl::string_view end_label;
    if (!absl::StartsWith(line, kEnd) || !ReadLabel(line, kEnd, &end_label) || end_label != label) {
      return Malformed(label, "it does not end with its own label");
    }
    absl::StatusOr<std::string> der = base::Base64Decode(base64);
    if (!der.ok() || der->empty()) return Malformed(label, "its body is not base64");
    blocks.push_back({std::string(label), *std::move(der)});
  }
  return blocks;
}

std::string FormatPem(absl::string_view label, absl::string_view der) {
  const std::string base64 = base::Base64Encode(der);
  std::string pem = absl::StrCat(kBegin, label, kDashes, "\n");
  pem.reserve(2 * pem.size() + base64.size() + base64.size() / 64 + 2);
  for (size_t at = 0; at < base64.size(); at += 64) {
    pem.append(base64, at, 64);
    pem.push_back('\n');
  }
  absl::StrAppend(&pem, kEnd, label, kDashes, "\n");
  return pem;
}

absl::StatusOr<std::string> DerFromDerOrPem(absl::string_view bytes, absl::string_view label) {
  // DER may hold the dashes too, in a string.
  DerReader in(bytes);
  absl::string_view element;
  const bool is_der = in.ReadElement(kSequence, &element) && in.empty();
  if (is_der || !absl::StrContains(bytes, kBegin)) return std::string(bytes);

  ASSIGN_OR_RETURN(std::vector<PemBlock> blocks, ParsePem(bytes));
  PemBlock* found = nullptr;
  for (PemBlock& block : blocks) {
    const bool matches = block.label == label || (label == "CERTIFICATE REQUEST" &&
                                                  block.label == "NEW CERTIFICATE REQUEST");
    if (!matches) continue;
    if (found != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than one PEM block \"", label, "\" where one is expected"));
    }
    found = &block;
  }
  if (found == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("no PEM block \"", label, "\""));
  }
  return std::move(found->der);
}

}  // namespace countersign::pki
