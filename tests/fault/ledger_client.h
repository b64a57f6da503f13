// A ledger as a child process, and a client that holds it to what it promised.
#ifndef COUNTERSIGN_TESTS_FAULT_LEDGER_CLIENT_H_
#define COUNTERSIGN_TESTS_FAULT_LEDGER_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "catch2/catch.hpp"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/merkle/proof.h"
#include "libs/note/checkpoint.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "libs/testing/child_process.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"

namespace countersign::fault {

namespace pb = ledger::v1;
using testing::ChildProcess;
using testing::RequireOk;
using Stub = pb::LedgerService::Stub;

inline constexpr char kOrigin[] = "log.example/kill";
inline constexpr char kLog[] = "tenants/default/logs/main";

// The flags of a ledger on `data` and free ports, which settles often.
inline std::vector<std::string> Flags(const std::string& data) {
  return {"--data=" + data,
          absl::StrCat("--origin=", kOrigin),
          "--listen=127.0.0.1:0",
          "--http-listen=127.0.0.1:0",
          "--admin-listen=127.0.0.1:0",
          "--publish-interval=1ms",
          "--settle-bytes=20000"};
}

// Without retries, so that a call to a ledger that was killed fails at once.
inline std::unique_ptr<Stub> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  const auto channel =
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  INFO(address);
  REQUIRE(channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::minutes(2)));
  return pb::LedgerService::NewStub(channel);
}

template <typename Request, typename Response>
absl::StatusOr<Response> Call(Stub* stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request) {
  const auto context = runtime::MakeContext(absl::Minutes(2));
  Response response;
  const grpc::Status status = (stub->*method)(context.get(), request, &response);
  if (!status.ok()) return runtime::FromGrpcStatus(status);
  return response;
}

inline absl::StatusOr<pb::BatchAppendEntriesResponse> Append(
    Stub* stub, const std::vector<std::string>& entries, pb::WaitLevel wait) {
  pb::BatchAppendEntriesRequest request;
  request.set_log(kLog);
  *request.mutable_entries() = {entries.begin(), entries.end()};
  request.set_wait(wait);
  return Call(stub, &Stub::BatchAppendEntries, request);
}

inline std::vector<merkle::Hash> Hashes(
    const google::protobuf::RepeatedPtrField<std::string>& hashes) {
  std::vector<merkle::Hash> result;
  for (const std::string& hash : hashes) {
    // What is no hash proves nothing.
    result.push_back(merkle::ToHash(hash).value_or(merkle::Hash()));
  }
  return result;
}

inline note::NoteVerifier LogKey(const std::string& data) {
  const std::string vkey = RequireOk(base::ReadFile(data + "/log.vkey"));
  return RequireOk(note::ParseVkey(absl::StripSuffix(vkey, "\n")));
}

inline absl::StatusOr<note::Checkpoint> OpenCheckpoint(absl::string_view note,
                                                       const note::NoteVerifier& key) {
  return note::OpenCheckpoint(note, kOrigin, {&key, 1});
}

// Everything that the log has ever promised. Thread-safe.
class Promises {
 public:
  // An acknowledged entry. Complains when another index was promised before.
  void Acknowledged(const std::string& entry, uint64_t index) {
    base::MutexLock lock(&mutex_);
    const auto [known, is_new] = indexes_.emplace(entry, index);
    if (!is_new && known->second != index) {
      complaints_.push_back(
          absl::StrCat("'", entry, "' has index ", known->second, " and ", index));
    }
    if (is_new) newest_.push_back(known);
    if (is_new) ++acknowledged_;
  }

  // The last `count` entries that were acknowledged.
  std::map<std::string, uint64_t> NewestIndexes(size_t count) const {
    base::MutexLock lock(&mutex_);
    std::map<std::string, uint64_t> newest;
    for (size_t i = newest_.size() - std::min(count, newest_.size()); i < newest_.size(); ++i) {
      newest.insert(*newest_[i]);
    }
    return newest;
  }

  // A checkpoint that was seen; a published one may not be smaller than those before it.
  void Seen(const note::Checkpoint& checkpoint, bool published) {
    base::MutexLock lock(&mutex_);
    const auto [known, is_new] = roots_.emplace(checkpoint.size, checkpoint.root);
    if (!is_new && known->second != checkpoint.root) {
      complaints_.push_back(absl::StrCat("size ", checkpoint.size, " has two roots"));
    }
    if (!published) return;
    if (checkpoint.size < published_) {
      complaints_.push_back(
          absl::StrCat("published size ", checkpoint.size, " after ", published_));
    }
    published_ = std::max(published_, checkpoint.size);
  }

  void Complain(std::string complaint) {
    base::MutexLock lock(&mutex_);
    complaints_.push_back(std::move(complaint));
  }

  std::map<std::string, uint64_t> indexes() const {
    base::MutexLock lock(&mutex_);
    return indexes_;
  }
  std::map<uint64_t, merkle::Hash> roots() const {
    base::MutexLock lock(&mutex_);
    return roots_;
  }
  std::vector<std::string> complaints() const {
    base::MutexLock lock(&mutex_);
    return complaints_;
  }
  uint64_t published() const {
    base::MutexLock lock(&mutex_);
    return published_;
  }
  size_t acknowledged() const { return acknowledged_; }

 private:
  mutable base::Mutex mutex_;
  std::map<std::string, uint64_t> indexes_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::map<std::string, uint64_t>::const_iterator> newest_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, merkle::Hash> roots_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> complaints_ ABSL_GUARDED_BY(mutex_);
  uint64_t published_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<size_t> acknowledged_{0};
};

// That the ledger keeps what was promised.
inline void CheckPromises(Stub* stub, const note::NoteVerifier& key,
                          const std::map<std::string, uint64_t>& indexes,
                          const std::map<uint64_t, merkle::Hash>& roots) {
  pb::GetCheckpointRequest request;
  request.set_log(kLog);
  request.set_unpublished(true);
  uint64_t needed = 0;
  for (const auto& [entry, index] : indexes) needed = std::max(needed, index + 1);
  note::Checkpoint head;
  // What was only sequenced follows soon.
  REQUIRE(testing::Eventually([&] {
    const auto newest = RequireOk(Call(stub, &Stub::GetCheckpoint, request));
    head = RequireOk(OpenCheckpoint(newest.checkpoint(), key));
    return head.size >= needed;
  }));

  for (auto entry = indexes.begin(); entry != indexes.end();) {
    pb::BatchGetInclusionProofsRequest wanted;
    wanted.set_log(kLog);
    wanted.set_tree_size(static_cast<int64_t>(head.size));
    const auto begin = entry;
    for (; entry != indexes.end() && wanted.leaf_hashes_size() < 1000; ++entry) {
      wanted.add_leaf_hashes(std::string(base::AsBytes(merkle::LeafHash(entry->first))));
    }
    const auto proofs = RequireOk(Call(stub, &Stub::BatchGetInclusionProofs, wanted));
    int i = 0;
    for (auto proven = begin; proven != entry; ++proven, ++i) {
      const pb::InclusionProof& proof = proofs.proofs(i);
      const absl::Status verdict =
          merkle::VerifyInclusion(proven->second, head.size, merkle::LeafHash(proven->first),
                                  Hashes(proof.hashes()), head.root);
      if (static_cast<uint64_t>(proof.index()) != proven->second || !verdict.ok()) {
        FAIL("'" << proven->first << "' was promised index " << proven->second << " and has "
                 << proof.index() << ": " << verdict);
      }
    }
  }

  for (auto seen = roots.begin(); seen != roots.end();) {
    pb::BatchGetConsistencyProofsRequest wanted;
    wanted.set_log(kLog);
    const auto begin = seen;
    for (; seen != roots.end() && wanted.pairs_size() < 1000; ++seen) {
      REQUIRE(seen->first <= head.size);
      pb::TreeSizePair* pair = wanted.add_pairs();
      pair->set_first_size(static_cast<int64_t>(seen->first));
      pair->set_second_size(static_cast<int64_t>(head.size));
    }
    const auto proofs = RequireOk(Call(stub, &Stub::BatchGetConsistencyProofs, wanted));
    int i = 0;
    for (auto proven = begin; proven != seen; ++proven, ++i) {
      const absl::Status verdict = merkle::VerifyConsistency(
          proven->first, head.size, Hashes(proofs.proofs(i).hashes()), proven->second, head.root);
      if (!verdict.ok()) FAIL("the checkpoint of size " << proven->first << ": " << verdict);
    }
  }
}

inline void CheckPromises(Stub* stub, const note::NoteVerifier& key, const Promises& promises) {
  CheckPromises(stub, key, promises.indexes(), promises.roots());
}

}  // namespace countersign::fault

#endif  // COUNTERSIGN_TESTS_FAULT_LEDGER_CLIENT_H_
