#include "libs/note/signed_note.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"

namespace countersign::note {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kDash[] = "\xe2\x80\x94 ";
constexpr char kExampleVkey[] =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
constexpr char kExampleNote[] =
    "This is an example message.\n\n"
    "\xe2\x80\x94 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
    "\n";
// A signature line that is well formed.
constexpr char kLine[] = "\xe2\x80\x94 example.com/foo Uw2QOgA=\n";

TEST_CASE("signed-note's example note verifies") {
  const SignedNote note = RequireOk(ParseNote(kExampleNote));
  CHECK(note.text == "This is an example message.\n");
  REQUIRE(note.signatures.size() == 1);
  CHECK(note.signatures[0].name == "example.com/foo");
  CHECK(note.signatures[0].key_id == 0x530d903a);
  CHECK(note.signatures[0].signature.size() == 64);
  CHECK_THAT(VerifyNote(note, {RequireOk(ParseVkey(kExampleVkey))}), IsOk());
  CHECK(FormatNote(note) == kExampleNote);
}

TEST_CASE("a note is split at its last blank line") {
  const std::string text = "first\n\nsecond\n\n";
  const SignedNote note = RequireOk(ParseNote(absl::StrCat(text, "\n", kLine)));
  CHECK(note.text == text);
  CHECK(FormatNote(note) == absl::StrCat(text, "\n", kLine));
  // A text of one empty line.
  CHECK(RequireOk(ParseNote(absl::StrCat("\n\n", kLine))).text == "\n");
}

TEST_CASE("malformed notes are refused") {
  const std::string line = kLine;
  const std::string bytes4 = base::Base64Encode("\x53\x0d\x90\x3a");
  const std::vector<std::string> malformed = {
      "",
      "\n",
      "\n\n",
      "text",
      "text\n",
      "text\n\n",
      "text\n" + line,                                    // no blank line
      "\n" + line,                                        // no text
      "text\n\n" + line.substr(0, line.size() - 1),       // no last newline
      "text\n\n" + line + "\n",                           // a blank line at the end
      "text\n\n" + line + "trailing\n",                   //
      "text\n\n" + line + "\n" + line.substr(1),          //
      "text\n\n- example.com/foo Uw2QOgA=\n",             // a hyphen
      "text\n\n\xe2\x80\x93 example.com/foo Uw2QOgA=\n",  // an en dash
      "text\n\n\xe2\x80\x94"
      "example.com/foo Uw2QOgA=\n",
      "text\n\n\xe2\x80\x94  example.com/foo Uw2QOgA=\n",
      "text\n\n\xe2\x80\x94 example.com/foo  Uw2QOgA=\n",
      "text\n\n\xe2\x80\x94 example.com/foo Uw2QOgA= \n",
      "text\n\n\xe2\x80\x94 example.com/foo\n",
      "text\n\n\xe2\x80\x94 example.com/foo \n",
      "text\n\n\xe2\x80\x94  Uw2QOgA=\n",     // no name
      "text\n\n\xe2\x80\x94 a+b Uw2QOgA=\n",  // '+' in the name
      "text\n\n\xe2\x80\x94 a\xc2\xa0"
      "b Uw2QOgA=\n",                                           // a no-break space in the name
      "text\n\n\xe2\x80\x94 example.com/foo Uw2QOgA\n",         // no padding
      "text\n\n\xe2\x80\x94 example.com/foo Uw2QOgB=\n",        // bits behind the last byte
      "text\n\n\xe2\x80\x94 example.com/foo Uw2Q-gA=\n",        // the URL alphabet
      "text\n\n\xe2\x80\x94 example.com/foo " + bytes4 + "\n",  // an id only
      "text\n\n\xe2\x80\x94 example.com/foo Uw2Q\n",            // less than an id
      "te\txt\n\n" + line,
      "te\rxt\n\n" + line,
      "text\r\n\r\n" + line,
      std::string("te\0xt\n\n", 7) + line,
      "te\xffxt\n\n" + line,
      "te\xc3\n\n" + line,
      "text\n\n" + line.substr(0, 5) + "\x1b" + line.substr(5),
  };
  for (const std::string& note : malformed) {
    CAPTURE(note);
    CHECK_THAT(ParseNote(note), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("a note may bear many signatures but not endlessly many") {
  std::string note = "text\n\n";
  for (size_t i = 0; i < kMaxSignatures; ++i) {
    absl::StrAppend(&note, kDash, "key", i, " Uw2QOgA=\n");
  }
  CHECK(RequireOk(ParseNote(note)).signatures.size() == kMaxSignatures);
  CHECK_THAT(ParseNote(note + kLine), StatusIs(absl::StatusCode::kInvalidArgument, "more than"));
}

TEST_CASE("signatures of unknown keys are ignored, wherever they stand") {
  const auto log = TestLogSigner("example.com/log");
  const std::string signed_by_log = RequireOk(SignNote("text\n", {log.get()}));
  SignedNote note = RequireOk(ParseNote(signed_by_log));
  const NoteSignature good = note.signatures[0];
  // The same name with another id, another name with the same id, and noise.
  NoteSignature same_name = good;
  same_name.key_id ^= 1;
  NoteSignature same_id = good;
  same_id.name = "example.com/other";
  const NoteSignature noise{"grease.example", 0xfa17, "\x01"};
  note.signatures = {noise, same_name, good, same_id, noise};
  const auto verified = RequireOk(VerifyNote(note, {log->verifier()}));
  REQUIRE(verified.size() == 1);
  CHECK(verified[0].signature == 2);
  CHECK(verified[0].verifier == 0);
}

TEST_CASE("one known signature that does not verify rejects the note") {
  const auto log = TestLogSigner("example.com/log", 'L');
  const auto other = TestLogSigner("example.com/other", 'O');
  SignedNote note = RequireOk(ParseNote(RequireOk(SignNote("text\n", {log.get(), other.get()}))));
  const std::vector<NoteVerifier> both = {log->verifier(), other->verifier()};
  CHECK(RequireOk(VerifyNote(note, both)).size() == 2);
  note.signatures[1].signature[5] ^= 1;
  CHECK_THAT(VerifyNote(note, both),
             StatusIs(absl::StatusCode::kPermissionDenied, "example.com/other does not verify"));
  // To those who do not know the second key, the note is good.
  CHECK_THAT(VerifyNote(note, {log->verifier()}), IsOk());
  // A good line and a bad one of the same key: bad.
  note.signatures[1] = note.signatures[0];
  note.signatures[1].signature[5] ^= 1;
  CHECK_THAT(VerifyNote(note, {log->verifier()}), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_CASE("a note without a known signature is rejected") {
  const auto log = TestLogSigner("example.com/log");
  const SignedNote note = RequireOk(ParseNote(RequireOk(SignNote("text\n", {log.get()}))));
  CHECK_THAT(VerifyNote(note, {TestLogSigner("example.com/log", 'M')->verifier()}),
             StatusIs(absl::StatusCode::kPermissionDenied, "no signature of a known key"));
  CHECK_THAT(VerifyNote(note, {}), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_CASE("every change to the text breaks the signature") {
  const auto log = TestLogSigner("example.com/log");
  const std::string text = "example.com/log\n3\nabc\n";
  const SignedNote good = RequireOk(ParseNote(RequireOk(SignNote(text, {log.get()}))));
  for (size_t i = 0; i < text.size(); ++i) {
    SignedNote bad = good;
    bad.text[i] ^= 1;
    CAPTURE(i);
    CHECK_FALSE(VerifyNote(bad, {log->verifier()}).ok());
  }
}

TEST_CASE("only what can be a note's text is signed") {
  const auto log = TestLogSigner("example.com/log");
  CHECK_THAT(SignNote("text", {log.get()}), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(SignNote("", {log.get()}), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(SignNote("te\txt\n", {log.get()}), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(SignNote("te\xffxt\n", {log.get()}), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(SignNote("text\n", {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("signature lines alone are read as a witness answers them") {
  const auto lines = RequireOk(ParseSignatureLines(absl::StrCat(kLine, kDash, "w2 Uw2QOgA=\n")));
  REQUIRE(lines.size() == 2);
  CHECK(lines[1].name == "w2");
  CHECK(FormatSignatureLine(lines[0]) == kLine);
  for (const char* bad : {"", "\n", "text\n", "\xe2\x80\x94 w Uw2QOgA="}) {
    CAPTURE(bad);
    CHECK_THAT(ParseSignatureLines(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace countersign::note
