#include "libs/pki/name.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using testing::RequireOk;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string Element(uint8_t tag, absl::string_view contents) {
  DerWriter out;
  out.Add(tag, contents);
  return out.Take();
}

std::string Attribute(absl::string_view oid, uint8_t tag, absl::string_view value) {
  return Element(kSequence, Element(kOid, oid) + Element(tag, value));
}

// A Name of one RDN.
std::string NameOf(absl::string_view attributes) {
  return Element(kSequence, Element(kSet, attributes));
}

Name Text(absl::string_view text) { return RequireOk(ParseNameText(text)); }

TEST_CASE("Names are written in the string types of their attributes and read back") {
  const Name name = Text("CN=Größe,serialNumber=12-a,emailAddress=a@b.c,DC=example,O=Example,C=DE");
  const std::string der = EncodeName(name);
  CHECK(RequireOk(ParseName(der)) == name);
  CHECK(name.rdns[0][0].oid == kOidCountry);
  CHECK(name.CommonName() == "Größe");
  const std::string expected =
      Element(kSet, Attribute(kOidCountry, kPrintableString, "DE")) +
      Element(kSet, Attribute(kOidOrganization, kUtf8String, "Example")) +
      Element(kSet, Attribute(kOidDomainComponent, kIa5String, "example")) +
      Element(kSet, Attribute(kOidEmailAddress, kIa5String, "a@b.c")) +
      Element(kSet, Attribute(kOidSerialNumber, kPrintableString, "12-a")) +
      Element(kSet, Attribute(kOidCommonName, kUtf8String, "Größe"));
  CHECK(base::HexEncode(der) == base::HexEncode(Element(kSequence, expected)));
}

TEST_CASE("A value that does not fit the type of its attribute is UTF-8") {
  Name name;
  name.rdns = {{{std::string(kOidSerialNumber), "a_b"}}, {{std::string(kOidEmailAddress), "ä@b"}}};
  CHECK(EncodeName(name) ==
        Element(kSequence, Element(kSet, Attribute(kOidSerialNumber, kUtf8String, "a_b")) +
                               Element(kSet, Attribute(kOidEmailAddress, kUtf8String, "ä@b"))));
  CHECK_THAT(CheckBounds(name), StatusIs(kInvalid, "serialNumber has characters"));
}

TEST_CASE("The attributes of an RDN are in the order of DER") {
  const std::string first = Attribute(kOidOrganizationalUnit, kUtf8String, "a");
  const std::string second = Attribute(kOidCommonName, kUtf8String, "bb");
  REQUIRE(first < second);
  CHECK(EncodeName(Text("CN=bb+OU=a")) == NameOf(first + second));
  CHECK(EncodeName(Text("OU=a+CN=bb")) == NameOf(first + second));
  CHECK_THAT(ParseName(NameOf(second + first)), StatusIs(kInvalid, "order of DER"));
}

TEST_CASE("Every string type is read as UTF-8") {
  const struct {
    uint8_t tag;
    std::string contents;
    std::string utf8;
  } kGood[] = {
      {kPrintableString, "A z-0'()+,./:=?", "A z-0'()+,./:=?"},
      {kUtf8String, "\xE9\x8D\xB5", "鍵"},
      {kIa5String, "a@b_*", "a@b_*"},
      {kTeletexString, "K\xE4se", "Käse"},
      {kBmpString, std::string("\0K\x93\x75\0\xE4", 6), "K鍵ä"},
  };
  for (const auto& test : kGood) {
    INFO(test.utf8);
    const Name name =
        RequireOk(ParseName(NameOf(Attribute(kOidOrganization, test.tag, test.contents))));
    REQUIRE(name.rdns.size() == 1);
    CHECK(name.rdns[0][0].value == test.utf8);
  }
  const struct {
    uint8_t tag;
    std::string contents;
  } kBad[] = {
      {kPrintableString, "a@b"},
      {kPrintableString, "a*"},
      {kPrintableString, std::string("a\0b", 3)},
      {kUtf8String, "\xC3"},
      {kUtf8String, "\xC0\x80"},
      {kUtf8String, "\xED\xA0\x80"},
      {kUtf8String, std::string("a\0b", 3)},
      {kIa5String, "\xE4"},
      {kIa5String, std::string("\0", 1)},
      {kTeletexString, "\x07"},
      {kBmpString, "odd"},
      {kBmpString, std::string("\xD8\x3D\xDE\x00", 4)},
      {kBmpString, std::string("\0", 2)},
      {kUtf8String, ""},
      {kPrintableString, ""},
      {0x1C, std::string("\0\0\0a", 4)},
      {kOctetString, "a"},
      {kBitString, std::string("\0a", 2)},
  };
  for (const auto& test : kBad) {
    INFO(absl::StrCat(absl::Hex(test.tag), " ", base::HexEncode(test.contents)));
    CHECK_THAT(ParseName(NameOf(Attribute(kOidOrganization, test.tag, test.contents))),
               StatusIs(kInvalid, "O is no string of its type"));
  }
}

TEST_CASE("What is no Name is refused") {
  const std::string good = Attribute(kOidCommonName, kUtf8String, "x");
  CHECK(RequireOk(ParseName(Element(kSequence, ""))).empty());
  for (const std::string& der :
       {std::string(), Element(kSet, ""), NameOf(good) + "x", NameOf(""), Element(kSequence, good),
        Element(kSequence, Element(kSet, good) + "\x31"), NameOf(good + "\x30"),
        NameOf(Element(kSequence, Element(kOid, kOidCommonName))),
        NameOf(Element(kSequence, Element(kOid, "") + Element(kUtf8String, "x"))),
        NameOf(Element(kSequence, Element(kOid, kOidCommonName) + Element(kUtf8String, "x") +
                                      Element(kNull, ""))),
        NameOf(Element(kSet, Element(kOid, kOidCommonName) + Element(kUtf8String, "x")))}) {
    INFO(base::HexEncode(der));
    CHECK_THAT(ParseName(der), StatusIs(kInvalid, "name: "));
  }
}

TEST_CASE("Names of RFC 4514's examples are read and written") {
  const struct {
    const char* text;
    std::vector<std::vector<std::string>> values;  // first RDN of the text first
    const char* written;                           // empty: as `text`
  } kCases[] = {
      {"UID=jsmith,DC=example,DC=net", {{"jsmith"}, {"example"}, {"net"}}, ""},
      {"OU=Sales+CN=J.  Smith,DC=example,DC=net",
       {{"Sales", "J.  Smith"}, {"example"}, {"net"}},
       ""},
      {"CN=James \\\"Jim\\\" Smith\\, III,DC=net", {{"James \"Jim\" Smith, III"}, {"net"}}, ""},
      {"CN=Before\\0dAfter,DC=net", {{"Before\rAfter"}, {"net"}}, ""},
      {"1.3.6.1.4.1.1466.0=#0c0148", {{"H"}}, ""},
      {"1.3.6.1.4.1.1466.0=#04024869", {}, ""},
      {"CN=Lu\\C4\\8Di\\C4\\87", {{"Lučić"}}, "CN=Lučić"},
      {"2.5.4.3=#1301x", {}, ""},
      {"2.5.4.3=#130178 , C=DE", {{"x"}, {"DE"}}, "CN=x,C=DE"},
      {"  cn = x  +  ou = y , O=\\ z\\ , c=de ",
       {{"x", "y"}, {" z "}, {"de"}},
       "CN=x+OU=y,O=\\ z\\ ,C=de"},
      {"CN=\\#x#,O=a=b\\=c,OU=a\\;b\\<c\\>d\\\\",
       {{"#x#"}, {"a=b=c"}, {"a;b<c>d\\"}},
       "CN=\\#x#,O=a=b=c,OU=a\\;b\\<c\\>d\\\\"},
      {"CN=\\20\\ x\\ \\20", {{"  x  "}}, "CN=\\  x \\ "},
      {"", {}, ""},
  };
  for (const auto& test : kCases) {
    INFO(test.text);
    const absl::StatusOr<Name> name = ParseNameText(test.text);
    if (test.values.empty() && *test.text != '\0') {
      CHECK_THAT(name, StatusIs(kInvalid));
      continue;
    }
    REQUIRE(name.ok());
    REQUIRE(name->rdns.size() == test.values.size());
    for (size_t i = 0; i < test.values.size(); ++i) {
      const std::vector<NameAttribute>& rdn = name->rdns[test.values.size() - 1 - i];
      REQUIRE(rdn.size() == test.values[i].size());
      for (size_t j = 0; j < rdn.size(); ++j) CHECK(rdn[j].value == test.values[i][j]);
    }
    CHECK(FormatName(*name) == (*test.written == '\0' ? test.text : test.written));
    CHECK(RequireOk(ParseNameText(FormatName(*name))) == *name);
  }
}

TEST_CASE("Names that are not of the form are refused with the reason") {
  const struct {
    std::string text;
    const char* why;
  } kCases[] = {
      {"CN", "TYPE=VALUE"},
      {"CN=x,", "TYPE=VALUE"},
      {"CN=x,,O=y", "unknown attribute \",O\""},
      {"=x", "unknown attribute \"\""},
      {"XX=x", "unknown attribute \"XX\""},
      {"1.2.=x", "no object identifier"},
      {"CN=", "has no value"},
      {"CN=  ,O=y", "has no value"},
      {"CN=x+", "TYPE=VALUE"},
      {"CN=a;O=b", "\";\" needs a backslash"},
      {"CN=\"quoted\"", "\"\"\" needs a backslash"},
      {"CN=a<b", "\"<\" needs a backslash"},
      {"CN=a\\", "needs none"},
      {"CN=a\\x", "needs none"},
      {"CN=a\\4", "needs none"},
      {"CN=\\ff", "UTF-8"},
      {"CN=a\\00b", "without zeros"},
      {"CN=#", "DER of a string"},
      {"CN=#1", "odd number"},
      {"CN=#130178aa", "DER of a string"},
      {"CN=#13", "DER of a string"},
      {"CN=#130178x", "\"x\" needs a backslash"},
      {"C=DEU", "two letters"},
      {"C=D", "two letters"},
      {"C=D1", "two letters"},
      {"C=ä", "two letters"},
      {"CN=" + std::string(65, 'x'), "CN has 65 characters: at most 64"},
      {"ST=" + std::string(129, 'x'), "ST has 129 characters: at most 128"},
      {"E=" + std::string(256, 'x'), "emailAddress has 256 characters: at most 255"},
      {"emailAddress=ä@x", "not in ASCII"},
      {"serialNumber=a_b", "PrintableString"},
  };
  for (const auto& test : kCases) {
    INFO(test.text);
    CHECK_THAT(ParseNameText(test.text), StatusIs(kInvalid, test.why));
  }
  // 64 characters of two bytes.
  std::string wide = "CN=";
  for (int i = 0; i < 64; ++i) wide += "ä";
  CHECK_THAT(ParseNameText(wide), testing::IsOk());
}

TEST_CASE("Names are the same whatever their case and spaces, and begin with their ancestors") {
  const Name name = Text("CN=Web  Server,O=Example Ltd,C=DE");
  CHECK(SameName(name, Text("CN=web server,O=EXAMPLE LTD,C=de")));
  CHECK(SameName(name, Text("CN=\\ Web Server\\ ,O=Example Ltd,C=DE")));
  CHECK(!SameName(name, Text("CN=WebServer,O=Example Ltd,C=DE")));
  CHECK(!SameName(name, Text("O=Example Ltd,C=DE")));
  CHECK(!SameName(name, Text("OU=Web Server,O=Example Ltd,C=DE")));
  CHECK(SameName(Text("CN=a+OU=b"), Text("OU=B+CN=A")));
  CHECK(!SameName(Text("CN=a+OU=b"), Text("CN=a+OU=c")));
  CHECK(IsBelow(name, Text("O=example ltd,C=DE")));
  CHECK(IsBelow(name, name));
  CHECK(IsBelow(name, Name()));
  CHECK(!IsBelow(name, Text("O=Example Ltd")));
  CHECK(!IsBelow(Text("C=DE"), name));
}

TEST_CASE("Text is OpenSSL's of the same certificate") {
  for (const char* file : {"utf8", "rsa", "p256", "old_strings", "server"}) {
    const std::string path = absl::StrCat("libs/pki/testdata/", file, ".der");
    const std::string der = RequireOk(base::ReadFile(path));
    const testing::CommandResult result = testing::RunCommand(
        "openssl x509 -in " + path + " -noout -subject -nameopt RFC2253,-esc_msb,utf8");
    REQUIRE(result.exit_code == 0);
    // The subject is found by parsing each SEQUENCE of the certificate's outline.
    DerReader in(der);
    DerReader certificate;
    DerReader tbs;
    REQUIRE((in.Read(kSequence, &certificate) && certificate.Read(kSequence, &tbs)));
    absl::string_view element;
    bool has_version;
    REQUIRE(tbs.ReadOptional(ContextConstructed(0), &element, &has_version));
    REQUIRE(tbs.Read(kInteger, &element));
    for (int i = 0; i < 4; ++i) REQUIRE(tbs.ReadElement(kSequence, &element));
    const Name name = RequireOk(ParseName(element));
    // OpenSSL turns the attributes of an RDN around too.
    CHECK(absl::StrReplaceAll(result.output, {{"UID=zwei+OU=eins", "OU=eins+UID=zwei"}}) ==
          absl::StrCat("subject=", FormatName(name), "\n"));
    CHECK(RequireOk(ParseNameText(FormatName(name))) == name);
  }
}

}  // namespace
}  // namespace countersign::pki
