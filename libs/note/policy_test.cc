#include "libs/note/policy.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/note/signed_note.h"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"

namespace countersign::note {
namespace {

using testing::RequireOk;
using testing::StatusIs;

std::string LogVkey(char seed) { return TestLogSigner("example.com/log", seed)->vkey(); }
std::string WitnessVkey(char seed) {
  return TestWitnessSigner(std::string("w.example/") + seed, seed)->vkey();
}

// tlog-policy's own example: two of X1, X2, X3 and one of Y1, Y2, Y3.
std::string ExampleText() {
  std::string text = absl::StrCat("log ", LogVkey('L'), "\n\n");
  for (const char* name : {"X1", "X2", "X3"}) {
    absl::StrAppend(&text, "witness ", name, " ", WitnessVkey(name[1]), "\n");
  }
  text += "group X-witnesses 2 X1 X2 X3\n# the second organisation\n";
  for (const char* name : {"Y1", "Y2", "Y3"}) {
    absl::StrAppend(&text, "\twitness  ", name, " ", WitnessVkey(name[1] + 10),
                    " https://y.example/\t\n");
  }
  return text +
         "group Y-witnesses any Y1 Y2 Y3\n\n  # both\n"
         "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n";
}

TEST_CASE("a policy is read, written and read back") {
  const Policy policy = RequireOk(Policy::Parse(ExampleText()));
  REQUIRE(policy.logs().size() == 1);
  CHECK(policy.logs()[0].key.name() == "example.com/log");
  REQUIRE(policy.witnesses().size() == 6);
  CHECK(policy.witnesses()[0].url.empty());
  CHECK(policy.witnesses()[3].name == "Y1");
  CHECK(policy.witnesses()[3].url == "https://y.example/");
  REQUIRE(policy.groups().size() == 3);
  CHECK(policy.groups()[0].threshold == 2);
  CHECK(policy.groups()[1].threshold == 1);
  CHECK(policy.groups()[2].threshold == 2);
  CHECK(policy.quorum() == "X-and-Y");
  const std::string text = policy.Format();
  CHECK(RequireOk(Policy::Parse(text)).Format() == text);
}

TEST_CASE("a quorum counts witnesses through its groups") {
  const Policy policy = RequireOk(Policy::Parse(ExampleText()));
  CHECK(policy.Satisfied({"X1", "X2", "Y3"}));
  CHECK(policy.Satisfied({"X1", "X2", "X3", "Y1", "Y2", "Y3"}));
  CHECK_FALSE(policy.Satisfied({"X1", "X2", "X3"}));
  CHECK_FALSE(policy.Satisfied({"X1", "Y1", "Y2", "Y3"}));
  CHECK_FALSE(policy.Satisfied({}));
  // A group's name is no witness's.
  CHECK_FALSE(policy.Satisfied({"X-and-Y"}));
  CHECK_FALSE(policy.Satisfied({"X-witnesses", "Y-witnesses"}));
}

TEST_CASE("a quorum may be one witness or none") {
  const std::string witness = absl::StrCat("witness W ", WitnessVkey('W'), "\n");
  const Policy one = RequireOk(Policy::Parse(witness + "quorum W\n"));
  CHECK(one.Satisfied({"W"}));
  CHECK_FALSE(one.Satisfied({}));
  const Policy none = RequireOk(Policy::Parse("quorum none"));
  CHECK(none.Satisfied({}));
  CHECK(none.logs().empty());
}

TEST_CASE("policies that tlog-policy forbids are refused with their line") {
  const std::string w = absl::StrCat("witness W ", WitnessVkey('W'), "\n");
  const std::string v = absl::StrCat("witness V ", WitnessVkey('V'), "\n");
  const std::string log = absl::StrCat("log ", LogVkey('L'), "\n");
  const std::string none = "quorum none\n";
  struct Case {
    std::string text;
    std::string why;
  };
  const std::vector<Case> cases = {
      {"", "no quorum"},
      {w, "no quorum"},
      {none + none, "line 2"},
      {"quorum\n", "line 1"},
      {"quorum W V\n", "line 1"},
      {"quorum W\n", "not defined"},
      {"quorum W\n" + w, "line 1"},
      {"frog\n" + none, "line 1"},
      {"LOG x\n" + none, "line 1"},
      {"log\n" + none, "log <vkey>"},
      {"log x\n" + none, "line 1"},
      {log + log + none, "same key"},
      {"log " + LogVkey('L') + " u v\n" + none, "log <vkey>"},
      {"witness W\n" + none, "witness <name>"},
      {"witness W " + LogVkey('L') + "\n" + none, "0x04"},
      {"witness none " + WitnessVkey('W') + "\n" + none, "none is taken"},
      {"witness W " + WitnessVkey('W') + " u v\n" + none, "witness <name>"},
      {w + w + none, "defined twice"},
      {w + "witness W2 " + WitnessVkey('W') + "\n" + none, "same key"},
      // The same raw key under another name has another id, and is still the same key.
      {w + "witness W2 " + TestWitnessSigner("other.example", 'W')->vkey() + "\n" + none,
       "same key"},
      {w + "group G any\n" + none, "group <name>"},
      {w + "group G any X\n" + none, "not defined"},
      {w + "group G any G\n" + none, "not defined"},
      {w + "group G any none\n" + none, "not defined"},
      {w + "group W any W\n" + none, "defined twice"},
      {w + "group none any W\n" + none, "none is taken"},
      {w + "group G 0 W\n" + none, "threshold"},
      {w + "group G 2 W\n" + none, "threshold"},
      {w + "group G 01 W\n" + none, "threshold"},
      {w + "group G -1 W\n" + none, "threshold"},
      {w + "group G some W\n" + none, "threshold"},
      {w + "group G any W W\n" + none, "member already"},
      {w + v + "group G any W\ngroup H any W V\n" + none, "member already"},
      {w + "group G any W\ngroup H any G W\n" + none, "member already"},
      {none + "# a bell: \x07\n", "control character"},
      {none + "# \r\n", "control character"},
      {none + "# \x7f\n", "control character"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK_THAT(Policy::Parse(c.text), StatusIs(absl::StatusCode::kInvalidArgument, c.why));
  }
}

TEST_CASE("names and comments may hold any octets above ASCII") {
  const std::string text = absl::StrCat("# \xff\xfe\nwitness \xe2\x84\xaa ", WitnessVkey('W'),
                                        " https://\xc3\xa9.example\nquorum \xe2\x84\xaa\n");
  CHECK(RequireOk(Policy::Parse(text)).Satisfied({"\xe2\x84\xaa"}));
}

TEST_CASE("a policy of a hundred of each kind is read") {
  std::string text;
  for (int i = 0; i < 100; ++i) {
    const char seed = static_cast<char>(i + 1);
    absl::StrAppend(&text, "log ", TestLogSigner(absl::StrCat("log", i), seed)->vkey(), "\n");
    absl::StrAppend(&text, "witness w", i, " ", TestWitnessSigner("w", seed)->vkey(), "\n");
    absl::StrAppend(&text, "group g", i, " any w", i, "\n");
  }
  const Policy policy = RequireOk(Policy::Parse(text + "quorum g99\n"));
  CHECK(policy.logs().size() == 100);
  CHECK(policy.Satisfied({"w99"}));
  CHECK_FALSE(policy.Satisfied({"w98"}));
}

class Signed {
 public:
  Signed() : policy_(RequireOk(Policy::Parse(ExampleText()))) {}

  // The note over the checkpoint by the log and witnesses with these seeds.
  std::string Note(const std::vector<const NoteSigner*>& signers) const {
    return RequireOk(SignNote(text_, signers));
  }

  const Policy& policy() const { return policy_; }

  const std::unique_ptr<NoteSigner> log = TestLogSigner("example.com/log");
  const std::unique_ptr<CosignatureSigner> x1 = TestWitnessSigner("w.example/1", '1');
  const std::unique_ptr<CosignatureSigner> x2 = TestWitnessSigner("w.example/2", '2');
  const std::unique_ptr<CosignatureSigner> y1 = TestWitnessSigner("w.example/;", '1' + 10);

 private:
  Policy policy_;
  std::string text_ = FormatCheckpoint({"example.com/log", 5, merkle::LeafHash("root")});
};

TEST_CASE("a checkpoint with a quorum of cosignatures is verified") {
  const Signed s;
  const PolicyVerdict verdict =
      RequireOk(s.policy().Verify(s.Note({s.log.get(), s.x1.get(), s.y1.get(), s.x2.get()})));
  CHECK(verdict.checkpoint.size == 5);
  CHECK(verdict.log == &s.policy().logs()[0]);
  REQUIRE(verdict.cosignatures.size() == 3);
  CHECK(verdict.cosignatures[0].witness == "X1");
  CHECK(verdict.cosignatures[1].witness == "Y1");
  CHECK(verdict.quorum);
}

TEST_CASE("too few cosignatures are no quorum, and no error to Check") {
  const Signed s;
  const std::string note = s.Note({s.log.get(), s.x1.get(), s.y1.get()});
  CHECK_THAT(s.policy().Verify(note), StatusIs(absl::StatusCode::kFailedPrecondition, "X-and-Y"));
  const PolicyVerdict verdict = RequireOk(s.policy().Check(note));
  CHECK_FALSE(verdict.quorum);
  CHECK(verdict.cosignatures.size() == 2);
}

TEST_CASE("one witness that signs twice counts once, by its latest time") {
  const Signed s;
  SignedNote note = RequireOk(ParseNote(s.Note({s.log.get()})));
  for (uint64_t time : {100, 300, 200}) {
    note.signatures.push_back(
        {s.x1->name(), s.x1->key_id(), RequireOk(s.x1->SignAt(note.text, time))});
  }
  const PolicyVerdict verdict = RequireOk(s.policy().Check(FormatNote(note)));
  REQUIRE(verdict.cosignatures.size() == 1);
  CHECK(verdict.cosignatures[0].timestamp == 300);
}

TEST_CASE("a checkpoint that its log has not signed is refused whatever the witnesses say") {
  const Signed s;
  CHECK_THAT(s.policy().Verify(s.Note({s.x1.get(), s.x2.get(), s.y1.get()})),
             StatusIs(absl::StatusCode::kPermissionDenied, "not signed by the log"));
}

TEST_CASE("a checkpoint of another log is refused") {
  const Signed s;
  const auto other = TestLogSigner("example.com/other");
  const std::string note = RequireOk(SignNote(
      FormatCheckpoint({"example.com/other", 5, merkle::LeafHash("root")}), {other.get()}));
  CHECK_THAT(s.policy().Verify(note), StatusIs(absl::StatusCode::kNotFound, "example.com/other"));
  CHECK_THAT(s.policy().Verify("junk"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("a known witness's cosignature that does not hold rejects the checkpoint") {
  const Signed s;
  SignedNote note = RequireOk(ParseNote(s.Note({s.log.get(), s.x1.get(), s.x2.get(), s.y1.get()})));
  note.signatures[2].signature[20] ^= 1;
  CHECK_THAT(s.policy().Verify(FormatNote(note)),
             StatusIs(absl::StatusCode::kPermissionDenied, "w.example/2 does not verify"));
}

TEST_CASE("a checkpoint cosigned by public witnesses is verified under their published keys") {
  const std::string note = RequireOk(base::ReadFile("libs/note/testdata/arche2025h1.checkpoint"));
  const std::string text =
      "log arche2025h1.staging.ct.transparency.dev+ba2f06c0+"
      "AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f\n"
      "witness remora remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2\n"
      "witness stagemole witness.stagemole.eu+67f7aea0+"
      "BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv\n"
      "witness smartit witness1.smartit.nu/witness1+a48c820f+"
      "BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO\n"
      "witness garden transparency.dev/DEV:witness-little-garden+d8042a87+"
      "BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM\n"
      "group all-of-them all remora stagemole smartit garden\n"
      "quorum all-of-them\n";
  const Policy policy = RequireOk(Policy::Parse(text));
  const PolicyVerdict verdict = RequireOk(policy.Verify(note));
  CHECK(verdict.checkpoint.size == 1432088532);
  REQUIRE(verdict.cosignatures.size() == 4);
  for (const PolicyCosignature& cosignature : verdict.cosignatures) {
    CHECK(cosignature.timestamp == 0x6a122120);
  }
  CHECK_THAT(policy.Verify(absl::StrReplaceAll(note, {{"1432088532", "1432088533"}})),
             StatusIs(absl::StatusCode::kPermissionDenied, "does not verify"));
}

}  // namespace
}  // namespace countersign::note
