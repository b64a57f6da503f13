// Looks for PINs and keys where none may be: in what the agent logs, in what it answers, and in
// what a core dump of it would hold.
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "catch2/catch.hpp"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "countersign/yubikey/v1/key_service.grpc.pb.h"
#include "countersign/yubikey/v1/session_service.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/private_key.h"
#include "libs/runtime/channel.h"
#include "libs/testing/child_process.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/piv/card.h"
#include "libs/testing/piv/virtual_reader.h"
#include "libs/testing/temp_dir.h"

namespace countersign::fault {
namespace {

namespace pb = ::countersign::yubikey::v1;
using testing::ChildProcess;
using testing::Eventually;
using testing::RequireOk;
using testing::TempDir;
using testing::piv::Card;
using testing::piv::PcscDaemon;
using testing::piv::VirtualReader;

constexpr uint32_t kSerial = 20260002;
constexpr char kCardName[] = "cards/20260002";
constexpr char kAgent[] = "services/yubikey-agent/countersign-yubikey-agent";

// One stretch of a process's memory.
struct Mapping {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool readable = false;
  bool dumped = true;  // false: marked MADV_DONTDUMP
};

std::vector<Mapping> MappingsOf(pid_t pid) {
  std::ifstream smaps(absl::StrCat("/proc/", pid, "/smaps"));
  std::vector<Mapping> mappings;
  for (std::string line; std::getline(smaps, line);) {
    uint64_t begin = 0;
    uint64_t end = 0;
    char read = '-';
    if (std::sscanf(line.c_str(), "%lx-%lx %c", &begin, &end, &read) == 3) {
      mappings.push_back({begin, end, read == 'r'});
    } else if (absl::StartsWith(line, "VmFlags:") && absl::StrContains(line, " dd")) {
      mappings.back().dumped = false;
    }
  }
  return mappings;
}

// What the process's core dump would hold, and what it would leave out.
struct Memory {
  std::string dumped;
  std::string kept;
};

Memory MemoryOf(ChildProcess& process) {
  process.Signal(SIGSTOP);
  Memory memory;
  std::ifstream in(absl::StrCat("/proc/", process.pid(), "/mem"), std::ios::binary);
  REQUIRE(in.is_open());
  for (const Mapping& mapping : MappingsOf(process.pid())) {
    if (!mapping.readable) continue;
    std::string bytes(mapping.end - mapping.begin, '\0');
    in.clear();
    in.seekg(static_cast<std::streamoff>(mapping.begin));
    in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<size_t>(in.gcount()));
    (mapping.dumped ? memory.dumped : memory.kept) += bytes;
  }
  process.Signal(SIGCONT);
  return memory;
}

class Agent {
 public:
  explicit Agent(std::vector<std::string> flags)
      : daemon_(RequireOk(PcscDaemon::Start(1))),
        card_(RequireOk(Card::Create({.serial = kSerial}))),
        reader_(daemon_->port(0), card_.get()) {
    RequireOk(reader_.Insert());
    ChildProcess init(testing::Runfile(kAgent), {"--init", "--data", dir_.path()});
    REQUIRE(init.Wait() == 0);
    api_key_ = std::string(
        absl::StripAsciiWhitespace(RequireOk(base::ReadFile(dir_.path() + "/admin.key"))));
    flags.insert(flags.end(), {"--data", dir_.path(), "--log-level", "debug", "--access-log", "all",
                               "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"});
    process_ =
        ChildProcess::StartService(testing::Runfile(kAgent), std::move(flags),
                                   {absl::StrCat("PCSCLITE_CSOCK_NAME=", daemon_->SocketPath())});
    const auto channel = RequireOk(runtime::MakeChannel(process_->grpc_address()));
    cards_ = pb::CardService::NewStub(channel);
    keys_ = pb::KeyService::NewStub(channel);
    sessions_ = pb::SessionService::NewStub(channel);
    pb::OpenSessionRequest open;
    open.set_caller("admin");
    open.mutable_api_key()->set_api_key(api_key_);
    pb::OpenSessionResponse opened;
    grpc::ClientContext context;
    const grpc::Status status = sessions_->OpenSession(&context, open, &opened);
    INFO(status.error_message());
    REQUIRE(status.ok());
    token_ = opened.token();
    REQUIRE(Eventually([&] {
      grpc::ClientContext look;
      pb::GetCardRequest get;
      get.set_name(kCardName);
      pb::GetCardResponse card;
      return cards_->GetCard(&look, get, &card).ok();
    }));
  }

  template <typename Stub, typename Request, typename Response>
  grpc::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    const auto context = runtime::MakeContext(absl::Seconds(30));
    context->AddMetadata("authorization", absl::StrCat("Bearer ", token_));
    const grpc::Status status = (stub.*method)(context.get(), request, response);
    answers_ += absl::StrCat(status.error_message(), "\n", status.error_details(), "\n");
    if (status.ok()) answers_ += response->SerializeAsString();
    return status;
  }

  // Ends every connection to it.
  void Disconnect() {
    cards_.reset();
    keys_.reset();
    sessions_.reset();
  }

  pb::CardService::Stub& cards() { return *cards_; }
  pb::KeyService::Stub& keys() { return *keys_; }
  ChildProcess& process() { return *process_; }
  Card& card() { return *card_; }
  const std::string& api_key() const { return api_key_; }
  const std::string& token() const { return token_; }
  // Everything that was answered so far, tokens apart.
  const std::string& answers() const { return answers_; }

 private:
  TempDir dir_;
  std::unique_ptr<PcscDaemon> daemon_;
  std::unique_ptr<Card> card_;
  VirtualReader reader_;
  std::string api_key_;
  std::string token_;
  std::string answers_;
  std::unique_ptr<ChildProcess> process_;
  std::unique_ptr<pb::CardService::Stub> cards_;
  std::unique_ptr<pb::KeyService::Stub> keys_;
  std::unique_ptr<pb::SessionService::Stub> sessions_;
};

TEST_CASE("No PIN, PUK, key or token is in a log, an answer or what a core dump would hold") {
  Agent agent({"--allow-core-dumps"});
  // Values that nothing else in a process looks like.
  const std::string wrong_pin = "71940382";
  const std::string pin = "58203914";
  const std::string puk = "90417263";
  const auto imported =
      RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const std::string pkcs8(RequireOk(imported.ToPkcs8()).Expose(crypto::SecretAccess::Grant()));
  const std::string management =
      RequireOk(base::HexDecode("8f1d3c5a7b9e2046618275a3b4c5d6e7f80912233445566d"));

  pb::UnlockCardRequest unlock;
  unlock.set_name(kCardName);
  unlock.set_pin(wrong_pin);
  pb::UnlockCardResponse unlocked;
  CHECK(agent.Call(agent.cards(), &pb::CardService::Stub::UnlockCard, unlock, &unlocked)
            .error_code() == grpc::StatusCode::PERMISSION_DENIED);
  pb::ChangePinRequest change_pin;
  change_pin.set_name(kCardName);
  change_pin.set_pin("123456");
  change_pin.set_new_pin(pin);
  pb::ChangePinResponse changed_pin;
  CHECK(
      agent.Call(agent.cards(), &pb::CardService::Stub::ChangePin, change_pin, &changed_pin).ok());
  pb::ChangePukRequest change_puk;
  change_puk.set_name(kCardName);
  change_puk.set_puk("12345678");
  change_puk.set_new_puk(puk);
  pb::ChangePukResponse changed_puk;
  CHECK(
      agent.Call(agent.cards(), &pb::CardService::Stub::ChangePuk, change_puk, &changed_puk).ok());
  unlock.set_pin(pin);
  CHECK(agent.Call(agent.cards(), &pb::CardService::Stub::UnlockCard, unlock, &unlocked).ok());
  pb::ImportKeyRequest import;
  import.set_name(absl::StrCat(kCardName, "/slots/9c"));
  import.set_private_key(pkcs8);
  pb::ImportKeyResponse was_imported;
  CHECK(agent.Call(agent.cards(), &pb::CardService::Stub::ImportKey, import, &was_imported).ok());
  pb::ChangeManagementKeyRequest change_key;
  change_key.set_name(kCardName);
  change_key.set_new_management_key(management);
  pb::ChangeManagementKeyResponse changed_key;
  CHECK(agent
            .Call(agent.cards(), &pb::CardService::Stub::ChangeManagementKey, change_key,
                  &changed_key)
            .ok());
  pb::SignRequest sign;
  sign.set_name(absl::StrCat(kCardName, "/slots/9c"));
  sign.set_digest(std::string(32, 'd'));
  pb::SignResponse signature;
  CHECK(agent.Call(agent.keys(), &pb::KeyService::Stub::Sign, sign, &signature).ok());
  // One that fails on the card, and one that is malformed.
  agent.card().AddFault({.instruction = 0x87, .times = -1, .status_word = 0x6F00});
  CHECK_FALSE(agent.Call(agent.keys(), &pb::KeyService::Stub::Sign, sign, &signature).ok());
  agent.card().ClearFaults();
  change_pin.set_pin(pin);
  change_pin.set_new_pin("12345");
  CHECK_FALSE(
      agent.Call(agent.cards(), &pb::CardService::Stub::ChangePin, change_pin, &changed_pin).ok());

  const std::string scalar = [&] {
    // The 32 bytes of the private key, behind the PKCS#8's and ECPrivateKey's headers.
    const size_t at = pkcs8.find(std::string("\x02\x01\x01\x04\x20", 5));
    REQUIRE(at != std::string::npos);
    return pkcs8.substr(at + 5, 32);
  }();
  const std::map<std::string, std::string> secrets = {{"wrong PIN", wrong_pin},
                                                      {"PIN", pin},
                                                      {"PUK", puk},
                                                      {"imported key", scalar},
                                                      {"management key", management},
                                                      {"API key", agent.api_key()},
                                                      {"token", agent.token()}};
  // A connection keeps what it last read until it ends; then it is wiped.
  agent.Disconnect();
  std::set<std::string> left;
  Memory memory;
  const bool wiped = Eventually([&] {
    memory = MemoryOf(agent.process());
    left.clear();
    for (const auto& [name, secret] : secrets) {
      if (absl::StrContains(memory.dumped, secret)) left.insert(name);
    }
    return left.empty();
  });
  INFO(absl::StrJoin(left, ", "));
  CHECK(wiped);
  // It still holds the PIN, where no dump takes it: the search would have found it.
  CHECK(absl::StrContains(memory.kept, pin));
  CHECK(memory.dumped.size() > 1 << 20);
  for (const auto& [name, secret] : secrets) {
    INFO(name);
    CHECK_FALSE(absl::StrContains(agent.process().output(), secret));
    CHECK_FALSE(absl::StrContains(agent.process().output(), base::HexEncode(secret)));
    CHECK_FALSE(absl::StrContains(agent.process().output(), base::Base64Encode(secret)));
    CHECK_FALSE(absl::StrContains(agent.answers(), secret));
    CHECK_FALSE(absl::StrContains(agent.answers(), base::HexEncode(secret)));
  }
}

TEST_CASE("A core dump is not made at all unless it is allowed") {
  Agent agent({});
  std::ifstream limits(absl::StrCat("/proc/", agent.process().pid(), "/limits"));
  std::stringstream text;
  text << limits.rdbuf();
  std::string core;
  for (const absl::string_view line : absl::StrSplit(text.str(), '\n')) {
    if (absl::StartsWith(line, "Max core file size")) core = std::string(line);
  }
  const std::vector<std::string> words = absl::StrSplit(core, ' ', absl::SkipEmpty());
  REQUIRE(words.size() >= 6);
  CHECK(words[4] == "0");
  CHECK(words[5] == "0");
}

}  // namespace
}  // namespace countersign::fault
