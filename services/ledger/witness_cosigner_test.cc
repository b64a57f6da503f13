#include "services/ledger/witness_cosigner.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/manual_clock.h"
#include "libs/crypto/digest.h"
#include "libs/http/server.h"
#include "libs/merkle/proof.h"
#include "libs/merkle/reference_tree.h"
#include "libs/note/add_checkpoint.h"
#include "libs/note/test_keys.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"

namespace countersign::ledger {
namespace {

using absl::StatusCode;
using merkle::Entries;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kOrigin[] = "log.example/test";

TreeHead HeadOf(const Entries& log) { return {log.size(), merkle::ReferenceRoot(log)}; }

std::string CheckpointOf(const Entries& log, const std::string& origin = kOrigin, char seed = 'L') {
  return RequireOk(
      note::SignNote(note::FormatCheckpoint({origin, log.size(), merkle::ReferenceRoot(log)}),
                     {note::TestLogSigner(origin, seed).get()}));
}

http::Response Text(int status, std::string body) {
  return http::MakeResponse(status, "text/plain", std::move(body));
}

// A witness that follows the rules, until it is given something else to say.
class FakeWitness {
 public:
  explicit FakeWitness(const std::string& name)
      : signer_(note::TestWitnessSigner(name, name[0])),
        server_(RequireOk(
            http::Server::Listen({}, [this](http::Request request, http::Responder respond) {
              Handle(std::move(request), std::move(respond));
            }))) {}

  std::string url() const { return absl::StrCat("http://127.0.0.1:", server_->port()); }
  std::string vkey() const { return signer_->vkey(); }
  std::string name() const { return signer_->name(); }

  // Every later add-checkpoint is answered with this, or by the rules again after {}.
  using Answer = std::function<http::Response(const note::AddCheckpointRequest&)>;
  void Say(Answer answer) {
    base::MutexLock lock(&mutex_);
    answer_ = std::move(answer);
  }
  // What it shows at the monitoring path of the log.
  void Show(std::string checkpoint) {
    base::MutexLock lock(&mutex_);
    shown_ = std::move(checkpoint);
  }
  void Stall() {
    base::MutexLock lock(&mutex_);
    stalled_ = true;
  }
  // Answers what it was asked meanwhile, in that order or backwards.
  void Resume(bool backwards = false) {
    std::deque<std::function<void()>> waiting;
    {
      base::MutexLock lock(&mutex_);
      stalled_ = false;
      waiting.swap(waiting_);
    }
    if (backwards) std::reverse(waiting.begin(), waiting.end());
    for (const auto& answer : waiting) answer();
  }
  // Answers the oldest of that and goes on stalling.
  void AnswerOne() {
    std::function<void()> answer;
    {
      base::MutexLock lock(&mutex_);
      answer = std::move(waiting_.front());
      waiting_.pop_front();
    }
    answer();
  }
  // Makes it one that has cosigned `log`.
  void Remember(const Entries& log) {
    base::MutexLock lock(&mutex_);
    head_ = HeadOf(log);
  }

  std::vector<note::AddCheckpointRequest> requests() const {
    base::MutexLock lock(&mutex_);
    return requests_;
  }
  // The sizes of the trees that it was asked to cosign.
  std::vector<uint64_t> asked() const {
    std::vector<uint64_t> sizes;
    for (const note::AddCheckpointRequest& request : requests()) {
      sizes.push_back(RequireOk(note::ParseSignedCheckpoint(request.checkpoint)).size);
    }
    return sizes;
  }
  // Whether it was asked that often, sooner or later.
  bool WasAsked(size_t times) const {
    return Eventually([&] { return requests().size() == times; });
  }
  std::string SignatureOver(const std::string& text) const {
    return note::FormatSignatureLine(
        {signer_->name(), signer_->key_id(), signer_->Sign(text).value()});
  }

 private:
  void Handle(http::Request request, http::Responder respond) {
    base::MutexLock lock(&mutex_);
    if (request.method == "GET") {
      const std::string path =
          absl::StrCat("/", base::HexEncode(base::AsBytes(crypto::Sha256(kOrigin))), "/checkpoint");
      return respond(request.path() == path && !shown_.empty() ? Text(200, shown_)
                                                               : Text(404, "nothing here"));
    }
    const auto parsed = note::ParseAddCheckpoint(request.body);
    if (request.path() != "/add-checkpoint" || !parsed.ok()) return respond(Text(400, "malformed"));
    requests_.push_back(*parsed);
    if (stalled_) {
      waiting_.push_back([this, parsed = *parsed, respond] {
        base::MutexLock lock(&mutex_);
        respond(AnswerTo(parsed));
      });
      return;
    }
    respond(AnswerTo(*parsed));
  }

  http::Response AnswerTo(const note::AddCheckpointRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (answer_) return answer_(request);
    const auto checkpoint = note::ParseSignedCheckpoint(request.checkpoint);
    if (!checkpoint.ok()) return Text(400, "no checkpoint");
    if (request.old_size != head_.size) {
      return http::MakeResponse(409, note::kTlogSizeContentType, absl::StrCat(head_.size, "\n"));
    }
    if (!merkle::VerifyConsistency(head_.size, checkpoint->size, request.proof, head_.root,
                                   checkpoint->root)
             .ok()) {
      return Text(422, "inconsistent");
    }
    head_ = {checkpoint->size, checkpoint->root};
    return Text(200, SignatureOver(note::FormatCheckpoint(*checkpoint)));
  }

  const std::unique_ptr<note::CosignatureSigner> signer_;
  mutable base::Mutex mutex_;
  TreeHead head_ ABSL_GUARDED_BY(mutex_);
  Answer answer_ ABSL_GUARDED_BY(mutex_);
  std::string shown_ ABSL_GUARDED_BY(mutex_);
  bool stalled_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<note::AddCheckpointRequest> requests_ ABSL_GUARDED_BY(mutex_);
  const std::unique_ptr<http::Server> server_;  // last: its threads use the rest
};

// A round of a cosigner, which counts its ends.
class Round {
 public:
  Cosigner::Done Done() {
    return [state = state_](absl::StatusOr<std::string> result) {
      base::MutexLock lock(&state->mutex);
      ++state->ends;
      state->result = std::move(result);
      state->changed.NotifyAll();
    };
  }
  absl::StatusOr<std::string> Result() const {
    base::MutexLock lock(&state_->mutex);
    state_->changed.WaitFor(&state_->mutex, absl::Minutes(1), [this] { return state_->ends > 0; });
    if (state_->ends != 1) return absl::InternalError(absl::StrCat(state_->ends, " ends"));
    return state_->result;
  }
  bool ended() const {
    base::MutexLock lock(&state_->mutex);
    return state_->ends > 0;
  }

 private:
  struct State {
    base::Mutex mutex;
    base::CondVar changed;
    int ends ABSL_GUARDED_BY(mutex) = 0;
    absl::StatusOr<std::string> result ABSL_GUARDED_BY(mutex) = absl::UnknownError("");
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// A cosigner and its log, which grows by name.
struct Fixture {
  explicit Fixture(int witness_count = 1, int quorum = 1) : quorum_size(quorum) {
    for (int i = 1; i <= witness_count; ++i) {
      witnesses.push_back(std::make_unique<FakeWitness>(absl::StrCat(i, ".witness.example")));
    }
    options.timeout = absl::Seconds(60);
    options.min_grace = absl::Seconds(60);  // so that all who can answer do
  }

  note::Policy Policy() const {
    std::string text = absl::StrCat("log ", note::TestLogSigner(kOrigin)->vkey(), "\n");
    std::string names;
    for (size_t i = 0; i < witnesses.size(); ++i) {
      const std::string url = i < urls.size() ? urls[i] : witnesses[i]->url();
      absl::StrAppend(&text, "witness w", i + 1, " ", witnesses[i]->vkey(), " ", url, "\n");
      absl::StrAppend(&names, " w", i + 1);
    }
    absl::StrAppend(&text, "group all ", quorum_size, names, "\nquorum all\n");
    return RequireOk(note::Policy::Parse(text));
  }
  WitnessCosigner& cosigner() {
    if (made == nullptr) {
      made = RequireOk(
          WitnessCosigner::Create(options, Policy(), note::TestLogSigner(kOrigin)->verifier()));
    }
    return *made;
  }

  // Begins to have the log's checkpoint at `size` cosigned.
  Round Begin(size_t size) {
    const Entries log = merkle::NumberedEntries(size);
    Round round;
    cosigner().Start(
        HeadOf(log), CheckpointOf(log),
        [end = std::max(size, stored), beyond = beyond](
            uint64_t first, uint64_t second) -> absl::StatusOr<std::vector<merkle::Hash>> {
          if (second > end) return beyond;
          return merkle::ReferenceProof(first, merkle::NumberedEntries(second));
        },
        round.Done());
    return round;
  }
  // And waits for the end.
  absl::StatusOr<std::string> Cosign(size_t size) { return Begin(size).Result(); }
  // How many of the policy's witnesses have cosigned `checkpoint`.
  size_t Cosignatures(const std::string& checkpoint) const {
    const note::Policy policy = Policy();
    return RequireOk(policy.Check(checkpoint)).cosignatures.size();
  }

  std::vector<std::unique_ptr<FakeWitness>> witnesses;
  std::vector<std::string> urls;  // instead of theirs
  int quorum_size;
  size_t stored = 0;  // how far the log has grown beyond the checkpoint that is cosigned
  absl::Status beyond = absl::OutOfRangeError("the log is not that large");
  WitnessCosigner::Options options;
  std::unique_ptr<WitnessCosigner> made;
};

// An address where nobody listens.
std::string DeadUrl() {
  const auto server = RequireOk(http::Server::Listen({}, [](http::Request, http::Responder) {}));
  return absl::StrCat("http://127.0.0.1:", server->port());
}

TEST_CASE("A witness that cosigns is in the checkpoint and in the state") {
  Fixture log;
  const std::string first = RequireOk(log.Cosign(3));
  CHECK_THAT(log.Policy().Verify(first), IsOk());
  CHECK(absl::StartsWith(first, CheckpointOf(merkle::NumberedEntries(3))));
  const Cosigner::WitnessState state = log.cosigner().witnesses()[0];
  CHECK(state.name == "w1");
  CHECK(state.vkey == log.witnesses[0]->vkey());
  CHECK(state.url == log.witnesses[0]->url());
  CHECK(state.cosigned_size == 3);
  CHECK(state.cosign_time > absl::FromUnixSeconds(1'600'000'000));
  CHECK(state.last_error.empty());

  CHECK_THAT(log.Policy().Verify(RequireOk(log.Cosign(7))), IsOk());
  const auto requests = log.witnesses[0]->requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].old_size == 0);
  CHECK(requests[0].proof.empty());
  CHECK(requests[1].old_size == 3);
}

TEST_CASE("The empty tree's checkpoint and a repeated one are cosigned too") {
  Fixture log;
  CHECK_THAT(log.Cosign(0), IsOk());
  CHECK_THAT(log.Cosign(5), IsOk());
  CHECK_THAT(log.Cosign(5), IsOk());
}

TEST_CASE("A witness that stands elsewhere says where, and is asked again from there") {
  Fixture log;
  SECTION("it has seen more than this process knows") {
    log.witnesses[0]->Remember(merkle::NumberedEntries(4));
    CHECK(log.Cosignatures(RequireOk(log.Cosign(6))) == 1);
    CHECK(log.witnesses[0]->requests().size() == 2);
    CHECK(log.witnesses[0]->requests()[1].old_size == 4);
  }
  SECTION("it has forgotten everything") {
    RequireOk(log.Cosign(4));
    log.witnesses[0]->Remember({});
    CHECK(log.Cosignatures(RequireOk(log.Cosign(6))) == 1);
    CHECK(log.witnesses[0]->requests().size() == 3);
    CHECK(log.witnesses[0]->requests()[2].old_size == 0);
  }
  SECTION("it says so again and again") {
    log.witnesses[0]->Say([](const note::AddCheckpointRequest& request) {
      return Text(409, request.old_size == 1 ? "2\n" : "1\n");
    });
    CHECK_THAT(log.Cosign(6), StatusIs(StatusCode::kUnavailable, "it answered 409"));
    CHECK(log.witnesses[0]->requests().size() == 4);
  }
  SECTION("it does not say where") {
    log.witnesses[0]->Say([](const auto&) { return Text(409, "elsewhere"); });
    CHECK_THAT(log.Cosign(6), StatusIs(StatusCode::kUnavailable, "it answered 409: elsewhere"));
  }
}

TEST_CASE("A witness that shows a larger tree signed by this log stops it") {
  Fixture log(3, 1);
  log.witnesses[0]->Remember(merkle::NumberedEntries(9));
  log.witnesses[0]->Show(CheckpointOf(merkle::NumberedEntries(9)));
  log.witnesses[1]->Stall();
  log.witnesses[2]->Stall();
  CHECK_THAT(log.cosigner().fork(), IsOk());
  CHECK_THAT(log.Cosign(6), StatusIs(StatusCode::kDataLoss, "size 9"));
}

TEST_CASE("A fork that a witness shows after the quorum was met is not forgotten") {
  Fixture log(2, 1);
  log.witnesses[0]->Remember(merkle::NumberedEntries(9));
  log.witnesses[0]->Show(CheckpointOf(merkle::NumberedEntries(9)));
  // The other one is enough; whether its round is over by then or not, the fork is known.
  (void)log.Cosign(6);
  CHECK(Eventually([&] { return absl::IsDataLoss(log.cosigner().fork()); }));
  CHECK_THAT(log.Cosign(7), StatusIs(StatusCode::kDataLoss, "size 9"));
}

TEST_CASE("A witness that somebody showed this log's next checkpoint is merely early") {
  Fixture log(2, 1);
  log.witnesses[0]->Remember(merkle::NumberedEntries(9));
  log.witnesses[0]->Show(CheckpointOf(merkle::NumberedEntries(9)));
  log.stored = 12;
  CHECK(log.Cosignatures(RequireOk(log.Cosign(6))) == 1);
  CHECK(log.cosigner().witnesses()[0].last_error.empty());
  CHECK(log.Cosignatures(RequireOk(log.Cosign(10))) == 2);
  CHECK(log.witnesses[0]->requests().back().old_size == 9);
}

TEST_CASE("A head that the log may yet find, another ledger's, is no reason to stop") {
  Fixture log(2, 1);
  log.witnesses[0]->Remember(merkle::NumberedEntries(9));
  log.witnesses[0]->Show(CheckpointOf(merkle::NumberedEntries(9)));
  log.beyond = absl::UnavailableError("not known yet");
  CHECK(log.Cosignatures(RequireOk(log.Cosign(6))) == 1);
  CHECK(absl::StrContains(log.cosigner().witnesses()[0].last_error, "claims"));
}

TEST_CASE("A witness that finds the log inconsistent shows why, or is ignored") {
  Fixture log(2, 1);
  log.witnesses[0]->Say([](const auto&) { return Text(422, "inconsistent"); });
  SECTION("with another tree that this log has signed") {
    log.witnesses[0]->Show(CheckpointOf({"0", "another"}));
    log.witnesses[1]->Stall();
    CHECK_THAT(log.Cosign(6), StatusIs(StatusCode::kDataLoss, "size 2"));
  }
  SECTION("with this very tree") {
    log.witnesses[0]->Show(CheckpointOf(merkle::NumberedEntries(2)));
    CHECK(log.Cosignatures(RequireOk(log.Cosign(6))) == 1);
  }
  SECTION("with nothing") { CHECK(log.Cosignatures(RequireOk(log.Cosign(6))) == 1); }
}

TEST_CASE("A witness that claims a larger tree but cannot show it is ignored") {
  Fixture log(2, 1);
  log.witnesses[0]->Remember(merkle::NumberedEntries(9));
  SECTION("nothing to show") {}
  SECTION("garbage") { log.witnesses[0]->Show("garbage"); }
  SECTION("signed by another key") {
    log.witnesses[0]->Show(CheckpointOf(merkle::NumberedEntries(9), kOrigin, 'X'));
  }
  SECTION("of another log") {
    log.witnesses[0]->Show(CheckpointOf(merkle::NumberedEntries(9), "other.example/log"));
  }
  SECTION("no larger than this one") {
    log.witnesses[0]->Show(CheckpointOf(merkle::NumberedEntries(6)));
  }
  CHECK(log.Cosignatures(RequireOk(log.Cosign(6))) == 1);
  CHECK(absl::StrContains(log.cosigner().witnesses()[0].last_error, "claims"));
}

TEST_CASE("What is no cosignature by the witness's key over this checkpoint does not count") {
  Fixture log;
  FakeWitness& witness = *log.witnesses[0];
  const std::string text =
      note::FormatCheckpoint({kOrigin, 6, merkle::ReferenceRoot(merkle::NumberedEntries(6))});
  std::string reason = "no valid cosignature";
  const auto say = [&](int status, std::string body) {
    witness.Say([status, body](const auto&) { return Text(status, body); });
  };
  SECTION("another witness's") { say(200, FakeWitness("2.witness.example").SignatureOver(text)); }
  SECTION("another key under its name") {
    const auto other = note::TestWitnessSigner(witness.name(), 'X');
    say(200,
        note::FormatSignatureLine({other->name(), other->key_id(), RequireOk(other->Sign(text))}));
  }
  SECTION("over another checkpoint") {
    say(200, witness.SignatureOver(note::FormatCheckpoint({kOrigin, 7, merkle::EmptyRoot()})));
  }
  SECTION("with its bytes altered") {
    auto line = RequireOk(note::ParseSignatureLines(witness.SignatureOver(text)))[0];
    line.signature[20] = static_cast<char>(line.signature[20] ^ 1);
    say(200, note::FormatSignatureLine(line));
  }
  SECTION("from far in the future") {
    const std::string line = note::FormatSignatureLine(
        {witness.name(), note::TestWitnessSigner(witness.name(), '1')->key_id(),
         RequireOk(note::TestWitnessSigner(witness.name(), '1')->SignAt(text, 9'000'000'000))});
    say(200, line);
    reason = "impossible time 9000000000";
  }
  SECTION("cut short") {
    auto line = RequireOk(note::ParseSignatureLines(witness.SignatureOver(text)))[0];
    line.signature.resize(5);
    say(200, note::FormatSignatureLine(line));
  }
  SECTION("garbage") {
    say(200, "<html>hello</html>");
    reason = "";
  }
  SECTION("nothing") {
    say(200, "");
    reason = "";
  }
  SECTION("an error") {
    say(500, "out of order\n");
    reason = "it answered 500: out of order)";
  }
  SECTION("a redirection") {
    say(302, "");
    reason = "it answered 302";
  }
  const auto refused = log.Cosign(6);
  CHECK_THAT(refused, StatusIs(StatusCode::kUnavailable, "missing: w1 ("));
  CHECK_THAT(refused, StatusIs(StatusCode::kUnavailable, reason));
  CHECK(log.cosigner().witnesses()[0].cosigned_size == 0);
  CHECK_FALSE(log.cosigner().witnesses()[0].last_error.empty());
}

TEST_CASE("Lines of unknown keys around the right one are ignored and not passed on") {
  Fixture log;
  const std::string grease = note::FormatSignatureLine({"grease.example", 1, "whatever"});
  FakeWitness& witness = *log.witnesses[0];
  witness.Say([&](const note::AddCheckpointRequest& request) {
    const std::string text = request.checkpoint.substr(0, request.checkpoint.find("\n\n") + 1);
    return Text(200, absl::StrCat(grease, witness.SignatureOver(text), grease));
  });
  const std::string cosigned = RequireOk(log.Cosign(6));
  CHECK(log.Cosignatures(cosigned) == 1);
  CHECK_FALSE(absl::StrContains(cosigned, "grease"));
}

TEST_CASE("A witness that nobody answers for is named with the reason") {
  Fixture log;
  SECTION("nobody listens") { log.urls = {DeadUrl()}; }
  SECTION("it never answers") {
    log.witnesses[0]->Stall();
    log.options.timeout = absl::Milliseconds(100);
  }
  CHECK_THAT(log.Cosign(6), StatusIs(StatusCode::kUnavailable, "missing: w1 ("));
  CHECK_FALSE(log.cosigner().witnesses()[0].last_error.empty());
}

TEST_CASE("Two of three are a quorum with one witness dead") {
  Fixture log(3, 2);
  log.urls = {log.witnesses[0]->url(), DeadUrl(), log.witnesses[2]->url()};
  const std::string cosigned = RequireOk(log.Cosign(6));
  CHECK_THAT(log.Policy().Verify(cosigned), IsOk());
  CHECK(log.Cosignatures(cosigned) == 2);
}

TEST_CASE("Two of three are no quorum with two witnesses dead, and both are named") {
  Fixture log(3, 2);
  log.urls = {DeadUrl(), log.witnesses[1]->url(), DeadUrl()};
  const auto refused = log.Cosign(6);
  CHECK_THAT(refused, StatusIs(StatusCode::kUnavailable, "w1 ("));
  CHECK_THAT(refused, StatusIs(StatusCode::kUnavailable, "w3 ("));
  CHECK_FALSE(absl::StrContains(refused.status().message(), "w2 ("));
}

TEST_CASE("A witness that stalls delays nobody, and owes only so many answers") {
  Fixture log(3, 2);
  log.options.min_grace = absl::Milliseconds(1);
  log.options.grace_factor = 0;
  log.options.max_requests = 3;
  log.witnesses[1]->Stall();
  for (size_t size = 6; size < 12; ++size) {
    CHECK(log.Cosignatures(RequireOk(log.Cosign(size))) == 2);
  }
  REQUIRE(Eventually([&] { return log.witnesses[1]->requests().size() == 3; }));
  log.witnesses[1]->Resume();
  REQUIRE(Eventually([&] { return log.cosigner().witnesses()[1].cosigned_size == 8; }));
  CHECK_THAT(log.Cosign(12), IsOk());
  REQUIRE(Eventually([&] { return log.cosigner().witnesses()[1].cosigned_size >= 11; }));
}

TEST_CASE("A witness is asked about the next head before it has answered about the last") {
  Fixture log;
  FakeWitness& witness = *log.witnesses[0];
  witness.Stall();
  const Round first = log.Begin(3);
  REQUIRE(witness.WasAsked(1));
  const Round second = log.Begin(5);
  REQUIRE(witness.WasAsked(2));
  const Round third = log.Begin(5);
  REQUIRE(witness.WasAsked(3));
  CHECK(witness.requests()[1].old_size == 3);
  CHECK(witness.requests()[2].old_size == 5);
  CHECK_FALSE(first.ended());
  witness.Resume();
  for (const Round& round : {first, second, third}) CHECK_THAT(round.Result(), IsOk());
}

TEST_CASE("Requests that arrive out of order are sent again, and are no failure") {
  Fixture log;
  FakeWitness& witness = *log.witnesses[0];
  witness.Stall();
  std::vector<Round> rounds;
  for (const size_t size : {3, 5, 8}) {
    rounds.push_back(log.Begin(size));
    REQUIRE(witness.WasAsked(rounds.size()));
  }
  witness.Resume(/*backwards=*/true);
  for (const Round& round : rounds) CHECK_THAT(round.Result(), IsOk());
  CHECK(witness.asked() == std::vector<uint64_t>{3, 5, 8, 5, 8});
  CHECK(witness.requests()[3].old_size == 3);
  CHECK(log.cosigner().witnesses()[0].last_error.empty());
}

TEST_CASE("A witness that mixes requests up gets one at a time, the newest") {
  Fixture log;
  log.options.max_requests = 2;
  FakeWitness& witness = *log.witnesses[0];
  witness.Stall();
  const Round first = log.Begin(3);
  REQUIRE(witness.WasAsked(1));
  const Round second = log.Begin(5);
  REQUIRE(witness.WasAsked(2));
  witness.Resume(/*backwards=*/true);
  CHECK_THAT(first.Result(), IsOk());
  CHECK_THAT(second.Result(), IsOk());

  witness.Stall();
  const Round alone = log.Begin(6);
  REQUIRE(witness.WasAsked(4));
  const Round passed_over = log.Begin(7);
  const Round newest = log.Begin(8);
  witness.AnswerOne();
  CHECK_THAT(alone.Result(), IsOk());
  REQUIRE(witness.WasAsked(5));
  CHECK_THAT(passed_over.Result(), StatusIs(StatusCode::kAborted, "larger tree than that of 7"));
  witness.Resume();
  CHECK_THAT(newest.Result(), IsOk());
  CHECK(witness.asked() == std::vector<uint64_t>{3, 5, 5, 6, 8});
}

TEST_CASE("Witnesses that cannot take every head are asked about the same ones") {
  Fixture log(2, 2);
  log.options.max_requests = 2;
  std::vector<Round> rounds;
  for (const auto& witness : log.witnesses) witness->Stall();
  for (const size_t size : {1, 2}) {  // one at a time from then on
    rounds.push_back(log.Begin(size));
    for (const auto& witness : log.witnesses) REQUIRE(witness->WasAsked(rounds.size()));
  }
  for (const auto& witness : log.witnesses) witness->Resume(/*backwards=*/true);
  for (const Round& round : rounds) REQUIRE_THAT(round.Result(), IsOk());

  for (const auto& witness : log.witnesses) witness->Stall();
  const Round first = log.Begin(3);
  for (const auto& witness : log.witnesses) REQUIRE(witness->WasAsked(4));
  const Round second = log.Begin(4);
  const Round third = log.Begin(5);
  log.witnesses[0]->AnswerOne();
  REQUIRE(log.witnesses[0]->WasAsked(5));
  CHECK(log.witnesses[0]->asked().back() == 5);
  const Round fourth = log.Begin(6);
  log.witnesses[1]->AnswerOne();
  REQUIRE(log.witnesses[1]->WasAsked(5));
  CHECK(log.witnesses[1]->asked().back() == 5);  // though 6 is newer
  for (const auto& witness : log.witnesses) witness->Resume();
  CHECK_THAT(first.Result(), IsOk());
  CHECK_THAT(third.Result(), IsOk());
  CHECK_THAT(fourth.Result(), IsOk());
}

TEST_CASE("Rounds in flight when a fork is found all end with it") {
  Fixture log(2, 2);
  log.witnesses[1]->Stall();
  log.witnesses[0]->Stall();
  const Round first = log.Begin(6);
  REQUIRE(log.witnesses[0]->WasAsked(1));
  const Round second = log.Begin(7);
  REQUIRE(log.witnesses[0]->WasAsked(2));
  log.witnesses[0]->Remember(merkle::NumberedEntries(9));
  log.witnesses[0]->Show(CheckpointOf(merkle::NumberedEntries(9)));
  log.witnesses[0]->AnswerOne();
  CHECK_THAT(first.Result(), StatusIs(StatusCode::kDataLoss, "size 9"));
  CHECK_THAT(second.Result(), StatusIs(StatusCode::kDataLoss, "size 9"));
}

TEST_CASE("Requests that fail together are one failure, and one request tries again") {
  base::ManualClock clock(absl::Now());
  Fixture log(2, 1);
  log.options.clock = &clock;
  log.options.min_backoff = absl::Seconds(1);
  log.options.min_grace = absl::ZeroDuration();
  log.options.grace_factor = 0;
  FakeWitness& witness = *log.witnesses[0];
  witness.Stall();
  for (const size_t size : {1, 2, 3}) {
    RequireOk(log.Cosign(size));
    REQUIRE(witness.WasAsked(size));
  }
  witness.Say([](const auto&) { return Text(500, "no"); });
  witness.Resume();
  REQUIRE(Eventually([&] { return !log.cosigner().witnesses()[0].last_error.empty(); }));
  witness.Stall();
  RequireOk(log.Cosign(4));
  CHECK(witness.requests().size() == 3);
  clock.Advance(absl::Seconds(1));
  const Round probe = log.Begin(5);
  REQUIRE(witness.WasAsked(4));
  RequireOk(log.Cosign(6));
  CHECK(witness.requests().size() == 4);
  witness.Say({});
  witness.Resume();
  REQUIRE(Eventually([&] { return log.cosigner().witnesses()[0].cosigned_size == 5; }));
  RequireOk(log.Cosign(7));
  REQUIRE(witness.WasAsked(5));
}

TEST_CASE("All witnesses that answer in the time of grace are in the checkpoint") {
  Fixture log(5, 2);
  CHECK(log.Cosignatures(RequireOk(log.Cosign(6))) == 5);
}

TEST_CASE("Witnesses are sent the log's own note as it is, never one another's cosignatures") {
  Fixture log(3, 3);
  for (const size_t size : {3, 5, 5, 8}) {
    const std::string cosigned = RequireOk(log.Cosign(size));
    REQUIRE(log.Cosignatures(cosigned) == 3);
    for (const auto& witness : log.witnesses) {
      CHECK(witness->requests().back().checkpoint == CheckpointOf(merkle::NumberedEntries(size)));
    }
  }
}

TEST_CASE("A witness that fails is left alone for a while, longer each time") {
  base::ManualClock clock(absl::Now());  // the witnesses' clocks are the system's
  Fixture log(2, 1);
  log.options.clock = &clock;
  log.options.min_backoff = absl::Seconds(1);
  log.options.max_backoff = absl::Seconds(3);
  log.witnesses[0]->Say([](const auto&) { return Text(500, "no"); });
  size_t size = 0;
  const auto asked = [&] {
    RequireOk(log.Cosign(++size));
    return log.witnesses[0]->requests().size();
  };
  CHECK(asked() == 1);
  for (const auto& [pause, count] :
       std::vector<std::pair<int, size_t>>{{1, 2},  // the first failure costs a second
                                           {1, 2},  // the second, two
                                           {1, 3},  //
                                           {2, 3},  // the third, no more than three
                                           {1, 4},  //
                                           {3, 5}}) {
    clock.Advance(absl::Seconds(pause) - absl::Milliseconds(1));
    asked();
    clock.Advance(absl::Milliseconds(1));
    CHECK(asked() == count);
  }
  log.witnesses[0]->Say({});
  clock.Advance(absl::Seconds(3));
  CHECK(asked() == 6);
  CHECK(log.cosigner().witnesses()[0].last_error.empty());
  CHECK(asked() == 7);
  log.witnesses[0]->Say([](const auto&) { return Text(500, "no"); });
  CHECK(asked() == 8);
  clock.Advance(absl::Seconds(1));
  CHECK(asked() == 9);  // as after a first failure
}

TEST_CASE("Stopping ends the rounds in progress and every later one") {
  Fixture log;
  log.witnesses[0]->Stall();
  const Round first = log.Begin(6);
  const Round second = log.Begin(7);
  REQUIRE(Eventually([&] { return log.witnesses[0]->requests().size() == 2; }));
  log.cosigner().Stop();
  CHECK_THAT(first.Result(), StatusIs(StatusCode::kUnavailable, "stopping"));
  CHECK_THAT(second.Result(), StatusIs(StatusCode::kUnavailable, "stopping"));
  CHECK_THAT(log.Cosign(8), StatusIs(StatusCode::kUnavailable, "stopping"));
}

TEST_CASE("A cosigner may go while witnesses still owe it answers") {
  Fixture log(2, 1);
  log.options.min_grace = absl::ZeroDuration();
  log.options.grace_factor = 0;
  log.witnesses[0]->Stall();
  CHECK_THAT(log.Cosign(6), IsOk());
  log.made.reset();
  log.witnesses[0]->Resume();
  CHECK_THAT(log.Cosign(7), IsOk());
}

TEST_CASE("Without witnesses the checkpoint is as the log signed it") {
  const auto signer = note::TestLogSigner(kOrigin);
  const Entries entries = merkle::NumberedEntries(2);
  auto cosigner = RequireOk(WitnessCosigner::Create(
      {}, RequireOk(note::Policy::Parse(absl::StrCat("log ", signer->vkey(), "\nquorum none\n"))),
      signer->verifier()));
  Round round;
  cosigner->Start(HeadOf(entries), CheckpointOf(entries), nullptr, round.Done());
  CHECK(RequireOk(round.Result()) == CheckpointOf(entries));
}

TEST_CASE("A policy that cannot be carried out is refused") {
  const auto signer = note::TestLogSigner(kOrigin);
  const auto witness = note::TestWitnessSigner("w.example");
  const auto create = [&](const std::string& text) {
    return WitnessCosigner::Create({}, RequireOk(note::Policy::Parse(text)), signer->verifier())
        .status();
  };
  CHECK_THAT(create(absl::StrCat("log ", signer->vkey(), "\nwitness w1 ", witness->vkey(),
                                 "\nquorum w1\n")),
             StatusIs(StatusCode::kInvalidArgument, "no URL for witness w1"));
  CHECK_THAT(create(absl::StrCat("log ", note::TestLogSigner("other.example/log")->vkey(),
                                 "\nquorum none\n")),
             StatusIs(StatusCode::kInvalidArgument, signer->vkey()));
  std::string crowd;
  for (int i = 0; i < 101; ++i) {
    const auto one =
        note::TestWitnessSigner(absl::StrCat("w", i, ".example"), static_cast<char>(i));
    absl::StrAppend(&crowd, "witness w", i, " ", one->vkey(), " http://127.0.0.1:1/\n");
  }
  CHECK_THAT(create(crowd + "quorum w1\n"),
             StatusIs(StatusCode::kInvalidArgument, "101 witnesses"));
}

}  // namespace
}  // namespace countersign::ledger
