#include "services/witness/witness_service.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/hash.h"
#include "libs/runtime/call.h"
#include "services/witness/witness_http.h"

namespace countersign::witness {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

absl::StatusOr<note::AddCheckpointRequest> FromProto(const v1::AddCheckpointRequest& proto) {
  note::AddCheckpointRequest request;
  if (proto.old_size() < 0) return absl::InvalidArgumentError("old_size is below 0");
  request.old_size = static_cast<uint64_t>(proto.old_size());
  for (const std::string& bytes : proto.consistency_proof()) {
    absl::StatusOr<merkle::Hash> hash = merkle::ToHash(bytes);
    if (!hash.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("consistency_proof: ", hash.status().message()));
    }
    request.proof.push_back(*hash);
  }
  if (proto.checkpoint().size() > kMaxBodyBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint has more than ", kMaxBodyBytes, " bytes"));
  }
  request.checkpoint = proto.checkpoint();
  return request;
}

void ToProto(const WatchedLog& log, v1::WitnessedLog* proto) {
  proto->set_origin(log.origin);
  for (const std::string& vkey : log.vkeys) proto->add_vkeys(vkey);
  proto->set_tree_size(static_cast<int64_t>(log.size));
  if (log.cosign_time.has_value()) {
    proto->mutable_cosign_time()->set_seconds(absl::ToUnixSeconds(*log.cosign_time));
  }
}

}  // namespace

grpc::ServerUnaryReactor* WitnessService::OnExecutor(grpc::CallbackServerContext* context,
                                                     std::function<absl::Status()> function) {
  std::shared_ptr<void> place = admission_.Enter();
  if (place == nullptr) return runtime::FinishUnary(context, witness_->TurnAway());
  // The place is given back with the closure, before the answer leaves.
  return runtime::RunUnary(context, executor_,
                           [place = std::move(place), function = std::move(function)] {
                             return PublicStatus(function());
                           });
}

grpc::ServerUnaryReactor* WitnessService::AddCheckpoint(grpc::CallbackServerContext* context,
                                                        const v1::AddCheckpointRequest* request,
                                                        v1::AddCheckpointResponse* response) {
  return OnExecutor(context, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const note::AddCheckpointRequest add, FromProto(*request));
    ASSIGN_OR_RETURN(AddCheckpointResult result, witness_->AddCheckpoint(add));
    if (result.conflict_size.has_value()) {
      response->mutable_conflict()->set_latest_size(static_cast<int64_t>(*result.conflict_size));
    } else {
      response->set_cosignatures(std::move(result.cosignatures));
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* WitnessService::GetCheckpoint(grpc::CallbackServerContext* context,
                                                        const v1::GetCheckpointRequest* request,
                                                        v1::GetCheckpointResponse* response) {
  return OnExecutor(context, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(*response->mutable_checkpoint(),
                     witness_->LatestCheckpoint(request->origin()));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* WitnessService::AddLog(grpc::CallbackServerContext* context,
                                                 const v1::AddLogRequest* request,
                                                 v1::AddLogResponse* response) {
  return OnExecutor(context, [this, request, response]() -> absl::Status {
    const std::vector<std::string> vkeys(request->vkeys().begin(), request->vkeys().end());
    ASSIGN_OR_RETURN(const WatchedLog log, witness_->AddLog(request->origin(), vkeys));
    ToProto(log, response->mutable_log());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* WitnessService::ListLogs(grpc::CallbackServerContext* context,
                                                   const v1::ListLogsRequest* request,
                                                   v1::ListLogsResponse* response) {
  return OnExecutor(context, [this, request, response]() -> absl::Status {
    if (request->page_size() < 0) return absl::InvalidArgumentError("page_size is below 0");
    const int wanted =
        request->page_size() == 0 ? kDefaultPageSize : std::min(request->page_size(), kMaxPageSize);
    // The token is the last origin of the page before.
    const absl::StatusOr<std::string> after = base::Base64Decode(request->page_token());
    if (!after.ok()) return absl::InvalidArgumentError("page_token is not one of this service");
    ASSIGN_OR_RETURN(std::vector<WatchedLog> logs,
                     witness_->ListLogs(*after, static_cast<size_t>(wanted) + 1));
    const bool more = logs.size() > static_cast<size_t>(wanted);
    if (more) logs.pop_back();
    for (const WatchedLog& log : logs) ToProto(log, response->add_logs());
    if (more) response->set_next_page_token(base::Base64Encode(logs.back().origin));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* WitnessService::GetWitness(grpc::CallbackServerContext* context,
                                                     const v1::GetWitnessRequest* request,
                                                     v1::GetWitnessResponse* response) {
  response->mutable_witness()->set_name(witness_->name());
  response->mutable_witness()->add_vkeys(witness_->vkey());
  return runtime::FinishUnary(context, absl::OkStatus());
}

}  // namespace countersign::witness
