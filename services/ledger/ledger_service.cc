#include "services/ledger/ledger_service.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/note/tlog_proof.h"
#include "libs/runtime/call.h"
#include "services/ledger/append_stream.h"
#include "services/ledger/proto_conversions.h"

namespace countersign::ledger {
namespace {

constexpr int kDefaultPage = 100;
constexpr int kMaxPage = 1000;
constexpr size_t kMaxPageBytes = 3 << 20;  // below gRPC's default limit of 4 MiB a message
constexpr int kMaxProofs = 1000;

// The checkpoint of exactly `size`, when it is still at hand.
std::string CheckpointOfSize(const Ledger& ledger, uint64_t size) {
  for (const SignedTreeHead& tree : {ledger.published_head(), ledger.signed_head()}) {
    if (tree.checkpoint != nullptr && tree.head.size == size) return *tree.checkpoint;
  }
  return "";
}

// The tree to prove against: `requested`, or the published one for 0.
absl::StatusOr<uint64_t> TreeSize(const Ledger& ledger, int64_t requested) {
  if (requested < 0) return absl::InvalidArgumentError("a tree size cannot be negative");
  if (requested == 0) return ledger.published_head().head.size;
  const uint64_t integrated = ledger.signed_head().head.size;
  if (static_cast<uint64_t>(requested) > integrated) {
    return absl::OutOfRangeError(absl::StrCat(
        "the log has ", integrated, " integrated entries, fewer than the tree size ", requested));
  }
  return static_cast<uint64_t>(requested);
}

absl::StatusOr<uint64_t> IndexOf(const Ledger& ledger, absl::string_view leaf_hash) {
  ASSIGN_OR_RETURN(const merkle::Hash hash, merkle::ToHash(leaf_hash));
  ASSIGN_OR_RETURN(const std::optional<uint64_t> index, ledger.store().Find(hash));
  if (!index.has_value()) {
    return absl::NotFoundError(
        absl::StrCat("the log has no entry with leaf hash ", base::HexEncode(leaf_hash)));
  }
  return *index;
}

absl::Status ProveInclusion(const Ledger& ledger, uint64_t index, uint64_t tree_size,
                            v1::InclusionProof* out) {
  ASSIGN_OR_RETURN(const std::vector<merkle::Hash> hashes, ledger.InclusionProof(index, tree_size));
  FillInclusionProof(index, tree_size, hashes, out);
  return absl::OkStatus();
}

// Proves indexes[i] in proofs[i] of the response, for i from `begin` up to `end`.
absl::Status ProveInclusions(const Ledger& ledger, absl::Span<const uint64_t> indexes,
                             uint64_t tree_size, size_t begin, size_t end,
                             v1::BatchGetInclusionProofsResponse* response) {
  indexes = indexes.subspan(begin, end - begin);
  ASSIGN_OR_RETURN(const std::vector<std::vector<merkle::Hash>> proofs,
                   ledger.InclusionProofs(indexes, tree_size));
  for (size_t i = 0; i < proofs.size(); ++i) {
    FillInclusionProof(indexes[i], tree_size, proofs[i],
                       response->mutable_proofs(static_cast<int>(begin + i)));
  }
  return absl::OkStatus();
}

absl::Status ProveConsistency(const Ledger& ledger, int64_t first, int64_t second,
                              v1::ConsistencyProof* out) {
  if (first < 0) return absl::InvalidArgumentError("a tree size cannot be negative");
  ASSIGN_OR_RETURN(const uint64_t later, TreeSize(ledger, second));
  if (static_cast<uint64_t>(first) > ledger.signed_head().head.size) {
    return absl::OutOfRangeError(
        absl::StrCat("the log has fewer entries than the tree size ", first));
  }
  ASSIGN_OR_RETURN(const std::vector<merkle::Hash> hashes,
                   ledger.ConsistencyProof(static_cast<uint64_t>(first), later));
  out->set_first_size(first);
  out->set_second_size(static_cast<int64_t>(later));
  for (const merkle::Hash& hash : hashes) out->add_hashes(hash.data(), hash.size());
  return absl::OkStatus();
}

// The answer's proof and checkpoint once more, as one C2SP tlog-proof.
absl::Status FillTlogProof(v1::AppendEntryResponse* response) {
  note::TlogProof proof;
  proof.index = static_cast<uint64_t>(response->entry().index());
  for (const std::string& hash : response->entry().proof().hashes()) {
    ASSIGN_OR_RETURN(proof.hashes.emplace_back(), merkle::ToHash(hash));
  }
  proof.checkpoint = response->checkpoint();
  response->set_tlog_proof(note::FormatTlogProof(proof));
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> TileWidth(int32_t width) {
  if (width < 0 || width > 256) {
    return absl::InvalidArgumentError(absl::StrCat("a tile's width is 1 to 256, not ", width));
  }
  return width == 0 ? 256 : static_cast<uint32_t>(width);
}

}  // namespace

LedgerService::LedgerService(LogRegistry* logs, base::ThreadPool* executor,
                             absl::Duration cosign_timeout)
    : logs_(logs), executor_(executor), cosign_timeout_(cosign_timeout) {}

void LedgerService::FillLog(const Log& log, v1::Log* out) {
  out->set_name(log.identity.name);
  out->set_origin(log.identity.origin);
  out->set_vkey(log.identity.vkey);
  out->set_spki(log.identity.spki_der);
  out->set_key_id(log.identity.key_id);
  out->set_quorum_policy(log.identity.policy_text);
  out->set_tree_size(static_cast<int64_t>(log.ledger->published_head().head.size));
  out->set_integrated_tree_size(static_cast<int64_t>(log.ledger->signed_head().head.size));
  out->set_state(log.ledger->frozen() ? v1::LOG_STATE_FROZEN : v1::LOG_STATE_ACTIVE);
  for (const Cosigner::WitnessState& witness : log.ledger->witnesses()) {
    v1::LogWitness* state = out->add_witnesses();
    state->set_name(witness.name);
    state->set_vkey(witness.vkey);
    state->set_url(witness.url);
    state->set_cosigned_size(static_cast<int64_t>(witness.cosigned_size));
    if (witness.cosigned_size != 0) {
      state->mutable_cosign_time()->set_seconds(absl::ToUnixSeconds(witness.cosign_time));
    }
    state->set_last_error(witness.last_error);
  }
}

void LedgerService::Append(const std::string& log_name, std::vector<absl::string_view> entries,
                           v1::WaitLevel wait, absl::Time deadline,
                           std::function<void(const Log*, absl::StatusOr<Ledger::Appended>)> done) {
  const absl::StatusOr<const Log*> log = logs_->Find(log_name);
  if (!log.ok()) return done(nullptr, log.status());
  Ledger::Level level;
  switch (wait) {
    case v1::WAIT_LEVEL_SEQUENCED:
      level = Ledger::Level::kSequenced;
      break;
    case v1::WAIT_LEVEL_UNSPECIFIED:
    case v1::WAIT_LEVEL_INTEGRATED:
      level = Ledger::Level::kIntegrated;
      break;
    case v1::WAIT_LEVEL_COSIGNED:
      level = Ledger::Level::kCosigned;
      break;
    default:
      return done(nullptr, absl::InvalidArgumentError(absl::StrCat("unknown wait level ", wait)));
  }
  // A little before the caller gives up, so that it learns why.
  deadline = std::min(deadline - absl::Milliseconds(50), absl::Now() + cosign_timeout_);
  (*log)->ledger->Append(
      std::move(entries), level, deadline,
      [this, log = *log, done = std::move(done)](absl::StatusOr<Ledger::Appended> appended) {
        if (!appended.ok() || !appended->tree.has_value()) {
          return done(log, std::move(appended));
        }
        // std::function wants something that can be copied.
        auto shared = std::make_shared<Ledger::Appended>(*std::move(appended));
        executor_->Schedule([log, done, shared] { done(log, std::move(*shared)); });
      });
}

grpc::ServerUnaryReactor* LedgerService::AppendEntry(grpc::CallbackServerContext* context,
                                                     const v1::AppendEntryRequest* request,
                                                     v1::AppendEntryResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (request->tlog_proof() && request->wait() == v1::WAIT_LEVEL_SEQUENCED) {
    runtime::FinishCall(context, reactor,
                        absl::InvalidArgumentError("there is no proof of what is only sequenced: "
                                                   "wait for INTEGRATED or COSIGNED"));
    return reactor;
  }
  Append(request->log(), {absl::string_view(request->entry())}, request->wait(),
         runtime::Deadline(*context),
         [context, reactor, response, tlog_proof = request->tlog_proof()](
             const Log* log, absl::StatusOr<Ledger::Appended> appended) {
           absl::Status status = appended.status();
           if (status.ok()) {
             status = FillAppended(
                 *log->ledger, *appended, [response](size_t) { return response->mutable_entry(); },
                 response->mutable_checkpoint());
             if (status.ok() && tlog_proof) status = FillTlogProof(response);
           }
           runtime::FinishCall(context, reactor, status);
         });
  return reactor;
}

grpc::ServerUnaryReactor* LedgerService::BatchAppendEntries(
    grpc::CallbackServerContext* context, const v1::BatchAppendEntriesRequest* request,
    v1::BatchAppendEntriesResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  Append(request->log(), {request->entries().begin(), request->entries().end()}, request->wait(),
         runtime::Deadline(*context),
         [context, reactor, response](const Log* log, absl::StatusOr<Ledger::Appended> appended) {
           absl::Status status = appended.status();
           if (status.ok()) {
             status = FillAppended(*log->ledger, *appended, response->mutable_entries(),
                                   response->mutable_checkpoint());
           }
           runtime::FinishCall(context, reactor, status);
         });
  return reactor;
}

grpc::ServerBidiReactor<v1::StreamAppendEntriesRequest, v1::StreamAppendEntriesResponse>*
LedgerService::StreamAppendEntries(grpc::CallbackServerContext* context) {
  return new AppendStream(this, runtime::Deadline(*context));
}

grpc::ServerUnaryReactor* LedgerService::GetEntry(grpc::CallbackServerContext* context,
                                                  const v1::GetEntryRequest* request,
                                                  v1::GetEntryResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    const size_t split = request->name().rfind("/entries/");
    uint64_t index;
    if (split == std::string::npos ||
        !absl::SimpleAtoi(request->name().substr(split + 9), &index)) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", request->name(),
                       "' is not an entry's name: it has the form "
                       "tenants/{tenant}/logs/{log}/entries/{index}"));
    }
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->name().substr(0, split)));
    ASSIGN_OR_RETURN(const std::vector<std::string> entries,
                     log->ledger->ReadEntries(index, 1, merkle::kMaxEntryBytes));
    if (entries.empty()) {
      return absl::NotFoundError(absl::StrCat("the log has no entry at index ", index, " yet"));
    }
    FillEntry(log->identity.name, index, entries[0], response->mutable_entry());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LedgerService::ListEntries(grpc::CallbackServerContext* context,
                                                     const v1::ListEntriesRequest* request,
                                                     v1::ListEntriesResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->log()));
    if (request->start_index() < 0 || request->page_size() < 0) {
      return absl::InvalidArgumentError("start_index and page_size cannot be negative");
    }
    auto start = static_cast<uint64_t>(request->start_index());
    if (!request->page_token().empty() && !absl::SimpleAtoi(request->page_token(), &start)) {
      return absl::InvalidArgumentError("the page token is not one that this server gave");
    }
    const int page =
        request->page_size() == 0 ? kDefaultPage : std::min(request->page_size(), kMaxPage);
    ASSIGN_OR_RETURN(const std::vector<std::string> entries,
                     log->ledger->ReadEntries(start, static_cast<size_t>(page), kMaxPageBytes));
    for (size_t i = 0; i < entries.size(); ++i) {
      FillEntry(log->identity.name, start + i, entries[i], response->add_entries());
    }
    const uint64_t next = start + entries.size();
    if (next < log->ledger->signed_head().head.size) {
      response->set_next_page_token(absl::StrCat(next));
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LedgerService::GetInclusionProof(
    grpc::CallbackServerContext* context, const v1::GetInclusionProofRequest* request,
    v1::GetInclusionProofResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->log()));
    ASSIGN_OR_RETURN(const uint64_t size, TreeSize(*log->ledger, request->tree_size()));
    uint64_t index = 0;
    switch (request->entry_case()) {
      case v1::GetInclusionProofRequest::kIndex:
        if (request->index() < 0) return absl::InvalidArgumentError("an index is not negative");
        index = static_cast<uint64_t>(request->index());
        break;
      case v1::GetInclusionProofRequest::kLeafHash: {
        ASSIGN_OR_RETURN(index, IndexOf(*log->ledger, request->leaf_hash()));
        break;
      }
      case v1::GetInclusionProofRequest::ENTRY_NOT_SET:
        return absl::InvalidArgumentError("say which entry to prove: index or leaf_hash");
    }
    RETURN_IF_ERROR(ProveInclusion(*log->ledger, index, size, response->mutable_proof()));
    response->set_checkpoint(CheckpointOfSize(*log->ledger, size));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LedgerService::BatchGetInclusionProofs(
    grpc::CallbackServerContext* context, const v1::BatchGetInclusionProofsRequest* request,
    v1::BatchGetInclusionProofsResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->log()));
    if (request->indexes_size() + request->leaf_hashes_size() > kMaxProofs) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than ", kMaxProofs, " proofs in one call: split it"));
    }
    ASSIGN_OR_RETURN(const uint64_t size, TreeSize(*log->ledger, request->tree_size()));
    std::vector<uint64_t> indexes;
    for (const int64_t index : request->indexes()) {
      if (index < 0) return absl::InvalidArgumentError("an index is not negative");
      indexes.push_back(static_cast<uint64_t>(index));
    }
    for (const std::string& leaf_hash : request->leaf_hashes()) {
      ASSIGN_OR_RETURN(indexes.emplace_back(), IndexOf(*log->ledger, leaf_hash));
    }
    response->mutable_proofs()->Reserve(static_cast<int>(indexes.size()));
    for (size_t i = 0; i < indexes.size(); ++i) response->add_proofs();
    // Each worker takes a run of neighbours, which share tiles.
    constexpr size_t kRun = 128;
    const int runs = static_cast<int>((indexes.size() + kRun - 1) / kRun);
    std::vector<absl::Status> failures(static_cast<size_t>(runs));
    executor_->ParallelFor(runs, [&](int run) {
      const size_t begin = static_cast<size_t>(run) * kRun;
      failures[static_cast<size_t>(run)] = ProveInclusions(
          *log->ledger, indexes, size, begin, std::min(begin + kRun, indexes.size()), response);
    });
    for (const absl::Status& failure : failures) RETURN_IF_ERROR(failure);
    response->set_checkpoint(CheckpointOfSize(*log->ledger, size));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LedgerService::GetConsistencyProof(
    grpc::CallbackServerContext* context, const v1::GetConsistencyProofRequest* request,
    v1::GetConsistencyProofResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->log()));
    return ProveConsistency(*log->ledger, request->first_size(), request->second_size(),
                            response->mutable_proof());
  });
}

grpc::ServerUnaryReactor* LedgerService::BatchGetConsistencyProofs(
    grpc::CallbackServerContext* context, const v1::BatchGetConsistencyProofsRequest* request,
    v1::BatchGetConsistencyProofsResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->log()));
    if (request->pairs_size() > kMaxProofs) {
      return absl::InvalidArgumentError(
          absl::StrCat("more than ", kMaxProofs, " proofs in one call: split it"));
    }
    for (const v1::TreeSizePair& pair : request->pairs()) {
      RETURN_IF_ERROR(ProveConsistency(*log->ledger, pair.first_size(), pair.second_size(),
                                       response->add_proofs()));
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LedgerService::GetCheckpoint(grpc::CallbackServerContext* context,
                                                       const v1::GetCheckpointRequest* request,
                                                       v1::GetCheckpointResponse* response) {
  return runtime::FinishUnary(context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->log()));
    const SignedTreeHead tree =
        request->unpublished() ? log->ledger->signed_head() : log->ledger->published_head();
    if (tree.checkpoint == nullptr) {
      return absl::NotFoundError("the log has published no checkpoint yet");
    }
    response->set_checkpoint(*tree.checkpoint);
    response->set_tree_size(static_cast<int64_t>(tree.head.size));
    return absl::OkStatus();
  }());
}

grpc::ServerUnaryReactor* LedgerService::GetTile(grpc::CallbackServerContext* context,
                                                 const v1::GetTileRequest* request,
                                                 v1::GetTileResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->log()));
    ASSIGN_OR_RETURN(const uint32_t width, TileWidth(request->width()));
    if (request->level() < 0 || request->level() > 63 || request->index() < 0) {
      return absl::InvalidArgumentError("a tile's level is 0 to 63 and its index not negative");
    }
    ASSIGN_OR_RETURN(const SharedBytes tile,
                     log->ledger->store().ReadTile(
                         {request->level(), static_cast<uint64_t>(request->index()), width}));
    response->set_tile(*tile);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LedgerService::GetEntryBundle(grpc::CallbackServerContext* context,
                                                        const v1::GetEntryBundleRequest* request,
                                                        v1::GetEntryBundleResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->log()));
    ASSIGN_OR_RETURN(const uint32_t width, TileWidth(request->width()));
    if (request->index() < 0) return absl::InvalidArgumentError("an index is not negative");
    ASSIGN_OR_RETURN(const SharedBytes bundle, log->ledger->store().ReadEntryBundle(
                                                   static_cast<uint64_t>(request->index()), width));
    response->set_entry_bundle(*bundle);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LedgerService::GetLog(grpc::CallbackServerContext* context,
                                                const v1::GetLogRequest* request,
                                                v1::GetLogResponse* response) {
  return runtime::FinishUnary(context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->name()));
    FillLog(*log, response->mutable_log());
    return absl::OkStatus();
  }());
}

grpc::ServerUnaryReactor* LedgerService::ListLogs(grpc::CallbackServerContext* context,
                                                  const v1::ListLogsRequest* request,
                                                  v1::ListLogsResponse* response) {
  return runtime::FinishUnary(context, [&]() -> absl::Status {
    if (!absl::StartsWith(request->parent(), "tenants/")) {
      return absl::InvalidArgumentError("parent has the form tenants/{tenant}");
    }
    if (request->page_size() < 0) {
      return absl::InvalidArgumentError("page_size cannot be negative");
    }
    const int page =
        request->page_size() == 0 ? kDefaultPage : std::min(request->page_size(), kMaxPage);
    // The token is the name that the page begins with. One more than a page tells the next one's.
    const std::vector<const Log*> logs =
        logs_->List(absl::StripPrefix(request->parent(), "tenants/"), request->page_token(),
                    static_cast<size_t>(page) + 1);
    for (const Log* log : logs) {
      if (response->logs_size() == page) {
        response->set_next_page_token(log->identity.name);
        break;
      }
      FillLog(*log, response->add_logs());
    }
    return absl::OkStatus();
  }());
}

grpc::ServerUnaryReactor* LedgerService::CreateLog(grpc::CallbackServerContext* context,
                                                   const v1::CreateLogRequest* request,
                                                   v1::CreateLogResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const LogName name,
                     ParseLogName(absl::StrCat(request->parent(), "/logs/", request->log_id())));
    ASSIGN_OR_RETURN(const Log* log,
                     logs_->Create(name, request->origin(), request->witness_policy()));
    FillLog(*log, response->mutable_log());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* LedgerService::FreezeLog(grpc::CallbackServerContext* context,
                                                   const v1::FreezeLogRequest* request,
                                                   v1::FreezeLogResponse* response) {
  return runtime::RunUnary(context, executor_, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const Log* log, logs_->Find(request->name()));
    RETURN_IF_ERROR(log->ledger->Freeze());
    FillLog(*log, response->mutable_log());
    return absl::OkStatus();
  });
}

}  // namespace countersign::ledger
