#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "countersign/bench/v1/echo.grpc.pb.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/hash.h"
#include "libs/merkle/proof.h"
#include "libs/note/checkpoint.h"
#include "libs/runtime/status.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::ledger::v1;

constexpr char kLog[] = "tenants/default/logs/main";
constexpr uint64_t kEntries = 205'000;
constexpr uint64_t kEntriesPerAppend = 5'000;
constexpr int kProofsPerCall = 1'000;

using Channels = std::vector<std::shared_ptr<grpc::Channel>>;

std::string NumberedEntry(uint64_t number) {
  std::string entry(248, 'p');
  base::AppendU64(&entry, number);
  return entry;
}

// Has NumberedEntry(i) at first_index + i for every i below kEntries, all of them under the
// published checkpoint. The ledger deduplicates, so a second call finds what the first appended.
absl::StatusOr<uint64_t> FillLog(pb::LedgerService::Stub* ledger) {
  uint64_t first_index = 0;
  for (uint64_t begin = 0; begin < kEntries; begin += kEntriesPerAppend) {
    grpc::ClientContext context;
    pb::BatchAppendEntriesRequest request;
    pb::BatchAppendEntriesResponse response;
    request.set_log(kLog);
    const bool last = begin + kEntriesPerAppend == kEntries;
    request.set_wait(last ? pb::WAIT_LEVEL_COSIGNED : pb::WAIT_LEVEL_SEQUENCED);
    for (uint64_t i = 0; i < kEntriesPerAppend; ++i) {
      request.add_entries(NumberedEntry(begin + i));
    }
    RETURN_IF_ERROR(
        runtime::FromGrpcStatus(ledger->BatchAppendEntries(&context, request, &response)));
    if (begin == 0) first_index = static_cast<uint64_t>(response.entries(0).index());
  }
  return first_index;
}

// Draws the entries that one slot asks proofs of.
class Draw {
 public:
  Draw(uint64_t first_index, int slot)
      : random_(static_cast<uint64_t>(slot)), index_(first_index, first_index + kEntries - 1) {}

  int64_t Next() { return static_cast<int64_t>(index_(random_)); }

 private:
  std::mt19937_64 random_;
  std::uniform_int_distribution<uint64_t> index_;
};

std::vector<Draw> Draws(uint64_t first_index, int slots) {
  std::vector<Draw> draws;
  for (int slot = 0; slot < slots; ++slot) draws.emplace_back(first_index, slot);
  return draws;
}

// Verifies the proofs of one batch, and returns its bytes on the wire.
absl::StatusOr<size_t> CheckBatch(pb::LedgerService::Stub* ledger, uint64_t first_index) {
  Draw draw(first_index, 0);
  grpc::ClientContext context;
  pb::BatchGetInclusionProofsRequest request;
  pb::BatchGetInclusionProofsResponse response;
  request.set_log(kLog);
  for (int i = 0; i < kProofsPerCall; ++i) request.add_indexes(draw.Next());
  RETURN_IF_ERROR(
      runtime::FromGrpcStatus(ledger->BatchGetInclusionProofs(&context, request, &response)));
  ASSIGN_OR_RETURN(const note::Checkpoint checkpoint,
                   note::ParseSignedCheckpoint(response.checkpoint()));
  for (int i = 0; i < kProofsPerCall; ++i) {
    const auto index = static_cast<uint64_t>(request.indexes(i));
    std::vector<merkle::Hash> hashes;
    for (const std::string& hash : response.proofs(i).hashes()) {
      ASSIGN_OR_RETURN(hashes.emplace_back(), merkle::ToHash(hash));
    }
    RETURN_IF_ERROR(merkle::VerifyInclusion(index, checkpoint.size,
                                            merkle::LeafHash(NumberedEntry(index - first_index)),
                                            hashes, checkpoint.root));
  }
  return response.ByteSizeLong();
}

// Calls that echo a payload of `bytes`.
LoadResult Echo(const LoadOptions& options, const Channels& channels, size_t bytes) {
  return RunCalls<v1::EchoService, v1::EchoRequest, v1::EchoResponse>(
      options, channels, [](auto* async, auto... arguments) { async->Echo(arguments...); },
      [bytes](int, v1::EchoRequest* request) {
        if (request->payload().empty()) request->set_payload(std::string(bytes, 'x'));
      },
      [](const v1::EchoResponse&) { return true; });
}

absl::StatusOr<Result> ProofsBatch(Environment& environment) {
  ASSIGN_OR_RETURN(const Channels channels, environment.Channels("ledger"));
  const auto ledger = pb::LedgerService::NewStub(channels[0]);
  ASSIGN_OR_RETURN(const uint64_t first_index, FillLog(ledger.get()));
  ASSIGN_OR_RETURN(const size_t bytes, CheckBatch(ledger.get(), first_index));
  const LoadOptions options = {.in_flight = 4, .length = environment.length()};
  std::vector<Draw> draws = Draws(first_index, options.in_flight);
  const LoadResult load = RunCalls<pb::LedgerService, pb::BatchGetInclusionProofsRequest,
                                   pb::BatchGetInclusionProofsResponse>(
      options, channels,
      [](auto* async, auto... arguments) { async->BatchGetInclusionProofs(arguments...); },
      [&](int slot, pb::BatchGetInclusionProofsRequest* request) {
        request->set_log(kLog);
        request->clear_indexes();
        Draw& draw = draws[static_cast<size_t>(slot)];
        for (int i = 0; i < kProofsPerCall; ++i) request->add_indexes(draw.Next());
      },
      [](const pb::BatchGetInclusionProofsResponse& response) {
        return response.proofs_size() == kProofsPerCall && response.proofs(0).hashes_size() > 0;
      });
  Result result = FromLoad("ledger-proofs-batch", "proofs/s", load, kProofsPerCall);
  result.note = absl::StrFormat(
      "%d proofs a call, %d in flight, of random ones among %d entries in warm tiles; one batch "
      "verified; %d bytes a proof",
      kProofsPerCall, options.in_flight, kEntries, bytes / kProofsPerCall);
  result.baseline = "grpc-echo of as many bytes";
  ASSIGN_OR_RETURN(const Channels echo, environment.Channels("echo"));
  result.baseline_value = Echo(options, echo, bytes).PerSecond() * kProofsPerCall;
  return result;
}

absl::StatusOr<Result> ProofsOne(Environment& environment) {
  ASSIGN_OR_RETURN(const Channels channels, environment.Channels("ledger"));
  const auto ledger = pb::LedgerService::NewStub(channels[0]);
  ASSIGN_OR_RETURN(const uint64_t first_index, FillLog(ledger.get()));
  ASSIGN_OR_RETURN(const size_t bytes, CheckBatch(ledger.get(), first_index));
  const LoadOptions options = {.in_flight = 1, .length = environment.length()};
  Draw draw(first_index, 1);
  const LoadResult load =
      RunCalls<pb::LedgerService, pb::GetInclusionProofRequest, pb::GetInclusionProofResponse>(
          options, channels,
          [](auto* async, auto... arguments) { async->GetInclusionProof(arguments...); },
          [&](int, pb::GetInclusionProofRequest* request) {
            request->set_log(kLog);
            request->set_index(draw.Next());
          },
          [](const pb::GetInclusionProofResponse& response) {
            return response.proof().hashes_size() > 0 && !response.checkpoint().empty();
          });
  Result result = FromLoad("ledger-proofs-one", "proofs/s", load);
  ASSIGN_OR_RETURN(const Channels echo_channels, environment.Channels("echo"));
  const LoadResult echo = Echo(options, echo_channels, bytes / kProofsPerCall);
  result.baseline = "grpc-echo, one client";
  result.baseline_value = echo.PerSecond();
  result.note = absl::StrFormat(
      "one client, one proof a call, of random ones among %d entries in warm tiles; the echo's p99 "
      "%.3f ms",
      kEntries, echo.p99_ms);
  return result;
}

}  // namespace

std::vector<Benchmark> LedgerProofsBenchmarks() {
  return {{"ledger-proofs-batch", "inclusion proofs, 1,000 a call", ProofsBatch},
          {"ledger-proofs-one", "one client, one inclusion proof a call", ProofsOne}};
}

}  // namespace countersign::bench
