// The file of registered callers: who may open sessions, and by which proof (FORMAT.md).
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALLERS_FILE_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALLERS_FILE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/crypto/public_key.h"
#include "libs/crypto/secret.h"
#include "services/yubikey-agent/sessions.h"

namespace countersign::yubikey {

inline constexpr absl::Duration kUsualSessionLifetime = absl::Hours(8);
inline constexpr absl::Duration kMaxSessionLifetime = absl::Hours(24);

// A registered caller; any one of its proofs opens a session, and there is at least one.
struct Caller {
  std::string name;  // IsCallerName
  std::optional<crypto::PublicKey> key;
  std::string api_key_hash;  // SHA-256 of an API key, 32 bytes; empty: none
  uint32_t card_serial = 0;  // of the card whose attested keys are its own; 0: none
  std::shared_ptr<const Scope> scope;
  absl::Duration max_lifetime = kUsualSessionLifetime;

  // Whether the other is this one, but for the scope and the lifetime.
  bool SameProofs(const Caller& other) const;
};

// 1 to 63 letters, digits and "-_.", the first a letter or digit.
bool IsCallerName(absl::string_view name);
// `*`; `cards/{serial}` with or without `/slots/{slot}`; `keys/{key}`; `subKeys/{sub_key}`;
// `tenants/…`, an authority's name.
bool IsScopeName(absl::string_view name);

// The operation's name in the file: "sign", "create-sub-key". ParseOperation is its inverse;
// InvalidArgument, listing them, for another.
absl::string_view OperationName(Operation operation);
absl::StatusOr<Operation> ParseOperation(absl::string_view name);
// The bits of all operations.
uint32_t AllOperations();

// The callers in the file's text, and the text of callers. InvalidArgument, naming the caller and
// the member, for a text that is not of the format: a member that is unknown or there twice, a
// caller there twice or without a proof.
absl::StatusOr<std::vector<Caller>> ParseCallers(absl::string_view text);
std::string FormatCallers(const std::vector<Caller>& callers);

// Adds a caller to the file at `path`, which is made when it is not there: durable, mode 0600.
// AlreadyExists when there is one of that name; InvalidArgument as ParseCallers. One writer at a
// time.
absl::Status AddCaller(const std::string& path, const Caller& caller);

// A new API key, 43 characters of base64url of 32 random bytes, and what the file keeps of it.
struct NewApiKey {
  crypto::SecretBytes key;
  std::string hash;
};
NewApiKey MakeApiKey();

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALLERS_FILE_H_
