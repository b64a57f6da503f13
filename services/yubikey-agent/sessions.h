// Sessions: who may do what with which keys, and for how long.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SESSIONS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SESSIONS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"

namespace countersign::yubikey {

// The contract's Operation, by the same numbers.
enum class Operation : uint8_t {
  kSign = 1,
  kDecrypt = 2,
  kAgree = 3,
  kGenerate = 4,
  kImport = 5,
  kAttest = 6,
  kWriteCertificate = 7,
  kUnlock = 8,
  kManage = 9,
  kCreateSubKey = 10,
  kUseSubKey = 11,
  kAdminister = 12,
};

// What may be done, and with what.
struct Scope {
  uint32_t operations = 0;         // bit 1 << Operation
  std::vector<std::string> names;  // sorted; "*" for every one

  bool Has(Operation operation) const {
    return (operations & (1u << static_cast<int>(operation))) != 0;
  }
  // Whether `name`, or the card it is of, is among the names.
  bool Covers(absl::string_view name) const;
  // Whether everything in `other` is in this one too.
  bool Includes(const Scope& other) const;
};

struct Session {
  std::string caller;
  std::string transport;  // who opened it: TransportIdentity of the call
  std::shared_ptr<const Scope> scope;
  absl::Time create_time;
  absl::Time expire_time;
};

// Open sessions by the hash of their tokens, in a bounded table from which the oldest are evicted
// when it is full. Thread-safe; a look-up takes no lock that others hold for long.
class Sessions {
 public:
  struct Options {
    size_t capacity = 65536;
    const base::Clock* clock = base::Clock::System();
  };
  struct Stats {
    uint64_t open = 0;
    uint64_t opened = 0;
    uint64_t refused = 0;  // tokens that were no session's, or another's
    uint64_t evicted = 0;
  };

  explicit Sessions(const Options& options);
  ~Sessions();

  // Opens `session` and returns its token: 32 random bytes in base64url, without padding.
  std::string Open(Session session);

  // The session of `token`, when it is open and was opened from `transport`. Unauthenticated, with
  // reason SESSION_INVALID and never saying why, when not. The clock's going back does not revive
  // an expired session.
  absl::StatusOr<std::shared_ptr<const Session>> Find(absl::string_view token,
                                                      absl::string_view transport);

  // Find, and PermissionDenied with reason NOT_IN_SCOPE when it does not cover the operation with
  // this name.
  absl::Status Check(absl::string_view token, absl::string_view transport, Operation operation,
                     absl::string_view name);

  void Close(absl::string_view token, absl::string_view transport);
  // Ends all of a caller, or of "*"; returns how many. When it returns no Find gives one of them.
  int64_t Revoke(absl::string_view caller);

  Stats stats() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SESSIONS_H_
