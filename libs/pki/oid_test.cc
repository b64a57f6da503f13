#include "libs/pki/oid.h"

#include <string>

#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using testing::RequireOk;
using testing::StatusIs;

TEST_CASE("Object identifiers read as they are written") {
  const struct {
    const char* text;
    absl::string_view contents;
  } kCases[] = {
      {"2.5.4.3", kOidCommonName},
      {"1.2.840.113549.1.1.11", kOidRsaSha256},
      {"1.2.840.10045.4.3.3", kOidEcdsaSha384},
      {"1.3.101.112", kOidEd25519},
      {"1.3.132.0.34", kOidP384},
      {"2.16.840.1.101.3.4.2.1", kOidSha256},
      {"1.3.14.3.2.26", kOidSha1},
      {"0.9.2342.19200300.100.1.25", kOidDomainComponent},
      {"1.3.6.1.5.5.7.48.1.5", kOidOcspNoCheck},
      {"1.3.6.1.5.5.7.3.9", kOidOcspSigning},
      {"2.5.29.37.0", kOidAnyExtendedKeyUsage},
      {"1.3.6.1.4.1.11129.2.4.2", kOidSctList},
      {"1.2.840.113549.1.9.14", kOidExtensionRequest},
      {"0.0", OidContents("\x00")},
      {"0.39", OidContents("\x27")},
      {"1.0", OidContents("\x28")},
      {"2.0", OidContents("\x50")},
      {"2.999.3", OidContents("\x88\x37\x03")},
      // The UUID of X.667's example.
      {"2.25.329800735698586629295641978511506172918",
       OidContents("\x69\x83\xF0\x9D\xA7\xEB\xCF\xDE\xE0\xC7\xA1\xA7\xB2\xC0\x94\x8C\xC8\xF9"
                   "\xD7\x76")},
  };
  for (const auto& test : kCases) {
    INFO(test.text);
    CHECK(RequireOk(ParseOid(test.text)) == test.contents);
    CHECK(FormatOid(test.contents) == test.text);
    CHECK(IsOid(test.contents));
  }
  for (const char* text : {"2.25.340282366920938463463374607431768211455", "2.25.0",
                           "1.39.18446744073709551616", "0.39.127.128.16383.16384"}) {
    const std::string contents = RequireOk(ParseOid(text));
    CHECK(IsOid(contents));
    CHECK(FormatOid(contents) == text);
  }
}

TEST_CASE("What is no object identifier is refused") {
  for (const char* text :
       {"", "1", "1.", ".1", "1..2", "3.1", "0.40", "1.40", "01.2", "1.02", "1.2.", "1.2.x", "-1.2",
        "1.2 ", "1.2.340282366920938463463374607431768211456",
        "2.340282366920938463463374607431768211455"}) {
    INFO(text);
    CHECK_THAT(ParseOid(text),
               StatusIs(absl::StatusCode::kInvalidArgument, "no object identifier"));
  }
  CHECK(!IsOid(""));
  CHECK(!IsOid(OidContents("\x55\x80")));      // its last number has no end
  CHECK(!IsOid(OidContents("\x55\x80\x01")));  // a number with a leading zero
  CHECK(!IsOid(OidContents("\x80\x01")));
  CHECK(!IsOid("\x69" + std::string(19, '\xFF') + "\x7F"));
  CHECK(
      !IsOid(OidContents("\x69\x84\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"
                         "\x80\x00")));  // 2^128
}

}  // namespace
}  // namespace countersign::pki
