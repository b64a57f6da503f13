#include "services/yubikey-agent/card_secrets.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/secret_file.h"

namespace countersign::yubikey {
namespace {

constexpr size_t kMaxFileBytes = 64 << 10;

int HexValue(char c) {
  if (!absl::ascii_isxdigit(c)) return -1;
  return absl::ascii_isdigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10;
}

// Empty for what is no hexadecimal text: a secret is not.
crypto::SecretBytes FromHex(absl::string_view hex) {
  if (hex.size() % 2 != 0) return crypto::SecretBytes();
  crypto::SecretBytes out(hex.size() / 2);
  char* const bytes = out.ExposeMutable(crypto::SecretAccess::Grant());
  for (size_t i = 0; i < out.size(); ++i) {
    const int high = HexValue(hex[2 * i]);
    const int low = HexValue(hex[2 * i + 1]);
    if (high < 0 || low < 0) return crypto::SecretBytes();
    bytes[i] = static_cast<char>(high << 4 | low);
  }
  return out;
}

}  // namespace

absl::Status CardSecrets::Check() const { return Find(0).status(); }

absl::StatusOr<std::optional<crypto::SecretBytes>> CardSecrets::Find(uint32_t serial) const {
  std::optional<crypto::SecretBytes> found;
  if (path_.empty()) return found;
  ASSIGN_OR_RETURN(const crypto::SecretBytes file,
                   crypto::ReadSecretFile(path_, "the cards' secrets", kMaxFileBytes));
  absl::string_view rest = file.Expose(crypto::SecretAccess::Grant());
  for (int number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    const absl::string_view line = absl::StripAsciiWhitespace(rest.substr(0, end));
    rest = end == absl::string_view::npos ? absl::string_view() : rest.substr(end + 1);
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.find_first_of(" \t");
    uint32_t of = 0;
    const absl::string_view text = space == absl::string_view::npos
                                       ? absl::string_view()
                                       : absl::StripLeadingAsciiWhitespace(line.substr(space));
    crypto::SecretBytes secret = form_ == Form::kHex ? FromHex(text) : crypto::SecretBytes(text);
    if (!absl::SimpleAtoi(line.substr(0, space), &of) || secret.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(path_, " line ", number,
                                                     ": expected a serial number and a secret",
                                                     form_ == Form::kHex ? " in hex" : ""));
    }
    if (of == serial && !found.has_value()) found = std::move(secret);
  }
  return found;
}

}  // namespace countersign::yubikey
