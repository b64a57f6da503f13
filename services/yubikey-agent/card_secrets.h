// The operator's files of PINs and management keys, by card.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_SECRETS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_SECRETS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/crypto/secret.h"

namespace countersign::yubikey {

// Lines of a serial number, white space, and a secret; empty lines and those that begin with '#'
// are passed over. Read anew at each look, so that it may be edited and nothing stays in memory.
// Thread-safe.
class CardSecrets {
 public:
  // kText: the secret as it stands, a PIN; kHex: hexadecimal digits, a management key.
  enum class Form { kText, kHex };

  // An empty `path` is a file without lines.
  CardSecrets(std::string path, Form form) : path_(std::move(path)), form_(form) {}

  // OK when the file can be used: FailedPrecondition when others than its owner have access to it,
  // InvalidArgument, naming the line's number and never its content, when it is malformed.
  absl::Status Check() const;

  // The card's secret; nullopt when the file has none. Errors as Check.
  absl::StatusOr<std::optional<crypto::SecretBytes>> Find(uint32_t serial) const;

 private:
  const std::string path_;
  const Form form_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_SECRETS_H_
