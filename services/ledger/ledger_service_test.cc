#include "services/ledger/ledger_service.h"

#include <grpcpp/grpcpp.h>

#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/merkle/proof.h"
#include "libs/merkle/reference_tree.h"
#include "libs/note/checkpoint.h"
#include "libs/note/tlog_proof.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "libs/testing/eventually.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/ledger/fake_log_backend.h"

namespace countersign::ledger {
namespace {

using absl::StatusCode;
using merkle::Entries;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kOrigin[] = "log.example/test";
constexpr char kLog[] = "tenants/t/logs/main";
constexpr absl::Duration kTimeout = absl::Minutes(1);

// One log on a folder, served over gRPC.
struct Fixture {
  // `published` is whether checkpoints are cosigned from the start.
  explicit Fixture(bool published = true) : executor(2) {
    fakes.directory = dir.path();
    fakes.block_cosigners = !published;
    registry = RequireOk(
        LogRegistry::Open(fakes.Options(kLog, kOrigin), std::make_unique<FakeLogBackend>(&fakes)));
    store = fakes.stores[kLog];
    cosigner = fakes.cosigners[kOrigin];
    identity = registry->main_log().identity;
    ledger = registry->main_log().ledger.get();
    service = std::make_unique<LedgerService>(registry.get(), &executor, absl::Seconds(30));
    server = std::make_unique<testing::InProcessServer>(service.get());
    stub = v1::LedgerService::NewStub(server->channel());
  }
  ~Fixture() {
    registry->Stop();
    server->Stop();
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::LedgerService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request, absl::Duration timeout = kTimeout) {
    const auto context = runtime::MakeContext(timeout);
    Response response;
    const grpc::Status status = (stub.get()->*method)(context.get(), request, &response);
    if (!status.ok()) return runtime::FromGrpcStatus(status);
    return response;
  }

  absl::StatusOr<v1::AppendEntryResponse> Append(const std::string& entry,
                                                 v1::WaitLevel wait = v1::WAIT_LEVEL_UNSPECIFIED,
                                                 absl::Duration timeout = kTimeout) {
    v1::AppendEntryRequest request;
    request.set_log(kLog);
    request.set_entry(entry);
    request.set_wait(wait);
    return Call(&v1::LedgerService::Stub::AppendEntry, request, timeout);
  }
  absl::StatusOr<v1::BatchAppendEntriesResponse> AppendBatch(
      const Entries& entries, v1::WaitLevel wait = v1::WAIT_LEVEL_UNSPECIFIED) {
    v1::BatchAppendEntriesRequest request;
    request.set_log(kLog);
    *request.mutable_entries() = {entries.begin(), entries.end()};
    request.set_wait(wait);
    return Call(&v1::LedgerService::Stub::BatchAppendEntries, request);
  }
  // Appends "0", "1", … and has the tree published.
  Entries Grow(size_t size) {
    const Entries log = merkle::NumberedEntries(size);
    RequireOk(AppendBatch(log, v1::WAIT_LEVEL_COSIGNED));
    return log;
  }

  testing::TempDir dir;
  base::ThreadPool executor;
  FakeLogs fakes;
  std::unique_ptr<LogRegistry> registry;
  FakeLogStore* store;
  FakeCosigner* cosigner;
  LogIdentity identity;
  Ledger* ledger;
  std::unique_ptr<LedgerService> service;
  std::unique_ptr<testing::InProcessServer> server;
  std::unique_ptr<v1::LedgerService::Stub> stub;
};

using Stub = v1::LedgerService::Stub;

std::vector<merkle::Hash> Hashes(const google::protobuf::RepeatedPtrField<std::string>& hashes) {
  std::vector<merkle::Hash> result;
  for (const std::string& hash : hashes) result.push_back(RequireOk(merkle::ToHash(hash)));
  return result;
}

std::string Bytes(const merkle::Hash& hash) { return std::string(base::AsBytes(hash)); }

// That `proof` shows `entry` at `index` in the tree of `checkpoint`, signed by the log.
void CheckProof(const v1::InclusionProof& proof, const std::string& entry,
                const std::string& checkpoint) {
  const note::NoteVerifier key = note::TestLogSigner(kOrigin)->verifier();
  const auto head = RequireOk(note::OpenCheckpoint(checkpoint, kOrigin, {&key, 1}));
  CHECK(static_cast<uint64_t>(proof.tree_size()) == head.size);
  CHECK_THAT(merkle::VerifyInclusion(static_cast<uint64_t>(proof.index()), head.size,
                                     merkle::LeafHash(entry), Hashes(proof.hashes()), head.root),
             IsOk());
}

TEST_CASE("AppendEntry answers as much as was waited for") {
  Fixture log;
  const auto sequenced = RequireOk(log.Append("a", v1::WAIT_LEVEL_SEQUENCED));
  CHECK(sequenced.entry().index() == 0);
  CHECK(sequenced.entry().leaf_hash() == Bytes(merkle::LeafHash("a")));
  CHECK_FALSE(sequenced.entry().duplicate());
  CHECK_FALSE(sequenced.entry().has_proof());
  CHECK(sequenced.checkpoint().empty());

  log.cosigner->Block();
  for (const v1::WaitLevel wait : {v1::WAIT_LEVEL_UNSPECIFIED, v1::WAIT_LEVEL_INTEGRATED}) {
    const std::string entry = absl::StrCat("b", wait);
    const auto integrated = RequireOk(log.Append(entry, wait));
    CheckProof(integrated.entry().proof(), entry, integrated.checkpoint());
  }
  log.cosigner->Unblock();
  const auto cosigned = RequireOk(log.Append("c", v1::WAIT_LEVEL_COSIGNED));
  CHECK(cosigned.entry().index() == 3);
  CheckProof(cosigned.entry().proof(), "c", cosigned.checkpoint());
  CHECK(absl::StrContains(cosigned.checkpoint(), "witness.example"));

  const auto again = RequireOk(log.Append("a", v1::WAIT_LEVEL_INTEGRATED));
  CHECK(again.entry().index() == 0);
  CHECK(again.entry().duplicate());
  CheckProof(again.entry().proof(), "a", again.checkpoint());
}

TEST_CASE("AppendEntry refuses with the documented codes") {
  Fixture log;
  CHECK_THAT(log.Append(""), StatusIs(StatusCode::kInvalidArgument, "empty"));
  CHECK_THAT(log.Append(std::string(65'536, 'x')),
             StatusIs(StatusCode::kInvalidArgument, "65536 bytes"));
  CHECK_THAT(log.Append("a", static_cast<v1::WaitLevel>(9)),
             StatusIs(StatusCode::kInvalidArgument, "wait level"));
  v1::AppendEntryRequest request;
  request.set_entry("a");
  for (const char* name : {"", "logs/main", "tenants/t", "t/logs/main"}) {
    request.set_log(name);
    CHECK_THAT(log.Call(&Stub::AppendEntry, request), StatusIs(StatusCode::kInvalidArgument, name));
  }
  request.set_log("tenants/t/logs/other");
  CHECK_THAT(log.Call(&Stub::AppendEntry, request),
             StatusIs(StatusCode::kNotFound, "tenants/t/logs/other"));
  log.store->FailSequence(absl::ResourceExhaustedError("no space"));
  CHECK_THAT(log.Append("a"), StatusIs(StatusCode::kResourceExhausted, "no space"));
  log.store->FailSequence(absl::OkStatus());
  CHECK(log.ledger->signed_head().head.size == 0);
  log.ledger->Stop();
  CHECK_THAT(log.Append("a"), StatusIs(StatusCode::kUnavailable, "stopping"));
}

TEST_CASE("A quorum missed is DEADLINE_EXCEEDED with the reason") {
  Fixture log;
  log.cosigner->FailWith(absl::UnavailableError("missing: w1 (gone fishing)"));
  // The ledger's own limit, earlier than the caller's.
  log.server.reset();
  log.service =
      std::make_unique<LedgerService>(log.registry.get(), &log.executor, absl::Milliseconds(200));
  log.server = std::make_unique<testing::InProcessServer>(log.service.get());
  log.stub = v1::LedgerService::NewStub(log.server->channel());
  CHECK_THAT(log.Append("a", v1::WAIT_LEVEL_COSIGNED),
             StatusIs(StatusCode::kDeadlineExceeded, "gone fishing"));
  log.cosigner->FailWith(absl::OkStatus());
  const auto again = RequireOk(log.Append("a", v1::WAIT_LEVEL_INTEGRATED));
  CHECK(again.entry().duplicate());
}

TEST_CASE("BatchAppendEntries answers in the order of the request, against one checkpoint") {
  Fixture log;
  const Entries entries = {"a", "b", "a", "c"};
  const auto batch = RequireOk(log.AppendBatch(entries));
  REQUIRE(batch.entries_size() == 4);
  const std::vector<int64_t> indexes = {0, 1, 0, 2};
  for (int i = 0; i < 4; ++i) {
    CHECK(batch.entries(i).index() == indexes[static_cast<size_t>(i)]);
    CHECK(batch.entries(i).duplicate() == (i == 2));
    CheckProof(batch.entries(i).proof(), entries[static_cast<size_t>(i)], batch.checkpoint());
  }
  const auto sequenced = RequireOk(log.AppendBatch({"d", "e"}, v1::WAIT_LEVEL_SEQUENCED));
  CHECK(sequenced.entries(1).index() == 4);
  CHECK(sequenced.checkpoint().empty());
  CHECK_THAT(log.AppendBatch({}), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(log.AppendBatch({"x", ""}), StatusIs(StatusCode::kInvalidArgument, "entry 1"));
  CHECK_THAT(log.AppendBatch(merkle::NumberedEntries(10'001)),
             StatusIs(StatusCode::kInvalidArgument, "10001"));
  REQUIRE(Eventually([&] { return log.ledger->signed_head().head.size == 5; }));
}

TEST_CASE("The largest answers reach a client of the suite") {
  Fixture log;
  log.stub = v1::LedgerService::NewStub(RequireOk(runtime::MakeChannel(log.server->address())));
  const auto batch = RequireOk(log.AppendBatch(merkle::NumberedEntries(10'000)));
  CHECK(batch.ByteSizeLong() > 4 << 20);
  CHECK(batch.entries_size() == 10'000);
  CheckProof(batch.entries(9'999).proof(), "9999", batch.checkpoint());
  // 256 entries of the greatest length make a bundle of 16 MiB.
  for (int i = 0; i < 9; ++i) {
    Entries large;
    for (int e = 0; e < 60; ++e) {
      std::string& entry = large.emplace_back(65'535, 'x');
      entry[0] = static_cast<char>(i);
      entry[1] = static_cast<char>(e);
    }
    RequireOk(log.AppendBatch(large));
  }
  v1::GetEntryBundleRequest request;
  request.set_log(kLog);
  request.set_index(40);
  CHECK(RequireOk(log.Call(&Stub::GetEntryBundle, request)).entry_bundle().size() ==
        256 * (2 + 65'535));
}

TEST_CASE("StreamAppendEntries logs and answers each batch in order, sent ahead or not") {
  [[maybe_unused]] const int round = GENERATE(1, 2, 3, 4, 5);
  Fixture log;
  const auto context = runtime::MakeContext(kTimeout);
  const auto stream = log.stub->StreamAppendEntries(context.get());
  constexpr int kBatches = 100;
  std::thread writer([&] {
    for (int i = 0; i < kBatches; ++i) {
      v1::StreamAppendEntriesRequest request;
      if (i == 0) request.set_log(kLog);
      request.set_wait(i % 2 == 0 ? v1::WAIT_LEVEL_SEQUENCED : v1::WAIT_LEVEL_COSIGNED);
      request.add_entries(absl::StrCat("first of ", i));
      request.add_entries(absl::StrCat("second of ", i));
      if (!stream->Write(request)) return;
    }
    stream->WritesDone();
  });
  v1::StreamAppendEntriesResponse response;
  int answers = 0;
  for (; stream->Read(&response); ++answers) {
    REQUIRE(response.entries_size() == 2);
    CHECK(response.entries(0).index() == 2 * answers);
    CHECK(response.entries(1).index() == 2 * answers + 1);
    if (answers % 2 == 0) {
      CHECK(response.checkpoint().empty());
    } else {
      CheckProof(response.entries(1).proof(), absl::StrCat("second of ", answers),
                 response.checkpoint());
    }
  }
  writer.join();
  CHECK(answers == kBatches);
  CHECK_THAT(runtime::FromGrpcStatus(stream->Finish()), IsOk());
}

TEST_CASE("A stream without requests ends well") {
  Fixture log;
  const auto context = runtime::MakeContext(kTimeout);
  const auto stream = log.stub->StreamAppendEntries(context.get());
  stream->WritesDone();
  CHECK_THAT(runtime::FromGrpcStatus(stream->Finish()), IsOk());
}

TEST_CASE("A request that fails ends its stream, and what follows it is not appended") {
  Fixture log;
  for (int round = 0; round < 20; ++round) {
    const auto context = runtime::MakeContext(kTimeout);
    const auto stream = log.stub->StreamAppendEntries(context.get());
    v1::StreamAppendEntriesRequest request;
    request.set_log(kLog);
    request.add_entries(absl::StrCat("good ", round));
    stream->Write(request);
    v1::StreamAppendEntriesResponse response;
    REQUIRE(stream->Read(&response));
    CHECK(response.entries(0).index() == round);
    request.set_entries(0, "");
    stream->Write(request);
    request.set_entries(0, "after the end");
    v1::StreamAppendEntriesResponse none;
    CHECK_FALSE(stream->Read(&none));
    // The server has ended the stream; these are on their way to nobody.
    for (int i = 0; i < 50 && stream->Write(request); ++i) {
    }
    CHECK_THAT(runtime::FromGrpcStatus(stream->Finish()),
               StatusIs(StatusCode::kInvalidArgument, "empty"));
  }
  CHECK(log.ledger->signed_head().head.size == 20);
}

TEST_CASE("A stream for no log is refused") {
  Fixture log;
  const auto context = runtime::MakeContext(kTimeout);
  const auto stream = log.stub->StreamAppendEntries(context.get());
  v1::StreamAppendEntriesRequest request;
  request.add_entries("a");
  stream->Write(request);
  v1::StreamAppendEntriesResponse response;
  CHECK_FALSE(stream->Read(&response));
  CHECK_THAT(runtime::FromGrpcStatus(stream->Finish()), StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("A client may go away in the middle of a stream") {
  Fixture log;
  log.cosigner->Block();
  for (int round = 0; round < 20; ++round) {
    const auto context = runtime::MakeContext(kTimeout);
    const auto stream = log.stub->StreamAppendEntries(context.get());
    for (int i = 0; i < 5; ++i) {
      v1::StreamAppendEntriesRequest request;
      request.set_log(kLog);
      request.set_wait(v1::WAIT_LEVEL_COSIGNED);
      request.add_entries(absl::StrCat(round, "/", i));
      stream->Write(request);
    }
    context->TryCancel();
    CHECK_THAT(runtime::FromGrpcStatus(stream->Finish()), StatusIs(StatusCode::kCancelled));
  }
  log.cosigner->Unblock();
  CHECK_THAT(log.Append("alive", v1::WAIT_LEVEL_COSIGNED), IsOk());
}

TEST_CASE("GetEntry reads one entry by its name") {
  Fixture log;
  log.Grow(300);
  const auto get = [&](const std::string& name) {
    v1::GetEntryRequest request;
    request.set_name(name);
    return log.Call(&Stub::GetEntry, request);
  };
  const auto got = RequireOk(get(absl::StrCat(kLog, "/entries/299")));
  CHECK(got.entry().name() == absl::StrCat(kLog, "/entries/299"));
  CHECK(got.entry().index() == 299);
  CHECK(got.entry().data() == "299");
  CHECK(got.entry().leaf_hash() == Bytes(merkle::LeafHash("299")));
  CHECK_THAT(get(absl::StrCat(kLog, "/entries/300")), StatusIs(StatusCode::kNotFound, "300"));
  CHECK_THAT(get("tenants/t/logs/other/entries/0"), StatusIs(StatusCode::kNotFound));
  CHECK_THAT(get(absl::StrCat(kLog, "/entries/-1")), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(get(absl::StrCat(kLog, "/entries/x")), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(get(kLog), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(get(""), StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("ListEntries pages through the log") {
  Fixture log;
  const Entries entries = log.Grow(1205);
  v1::ListEntriesRequest request;
  request.set_log(kLog);
  const auto page = [&] { return RequireOk(log.Call(&Stub::ListEntries, request)); };
  CHECK(page().entries_size() == 100);
  request.set_page_size(5000);
  CHECK(page().entries_size() == 1000);
  request.set_page_size(500);
  Entries read;
  for (int pages = 1;; ++pages) {
    const auto response = page();
    for (const v1::Entry& entry : response.entries()) {
      CHECK(entry.index() == static_cast<int64_t>(read.size()));
      read.push_back(entry.data());
    }
    request.set_page_token(response.next_page_token());
    if (response.next_page_token().empty()) {
      CHECK(pages == 3);
      break;
    }
  }
  CHECK(read == entries);
  request.set_start_index(1200);
  CHECK(page().entries_size() == 5);
  request.set_start_index(1205);
  CHECK(page().entries_size() == 0);
  CHECK(page().next_page_token().empty());

  request.set_start_index(-1);
  CHECK_THAT(log.Call(&Stub::ListEntries, request), StatusIs(StatusCode::kInvalidArgument));
  request.set_start_index(0);
  request.set_page_size(-1);
  CHECK_THAT(log.Call(&Stub::ListEntries, request), StatusIs(StatusCode::kInvalidArgument));
  request.set_page_size(0);
  request.set_page_token("not a token");
  CHECK_THAT(log.Call(&Stub::ListEntries, request), StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("A page of large entries stays below gRPC's message limit") {
  Fixture log;
  Entries large;
  for (int i = 0; i < 100; ++i) large.push_back(absl::StrCat(i, std::string(60'000, 'x')));
  for (size_t i = 0; i < large.size(); i += 50) {
    RequireOk(log.AppendBatch(merkle::Slice(large, i, i + 50)));
  }
  v1::ListEntriesRequest request;
  request.set_log(kLog);
  const auto page = RequireOk(log.Call(&Stub::ListEntries, request));
  CHECK(page.entries_size() > 10);
  CHECK(page.entries_size() < 100);
  CHECK(page.next_page_token() == absl::StrCat(page.entries_size()));
}

TEST_CASE("GetInclusionProof proves by index and by leaf hash, in any tree so far") {
  Fixture log;
  const Entries entries = log.Grow(300);
  v1::GetInclusionProofRequest request;
  request.set_log(kLog);
  request.set_index(17);
  const auto by_index = RequireOk(log.Call(&Stub::GetInclusionProof, request));
  CheckProof(by_index.proof(), "17", by_index.checkpoint());
  request.set_leaf_hash(Bytes(merkle::LeafHash("299")));
  const auto by_hash = RequireOk(log.Call(&Stub::GetInclusionProof, request));
  CHECK(by_hash.proof().index() == 299);
  CheckProof(by_hash.proof(), "299", by_hash.checkpoint());
  request.set_index(17);
  request.set_tree_size(100);
  const auto early = RequireOk(log.Call(&Stub::GetInclusionProof, request));
  CHECK(Hashes(early.proof().hashes()) ==
        merkle::ReferencePath(17, merkle::Slice(entries, 0, 100)));
  CHECK(early.checkpoint().empty());

  const auto fails = [&](StatusCode code, const std::string& message = "") {
    CHECK_THAT(log.Call(&Stub::GetInclusionProof, request), StatusIs(code, message));
  };
  request.set_index(100);
  fails(StatusCode::kNotFound);
  request.set_leaf_hash(Bytes(merkle::LeafHash("299")));
  fails(StatusCode::kNotFound);
  request.set_leaf_hash(Bytes(merkle::LeafHash("never logged")));
  fails(StatusCode::kNotFound, "leaf hash");
  request.set_leaf_hash("short");
  fails(StatusCode::kInvalidArgument);
  request.set_index(-1);
  fails(StatusCode::kInvalidArgument);
  request.set_index(0);
  request.set_tree_size(301);
  fails(StatusCode::kOutOfRange, "301");
  request.set_tree_size(-1);
  fails(StatusCode::kInvalidArgument);
  request.set_tree_size(0);
  request.clear_entry();
  fails(StatusCode::kInvalidArgument, "index or leaf_hash");
}

TEST_CASE("BatchGetInclusionProofs proves indexes, then leaf hashes") {
  Fixture log;
  const Entries entries = log.Grow(1000);
  v1::BatchGetInclusionProofsRequest request;
  request.set_log(kLog);
  for (int i = 0; i < 900; ++i) request.add_indexes(999 - i);
  for (int i = 0; i < 100; ++i) {
    request.add_leaf_hashes(Bytes(merkle::LeafHash(entries[static_cast<size_t>(i)])));
  }
  const auto batch = RequireOk(log.Call(&Stub::BatchGetInclusionProofs, request));
  REQUIRE(batch.proofs_size() == 1000);
  for (int i = 0; i < 1000; ++i) {
    const int index = i < 900 ? 999 - i : i - 900;
    CHECK(batch.proofs(i).index() == index);
    CheckProof(batch.proofs(i), absl::StrCat(index), batch.checkpoint());
  }
  request.add_indexes(0);
  CHECK_THAT(log.Call(&Stub::BatchGetInclusionProofs, request),
             StatusIs(StatusCode::kInvalidArgument, "1000"));
  request.clear_leaf_hashes();
  request.set_indexes(500, 1000);
  CHECK_THAT(log.Call(&Stub::BatchGetInclusionProofs, request), StatusIs(StatusCode::kNotFound));
  request.set_indexes(500, -1);
  CHECK_THAT(log.Call(&Stub::BatchGetInclusionProofs, request),
             StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("GetConsistencyProof proves any two trees so far") {
  Fixture log;
  const Entries entries = log.Grow(300);
  v1::GetConsistencyProofRequest request;
  request.set_log(kLog);
  request.set_first_size(7);
  const auto proof = RequireOk(log.Call(&Stub::GetConsistencyProof, request)).proof();
  CHECK(proof.first_size() == 7);
  CHECK(proof.second_size() == 300);
  CHECK(Hashes(proof.hashes()) == merkle::ReferenceProof(7, entries));
  request.set_second_size(256);
  CHECK(RequireOk(log.Call(&Stub::GetConsistencyProof, request)).proof().second_size() == 256);

  const auto fails = [&](int64_t first, int64_t second, StatusCode code) {
    request.set_first_size(first);
    request.set_second_size(second);
    CHECK_THAT(log.Call(&Stub::GetConsistencyProof, request), StatusIs(code));
  };
  fails(8, 7, StatusCode::kInvalidArgument);
  fails(-1, 7, StatusCode::kInvalidArgument);
  fails(1, -7, StatusCode::kInvalidArgument);
  fails(1, 301, StatusCode::kOutOfRange);
  fails(301, 0, StatusCode::kOutOfRange);
}

TEST_CASE("BatchGetConsistencyProofs proves many pairs") {
  Fixture log;
  const Entries entries = log.Grow(40);
  v1::BatchGetConsistencyProofsRequest request;
  request.set_log(kLog);
  for (int i = 1; i <= 40; ++i) {
    request.add_pairs()->set_first_size(i);
    request.mutable_pairs(i - 1)->set_second_size(40);
  }
  const auto batch = RequireOk(log.Call(&Stub::BatchGetConsistencyProofs, request));
  REQUIRE(batch.proofs_size() == 40);
  for (int i = 1; i <= 40; ++i) {
    CHECK(Hashes(batch.proofs(i - 1).hashes()) ==
          merkle::ReferenceProof(static_cast<size_t>(i), entries));
  }
  request.mutable_pairs(3)->set_second_size(41);
  CHECK_THAT(log.Call(&Stub::BatchGetConsistencyProofs, request),
             StatusIs(StatusCode::kOutOfRange));
  for (int i = 0; i < 1000; ++i) request.add_pairs();
  CHECK_THAT(log.Call(&Stub::BatchGetConsistencyProofs, request),
             StatusIs(StatusCode::kInvalidArgument, "1000"));
}

TEST_CASE("GetCheckpoint answers the published one, or the signed one when asked") {
  Fixture log;
  log.Grow(3);
  log.cosigner->Block();
  RequireOk(log.Append("more"));
  v1::GetCheckpointRequest request;
  request.set_log(kLog);
  const auto published = RequireOk(log.Call(&Stub::GetCheckpoint, request));
  CHECK(published.tree_size() == 3);
  CHECK(absl::StrContains(published.checkpoint(), "witness.example"));
  CHECK(RequireOk(note::ParseSignedCheckpoint(published.checkpoint())).size == 3);
  request.set_unpublished(true);
  const auto newest = RequireOk(log.Call(&Stub::GetCheckpoint, request));
  CHECK(newest.tree_size() == 4);
  CHECK(RequireOk(note::ParseSignedCheckpoint(newest.checkpoint())).size == 4);
  log.cosigner->Unblock();
}

TEST_CASE("GetCheckpoint is NOT_FOUND while nothing is published") {
  Fixture log(/*published=*/false);
  RequireOk(log.Append("a"));
  v1::GetCheckpointRequest request;
  request.set_log(kLog);
  CHECK_THAT(log.Call(&Stub::GetCheckpoint, request),
             StatusIs(StatusCode::kNotFound, "no checkpoint"));
  request.set_unpublished(true);
  CHECK(RequireOk(log.Call(&Stub::GetCheckpoint, request)).tree_size() == 1);
  log.cosigner->Unblock();
}

TEST_CASE("GetTile and GetEntryBundle answer the bytes that tlog-tiles defines") {
  Fixture log;
  const Entries entries = log.Grow(300);
  v1::GetTileRequest tile;
  tile.set_log(kLog);
  std::string expected;
  for (int i = 0; i < 256; ++i)
    expected += Bytes(merkle::LeafHash(entries[static_cast<size_t>(i)]));
  CHECK(RequireOk(log.Call(&Stub::GetTile, tile)).tile() == expected);
  tile.set_width(256);
  CHECK(RequireOk(log.Call(&Stub::GetTile, tile)).tile() == expected);
  tile.set_width(2);
  CHECK(RequireOk(log.Call(&Stub::GetTile, tile)).tile() == expected.substr(0, 64));
  tile.set_level(1);
  tile.set_width(1);
  CHECK(RequireOk(log.Call(&Stub::GetTile, tile)).tile() ==
        Bytes(merkle::ReferenceRoot(merkle::Slice(entries, 0, 256))));

  const auto tile_fails = [&](int level, int64_t index, int width, StatusCode code) {
    tile.set_level(level);
    tile.set_index(index);
    tile.set_width(width);
    CHECK_THAT(log.Call(&Stub::GetTile, tile), StatusIs(code));
  };
  tile_fails(0, 1, 45, StatusCode::kNotFound);
  tile_fails(0, 1, 0, StatusCode::kNotFound);
  tile_fails(7, 0, 0, StatusCode::kNotFound);
  tile_fails(63, 0, 0, StatusCode::kNotFound);
  tile_fails(64, 0, 0, StatusCode::kInvalidArgument);
  tile_fails(-1, 0, 0, StatusCode::kInvalidArgument);
  tile_fails(0, -1, 0, StatusCode::kInvalidArgument);
  tile_fails(0, 0, 257, StatusCode::kInvalidArgument);
  tile_fails(0, 0, -1, StatusCode::kInvalidArgument);

  v1::GetEntryBundleRequest bundle;
  bundle.set_log(kLog);
  bundle.set_index(1);
  bundle.set_width(2);
  CHECK(RequireOk(log.Call(&Stub::GetEntryBundle, bundle)).entry_bundle() == std::string("\0\3"
                                                                                         "256"
                                                                                         "\0\3"
                                                                                         "257",
                                                                                         10));
  bundle.set_width(45);
  CHECK_THAT(log.Call(&Stub::GetEntryBundle, bundle), StatusIs(StatusCode::kNotFound));
  bundle.set_width(300);
  CHECK_THAT(log.Call(&Stub::GetEntryBundle, bundle), StatusIs(StatusCode::kInvalidArgument));
  bundle.set_width(0);
  bundle.set_index(-1);
  CHECK_THAT(log.Call(&Stub::GetEntryBundle, bundle), StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("GetLog says who the log is and how far it has come") {
  Fixture log;
  log.Grow(3);
  log.cosigner->Block();
  RequireOk(log.Append("more"));
  v1::GetLogRequest request;
  request.set_name(kLog);
  const v1::Log got = RequireOk(log.Call(&Stub::GetLog, request)).log();
  CHECK(got.name() == kLog);
  CHECK(got.origin() == kOrigin);
  CHECK(got.vkey() == log.identity.vkey);
  CHECK(got.spki() == log.identity.spki_der);
  CHECK(got.key_id().size() == 32);
  CHECK(got.tree_size() == 3);
  CHECK(got.integrated_tree_size() == 4);
  CHECK(got.state() == v1::LOG_STATE_ACTIVE);
  CHECK(got.quorum_policy() == absl::StrCat("log ", got.vkey(), "\nquorum none\n"));
  REQUIRE(got.witnesses_size() == 1);
  CHECK(got.witnesses(0).name() == "w1");
  CHECK(got.witnesses(0).cosign_time().seconds() == 1'700'000'000);
  request.set_name("tenants/t/logs/none");
  CHECK_THAT(log.Call(&Stub::GetLog, request), StatusIs(StatusCode::kNotFound));
  log.cosigner->Unblock();
}

TEST_CASE("ListLogs lists a tenant's logs in order, page by page") {
  Fixture log;
  v1::ListLogsRequest request;
  request.set_parent("tenants/t");
  RequireOk(log.registry->Create({"t", "second"}, "", "").status());
  RequireOk(log.registry->Create({"u", "main"}, "", "").status());
  const auto all = RequireOk(log.Call(&Stub::ListLogs, request));
  REQUIRE(all.logs_size() == 2);
  CHECK(all.logs(0).name() == "tenants/t/logs/main");
  CHECK(all.logs(1).name() == "tenants/t/logs/second");
  CHECK(all.next_page_token().empty());
  request.set_page_size(1);
  const auto first = RequireOk(log.Call(&Stub::ListLogs, request));
  REQUIRE(first.logs_size() == 1);
  request.set_page_token(first.next_page_token());
  const auto second = RequireOk(log.Call(&Stub::ListLogs, request));
  REQUIRE(second.logs_size() == 1);
  CHECK(second.logs(0).name() == "tenants/t/logs/second");
  CHECK(second.next_page_token().empty());
  request.set_page_token("");
  request.set_parent("tenants/none");
  CHECK(RequireOk(log.Call(&Stub::ListLogs, request)).logs_size() == 0);
  request.set_parent("t");
  CHECK_THAT(log.Call(&Stub::ListLogs, request), StatusIs(StatusCode::kInvalidArgument));
  request.set_parent("tenants/t");
  request.set_page_size(-1);
  CHECK_THAT(log.Call(&Stub::ListLogs, request), StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("A log that is made over the API takes entries of its own") {
  Fixture log;
  log.Grow(3);
  v1::CreateLogRequest request;
  request.set_parent("tenants/acme");
  request.set_log_id("releases");
  const v1::Log made = RequireOk(log.Call(&Stub::CreateLog, request)).log();
  CHECK(made.name() == "tenants/acme/logs/releases");
  CHECK(made.origin() == absl::StrCat(kOrigin, "/tenants/acme/logs/releases"));
  CHECK(made.vkey() != log.identity.vkey);
  CHECK(made.state() == v1::LOG_STATE_ACTIVE);
  v1::AppendEntryRequest append;
  append.set_log(made.name());
  append.set_entry("entry");
  append.set_wait(v1::WAIT_LEVEL_COSIGNED);
  const auto appended = RequireOk(log.Call(&Stub::AppendEntry, append));
  CHECK(appended.entry().index() == 0);
  CHECK(absl::StartsWith(appended.checkpoint(), absl::StrCat(made.origin(), "\n1\n")));

  CHECK(RequireOk(log.Call(&Stub::CreateLog, request)).log().vkey() == made.vkey());
  request.set_origin("else.example");
  CHECK_THAT(log.Call(&Stub::CreateLog, request), StatusIs(StatusCode::kAlreadyExists));
  request.clear_origin();
  for (const char* id : {"", "Releases", "a/logs/b", "a b", ".."}) {
    request.set_log_id(id);
    CHECK_THAT(log.Call(&Stub::CreateLog, request), StatusIs(StatusCode::kInvalidArgument));
  }
  request.set_log_id("x");
  request.set_parent("acme");
  CHECK_THAT(log.Call(&Stub::CreateLog, request), StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("A frozen log refuses entries and goes on proving those it has") {
  Fixture log;
  log.Grow(3);
  v1::FreezeLogRequest request;
  request.set_name(kLog);
  CHECK(RequireOk(log.Call(&Stub::FreezeLog, request)).log().state() == v1::LOG_STATE_FROZEN);
  CHECK(RequireOk(log.Call(&Stub::FreezeLog, request)).log().state() == v1::LOG_STATE_FROZEN);
  CHECK_THAT(log.Append("more"), StatusIs(StatusCode::kFailedPrecondition, "frozen"));
  CHECK_THAT(log.Append("0"), StatusIs(StatusCode::kFailedPrecondition, "frozen"));
  v1::GetInclusionProofRequest proof;
  proof.set_log(kLog);
  proof.set_index(1);
  CHECK(RequireOk(log.Call(&Stub::GetInclusionProof, proof)).proof().tree_size() == 3);
  request.set_name("tenants/t/logs/none");
  CHECK_THAT(log.Call(&Stub::FreezeLog, request), StatusIs(StatusCode::kNotFound));
}

TEST_CASE("An append answers with a complete tlog-proof when it is asked to") {
  Fixture log;
  log.Grow(5);
  v1::AppendEntryRequest request;
  request.set_log(kLog);
  request.set_entry("five");
  request.set_wait(v1::WAIT_LEVEL_COSIGNED);
  CHECK(RequireOk(log.Call(&Stub::AppendEntry, request)).tlog_proof().empty());
  request.set_tlog_proof(true);
  const auto response = RequireOk(log.Call(&Stub::AppendEntry, request));
  const note::TlogProof proof = RequireOk(note::ParseTlogProof(response.tlog_proof()));
  const note::Policy policy = RequireOk(note::Policy::Parse(log.identity.policy_text));
  CHECK_THAT(note::VerifyTlogProof(proof, merkle::LeafHash("five"), policy), IsOk());
  CHECK_FALSE(note::VerifyTlogProof(proof, merkle::LeafHash("four"), policy).ok());
  CHECK(proof.checkpoint == response.checkpoint());
  request.set_wait(v1::WAIT_LEVEL_SEQUENCED);
  CHECK_THAT(log.Call(&Stub::AppendEntry, request),
             StatusIs(StatusCode::kInvalidArgument, "proof"));
}

}  // namespace
}  // namespace countersign::ledger
