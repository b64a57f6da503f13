#include "libs/pki/pem.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/pki/der.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::pki {
namespace {

using testing::RequireOk;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST_CASE("Blocks are written in lines of 64 characters and read back") {
  CHECK(FormatPem("X", "abc") == "-----BEGIN X-----\nYWJj\n-----END X-----\n");
  for (const size_t size : {1, 47, 48, 49, 96, 1000}) {
    const std::string der(size, '\x30');
    const std::vector<PemBlock> blocks =
        RequireOk(ParsePem(FormatPem("CERTIFICATE", der) + FormatPem("A-B C", "x")));
    REQUIRE(blocks.size() == 2);
    CHECK(blocks[0].label == "CERTIFICATE");
    CHECK(blocks[0].der == der);
    CHECK(blocks[1].label == "A-B C");
  }
}

TEST_CASE("OpenSSL reads what is written, and writes the same") {
  testing::TempDir dir;
  const std::string der = RequireOk(base::ReadFile("libs/pki/testdata/p256.der"));
  const std::string path = dir.path() + "/pem";
  RequireOk(base::WriteFileAtomically(path, FormatPem("CERTIFICATE", der)));
  const testing::CommandResult result = testing::RunCommand("openssl x509 -in " + path);
  INFO(result.output);
  CHECK(result.exit_code == 0);
  CHECK(result.output == FormatPem("CERTIFICATE", der));
}

TEST_CASE("Text around blocks is passed over, and white space in them") {
  const std::string text =
      "Subject: CN=x\n\n-----BEGIN A-----  \r\n YW\tJj\r\n\r\n  ZGVm\n-----END A-----\t\nbetween";
  // A tab inside a line is none of base64.
  CHECK_THAT(ParsePem(text), StatusIs(kInvalid, "\"A\": its body is not base64"));
  const std::vector<PemBlock> blocks =
      RequireOk(ParsePem(absl::StrReplaceAll(text, {{"YW\tJj", "YWJj"}})));
  REQUIRE(blocks.size() == 1);
  CHECK(blocks[0].der == "abcdef");
  CHECK(RequireOk(ParsePem("")).empty());
  CHECK(RequireOk(ParsePem("no block\n----- BEGIN -----\n")).empty());
}

TEST_CASE("Malformed blocks are refused") {
  const struct {
    const char* text;
    const char* why;
  } kCases[] = {
      {"-----BEGIN A-----\nYWJj\n", "it has no end"},
      {"-----BEGIN A-----", "it has no end"},
      {"-----BEGIN A-----\nYWJj\n-----END B-----\n", "its own label"},
      {"-----BEGIN A-----\nYWJj\n-----END A----\n", "its own label"},
      {"-----BEGIN A-----\n-----BEGIN A-----\n", "its own label"},
      {"-----END A-----\n", "has not begun"},
      {"-----BEGIN A-----\n-----END A-----\n", "not base64"},
      {"-----BEGIN A-----\nYWJ\n-----END A-----\n", "not base64"},
      {"-----BEGIN A-----\nYW=\n=\n-----END A-----\n", "not base64"},
      {"-----BEGIN A-----\nYWI9\n=\n-----END A-----\n", "not base64"},
      {"-----BEGIN A-----\nYR==\n-----END A-----\n", "not base64"},
      {"-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nYWJj\n-----END A-----\n", "not base64"},
      {"-----BEGIN A----\nYWJj\n-----END A-----\n", "without a label"},
      {"-----BEGIN -----\nYWJj\n-----END -----\n", "without a label"},
      {"-----BEGIN A -----\nYWJj\n-----END A -----\n", "without a label"},
      {"-----BEGIN A  B-----\nYWJj\n-----END A  B-----\n", "without a label"},
      {"-----BEGIN \xC3\xA4-----\nYWJj\n-----END \xC3\xA4-----\n", "without a label"},
  };
  for (const auto& test : kCases) {
    INFO(test.text);
    CHECK_THAT(ParsePem(test.text), StatusIs(kInvalid, test.why));
  }
}

TEST_CASE("One block of a label is taken, DER as it is") {
  const std::string a = FormatPem("CERTIFICATE", "a");
  const std::string key = FormatPem("PRIVATE KEY", "k");
  CHECK(RequireOk(DerFromDerOrPem(key + a, "CERTIFICATE")) == "a");
  CHECK_THAT(DerFromDerOrPem(a + key + a, "CERTIFICATE"), StatusIs(kInvalid, "more than one"));
  CHECK_THAT(DerFromDerOrPem(key, "CERTIFICATE"), StatusIs(kInvalid, "no PEM block"));
  CHECK_THAT(DerFromDerOrPem(a, "CERTIFICATE REQUEST"), StatusIs(kInvalid, "no PEM block"));
  CHECK(RequireOk(DerFromDerOrPem(FormatPem("NEW CERTIFICATE REQUEST", "r"),
                                  "CERTIFICATE REQUEST")) == "r");
  CHECK_THAT(DerFromDerOrPem("-----BEGIN CERTIFICATE-----", "CERTIFICATE"), StatusIs(kInvalid));

  DerWriter out;
  const size_t sequence = out.Begin(kSequence);
  out.Add(kUtf8String, "\n" + a);
  out.End(sequence);
  CHECK(RequireOk(DerFromDerOrPem(out.der(), "CERTIFICATE")) == out.der());
  // Text that begins with the byte of a SEQUENCE.
  CHECK(RequireOk(DerFromDerOrPem("0 certificates before:\n" + a, "CERTIFICATE")) == "a");
  CHECK(RequireOk(DerFromDerOrPem("neither", "CERTIFICATE")) == "neither");
  CHECK(RequireOk(DerFromDerOrPem("", "CERTIFICATE")).empty());
}

}  // namespace
}  // namespace countersign::pki
