// The ledger service as a LedgerClient.
#ifndef COUNTERSIGN_SERVICES_SIGN_GRPC_LEDGER_CLIENT_H_
#define COUNTERSIGN_SERVICES_SIGN_GRPC_LEDGER_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/mutex.h"
#include "services/sign/ledger_client.h"

namespace countersign::sign {

// Thread-safe. Failures keep the ledger's status code; its message is prefixed with "ledger: ".
class GrpcLedgerClient : public LedgerClient {
 public:
  // An append takes at most `timeout`, and no longer than the call it is for.
  GrpcLedgerClient(std::shared_ptr<grpc::Channel> channel, absl::Duration timeout);
  ~GrpcLedgerClient() override;

  void Append(const std::string& log, std::vector<std::string> entries, v1::LedgerWait wait,
              Call call, Done done) override;

 private:
  struct Operation;
  // What every proof of a log repeats; it never changes.
  struct LogIdentity {
    std::string origin;
    std::string key_id;
  };

  std::unique_ptr<grpc::ClientContext> Context(Call call) const;
  void FetchIdentity(std::shared_ptr<Operation> operation);
  void AppendEntries(std::shared_ptr<Operation> operation);

  const std::unique_ptr<ledger::v1::LedgerService::Stub> stub_;
  const absl::Duration timeout_;
  base::Mutex mutex_;
  // By resource name; as many as there are logs.
  absl::flat_hash_map<std::string, std::shared_ptr<const LogIdentity>> identities_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_GRPC_LEDGER_CLIENT_H_
