// LedgerService over gRPC: translates messages and names to calls on a Ledger.
#ifndef COUNTERSIGN_SERVICES_LEDGER_LEDGER_SERVICE_H_
#define COUNTERSIGN_SERVICES_LEDGER_LEDGER_SERVICE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/thread_pool.h"
#include "services/ledger/ledger.h"
#include "services/ledger/log_registry.h"

namespace countersign::ledger {

// Thread-safe. Registry and executor outlive it.
class LedgerService final : public ledger::v1::LedgerService::CallbackService {
 public:
  // A COSIGNED append without a deadline of its own waits at most `cosign_timeout`.
  LedgerService(LogRegistry* logs, base::ThreadPool* executor, absl::Duration cosign_timeout);

  grpc::ServerUnaryReactor* AppendEntry(grpc::CallbackServerContext* context,
                                        const v1::AppendEntryRequest* request,
                                        v1::AppendEntryResponse* response) override;
  grpc::ServerUnaryReactor* BatchAppendEntries(grpc::CallbackServerContext* context,
                                               const v1::BatchAppendEntriesRequest* request,
                                               v1::BatchAppendEntriesResponse* response) override;
  grpc::ServerBidiReactor<v1::StreamAppendEntriesRequest, v1::StreamAppendEntriesResponse>*
  StreamAppendEntries(grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* GetEntry(grpc::CallbackServerContext* context,
                                     const v1::GetEntryRequest* request,
                                     v1::GetEntryResponse* response) override;
  grpc::ServerUnaryReactor* ListEntries(grpc::CallbackServerContext* context,
                                        const v1::ListEntriesRequest* request,
                                        v1::ListEntriesResponse* response) override;
  grpc::ServerUnaryReactor* GetInclusionProof(grpc::CallbackServerContext* context,
                                              const v1::GetInclusionProofRequest* request,
                                              v1::GetInclusionProofResponse* response) override;
  grpc::ServerUnaryReactor* BatchGetInclusionProofs(
      grpc::CallbackServerContext* context, const v1::BatchGetInclusionProofsRequest* request,
      v1::BatchGetInclusionProofsResponse* response) override;
  grpc::ServerUnaryReactor* GetConsistencyProof(grpc::CallbackServerContext* context,
                                                const v1::GetConsistencyProofRequest* request,
                                                v1::GetConsistencyProofResponse* response) override;
  grpc::ServerUnaryReactor* BatchGetConsistencyProofs(
      grpc::CallbackServerContext* context, const v1::BatchGetConsistencyProofsRequest* request,
      v1::BatchGetConsistencyProofsResponse* response) override;
  grpc::ServerUnaryReactor* GetCheckpoint(grpc::CallbackServerContext* context,
                                          const v1::GetCheckpointRequest* request,
                                          v1::GetCheckpointResponse* response) override;
  grpc::ServerUnaryReactor* GetTile(grpc::CallbackServerContext* context,
                                    const v1::GetTileRequest* request,
                                    v1::GetTileResponse* response) override;
  grpc::ServerUnaryReactor* GetEntryBundle(grpc::CallbackServerContext* context,
                                           const v1::GetEntryBundleRequest* request,
                                           v1::GetEntryBundleResponse* response) override;
  grpc::ServerUnaryReactor* GetLog(grpc::CallbackServerContext* context,
                                   const v1::GetLogRequest* request,
                                   v1::GetLogResponse* response) override;
  grpc::ServerUnaryReactor* ListLogs(grpc::CallbackServerContext* context,
                                     const v1::ListLogsRequest* request,
                                     v1::ListLogsResponse* response) override;
  grpc::ServerUnaryReactor* CreateLog(grpc::CallbackServerContext* context,
                                      const v1::CreateLogRequest* request,
                                      v1::CreateLogResponse* response) override;
  grpc::ServerUnaryReactor* FreezeLog(grpc::CallbackServerContext* context,
                                      const v1::FreezeLogRequest* request,
                                      v1::FreezeLogResponse* response) override;

 private:
  friend class AppendStream;

  static void FillLog(const Log& log, v1::Log* out);

  // Appends `entries` to the log of that name; their bytes live until `done`, which is called once,
  // from any thread: inline at SEQUENCED, on the executor where proofs must be computed.
  void Append(const std::string& log_name, std::vector<absl::string_view> entries,
              v1::WaitLevel wait, absl::Time deadline,
              std::function<void(const Log*, absl::StatusOr<Ledger::Appended>)> done);

  LogRegistry* const logs_;
  base::ThreadPool* const executor_;
  const absl::Duration cosign_timeout_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_LEDGER_SERVICE_H_
