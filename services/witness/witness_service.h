// WitnessService over gRPC: translates protos; the rules are Witness's.
#ifndef COUNTERSIGN_SERVICES_WITNESS_WITNESS_SERVICE_H_
#define COUNTERSIGN_SERVICES_WITNESS_WITNESS_SERVICE_H_

#include <functional>

#include "countersign/witness/v1/witness.grpc.pb.h"
#include "libs/base/thread_pool.h"
#include "services/witness/front_end.h"
#include "services/witness/witness.h"

namespace countersign::witness {

// Thread-safe. `witness` and `executor`, on which it works, must outlive it. Of calls that need the
// executor (all but GetWitness), `max_waiting` may be unanswered at once; further ones are answered
// RESOURCE_EXHAUSTED with google.rpc.RetryInfo, and not queued.
class WitnessService : public v1::WitnessService::CallbackService {
 public:
  WitnessService(Witness* witness, base::ThreadPool* executor, int max_waiting = kMaxWaiting)
      : witness_(witness), executor_(executor), admission_(max_waiting) {}

  grpc::ServerUnaryReactor* AddCheckpoint(grpc::CallbackServerContext* context,
                                          const v1::AddCheckpointRequest* request,
                                          v1::AddCheckpointResponse* response) override;
  grpc::ServerUnaryReactor* GetCheckpoint(grpc::CallbackServerContext* context,
                                          const v1::GetCheckpointRequest* request,
                                          v1::GetCheckpointResponse* response) override;
  grpc::ServerUnaryReactor* AddLog(grpc::CallbackServerContext* context,
                                   const v1::AddLogRequest* request,
                                   v1::AddLogResponse* response) override;
  grpc::ServerUnaryReactor* ListLogs(grpc::CallbackServerContext* context,
                                     const v1::ListLogsRequest* request,
                                     v1::ListLogsResponse* response) override;
  grpc::ServerUnaryReactor* GetWitness(grpc::CallbackServerContext* context,
                                       const v1::GetWitnessRequest* request,
                                       v1::GetWitnessResponse* response) override;

 private:
  grpc::ServerUnaryReactor* OnExecutor(grpc::CallbackServerContext* context,
                                       std::function<absl::Status()> function);

  Witness* const witness_;
  base::ThreadPool* const executor_;
  const Admission admission_;
};

}  // namespace countersign::witness

#endif  // COUNTERSIGN_SERVICES_WITNESS_WITNESS_SERVICE_H_
