#include "services/sign/grpc_ledger_client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"

namespace countersign::sign {
namespace {

namespace lpb = ::countersign::ledger::v1;

lpb::WaitLevel ToLedger(v1::LedgerWait wait) {
  switch (wait) {
    case v1::LEDGER_WAIT_SEQUENCED:
      return lpb::WAIT_LEVEL_SEQUENCED;
    case v1::LEDGER_WAIT_COSIGNED:
      return lpb::WAIT_LEVEL_COSIGNED;
    default:
      return lpb::WAIT_LEVEL_INTEGRATED;
  }
}

absl::Status FromLedger(const grpc::Status& grpc_status) {
  const absl::Status status = runtime::FromGrpcStatus(grpc_status);
  absl::Status prefixed(status.code(), absl::StrCat("ledger: ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { prefixed.SetPayload(url, payload); });
  return prefixed;
}

}  // namespace

// One Append, from its start to its answer.
struct GrpcLedgerClient::Operation {
  Call call;
  Done done;
  std::shared_ptr<const LogIdentity> identity;
  std::unique_ptr<grpc::ClientContext> context;
  lpb::GetLogRequest get_log;
  lpb::GetLogResponse log;
  lpb::BatchAppendEntriesRequest request;
  lpb::BatchAppendEntriesResponse response;

  // The context goes first: it must not outlive the call that it is for, and `done` ends that.
  void Finish(absl::StatusOr<std::vector<v1::LedgerProof>> result) {
    context.reset();
    std::exchange(done, nullptr)(std::move(result));
  }
};

GrpcLedgerClient::GrpcLedgerClient(std::shared_ptr<grpc::Channel> channel, absl::Duration timeout)
    : stub_(ledger::v1::LedgerService::NewStub(std::move(channel))), timeout_(timeout) {}

GrpcLedgerClient::~GrpcLedgerClient() = default;

std::unique_ptr<grpc::ClientContext> GrpcLedgerClient::Context(Call call) const {
  return call != nullptr ? runtime::MakeContext(*call, timeout_) : runtime::MakeContext(timeout_);
}

void GrpcLedgerClient::Append(const std::string& log, std::vector<std::string> entries,
                              v1::LedgerWait wait, Call call, Done done) {
  auto operation = std::make_shared<Operation>();
  operation->call = call;
  operation->done = std::move(done);
  operation->request.set_log(log);
  operation->request.set_wait(ToLedger(wait));
  for (std::string& entry : entries) operation->request.add_entries(std::move(entry));
  {
    base::MutexLock lock(&mutex_);
    const auto found = identities_.find(log);
    if (found != identities_.end()) operation->identity = found->second;
  }
  if (operation->identity == nullptr) return FetchIdentity(std::move(operation));
  AppendEntries(std::move(operation));
}

void GrpcLedgerClient::FetchIdentity(std::shared_ptr<Operation> operation) {
  Operation* const op = operation.get();
  op->get_log.set_name(op->request.log());
  op->context = Context(op->call);
  stub_->async()->GetLog(
      op->context.get(), &op->get_log, &op->log,
      [this, operation = std::move(operation)](const grpc::Status& status) mutable {
        if (!status.ok()) return operation->Finish(FromLedger(status));
        auto identity = std::make_shared<LogIdentity>();
        identity->origin = operation->log.log().origin();
        identity->key_id = operation->log.log().key_id();
        operation->identity = identity;
        {
          base::MutexLock lock(&mutex_);
          identities_[operation->request.log()] = std::move(identity);
        }
        AppendEntries(std::move(operation));
      });
}

void GrpcLedgerClient::AppendEntries(std::shared_ptr<Operation> operation) {
  Operation* const op = operation.get();
  op->context = Context(op->call);
  stub_->async()->BatchAppendEntries(
      op->context.get(), &op->request, &op->response,
      [operation = std::move(operation)](const grpc::Status& status) {
        if (!status.ok()) return operation->Finish(FromLedger(status));
        const lpb::BatchAppendEntriesResponse& response = operation->response;
        if (response.entries_size() != operation->request.entries_size()) {
          return operation->Finish(
              absl::InternalError(absl::StrCat("the ledger answered for ", response.entries_size(),
                                               " entries of ", operation->request.entries_size())));
        }
        std::vector<v1::LedgerProof> proofs(response.entries_size());
        for (int i = 0; i < response.entries_size(); ++i) {
          const lpb::AppendedEntry& entry = response.entries(i);
          v1::LedgerProof& proof = proofs[i];
          proof.set_log_origin(operation->identity->origin);
          proof.set_log_key_id(operation->identity->key_id);
          proof.set_index(entry.index());
          if (entry.has_proof()) {
            proof.set_tree_size(entry.proof().tree_size());
            *proof.mutable_hashes() = entry.proof().hashes();
            proof.set_checkpoint(response.checkpoint());
          }
        }
        operation->Finish(std::move(proofs));
      });
}

}  // namespace countersign::sign
