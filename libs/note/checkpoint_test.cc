#include "libs/note/checkpoint.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/note/signed_note.h"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"

namespace countersign::note {
namespace {

using testing::RequireOk;
using testing::StatusIs;

constexpr char kRoot[] = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

TEST_CASE("a checkpoint is an origin, a size, a root and extensions") {
  const std::string text = absl::StrCat("example.com/behind-the-sofa\n20852163\n", kRoot, "\n");
  const Checkpoint checkpoint = RequireOk(ParseCheckpoint(text));
  CHECK(checkpoint.origin == "example.com/behind-the-sofa");
  CHECK(checkpoint.size == 20852163);
  CHECK(merkle::EncodeHash(checkpoint.root) == kRoot);
  CHECK(checkpoint.extensions.empty());
  CHECK(FormatCheckpoint(checkpoint) == text);

  const Checkpoint extended = RequireOk(ParseCheckpoint(text + "one\ntwo two\n"));
  CHECK(extended.extensions == std::vector<std::string>{"one", "two two"});
  CHECK(FormatCheckpoint(extended) == text + "one\ntwo two\n");
  CHECK_FALSE(extended == checkpoint);
}

TEST_CASE("an empty tree's checkpoint has size 0") {
  CHECK(FormatCheckpoint({"o", 0, merkle::EmptyRoot()}) ==
        "o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
  CHECK(RequireOk(ParseCheckpoint("o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")).size ==
        0);
}

TEST_CASE("malformed checkpoints are refused") {
  const std::string root = kRoot;
  for (const std::string& text : std::vector<std::string>{"",
                                                          "\n",
                                                          "o\n",
                                                          "o\n1\n",
                                                          "o\n1\n" + root,
                                                          "\n1\n" + root + "\n",
                                                          "o\n\n" + root + "\n",
                                                          "o\n1\n\n",
                                                          "o\n1\n" + root + "\n\n",
                                                          "o\n1\n" + root + "\nx\n\ny\n",
                                                          "o\n01\n" + root + "\n",
                                                          "o\n+1\n" + root + "\n",
                                                          "o\n-1\n" + root + "\n",
                                                          "o\n 1\n" + root + "\n",
                                                          "o\n1 \n" + root + "\n",
                                                          "o\n0x1\n" + root + "\n",
                                                          "o\n1e3\n" + root + "\n",
                                                          "o\n9223372036854775808\n" + root + "\n",
                                                          "o\n18446744073709551616\n" + root + "\n",
                                                          "o\n1\n" + root + "=\n",
                                                          "o\n1\nAAAA\n",
                                                          "o\n1\n" + root.substr(1) + "\n",
                                                          "o\n1\n" + root + " \n"}) {
    CAPTURE(text);
    CHECK_THAT(ParseCheckpoint(text), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("sizes have one text each") {
  CHECK(RequireOk(ParseSize("0")) == 0);
  CHECK(RequireOk(ParseSize("9223372036854775807")) == INT64_MAX);
  for (const char* text : {"", "00", "01", "-0", "+0", " 0", "0 ", "a", "9223372036854775808",
                           "99999999999999999999", "1_000", "1.0"}) {
    CAPTURE(text);
    CHECK_THAT(ParseSize(text), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("a checkpoint is opened by the log's key and origin") {
  const auto log = TestLogSigner("example.com/log");
  const Checkpoint checkpoint{"example.com/log", 7, merkle::LeafHash("x")};
  const std::string note = RequireOk(SignNote(FormatCheckpoint(checkpoint), {log.get()}));
  CHECK(RequireOk(ParseSignedCheckpoint(note)) == checkpoint);
  CHECK(RequireOk(OpenCheckpoint(note, "example.com/log", {log->verifier()})) == checkpoint);
  CHECK_THAT(OpenCheckpoint(note, "example.com/other", {log->verifier()}),
             StatusIs(absl::StatusCode::kPermissionDenied, "example.com/other"));
  CHECK_THAT(
      OpenCheckpoint(note, "example.com/log", {TestLogSigner("example.com/log", 'M')->verifier()}),
      StatusIs(absl::StatusCode::kPermissionDenied));
  const std::string not_a_checkpoint = RequireOk(SignNote("text\n", {log.get()}));
  CHECK_THAT(OpenCheckpoint(not_a_checkpoint, "text", {log->verifier()}),
             StatusIs(absl::StatusCode::kInvalidArgument, "fewer than three lines"));
  CHECK_THAT(ParseSignedCheckpoint("o\n1\n"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::note
