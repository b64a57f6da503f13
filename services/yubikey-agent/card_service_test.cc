#include "services/yubikey-agent/card_service.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/crypto/public_key.h"
#include "libs/testing/matchers.h"
#include "services/yubikey-agent/service_bench.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;
using Cards = v1::CardService::Stub;

constexpr uint32_t kSerial = 7;
constexpr char kCard[] = "cards/7";
constexpr char kSlot[] = "cards/7/slots/9a";

const auto kInvalid = StatusIs(absl::StatusCode::kInvalidArgument);
const auto kPrecondition = StatusIs(absl::StatusCode::kFailedPrecondition);
const auto kDenied = StatusIs(absl::StatusCode::kPermissionDenied);
const auto kNotFound = StatusIs(absl::StatusCode::kNotFound);

v1::ChangePinRequest NewPin(const std::string& pin, const std::string& new_pin) {
  auto request = Named<v1::ChangePinRequest>(kCard);
  request.set_pin(pin);
  request.set_new_pin(new_pin);
  return request;
}

v1::UnblockPinRequest Unblock(const std::string& puk, const std::string& new_pin) {
  auto request = Named<v1::UnblockPinRequest>(kCard);
  request.set_puk(puk);
  request.set_new_pin(new_pin);
  return request;
}

v1::ChangeManagementKeyRequest NewManagementKey(const std::string& key,
                                                const std::string& new_key) {
  auto request = Named<v1::ChangeManagementKeyRequest>(kCard);
  request.set_management_key(key);
  request.set_new_management_key(new_key);
  return request;
}

// A method that needs a session, called for a name with a token.
struct Guarded {
  std::string method;
  Operation operation;
  bool of_slot;
  std::function<absl::Status(ServiceBench&, const std::string& name, const std::string& token)>
      call;
};

template <typename Request, typename Response>
Guarded Guard(const std::string& name, Operation operation, bool of_slot,
              grpc::Status (Cards::*method)(grpc::ClientContext*, const Request&, Response*)) {
  return {name, operation, of_slot,
          [method](ServiceBench& agent, const std::string& name, const std::string& token) {
            return agent.CallAs(token, agent.cards.get(), method, Named<Request>(name)).status();
          }};
}

std::vector<Guarded> AllGuarded() {
  return {
      Guard("GenerateKey", Operation::kGenerate, true, &Cards::GenerateKey),
      Guard("ImportKey", Operation::kImport, true, &Cards::ImportKey),
      Guard("AttestKey", Operation::kAttest, true, &Cards::AttestKey),
      Guard("WriteCertificate", Operation::kWriteCertificate, true, &Cards::WriteCertificate),
      Guard("SelfSignCertificate", Operation::kWriteCertificate, true, &Cards::SelfSignCertificate),
      Guard("DeleteCertificate", Operation::kWriteCertificate, true, &Cards::DeleteCertificate),
      Guard("UnlockCard", Operation::kUnlock, false, &Cards::UnlockCard),
      Guard("LockCard", Operation::kUnlock, false, &Cards::LockCard),
      Guard("ChangePin", Operation::kManage, false, &Cards::ChangePin),
      Guard("ChangePuk", Operation::kManage, false, &Cards::ChangePuk),
      Guard("UnblockPin", Operation::kManage, false, &Cards::UnblockPin),
      Guard("ChangeManagementKey", Operation::kManage, false, &Cards::ChangeManagementKey),
      Guard("ResetCard", Operation::kManage, false, &Cards::ResetCard),
  };
}

TEST_CASE("what changes a card or uses its keys needs a session that covers it") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial);
  const uint64_t commands = card->commands();
  for (const Guarded& guarded : AllGuarded()) {
    INFO(guarded.method);
    const std::string name = guarded.of_slot ? kSlot : kCard;
    CHECK_THAT(guarded.call(agent, name, ""), StatusIs(absl::StatusCode::kUnauthenticated));
    CHECK_THAT(guarded.call(agent, name, "nobody's"), StatusIs(absl::StatusCode::kUnauthenticated));
    const uint32_t bit = 1u << static_cast<int>(guarded.operation);
    const absl::Status other_operation = guarded.call(agent, name, agent.Open(~bit, {"*"}));
    CHECK_THAT(other_operation, kDenied);
    CHECK(ReasonOf(other_operation) == "NOT_IN_SCOPE");
    const absl::Status other_name =
        guarded.call(agent, name, agent.Open(bit, {"cards/70", "cards/7/slots/9c"}));
    CHECK_THAT(other_name, kDenied);
    CHECK(ReasonOf(other_name) == "NOT_IN_SCOPE");
  }
  CHECK(card->commands() == commands);
  // With just the operation and the card it is not the session that is in the way.
  for (const Guarded& guarded : AllGuarded()) {
    INFO(guarded.method);
    const absl::Status status =
        guarded.call(agent, guarded.of_slot ? kSlot : kCard,
                     agent.Open(1u << static_cast<int>(guarded.operation), {kCard}));
    CHECK(status.code() != absl::StatusCode::kUnauthenticated);
    CHECK(status.code() != absl::StatusCode::kPermissionDenied);
  }
}

TEST_CASE("names are checked, and what is not there is not found") {
  ServiceBench agent;
  agent.Insert(kSerial);
  for (const Guarded& guarded : AllGuarded()) {
    for (const std::string name :
         {"", "cards", "cards/", "cards/x", "cards/07", "cards/-1", "cards/4294967296", "cards/7/",
          "cards/7/slots/", "cards/7/slots/9A", "cards/7/slots/9b", "cards/7/slots/f9",
          "cards/7/slots/96", "cards/7/slots/9a/", "keys/7"}) {
      INFO(guarded.method << " of " << name);
      const absl::Status status = guarded.call(agent, name, agent.everything);
      CHECK_THAT(status, kInvalid);
      CHECK(FieldOf(status) == "name");
    }
  }
  const auto get_card = [&](const std::string& name) {
    return agent.CallAs("", agent.cards.get(), &Cards::GetCard, Named<v1::GetCardRequest>(name))
        .status();
  };
  const auto get_slot = [&](const std::string& name) {
    return agent.CallAs("", agent.cards.get(), &Cards::GetSlot, Named<v1::GetSlotRequest>(name))
        .status();
  };
  CHECK(FieldOf(get_card(kSlot)) == "name");
  CHECK(FieldOf(get_slot(kCard)) == "name");
  CHECK_THAT(get_card(kCard), IsOk());
  CHECK_THAT(get_card("cards/8"), kNotFound);
  CHECK_THAT(get_slot(kSlot), kNotFound);
  CHECK_THAT(get_slot("cards/8/slots/9a"), kNotFound);
  CHECK_THAT(agent.Generate("cards/8/slots/9a", v1::ALGORITHM_ECDSA_P256_SHA256), kNotFound);
  CHECK_THAT(agent.Unlock(8), kNotFound);
  CHECK_THAT(agent.Call(&Cards::AttestKey, Named<v1::AttestKeyRequest>(kSlot)), kNotFound);
  auto self_sign = Named<v1::SelfSignCertificateRequest>(kSlot);
  self_sign.set_subject("CN=x");
  CHECK_THAT(agent.Call(&Cards::SelfSignCertificate, self_sign), kNotFound);
}

TEST_CASE("cards and slots are read without a session") {
  ServiceBench agent;
  CHECK(RequireOk(agent.CallAs("", agent.cards.get(), &Cards::ListCards, v1::ListCardsRequest()))
            .cards()
            .empty());
  agent.Insert(30, {5, 7, 1});
  agent.Insert(kSerial);
  auto request = Named<v1::GenerateKeyRequest>("cards/7/slots/82");
  request.set_algorithm(v1::ALGORITHM_ECDSA_P384_SHA384);
  request.set_pin_policy(v1::PIN_POLICY_ALWAYS);
  request.set_touch_policy(v1::TOUCH_POLICY_CACHED);
  const v1::Slot made = RequireOk(agent.Call(&Cards::GenerateKey, request)).slot();
  CHECK(made.name() == "cards/7/slots/82");
  CHECK(made.algorithm() == v1::ALGORITHM_ECDSA_P384_SHA384);
  CHECK(made.pin_policy() == v1::PIN_POLICY_ALWAYS);
  CHECK(made.touch_policy() == v1::TOUCH_POLICY_CACHED);
  CHECK(made.origin() == v1::KEY_ORIGIN_GENERATED);
  CHECK(made.certificate().empty());
  const auto key = RequireOk(crypto::PublicKey::FromSpkiDer(made.spki()));
  CHECK(key.type() == crypto::KeyType::kEcP384);
  CHECK(made.fingerprint() == key.Fingerprint());

  const auto list =
      RequireOk(agent.CallAs("", agent.cards.get(), &Cards::ListCards, v1::ListCardsRequest()));
  REQUIRE(list.cards_size() == 2);
  const v1::Card& card = list.cards(0);
  CHECK(card.name() == kCard);
  CHECK(card.serial_number() == kSerial);
  CHECK(card.reader() == "reader 7");
  CHECK(card.firmware_version() == "5.4.3");
  CHECK(card.state() == v1::CARD_STATE_READY);
  CHECK(!card.unlocked());
  CHECK(card.pin_tries_left() == 3);
  REQUIRE(card.slots_size() == 1);
  CHECK(card.slots(0).SerializeAsString() == made.SerializeAsString());
  CHECK(list.cards(1).firmware_version() == "5.7.1");
  const auto slot = RequireOk(agent.CallAs("", agent.cards.get(), &Cards::GetSlot,
                                           Named<v1::GetSlotRequest>("cards/7/slots/82")));
  CHECK(slot.slot().SerializeAsString() == made.SerializeAsString());
}

TEST_CASE("a card is unlocked by its PIN and locked again") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial);
  RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256, v1::PIN_POLICY_ONCE));
  auto self_sign = Named<v1::SelfSignCertificateRequest>(kSlot);
  self_sign.set_subject("CN=x");
  CHECK(ReasonOf(agent.Call(&Cards::SelfSignCertificate, self_sign).status()) == "PIN_NEEDED");
  for (const std::string pin : {"", "12345", "123456789"}) {
    CHECK(FieldOf(agent.Unlock(kSerial, pin).status()) == "pin");
  }
  CHECK(agent.bench.readers.PinsSent(kSerial) == 0);
  CHECK(RequireOk(agent.Unlock(kSerial)).unlocked());
  CHECK_THAT(agent.Call(&Cards::SelfSignCertificate, self_sign), IsOk());
  for (int i = 0; i < 2; ++i) {
    CHECK(!RequireOk(agent.Call(&Cards::LockCard, Named<v1::LockCardRequest>(kCard)))
               .card()
               .unlocked());
  }
  CHECK(ReasonOf(agent.Call(&Cards::SelfSignCertificate, self_sign).status()) == "PIN_NEEDED");
  CHECK(card->pin_tries() == 3);
}

TEST_CASE("wrong PINs are told, and the agent leaves the last tries alone") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial);
  for (const int left : {2, 1}) {
    const auto wrong = agent.Unlock(kSerial, "654321").status();
    CHECK_THAT(wrong, kDenied);
    CHECK(ReasonOf(wrong) == "WRONG_PIN");
    CHECK(absl::StrContains(wrong.message(), absl::StrCat(left)));
    CHECK(!absl::StrContains(wrong.message(), "654321"));
  }
  // The right one too: the agent does not know that it is.
  const auto floor = agent.Unlock(kSerial).status();
  CHECK_THAT(floor, kPrecondition);
  CHECK(ReasonOf(floor) == "PIN_FLOOR");
  CHECK(ReasonOf(agent.Call(&Cards::ChangePin, NewPin(kFactoryPin, "222222")).status()) ==
        "PIN_FLOOR");
  CHECK(card->pin_tries() == 1);
  CHECK(agent.bench.readers.PinsSent(kSerial) == 2);
  const auto seen = RequireOk(agent.Call(&Cards::GetCard, Named<v1::GetCardRequest>(kCard))).card();
  CHECK(seen.state() == v1::CARD_STATE_LOCKED);
  CHECK(!seen.detail().empty());
  CHECK(seen.pin_tries_left() == 1);

  // Another program uses up the last one.
  agent.bench.readers.Meanwhile(card, [&] {
    OnCard(card, [](piv::Applet& applet) {
      CHECK(ReasonOf(applet.VerifyPin(Secret("654321"))) != "PIN_REQUIRED");
    });
  });
  CHECK(card->pin_tries() == 0);
  CHECK(ReasonOf(agent.Unlock(kSerial).status()) == "PIN_BLOCKED");

  const auto wrong_puk = agent.Call(&Cards::UnblockPin, Unblock("87654321", "222222")).status();
  CHECK_THAT(wrong_puk, kDenied);
  CHECK(ReasonOf(wrong_puk) == "WRONG_PIN");
  RequireOk(agent.Call(&Cards::UnblockPin, Unblock(kFactoryPuk, "222222")));
  const auto unlocked = RequireOk(agent.Unlock(kSerial, "222222"));
  CHECK(unlocked.state() == v1::CARD_STATE_READY);
  CHECK(unlocked.unlocked());
}

TEST_CASE("PIN and PUK are changed by those who know them") {
  ServiceBench agent;
  Card* const card = agent.Insert(kSerial);
  RequireOk(agent.Call(&Cards::ChangePin, NewPin(kFactoryPin, "222222")));
  CHECK(ReasonOf(agent.Call(&Cards::ChangePin, NewPin(kFactoryPin, "333333")).status()) ==
        "WRONG_PIN");
  CHECK(FieldOf(agent.Call(&Cards::ChangePin, NewPin("1", "333333")).status()) == "pin");
  CHECK(FieldOf(agent.Call(&Cards::ChangePin, NewPin("222222", "3")).status()) == "new_pin");
  CHECK(card->pin_tries() == 2);
  RequireOk(agent.Unlock(kSerial, "222222"));

  auto puk = Named<v1::ChangePukRequest>(kCard);
  puk.set_puk(kFactoryPuk);
  puk.set_new_puk("1");
  CHECK(FieldOf(agent.Call(&Cards::ChangePuk, puk).status()) == "new_puk");
  puk.set_new_puk("11111111");
  RequireOk(agent.Call(&Cards::ChangePuk, puk));
  for (int i = 0; i < 3; ++i) {
    CHECK(ReasonOf(agent.Call(&Cards::ChangePuk, puk).status()) == "WRONG_PIN");
  }
  CHECK(ReasonOf(agent.Call(&Cards::ChangePuk, puk).status()) == "PUK_BLOCKED");
  CHECK(ReasonOf(agent.Call(&Cards::UnblockPin, Unblock("11111111", "444444")).status()) ==
        "PUK_BLOCKED");
  CHECK(FieldOf(agent.Call(&Cards::UnblockPin, Unblock("1", "444444")).status()) == "puk");
}

TEST_CASE("the management key is changed, and only the right one changes the card") {
  const piv::Version version = GENERATE(piv::Version{5, 4, 3}, piv::Version{5, 7, 1});
  INFO(version.ToString());
  std::string configured;
  ServiceBench::Options options;
  options.management_key = [&](uint32_t serial) -> std::optional<crypto::SecretBytes> {
    if (serial != kSerial || configured.empty()) return std::nullopt;
    return Secret(configured);
  };
  ServiceBench agent(std::move(options));
  agent.Insert(kSerial, version);
  const auto change = [&](const std::string& key, const std::string& new_key) {
    return agent.Call(&Cards::ChangeManagementKey, NewManagementKey(key, new_key)).status();
  };
  const std::string of_24 = "a management key of 24 b";
  const std::string of_32 = "a management key of 32 bytes, AES";
  const std::string aes256 = of_32.substr(0, 32);
  const auto wrong = change(of_24, of_24);
  CHECK_THAT(wrong, kDenied);
  CHECK(ReasonOf(wrong) == "WRONG_MANAGEMENT_KEY");
  CHECK(FieldOf(change("", "short")) == "new_management_key");
  CHECK(FieldOf(change("short", of_24)) == "management_key");

  REQUIRE_THAT(change("", of_24), IsOk());
  CHECK(ReasonOf(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256).status()) ==
        "WRONG_MANAGEMENT_KEY");
  auto request = Named<v1::GenerateKeyRequest>(kSlot);
  request.set_algorithm(v1::ALGORITHM_ECDSA_P256_SHA256);
  request.set_management_key(of_24);
  CHECK_THAT(agent.Call(&Cards::GenerateKey, request), IsOk());
  REQUIRE_THAT(change(of_24, aes256), IsOk());
  // The operator's, where the caller gives none.
  configured = aes256;
  CHECK_THAT(agent.Call(&Cards::DeleteCertificate, Named<v1::DeleteCertificateRequest>(kSlot)),
             IsOk());
  CHECK_THAT(change("", aes256.substr(0, 16)), IsOk());
  CHECK_THAT(change(aes256.substr(0, 16), of_24), IsOk());
}

TEST_CASE("a card is reset when its serial number is said twice") {
  ServiceBench agent;
  agent.Insert(kSerial);
  RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  RequireOk(agent.Call(&Cards::ChangePin, NewPin(kFactoryPin, "222222")));
  auto request = Named<v1::ResetCardRequest>(kCard);
  for (const std::string confirmation : {"", "8", "07", "cards/7"}) {
    request.set_confirm_serial_number(confirmation);
    const auto refused = agent.Call(&Cards::ResetCard, request).status();
    CHECK_THAT(refused, kInvalid);
    CHECK(FieldOf(refused) == "confirm_serial_number");
  }
  CHECK_THAT(agent.Call(&Cards::GetSlot, Named<v1::GetSlotRequest>(kSlot)), IsOk());
  request.set_confirm_serial_number("7");
  const v1::Card card = RequireOk(agent.Call(&Cards::ResetCard, request)).card();
  CHECK(card.slots().empty());
  CHECK(card.state() == v1::CARD_STATE_READY);
  CHECK(card.pin_tries_left() == 3);
  CHECK(RequireOk(agent.Unlock(kSerial)).unlocked());
}

TEST_CASE("those who watch see the cards at once, and again when one comes or goes") {
  ServiceBench agent;
  const auto context = runtime::MakeContext(absl::Seconds(120));
  const auto stream = agent.cards->WatchCards(context.get(), {});
  v1::WatchCardsResponse response;
  REQUIRE(stream->Read(&response));
  CHECK(response.cards().empty());
  Card* const first = agent.Insert(kSerial);
  REQUIRE(stream->Read(&response));
  REQUIRE(response.cards_size() == 1);
  CHECK(response.cards(0).name() == kCard);
  RequireOk(agent.Generate(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256));
  // States in between may be seen or not.
  do REQUIRE(stream->Read(&response));
  while (response.cards(0).slots().empty());
  agent.bench.Remove(first);
  do REQUIRE(stream->Read(&response));
  while (!response.cards().empty());
  // That there are none is not said twice.
  agent.Insert(8);
  REQUIRE(stream->Read(&response));
  REQUIRE(response.cards_size() == 1);
  CHECK(response.cards(0).name() == "cards/8");
  context->TryCancel();
  CHECK(!stream->Read(&response));
  CHECK(stream->Finish().error_code() == grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace countersign::yubikey
