#include "services/yubikey-agent/key_service.h"

#include <future>
#include <map>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/command.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/yubikey-agent/service_bench.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::Eventually;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::RunCommand;
using countersign::testing::StatusIs;
using Keys = v1::KeyService::Stub;

constexpr uint32_t kSerial = 7;
constexpr char kSlot[] = "cards/7/slots/9a";

const auto kInvalid = StatusIs(absl::StatusCode::kInvalidArgument);
const auto kNotFound = StatusIs(absl::StatusCode::kNotFound);

const std::string& Digest32() {
  static const std::string& digest =
      *new std::string(crypto::Digest(crypto::DigestAlgorithm::kSha256, "a message"));
  return digest;
}

v1::SignRequest Sign(const std::string& name, const std::string& digest,
                     v1::Algorithm algorithm = v1::ALGORITHM_UNSPECIFIED) {
  auto request = Named<v1::SignRequest>(name);
  request.set_digest(digest);
  request.set_algorithm(algorithm);
  return request;
}

v1::DecryptRequest Decrypt(const std::string& name, v1::RsaEncryption encryption,
                           const std::string& ciphertext) {
  auto request = Named<v1::DecryptRequest>(name);
  request.set_encryption(encryption);
  request.set_ciphertext(ciphertext);
  return request;
}

v1::AgreeRequest Agree(const std::string& name, const std::string& peer_spki) {
  auto request = Named<v1::AgreeRequest>(name);
  request.set_peer_spki(peer_spki);
  return request;
}

void Run(const std::string& command) {
  const auto result = RunCommand(command);
  INFO(command << ": " << result.output);
  REQUIRE(result.exit_code == 0);
}

// Jobs that wait for the card or run on it.
int Queued(ServiceBench& agent) { return RequireOk(agent.bench.pool().Card(kSerial)).queued; }

void WriteFile(const std::string& path, const std::string& contents) {
  RequireOk(base::WriteFileDurably(path, contents));
}

// What openssl encrypts to the key.
std::string Encrypt(const std::string& dir, const std::string& spki, v1::RsaEncryption encryption,
                    const std::string& plaintext) {
  WriteFile(dir + "/spki", spki);
  WriteFile(dir + "/plain", plaintext);
  Run(absl::StrCat("cd ", dir,
                   " && openssl pkeyutl -encrypt -pubin -keyform DER -inkey spki -in plain "
                   "-out cipher -pkeyopt rsa_padding_mode:",
                   encryption == v1::RSA_ENCRYPTION_PKCS1
                       ? "pkcs1"
                       : "oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256"));
  return RequireOk(base::ReadFile(dir + "/cipher"));
}

TEST_CASE("keys are used with a session that covers them, and read without one") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial);
  const v1::Slot slot = RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  const std::string by_fingerprint = "keys/" + slot.fingerprint();
  struct Guarded {
    std::string method;
    Operation operation;
    std::function<absl::Status(const std::string& name, const std::string& token)> call;
  };
  const std::vector<Guarded> methods = {
      {"Sign", Operation::kSign,
       [&](const std::string& name, const std::string& token) {
         return agent.CallAs(token, agent.keys.get(), &Keys::Sign, Sign(name, Digest32())).status();
       }},
      {"Decrypt", Operation::kDecrypt,
       [&](const std::string& name, const std::string& token) {
         return agent
             .CallAs(token, agent.keys.get(), &Keys::Decrypt,
                     Decrypt(name, v1::RSA_ENCRYPTION_PKCS1, std::string(256, 'x')))
             .status();
       }},
      {"Agree", Operation::kAgree,
       [&](const std::string& name, const std::string& token) {
         return agent.CallAs(token, agent.keys.get(), &Keys::Agree, Agree(name, slot.spki()))
             .status();
       }},
  };
  const uint64_t uses = card->commands(piv::kGeneralAuthenticate);
  for (const Guarded& guarded : methods) {
    INFO(guarded.method);
    const uint32_t bit = 1u << static_cast<int>(guarded.operation);
    for (const std::string& name : {std::string(kSlot), by_fingerprint}) {
      CHECK_THAT(guarded.call(name, ""), StatusIs(absl::StatusCode::kUnauthenticated));
      CHECK_THAT(guarded.call(name, "nobody's"), StatusIs(absl::StatusCode::kUnauthenticated));
      for (const std::string& token :
           {agent.Open(~bit, {"*"}), agent.Open(bit, {"cards/70", "keys/other"})}) {
        const absl::Status denied = guarded.call(name, token);
        CHECK_THAT(denied, StatusIs(absl::StatusCode::kPermissionDenied));
        CHECK(ReasonOf(denied) == "NOT_IN_SCOPE");
      }
      // Whether there is such a key is nothing for those who may not use it.
      CHECK_THAT(guarded.call("keys/none", agent.Open(bit, {name})),
                 StatusIs(absl::StatusCode::kPermissionDenied));
    }
  }
  CHECK(card->commands(piv::kGeneralAuthenticate) == uses);
  const std::string token = agent.Open(1u << static_cast<int>(Operation::kSign), {"cards/7"});
  CHECK_THAT(methods[0].call(kSlot, token), IsOk());
  // The same key by a name that the session does not have.
  CHECK_THAT(methods[0].call(by_fingerprint, token), StatusIs(absl::StatusCode::kPermissionDenied));

  const auto list =
      RequireOk(agent.CallAs("", agent.keys.get(), &Keys::ListKeys, v1::ListKeysRequest()));
  REQUIRE(list.keys_size() == 1);
  CHECK(list.keys(0).name() == by_fingerprint);
  CHECK(list.keys(0).algorithm() == v1::ALGORITHM_ECDSA_P256_SHA256);
  CHECK(list.keys(0).spki() == slot.spki());
  REQUIRE(list.keys(0).slots_size() == 1);
  CHECK(list.keys(0).slots(0) == kSlot);
  const auto key =
      RequireOk(agent.CallAs("", agent.keys.get(), &Keys::GetKey, Named<v1::GetKeyRequest>(kSlot)));
  CHECK(key.key().spki() == slot.spki());
}

TEST_CASE("names of keys are checked, and keys that are not there are not found") {
  ServiceBench agent;
  agent.Insert(kSerial);
  const v1::Slot slot = RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  const auto all = [&](const std::string& name) {
    return std::vector<absl::Status>{
        agent.Call(&Keys::GetKey, Named<v1::GetKeyRequest>(name)).status(),
        agent.Call(&Keys::Sign, Sign(name, Digest32())).status(),
        agent.Call(&Keys::Decrypt, Decrypt(name, v1::RSA_ENCRYPTION_PKCS1, std::string(256, 'x')))
            .status(),
        agent.Call(&Keys::Agree, Agree(name, slot.spki())).status()};
  };
  for (const std::string name : {"", "keys/", "keys", "keys/a/b", "cards/7", "cards/x/slots/9a",
                                 "cards/7/slots/zz", "cards/7/slots/9b"}) {
    for (const absl::Status& status : all(name)) {
      INFO(name);
      CHECK_THAT(status, kInvalid);
      CHECK(FieldOf(status) == "name");
    }
  }
  for (const std::string name :
       {"cards/8/slots/9a", "cards/7/slots/9c", "keys/none",
        "keys/0000000000000000000000000000000000000000000000000000000000000000"}) {
    for (const absl::Status& status : all(name)) {
      INFO(name);
      CHECK_THAT(status, kNotFound);
    }
  }
}

TEST_CASE("signatures of each algorithm verify with the key that the answer names") {
  ServiceBench agent;
  agent.Insert(kSerial, {5, 7, 1});
  const std::string digest48 = crypto::Digest(crypto::DigestAlgorithm::kSha384, "a message");
  RequireOk(agent.Generate("cards/7/slots/82", v1::ALGORITHM_ECDSA_P256_SHA256));
  RequireOk(agent.Generate("cards/7/slots/83", v1::ALGORITHM_ECDSA_P384_SHA384));
  RequireOk(agent.Generate("cards/7/slots/84", v1::ALGORITHM_RSA_PKCS1_2048_SHA256));
  RequireOk(agent.Generate("cards/7/slots/85", v1::ALGORITHM_ED25519));
  struct Way {
    std::string slot;
    v1::Algorithm asked;
    v1::Algorithm answered;
    crypto::Algorithm algorithm;
  };
  for (const Way& way :
       std::vector<Way>{{"82", v1::ALGORITHM_UNSPECIFIED, v1::ALGORITHM_ECDSA_P256_SHA256,
                         crypto::Algorithm::kEcdsaP256Sha256},
                        {"82", v1::ALGORITHM_ECDSA_P256_SHA256, v1::ALGORITHM_ECDSA_P256_SHA256,
                         crypto::Algorithm::kEcdsaP256Sha256},
                        {"83", v1::ALGORITHM_UNSPECIFIED, v1::ALGORITHM_ECDSA_P384_SHA384,
                         crypto::Algorithm::kEcdsaP384Sha384},
                        {"84", v1::ALGORITHM_UNSPECIFIED, v1::ALGORITHM_RSA_PKCS1_2048_SHA256,
                         crypto::Algorithm::kRsaPkcs1_2048Sha256},
                        {"84", v1::ALGORITHM_RSA_PSS_2048_SHA256, v1::ALGORITHM_RSA_PSS_2048_SHA256,
                         crypto::Algorithm::kRsaPss2048Sha256}}) {
    INFO(way.slot << " by " << v1::Algorithm_Name(way.asked));
    const bool p384 = way.algorithm == crypto::Algorithm::kEcdsaP384Sha384;
    const std::string& digest = p384 ? digest48 : Digest32();
    const std::string name = "cards/7/slots/" + way.slot;
    const auto answer = RequireOk(agent.Call(&Keys::Sign, Sign(name, digest, way.asked)));
    CHECK(answer.algorithm() == way.answered);
    CHECK(answer.slot() == name);
    const auto key = RequireOk(crypto::PublicKey::FromSpkiDer(answer.spki()));
    CHECK(RequireOk(key.VerifyDigest(way.algorithm, digest, answer.signature())));
    std::string other = digest;
    other[0] ^= 1;
    CHECK(!RequireOk(key.VerifyDigest(way.algorithm, other, answer.signature())));

    const auto field = [&](const std::string& digest, v1::Algorithm algorithm) {
      const auto status = agent.Call(&Keys::Sign, Sign(name, digest, algorithm)).status();
      CHECK_THAT(status, kInvalid);
      return FieldOf(status);
    };
    for (const size_t bytes : {size_t{0}, digest.size() - 1, digest.size() + 1, size_t{2049}}) {
      CHECK(field(std::string(bytes, 'x'), way.asked) == "digest");
    }
    // Another kind of key's.
    CHECK(field(p384 ? Digest32() : digest48,
                p384 ? v1::ALGORITHM_ECDSA_P256_SHA256 : v1::ALGORITHM_ECDSA_P384_SHA384) ==
          "algorithm");
    CHECK(field(digest, v1::ALGORITHM_HPKE_X25519) == "algorithm");
  }
  for (const size_t bytes : {0, 1, 2048}) {
    const std::string message(bytes, 'm');
    const auto answer = RequireOk(agent.Call(&Keys::Sign, Sign("cards/7/slots/85", message)));
    CHECK(answer.algorithm() == v1::ALGORITHM_ED25519);
    const auto key = RequireOk(crypto::PublicKey::FromSpkiDer(answer.spki()));
    CHECK(RequireOk(key.VerifyMessage(crypto::Algorithm::kEd25519, message, answer.signature())));
  }
  CHECK(
      FieldOf(agent.Call(&Keys::Sign, Sign("cards/7/slots/85", std::string(2049, 'm'))).status()) ==
      "digest");
}

TEST_CASE("a secret agreed on is the one that software comes to from the other side") {
  ServiceBench agent;
  agent.Insert(kSerial);
  testing::TempDir dir;
  for (const crypto::Algorithm algorithm :
       {crypto::Algorithm::kEcdsaP256Sha256, crypto::Algorithm::kEcdsaP384Sha384}) {
    const bool p256 = algorithm == crypto::Algorithm::kEcdsaP256Sha256;
    const std::string name = p256 ? kSlot : "cards/7/slots/9d";
    const v1::Slot slot = RequireOk(agent.Generate(
        name, p256 ? v1::ALGORITHM_ECDSA_P256_SHA256 : v1::ALGORITHM_ECDSA_P384_SHA384));
    const auto peer = RequireOk(crypto::PrivateKey::Generate(algorithm));
    const crypto::SecretBytes pkcs8 = RequireOk(peer.ToPkcs8());
    WriteFile(dir.path() + "/peer", std::string(pkcs8.Expose(crypto::SecretAccess::Grant())));
    WriteFile(dir.path() + "/spki", slot.spki());
    Run("cd " + dir.path() +
        " && openssl pkeyutl -derive -keyform DER -inkey peer -peerform DER -peerkey spki "
        "-out secret");
    const auto answer =
        RequireOk(agent.Call(&Keys::Agree, Agree(name, peer.public_key().spki_der())));
    CHECK(answer.secret().size() == (p256 ? 32 : 48));
    CHECK(answer.secret() == RequireOk(base::ReadFile(dir.path() + "/secret")));
  }
  const auto other = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP384Sha384));
  const auto edwards = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEd25519));
  for (const std::string& peer : {std::string(), std::string("garbage"),
                                  other.public_key().spki_der(), edwards.public_key().spki_der()}) {
    const auto status = agent.Call(&Keys::Agree, Agree(kSlot, peer)).status();
    CHECK_THAT(status, kInvalid);
    CHECK(FieldOf(status) == "peer_spki");
  }
}

TEST_CASE("what was encrypted to a card's RSA key is decrypted, and nothing else is") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial);
  testing::TempDir dir;
  const v1::Slot slot = RequireOk(agent.Generate(kSlot, v1::ALGORITHM_RSA_PKCS1_2048_SHA256));
  RequireOk(agent.Generate("cards/7/slots/9c", v1::ALGORITHM_ECDSA_P256_SHA256));
  const auto failure = [&](const std::string& name, v1::RsaEncryption encryption,
                           const std::string& ciphertext) {
    const auto status = agent.Call(&Keys::Decrypt, Decrypt(name, encryption, ciphertext)).status();
    CHECK_THAT(status, kInvalid);
    return status;
  };
  std::string ciphertext;
  for (const v1::RsaEncryption encryption :
       {v1::RSA_ENCRYPTION_PKCS1, v1::RSA_ENCRYPTION_OAEP_SHA256}) {
    INFO(v1::RsaEncryption_Name(encryption));
    for (const std::string plaintext : {"", "a secret"}) {
      ciphertext = Encrypt(dir.path(), slot.spki(), encryption, plaintext);
      CHECK(RequireOk(agent.Call(&Keys::Decrypt, Decrypt(kSlot, encryption, ciphertext)))
                .plaintext() == plaintext);
    }
    std::string changed = ciphertext;
    changed[100] ^= 1;
    const absl::Status status = failure(kSlot, encryption, changed);
    CHECK(ReasonOf(status) == "DECRYPTION_FAILED");
    // Higher than the modulus, which the card itself refuses.
    CHECK(ReasonOf(failure(kSlot, encryption, std::string(256, '\xff'))) == "DECRYPTION_FAILED");
  }
  // Right, but for the other padding.
  CHECK(ReasonOf(failure(kSlot, v1::RSA_ENCRYPTION_PKCS1, ciphertext)) == "DECRYPTION_FAILED");

  const uint64_t uses = card->commands(piv::kGeneralAuthenticate);
  CHECK(FieldOf(failure(kSlot, v1::RSA_ENCRYPTION_UNSPECIFIED, ciphertext)) == "encryption");
  for (const size_t bytes : {0, 255, 257}) {
    const absl::Status status = failure(kSlot, v1::RSA_ENCRYPTION_PKCS1, std::string(bytes, 'x'));
    CHECK(FieldOf(status) == "ciphertext");
    CHECK(ReasonOf(status) != "DECRYPTION_FAILED");
  }
  CHECK(FieldOf(failure("cards/7/slots/9c", v1::RSA_ENCRYPTION_PKCS1, ciphertext)) == "name");
  CHECK(FieldOf(agent.Call(&Keys::Agree, Agree(kSlot, slot.spki())).status()) == "peer_spki");
  CHECK(card->commands(piv::kGeneralAuthenticate) == uses);
}

TEST_CASE("a key that wants its PIN is used when the card is unlocked") {
  ServiceBench agent;
  agent.Insert(kSerial);
  RequireOk(
      agent.Generate("cards/7/slots/9c", v1::ALGORITHM_ECDSA_P256_SHA256, v1::PIN_POLICY_ALWAYS));
  const auto sign = [&] {
    return agent.Call(&Keys::Sign, Sign("cards/7/slots/9c", Digest32())).status();
  };
  const absl::Status needed = sign();
  CHECK_THAT(needed, StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(ReasonOf(needed) == "PIN_NEEDED");
  RequireOk(agent.Unlock(kSerial));
  CHECK_THAT(sign(), IsOk());
  CHECK_THAT(sign(), IsOk());
  CHECK(agent.bench.readers.PinsSent(kSerial) == 3);
}

TEST_CASE("an alias over two cards is served by the one that is free, or is left") {
  ServiceBench::Options options;
  options.aliases["release"] = {"cards/7/slots/9a", "cards/8/slots/9c"};
  ServiceBench agent(std::move(options));
  CHECK_THAT(agent.Call(&Keys::GetKey, Named<v1::GetKeyRequest>("keys/release")), kNotFound);
  Card* const first = agent.Insert(7);
  agent.Insert(8);
  const v1::Slot a = RequireOk(agent.Generate("cards/7/slots/9a", v1::ALGORITHM_ECDSA_P256_SHA256));
  const v1::Slot b = RequireOk(agent.Generate("cards/8/slots/9c", v1::ALGORITHM_ECDSA_P256_SHA256));
  const v1::Key key =
      RequireOk(agent.Call(&Keys::GetKey, Named<v1::GetKeyRequest>("keys/release"))).key();
  CHECK(key.name() == "keys/release");
  REQUIRE(key.slots_size() == 2);
  CHECK(key.slots(0) == a.name());
  CHECK(key.slots(1) == b.name());
  CHECK(key.spki().empty());
  const auto list = RequireOk(agent.Call(&Keys::ListKeys, v1::ListKeysRequest()));
  REQUIRE(list.keys_size() == 3);
  CHECK(list.keys(0).name() < list.keys(1).name());
  CHECK(list.keys(1).name() < list.keys(2).name());

  const std::string token = agent.Open(1u << static_cast<int>(Operation::kSign), {"keys/release"});
  const auto sign = [&] {
    return RequireOk(
        agent.CallAs(token, agent.keys.get(), &Keys::Sign, Sign("keys/release", Digest32())));
  };
  std::map<std::string, int> by;
  for (int i = 0; i < 4; ++i) {
    const v1::SignResponse answer = sign();
    ++by[answer.slot()];
    const std::string& spki = answer.slot() == a.name() ? a.spki() : b.spki();
    CHECK(answer.spki() == spki);
    CHECK(RequireOk(
        RequireOk(crypto::PublicKey::FromSpkiDer(spki))
            .VerifyDigest(crypto::Algorithm::kEcdsaP256Sha256, Digest32(), answer.signature())));
  }
  CHECK(by.size() == 2);
  agent.bench.Remove(first);
  CHECK(sign().slot() == b.name());
  CHECK(sign().slot() == b.name());
}

TEST_CASE("a call whose deadline passes while it waits for the card is not done") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial);
  RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  const uint64_t uses = card->commands(piv::kGeneralAuthenticate);
  Gate gate;
  agent.bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  auto first = std::async(std::launch::async, [&] {
    return agent.Call(&Keys::Sign, Sign(kSlot, Digest32())).status();
  });
  REQUIRE(gate.WaitForHeld(1));
  // Until one of them has come as far as the queue in its time.
  REQUIRE(Eventually([&] {
    CHECK_THAT(agent.CallAs(agent.everything, agent.keys.get(), &Keys::Sign,
                            Sign(kSlot, Digest32()), absl::Milliseconds(100)),
               StatusIs(absl::StatusCode::kDeadlineExceeded));
    return agent.bench.pool().counters().expired > 0;
  }));
  // The agent has given it up too.
  REQUIRE(Eventually([&] { return Queued(agent) == 1; }));
  gate.Open();
  CHECK_THAT(first.get(), IsOk());
  CHECK_THAT(agent.Call(&Keys::Sign, Sign(kSlot, Digest32())), IsOk());
  CHECK(card->commands(piv::kGeneralAuthenticate) == uses + 2);
}

TEST_CASE("a queue that is full says when to come again") {
  ServiceBench::Options options;
  options.queue_capacity = 1;
  ServiceBench agent(std::move(options));
  agent.Insert(kSerial);
  RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  Gate gate;
  agent.bench.readers.SetHook(gate.Hook(piv::kGeneralAuthenticate));
  const auto sign = [&] { return agent.Call(&Keys::Sign, Sign(kSlot, Digest32())).status(); };
  auto first = std::async(std::launch::async, sign);
  REQUIRE(gate.WaitForHeld(1));
  auto second = std::async(std::launch::async, sign);
  REQUIRE(Eventually([&] { return Queued(agent) == 2; }));
  const absl::Status full = sign();
  CHECK_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  CHECK(ReasonOf(full) == "QUEUE_FULL");
  CHECK(runtime::RetryAfterOf(full).has_value());
  gate.Open();
  CHECK_THAT(first.get(), IsOk());
  CHECK_THAT(second.get(), IsOk());
}

TEST_CASE("a card that is pulled while it signs is told of") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial);
  RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  card->AddFault({.kind = Fault::Kind::kRemoveBefore, .instruction = piv::kGeneralAuthenticate});
  const auto pulled = agent.Call(&Keys::Sign, Sign(kSlot, Digest32())).status();
  CHECK_THAT(pulled, StatusIs(absl::StatusCode::kUnavailable));
  CHECK(ReasonOf(pulled) == "CARD_REMOVED");
  REQUIRE(Eventually([&] { return !agent.bench.Has(kSerial); }));
  CHECK_THAT(agent.Call(&Keys::Sign, Sign(kSlot, Digest32())), kNotFound);
}

}  // namespace
}  // namespace countersign::yubikey
