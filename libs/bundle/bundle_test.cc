#include "libs/bundle/bundle.h"

#include <string>

#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/bundle/dsse.h"
#include "libs/bundle/jcs.h"
#include "libs/testing/matchers.h"
#include "nlohmann/json.hpp"

namespace countersign::bundle {
namespace {

using testing::RequireOk;
using testing::StatusIs;

std::string Golden() {
  return RequireOk(base::ReadFile("libs/bundle/testdata/golden.sigstore.json"));
}

HashedRekord Entry() {
  HashedRekord entry;
  entry.digest = std::string(32, 'd');
  entry.signature = "signature";
  entry.spki_der = "key";
  return entry;
}

TEST_CASE("The golden bundle reads field by field and is written back the same") {
  const Bundle bundle = RequireOk(ParseBundle(Golden()));
  CHECK(base::Base64Decode(bundle.key_hint)->size() == 32);
  REQUIRE(bundle.log_entries.size() == 1);
  const LogEntry& entry = bundle.log_entries[0];
  CHECK(entry.log_index == 2);
  CHECK(entry.log_id.size() == 32);
  CHECK(entry.kind == "hashedrekord");
  CHECK(entry.version == "0.0.2");
  CHECK(entry.integrated_time == 0);
  CHECK(entry.inclusion_proof.tree_size == 6);
  CHECK(entry.inclusion_proof.hashes.size() == 3);
  CHECK(entry.inclusion_proof.checkpoint.rfind("log.example/golden\n6\n", 0) == 0);
  const HashedRekord logged = RequireOk(ParseHashedRekord(entry.canonicalized_body));
  CHECK(bundle.key_hint == KeyHint(logged.spki_der));
  CHECK(std::get<MessageSignature>(bundle.content).digest == logged.digest);
  CHECK(*CanonicalizeJson(FormatBundle(bundle)) == *CanonicalizeJson(Golden()));
}

TEST_CASE("A bundle made from an entry and its proof reads back whole") {
  LogProof proof;
  proof.index = INT64_MAX;
  proof.tree_size = INT64_MAX;
  proof.root_hash = std::string(32, 'r');
  proof.hashes = {std::string(32, 'a'), std::string(32, 'b')};
  proof.checkpoint = "origin\n5\nroot\n\n\xE2\x80\x94 origin AAAA\n";
  proof.log_id = std::string(32, 'l');

  SECTION("over a file") {
    const Bundle read = RequireOk(ParseBundle(FormatBundle(MakeBundle(Entry(), "body", proof))));
    CHECK(read.key_hint == KeyHint("key"));
    CHECK(read.log_entries[0].log_index == INT64_MAX);
    CHECK(read.log_entries[0].inclusion_proof.hashes == proof.hashes);
    CHECK(read.log_entries[0].inclusion_proof.checkpoint == proof.checkpoint);
    CHECK(read.log_entries[0].canonicalized_body == "body");
    CHECK(std::get<MessageSignature>(read.content).signature == "signature");
  }
  SECTION("with a certificate") {
    HashedRekord entry = Entry();
    entry.spki_der.clear();
    entry.certificate_der = "certificate";
    const Bundle read = RequireOk(ParseBundle(FormatBundle(MakeBundle(entry, "body", proof))));
    CHECK(read.certificate_der == "certificate");
    CHECK(read.key_hint.empty());
  }
  SECTION("over an envelope") {
    const std::string payload("\0\xFF payload", 10);
    const Bundle read = RequireOk(
        ParseBundle(FormatBundle(MakeDsseBundle(Entry(), "body", proof, "text/plain", payload))));
    const auto& envelope = std::get<DsseEnvelope>(read.content);
    CHECK(envelope.payload_type == "text/plain");
    CHECK(envelope.payload == payload);
    REQUIRE(envelope.signatures.size() == 1);
    CHECK(envelope.signatures[0].signature == "signature");
  }
}

TEST_CASE("64-bit integers are written as strings and read as strings or integers") {
  CHECK(Golden().find("\"treeSize\": \"6\"") != std::string::npos);
  const std::string number =
      absl::StrReplaceAll(Golden(), {{"\"treeSize\": \"6\"", "\"treeSize\": 6"}});
  CHECK(RequireOk(ParseBundle(number)).log_entries[0].inclusion_proof.tree_size == 6);
}

TEST_CASE("Unknown fields are ignored and null is absence") {
  std::string text = absl::StrReplaceAll(
      Golden(), {{"\"rfc3161Timestamps\": []", "\"rfc3161Timestamps\": null, \"newer\": [{}]"}});
  CHECK(RequireOk(ParseBundle(text)).rfc3161_timestamps.empty());
  text = absl::StrReplaceAll(
      Golden(),
      {{"\"rfc3161Timestamps\": []", "\"rfc3161Timestamps\": [{\"signedTimestamp\": \"AAE=\"}]"}});
  CHECK(RequireOk(ParseBundle(text)).rfc3161_timestamps[0] == std::string("\0\1", 2));
}

TEST_CASE("A malformed bundle is refused with the field's name") {
  const struct {
    const char* from;
    const char* to;
    const char* message;
  } kCases[] = {
      {"\"treeSize\": \"6\"", "\"treeSize\": \"06\"", "treeSize is not a non-negative"},
      {"\"treeSize\": \"6\"", "\"treeSize\": \"-6\"", "treeSize is not a non-negative"},
      {"\"treeSize\": \"6\"", "\"treeSize\": \"9223372036854775808\"", "treeSize is not"},
      {"\"treeSize\": \"6\"", "\"treeSize\": 6.5", "treeSize is not"},
      {"\"treeSize\": \"6\"", "\"treeSize\": \"6\", \"treeSize\": \"6\"", "is there twice"},
      {"\"rootHash\": \"", "\"rootHash\": \" ", "rootHash is not standard padded base64"},
      {"\"signature\": \"", "\"signature\": \"_", "signature is not standard padded base64"},
      {"\"hashes\": [", "\"hashes\": [7, ", "hashes[0] is not standard padded base64"},
      {"\"hint\": \"", "\"hint\": 7, \"x\": \"", "publicKey.hint is not a string"},
      {"\"publicKey\"", "\"public_key\"", "needs either publicKey or certificate"},
      {"\"checkpoint\"", "\"check\"", "inclusionProof has no checkpoint"},
      {"\"messageSignature\"", "\"message\"", "needs either messageSignature or dsseEnvelope"},
      {"\"tlogEntries\": [", "\"tlogEntries\": [[], ", "tlogEntries[0] is not an object"},
  };
  for (const auto& item : kCases) {
    CAPTURE(item.to);
    const std::string text = absl::StrReplaceAll(Golden(), {{item.from, item.to}});
    REQUIRE(text != Golden());
    CHECK_THAT(ParseBundle(text), StatusIs(absl::StatusCode::kInvalidArgument, item.message));
  }
  CHECK_THAT(ParseBundle("[]"), StatusIs(absl::StatusCode::kInvalidArgument, "not a JSON object"));
  CHECK_THAT(ParseBundle(Golden().substr(0, 1000)),
             StatusIs(absl::StatusCode::kInvalidArgument, "syntax error"));
}

TEST_CASE("What this reader does not know is called unsupported") {
  const struct {
    const char* from;
    const char* to;
  } kCases[] = {
      {"bundle.v0.3+json", "bundle.v0.4+json"},
      {"SHA2_256", "SHA3_256"},
      {"\"publicKey\"", "\"x509CertificateChain\": {}, \"publicKey\""},
  };
  for (const auto& item : kCases) {
    CAPTURE(item.to);
    CHECK_THAT(ParseBundle(absl::StrReplaceAll(Golden(), {{item.from, item.to}})),
               StatusIs(absl::StatusCode::kUnimplemented));
  }
}

TEST_CASE("The pre-authentication encoding counts bytes") {
  CHECK(PreAuthEncoding("http://example.com/HelloWorld", "hello world") ==
        "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
  CHECK(PreAuthEncoding("", "\xC3\xA9") == "DSSEv1 0  2 \xC3\xA9");
}

}  // namespace
}  // namespace countersign::bundle
