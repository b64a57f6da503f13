// What signing needs of a transparency log.
#ifndef COUNTERSIGN_SERVICES_SIGN_LEDGER_CLIENT_H_
#define COUNTERSIGN_SERVICES_SIGN_LEDGER_CLIENT_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "countersign/sign/v1/resources.pb.h"
#include "services/sign/call.h"

namespace countersign::sign {

// Thread-safe.
class LedgerClient {
 public:
  // One proof an entry, in their order, canonicalized_body excepted.
  using Done = std::function<void(absl::StatusOr<std::vector<v1::LedgerProof>>)>;

  virtual ~LedgerClient() = default;

  // Appends `entries`, at least one, to `log` and waits until they have come as far as `wait`.
  // Calls `done` once, from any thread. Entries that the log holds already get the place they have.
  virtual void Append(const std::string& log, std::vector<std::string> entries, v1::LedgerWait wait,
                      Call call, Done done) = 0;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_LEDGER_CLIENT_H_
