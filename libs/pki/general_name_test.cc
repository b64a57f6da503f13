#include "libs/pki/general_name.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;
using Kind = GeneralName::Kind;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string Element(uint8_t tag, absl::string_view contents) {
  DerWriter out;
  out.Add(tag, contents);
  return out.Take();
}

GeneralName Directory(absl::string_view text) {
  return {Kind::kDirectory, EncodeName(RequireOk(ParseNameText(text)))};
}

NameConstraints Permitted(std::initializer_list<absl::string_view> subtrees) {
  NameConstraints constraints;
  for (absl::string_view text : subtrees) {
    constraints.permitted.push_back(RequireOk(ParseSubtree(text)));
  }
  return constraints;
}

NameConstraints Excluded(std::initializer_list<absl::string_view> subtrees) {
  NameConstraints constraints = Permitted(subtrees);
  constraints.permitted.swap(constraints.excluded);
  return constraints;
}

// Checks the name as it stands, its syntax aside.
bool Allows(const NameConstraints& constraints, absl::string_view text) {
  const size_t colon = text.find(':');
  const absl::string_view kind = text.substr(0, colon);
  const std::string value(text.substr(colon + 1));
  const GeneralName name = kind == "IP"      ? RequireOk(ParseGeneralName(text))
                           : kind == "email" ? GeneralName{Kind::kEmail, value}
                           : kind == "URI"   ? GeneralName{Kind::kUri, value}
                                             : GeneralName{Kind::kDns, value};
  const absl::Status status = CheckConstraints(constraints, name);
  if (!status.ok()) CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  return status.ok();
}

TEST_CASE("DNS names in the preferred syntax are taken, others refused") {
  for (const std::string& name :
       {std::string("example.com"), std::string("localhost"), std::string("a.b-c.1a"),
        std::string("xn--bcher-kva.example"), std::string("*.example.com"),
        std::string("WWW.Example.COM"), std::string("1.2.3.4a"), std::string(63, 'a') + ".com"}) {
    INFO(name);
    CHECK_THAT(CheckSyntax({Kind::kDns, name}), IsOk());
  }
  const struct {
    std::string name;
    const char* why;
  } kBad[] = {
      {"", "is empty"},
      {".", "empty label"},
      {"example.com.", "ends with a dot"},
      {".example.com", "empty label"},
      {"a..b", "empty label"},
      {"under_score.example.com", "other than letters"},
      {"a b", "other than letters"},
      {"b\xC3\xBC"
       "cher.example",
       "other than letters"},
      {std::string("a\0.com", 6), "other than letters"},
      {"-a.example", "hyphen at its edge"},
      {"a-.example", "hyphen at its edge"},
      {"*", "\"*\""},
      {"*.", "empty label"},
      {"*.com", "fewer than two labels"},
      {"*.*.example.com", "\"*\""},
      {"www.*.example.com", "\"*\""},
      {"w*.example.com", "\"*\""},
      {"*w.example.com", "\"*\""},
      {"192.0.2.1", "an address"},
      {"example.123", "an address"},
      {std::string(64, 'a') + ".com", "longer than 63"},
  };
  for (const auto& test : kBad) {
    INFO(test.name);
    CHECK_THAT(CheckSyntax({Kind::kDns, test.name}), StatusIs(kInvalid, test.why));
  }
  std::string longest = "a";
  while (longest.size() < 253) longest += ".a";
  CHECK_THAT(CheckSyntax({Kind::kDns, longest}), IsOk());
  CHECK_THAT(CheckSyntax({Kind::kDns, "aa" + longest}), StatusIs(kInvalid, "253"));
}

TEST_CASE("Mailboxes of RFC 5321 are taken, others refused") {
  for (const char* name :
       {"a@example.com", "first.last+tag@example.com", "\"a b\"@example.com", "\"a@b\"@example.com",
        "\"\\\"\"@example.com", "!#$%&'*+-/=?^_`{|}~@x", "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]"}) {
    INFO(name);
    CHECK_THAT(CheckSyntax({Kind::kEmail, name}), IsOk());
  }
  for (const std::string& name : {std::string("example.com"),
                                  std::string("@example.com"),
                                  std::string("a@"),
                                  std::string(".a@b"),
                                  std::string("a.@b"),
                                  std::string("a..b@c"),
                                  std::string("a b@c"),
                                  std::string("a@b@c"),
                                  std::string("\"@b"),
                                  std::string("\"a\"b@c"),
                                  std::string("\"a\\\"@b"),
                                  std::string("\"\"\"@b"),
                                  std::string("a@*.b.c"),
                                  std::string("a@b_c"),
                                  std::string("a@[b]"),
                                  std::string("a@[192.0.2.1"),
                                  std::string("a@[IPv6:192.0.2.1]"),
                                  std::string("\xC3\xA4@b"),
                                  std::string("Name <a@b>"),
                                  std::string(65, 'a') + "@b"}) {
    INFO(name);
    CHECK_THAT(CheckSyntax({Kind::kEmail, name}), StatusIs(kInvalid));
  }
}

TEST_CASE("Absolute URIs with a host are taken, others refused") {
  for (const char* name : {"https://example.com", "https://example.com/a%20b?c#d",
                           "http://user@example.com:80/", "spiffe://trust.example/workload",
                           "ldap://[2001:db8::1]:389/", "ftp://192.0.2.1", "https://localhost:/"}) {
    INFO(name);
    CHECK_THAT(CheckSyntax({Kind::kUri, name}), IsOk());
  }
  for (const char* name : {"",
                           "example.com",
                           "/path",
                           "//example.com",
                           "urn:uuid:1",
                           "mailto:a@b.c",
                           "https:",
                           "https://",
                           "https:///path",
                           "https://a b",
                           "https://a/%2",
                           "https://a/%zz",
                           "https://a/\xC3\xA4",
                           "https://a_b/",
                           "https://[::1",
                           "https://[1.2.3.4]/",
                           "https://*.b.c",
                           "https://a:b/",
                           "1a://b",
                           ":a",
                           "https://user@/",
                           "https://a.b./"}) {
    INFO(name);
    CHECK_THAT(CheckSyntax({Kind::kUri, name}), StatusIs(kInvalid));
  }
}

TEST_CASE("Addresses have 4 or 16 bytes, and directory names parse") {
  CHECK_THAT(CheckSyntax({Kind::kIp, std::string(4, '\0')}), IsOk());
  CHECK_THAT(CheckSyntax({Kind::kIp, std::string(16, '\0')}), IsOk());
  CHECK_THAT(CheckSyntax({Kind::kIp, std::string(8, '\0')}), StatusIs(kInvalid, "not 8"));
  CHECK_THAT(CheckSyntax(Directory("CN=x")), IsOk());
  CHECK_THAT(CheckSyntax(Directory("")), StatusIs(kInvalid, "empty"));
  CHECK_THAT(CheckSyntax({Kind::kDirectory, "x"}), StatusIs(kInvalid));
  CHECK_THAT(CheckSyntax({Kind::kOther, Element(ContextTag(8), "*")}), StatusIs(kInvalid, "kind"));
}

TEST_CASE("Names are written with their kind before them and read back") {
  for (const char* text :
       {"DNS:www.example.com", "DNS:*.example.com", "IP:192.0.2.1", "IP:2001:db8::1",
        "IP:::", "IP:2001:db8:0:1:1:1:1:1", "IP:2001:db8::1:0:0:1", "email:a@example.com",
        "URI:https://example.com/a:b"}) {
    INFO(text);
    const GeneralName name = RequireOk(ParseGeneralName(text));
    CHECK(FormatGeneralName(name) == text);
    DerWriter out;
    WriteGeneralName(name, &out);
    CHECK(RequireOk(ReadGeneralNames(DerReader(out.der()))) == std::vector<GeneralName>{name});
  }
  CHECK(FormatGeneralName(RequireOk(ParseGeneralName("IP:2001:DB8:0:0::17"))) == "IP:2001:db8::17");
  CHECK(FormatGeneralName(Directory("CN=a\\,b,C=DE")) == "DirName:CN=a\\,b,C=DE");
  CHECK(FormatGeneralName({Kind::kOther, "\x88\x01\x2A"}) == "other:88012a");
  for (const char* text :
       {"", "www.example.com", "dns:a", "DNS:", "DNS:a_b", "IP:", "IP:1.2.3", "IP:1.2.3.4.5",
        "IP:1.2.3.04", "IP:10.0.0.0/8", "IP:fe80::1%eth0", "email:x", "URI:x", "DirName:CN=x"}) {
    INFO(text);
    CHECK_THAT(ParseGeneralName(text), StatusIs(kInvalid));
  }
}

TEST_CASE("Every kind of name in DER is read, and written the same") {
  const std::string upn = Element(kOid, "\x2A\x03") + Element(0xA0, Element(kUtf8String, "x"));
  const std::string der = Element(0xA0, upn) + Element(0x81, "a@b") + Element(0x82, "c") +
                          Element(0xA3, "") + Element(0xA4, Directory("CN=x").value) +
                          Element(0xA5, Element(0xA1, "x")) + Element(0x86, "d:") +
                          Element(0x87, "1234") + Element(0x87, std::string(16, '6')) +
                          Element(0x88, "\x2A\x03");
  const std::vector<GeneralName> names = RequireOk(ReadGeneralNames(DerReader(der)));
  REQUIRE(names.size() == 10);
  CHECK(names[0] == GeneralName{Kind::kOther, Element(0xA0, upn)});
  CHECK(names[1] == GeneralName{Kind::kEmail, "a@b"});
  CHECK(names[3].kind == Kind::kOther);
  CHECK(names[4] == Directory("CN=x"));
  CHECK(names[7] == GeneralName{Kind::kIp, "1234"});
  DerWriter out;
  for (const GeneralName& name : names) WriteGeneralName(name, &out);
  CHECK(out.der() == der);
}

TEST_CASE("Names in DER that are malformed are refused") {
  for (const std::string& der : {std::string(),
                                 Element(0x82, ""),
                                 Element(0x82, "\xC3\xA4"),
                                 Element(0x82, std::string("a\0b", 3)),
                                 Element(0x81, "a\nb"),
                                 Element(0x86, ""),
                                 Element(0x87, "123"),
                                 Element(0x87, "12345678"),
                                 Element(0x87, ""),
                                 Element(0x88, ""),
                                 Element(0x88, "\x80\x01"),
                                 Element(0xA0, ""),
                                 Element(0xA0, Element(kOid, "\x2A")),
                                 Element(0xA0, Element(kOid, "\x2A") + Element(0xA0, "")),
                                 Element(0xA0, Element(kOid, "\x2A") + Element(kUtf8String, "x")),
                                 Element(0xA4, "x"),
                                 Element(0xA4, Element(kSet, "")),
                                 Element(0xA2, "a"),
                                 Element(0x80, "a"),
                                 Element(0x89, "a"),
                                 Element(kIa5String, "a"),
                                 Element(0x82, "a") + "\x82"}) {
    INFO(base::HexEncode(der));
    CHECK_THAT(ReadGeneralNames(DerReader(der)), StatusIs(kInvalid));
  }
}

TEST_CASE("Subtrees are read as settings spell them") {
  const struct {
    const char* text;
    Kind kind;
    std::string value;
    const char* written;
  } kGood[] = {
      {"example.com", Kind::kDns, "example.com", "DNS:example.com"},
      {"com", Kind::kDns, "com", "DNS:com"},
      {"10.0.0.0/8", Kind::kIp, std::string("\x0A\0\0\0\xFF\0\0\0", 8), "IP:10.0.0.0/8"},
      {"0.0.0.0/0", Kind::kIp, std::string(8, '\0'), "IP:0.0.0.0/0"},
      {"192.0.2.1/32", Kind::kIp, std::string("\xC0\0\x02\x01\xFF\xFF\xFF\xFF", 8),
       "IP:192.0.2.1/32"},
      {"192.0.2.128/25", Kind::kIp, std::string("\xC0\0\x02\x80\xFF\xFF\xFF\x80", 8),
       "IP:192.0.2.128/25"},
      {"2001:db8::/33", Kind::kIp,
       std::string("\x20\x01\x0D\xB8", 4) + std::string(12, '\0') + "\xFF\xFF\xFF\xFF\x80" +
           std::string(11, '\0'),
       "IP:2001:db8::/33"},
      {"@example.com", Kind::kEmail, "example.com", "email:example.com"},
      {"@.example.com", Kind::kEmail, ".example.com", "email:.example.com"},
      {"a@example.com", Kind::kEmail, "a@example.com", "email:a@example.com"},
      {"uri:example.com", Kind::kUri, "example.com", "URI:example.com"},
      {"uri:.example.com", Kind::kUri, ".example.com", "URI:.example.com"},
  };
  for (const auto& test : kGood) {
    INFO(test.text);
    const GeneralName subtree = RequireOk(ParseSubtree(test.text));
    CHECK(subtree.kind == test.kind);
    CHECK(base::HexEncode(subtree.value) == base::HexEncode(test.value));
    CHECK(FormatGeneralName(subtree) == test.written);
  }
  for (const char* text : {"",
                           ".example.com",
                           "*.example.com",
                           "a_b",
                           "10.0.0.0",
                           "10.0.0.0/",
                           "10.0.0.0/33",
                           "10.0.0.1/8",
                           "10.0.0.0/08",
                           "10.0.0.0/+8",
                           "10.0.0.0/-1",
                           "2001:db8::/129",
                           "2001:db8::1/64",
                           "x/8",
                           "/8",
                           "@",
                           "@.",
                           "@a@b",
                           "uri:",
                           "uri:.",
                           "uri:https://example.com",
                           "uri:*.a.b",
                           "uri:192.0.2.1"}) {
    INFO(text);
    CHECK_THAT(ParseSubtree(text), StatusIs(kInvalid));
  }
  CHECK(FormatGeneralName({Kind::kIp, std::string("\x0A\0\0\0\xFF\0\xFF\0", 8)}) ==
        "IP:10.0.0.0/255.0.255.0");
}

TEST_CASE("DNS subtrees hold themselves and what is below them, label for label") {
  const NameConstraints permitted = Permitted({"example.com", "example.org"});
  CHECK(Allows(permitted, "DNS:example.com"));
  CHECK(Allows(permitted, "DNS:WWW.Example.Com"));
  CHECK(Allows(permitted, "DNS:a.b.example.org"));
  CHECK(Allows(permitted, "DNS:*.example.org"));
  CHECK(!Allows(permitted, "DNS:badexample.com"));
  CHECK(!Allows(permitted, "DNS:com"));
  CHECK(!Allows(permitted, "DNS:example.com.evil"));
  CHECK(!Allows(permitted, "DNS:*.com"));
  // Other kinds are not constrained by it.
  CHECK(Allows(permitted, "IP:192.0.2.1"));
  CHECK(Allows(permitted, "email:a@b"));

  const NameConstraints excluded = Excluded({"secret.example.com"});
  CHECK(!Allows(excluded, "DNS:secret.example.com"));
  CHECK(!Allows(excluded, "DNS:a.SECRET.example.com"));
  CHECK(Allows(excluded, "DNS:example.com"));
  CHECK(Allows(excluded, "DNS:notsecret.example.com"));
  // A wildcard would stand for the excluded name.
  CHECK(!Allows(excluded, "DNS:*.example.com"));
  CHECK(Allows(excluded, "DNS:*.com"));
  CHECK(Allows(excluded, "DNS:*.www.example.com"));

  NameConstraints both = permitted;
  both.excluded = excluded.excluded;
  CHECK(Allows(both, "DNS:www.example.com"));
  CHECK(!Allows(both, "DNS:secret.example.com"));

  NameConstraints everything;
  everything.excluded = {{Kind::kDns, ""}};
  CHECK(!Allows(everything, "DNS:a"));
  NameConstraints dotted;
  dotted.permitted = {{Kind::kDns, ".example.com"}};
  CHECK(Allows(dotted, "DNS:a.example.com"));
  CHECK(!Allows(dotted, "DNS:example.com"));
}

TEST_CASE("Mail subtrees are a mailbox, a host, or what is below a host") {
  const NameConstraints host = Permitted({"@example.com"});
  CHECK(Allows(host, "email:a@EXAMPLE.com"));
  CHECK(Allows(host, "email:\"a@b\"@example.com"));
  CHECK(!Allows(host, "email:a@mail.example.com"));
  CHECK(!Allows(host, "email:example.com"));
  const NameConstraints below = Permitted({"@.example.com"});
  CHECK(Allows(below, "email:a@mail.example.com"));
  CHECK(!Allows(below, "email:a@example.com"));
  CHECK(!Allows(below, "email:a@badexample.com"));
  const NameConstraints mailbox = Permitted({"a@example.com"});
  CHECK(Allows(mailbox, "email:a@Example.com"));
  CHECK(!Allows(mailbox, "email:A@example.com"));
  CHECK(!Allows(mailbox, "email:b@example.com"));
  CHECK(!Allows(Excluded({"a@example.com"}), "email:a@example.com"));
}

TEST_CASE("URI subtrees are a host or what is below it, and refuse URIs without one") {
  const NameConstraints host = Permitted({"uri:example.com"});
  CHECK(Allows(host, "URI:https://user@Example.com:443/a?b#c"));
  CHECK(!Allows(host, "URI:https://www.example.com/"));
  CHECK(!Allows(host, "URI:https://evil/@example.com"));
  CHECK(!Allows(host, "URI:https://example.com@evil/"));
  const NameConstraints below = Permitted({"uri:.example.com"});
  CHECK(Allows(below, "URI:https://www.example.com/"));
  CHECK(!Allows(below, "URI:https://example.com/"));
  for (const char* name : {"URI:urn:x", "URI:https://192.0.2.1/", "URI:https://[::1]/", "URI:x"}) {
    CHECK(!Allows(host, name));
    CHECK(!Allows(Excluded({"uri:example.com"}), name));
    CHECK(Allows(Permitted({"example.com"}), name));
  }
}

TEST_CASE("Address subtrees compare under their mask, in their family") {
  const NameConstraints permitted = Permitted({"10.0.0.0/8", "2001:db8::/32"});
  CHECK(Allows(permitted, "IP:10.255.0.1"));
  CHECK(!Allows(permitted, "IP:11.0.0.1"));
  CHECK(Allows(permitted, "IP:2001:db8:ffff::1"));
  CHECK(!Allows(permitted, "IP:2001:db9::1"));
  CHECK(!Allows(Permitted({"10.0.0.0/8"}), "IP:2001:db8::1"));
  CHECK(Allows(Excluded({"10.0.0.0/8"}), "IP:2001:db8::1"));
  CHECK(!Allows(Excluded({"0.0.0.0/0"}), "IP:1.2.3.4"));
}

TEST_CASE("Directory subtrees hold names that begin with theirs, and subjects with their mail") {
  NameConstraints constraints;
  constraints.permitted = {Directory("O=Example,C=DE"), RequireOk(ParseSubtree("@example.com"))};
  constraints.excluded = {Directory("OU=Secret,O=Example,C=DE")};
  const auto check = [&constraints](absl::string_view text) {
    return CheckConstraints(constraints, RequireOk(ParseNameText(text)));
  };
  CHECK_THAT(check("CN=x,O=example,C=de"), IsOk());
  CHECK_THAT(check(""), IsOk());
  CHECK_THAT(check("CN=x,O=Other,C=DE"),
             StatusIs(absl::StatusCode::kFailedPrecondition,
                      "DirName:CN=x,O=Other,C=DE is not within DirName:O=Example,C=DE"));
  CHECK_THAT(check("CN=x,OU=Secret,O=Example,C=DE"),
             StatusIs(absl::StatusCode::kFailedPrecondition, "is excluded by DirName:OU=Secret"));
  CHECK_THAT(check("emailAddress=a@example.com,O=Example,C=DE"), IsOk());
  CHECK_THAT(check("emailAddress=a@example.org,O=Example,C=DE"),
             StatusIs(absl::StatusCode::kFailedPrecondition, "email:a@example.org is not within"));
  CHECK_THAT(CheckConstraints(constraints, Directory("C=DE")),
             StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_CASE("Constraints of kinds that are not understood refuse names of the same kind alone") {
  const GeneralName registered{Kind::kOther, Element(0x88, "\x2A\x03")};
  const GeneralName other{Kind::kOther, Element(0xA0, Element(kOid, "\x2A"))};
  NameConstraints constraints;
  constraints.permitted = {registered};
  CHECK_THAT(CheckConstraints(constraints, registered),
             StatusIs(absl::StatusCode::kFailedPrecondition, "other:8802"));
  CHECK_THAT(CheckConstraints(constraints, other), IsOk());
  CHECK(Allows(constraints, "DNS:a"));
  constraints.permitted.swap(constraints.excluded);
  CHECK_THAT(CheckConstraints(constraints, registered),
             StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_CASE("Constraints are written as they are read") {
  NameConstraints constraints = Permitted({"example.com", "10.0.0.0/8", "@example.com"});
  constraints.permitted.push_back(Directory("C=DE"));
  constraints.excluded = {{Kind::kDns, ""}, {Kind::kUri, ".example.com"}};
  for (int which = 0; which < 3; ++which) {
    NameConstraints some = constraints;
    if (which == 1) some.permitted.clear();
    if (which == 2) some.excluded.clear();
    DerWriter out;
    WriteNameConstraints(some, &out);
    const NameConstraints read = RequireOk(ReadNameConstraints(DerReader(out.der())));
    CHECK(read.permitted == some.permitted);
    CHECK(read.excluded == some.excluded);
  }
  const std::string base = Element(0x82, "a");
  const std::string subtree = Element(kSequence, base);
  for (const std::string& der :
       {std::string(), Element(kSequence, ""), Element(kSequence, Element(0xA0, "")),
        Element(kSequence, Element(0xA0, base)),
        Element(kSequence, Element(0xA0, Element(kSequence, ""))),
        // A minimum of 0, which is the default; a maximum.
        Element(kSequence,
                Element(0xA0, Element(kSequence, base + Element(0x80, std::string(1, '\0'))))),
        Element(kSequence, Element(0xA0, Element(kSequence, base + Element(0x81, "\x01")))),
        Element(kSequence, Element(0xA1, subtree) + Element(0xA0, subtree)),
        Element(kSequence, Element(0xA0, subtree) + Element(0xA0, subtree)),
        Element(kSequence, Element(0xA0, subtree)) + "x",
        Element(kSequence, Element(0xA0, Element(kSequence, Element(0x87, "1234"))))}) {
    INFO(base::HexEncode(der));
    CHECK_THAT(ReadNameConstraints(DerReader(der)), StatusIs(kInvalid));
  }
}

}  // namespace
}  // namespace countersign::pki
