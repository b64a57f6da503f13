#include "libs/note/tlog_proof.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/merkle/reference_tree.h"
#include "libs/note/checkpoint.h"
#include "libs/note/signed_note.h"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"

namespace countersign::note {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr size_t kSize = 11;
constexpr size_t kIndex = 6;

// A proof of one leaf of a log of eleven, cosigned by one witness.
TlogProof Example() {
  const merkle::Entries entries = merkle::NumberedEntries(kSize);
  const auto log = TestLogSigner("example.com/log");
  const auto witness = TestWitnessSigner("w.example");
  TlogProof proof;
  proof.index = kIndex;
  proof.hashes = merkle::ReferencePath(kIndex, entries);
  proof.checkpoint = RequireOk(
      SignNote(FormatCheckpoint({"example.com/log", kSize, merkle::ReferenceRoot(entries)}),
               {log.get(), witness.get()}));
  return proof;
}

Policy ExamplePolicy() {
  return RequireOk(
      Policy::Parse(absl::StrCat("log ", TestLogSigner("example.com/log")->vkey(), "\nwitness w ",
                                 TestWitnessSigner("w.example")->vkey(), "\nquorum w\n")));
}

TEST_CASE("a proof file is read and written") {
  TlogProof proof = Example();
  std::string text = FormatTlogProof(proof);
  CHECK(text.substr(0, 31) == "c2sp.org/tlog-proof@v1\nindex 6\n");
  TlogProof parsed = RequireOk(ParseTlogProof(text));
  CHECK(parsed.index == kIndex);
  CHECK(parsed.hashes == proof.hashes);
  CHECK(parsed.checkpoint == proof.checkpoint);
  CHECK_FALSE(parsed.extra.has_value());

  for (const std::string& extra :
       std::vector<std::string>{"", "age-v1.2.1", std::string("\0\n", 2)}) {
    proof.extra = extra;
    text = FormatTlogProof(proof);
    parsed = RequireOk(ParseTlogProof(text));
    CHECK(parsed.extra == extra);
    CHECK(FormatTlogProof(parsed) == text);
  }
}

TEST_CASE("a proof verifies for its leaf under the policy") {
  const TlogProof proof = Example();
  const Policy policy = ExamplePolicy();
  const PolicyVerdict verdict =
      RequireOk(VerifyTlogProof(proof, merkle::LeafHash(std::to_string(kIndex)), policy));
  CHECK(verdict.checkpoint.size == kSize);
  CHECK_THAT(VerifyTlogProof(proof, merkle::LeafHash("7"), policy),
             StatusIs(absl::StatusCode::kInvalidArgument, "does not lead"));
  TlogProof wrong = proof;
  wrong.index = 7;
  CHECK_THAT(VerifyTlogProof(wrong, merkle::LeafHash("6"), policy),
             StatusIs(absl::StatusCode::kInvalidArgument));
  wrong.index = kSize;
  CHECK_THAT(VerifyTlogProof(wrong, merkle::LeafHash("6"), policy),
             StatusIs(absl::StatusCode::kInvalidArgument));
  wrong = proof;
  wrong.hashes.pop_back();
  CHECK_THAT(VerifyTlogProof(wrong, merkle::LeafHash("6"), policy),
             StatusIs(absl::StatusCode::kInvalidArgument, "too short"));
}

TEST_CASE("extra data is authenticated by nothing") {
  TlogProof proof = Example();
  proof.extra = "anything";
  CHECK_THAT(VerifyTlogProof(proof, merkle::LeafHash("6"), ExamplePolicy()), IsOk());
}

TEST_CASE("a proof without the quorum's cosignatures is refused") {
  TlogProof proof = Example();
  SignedNote note = RequireOk(ParseNote(proof.checkpoint));
  note.signatures.pop_back();
  proof.checkpoint = FormatNote(note);
  CHECK_THAT(VerifyTlogProof(proof, merkle::LeafHash("6"), ExamplePolicy()),
             StatusIs(absl::StatusCode::kFailedPrecondition, "quorum"));
}

TEST_CASE("malformed proof files are refused") {
  const std::string good = FormatTlogProof(Example());
  const std::string hash = "gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n";
  std::string many = "c2sp.org/tlog-proof@v1\nindex 6\n";
  for (int i = 0; i < 64; ++i) many += hash;
  const std::string checkpoint = good.substr(good.find("\n\n") + 1);
  const std::vector<std::string> malformed = {
      "",
      "c2sp.org/tlog-proof@v1",
      "c2sp.org/tlog-proof@v1\n",
      "c2sp.org/tlog-proof@v1\nindex 6\n",
      "c2sp.org/tlog-proof@v1\nindex 6\n\n",
      absl::StrReplaceAll(good, {{"@v1", "@v2"}}),
      absl::StrReplaceAll(good, {{"@v1\n", "@v1\r\n"}}),
      absl::StrReplaceAll(good, {{"index 6", "index 06"}}),
      absl::StrReplaceAll(good, {{"index 6", "index -6"}}),
      absl::StrReplaceAll(good, {{"index 6", "index  6"}}),
      absl::StrReplaceAll(good, {{"index 6", "Index 6"}}),
      absl::StrReplaceAll(good, {{"index 6\n", ""}}),
      absl::StrReplaceAll(good, {{"index 6\n", "index 6\nindex 6\n"}}),
      absl::StrReplaceAll(good, {{"index 6\n", "index 6\nextra AA==\n"}}),
      absl::StrReplaceAll(good, {{"index 6\n", "extra AA\nindex 6\n"}}),
      absl::StrReplaceAll(good, {{"index 6\n", "extra AA==\nextra AA==\nindex 6\n"}}),
      absl::StrReplaceAll(good, {{"index 6\n", "extra\nindex 6\n"}}),
      absl::StrReplaceAll(good, {{"index 6\n", "index 6\nAAAA\n"}}),
      many + checkpoint,
      " " + good,
      good + "\n",
      good.substr(0, good.size() - 1),
      "c2sp.org/tlog-proof@v1\nindex 6\n\no\n1\n",
  };
  for (const std::string& text : malformed) {
    CAPTURE(text);
    CHECK_THAT(ParseTlogProof(text), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("a tree of one leaf is proven by no hashes") {
  const auto log = TestLogSigner("example.com/log");
  TlogProof proof;
  proof.checkpoint = RequireOk(
      SignNote(FormatCheckpoint({"example.com/log", 1, merkle::LeafHash("0")}), {log.get()}));
  const TlogProof parsed = RequireOk(ParseTlogProof(FormatTlogProof(proof)));
  const Policy policy =
      RequireOk(Policy::Parse(absl::StrCat("log ", log->vkey(), "\nquorum none\n")));
  CHECK_THAT(VerifyTlogProof(parsed, merkle::LeafHash("0"), policy), IsOk());
}

}  // namespace
}  // namespace countersign::note
