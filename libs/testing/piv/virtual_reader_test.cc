// Cards in the readers of real pcscds, looked at through libpcsclite, which keeps to the first
// daemon that a process names, and through another program.
#include "libs/testing/piv/virtual_reader.h"

#include <PCSC/winscard.h>
#include <stdlib.h>

#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/piv/apdu.h"
#include "libs/piv/piv.h"
#include "libs/piv/tlv.h"
#include "libs/testing/command.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/piv/card_host.h"

namespace countersign::testing::piv {
namespace {

using countersign::piv::Command;
using countersign::piv::Response;

// A context of libpcsclite.
class Pcsc {
 public:
  Pcsc() { result_ = SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context_); }
  ~Pcsc() {
    if (result_ == SCARD_S_SUCCESS) SCardReleaseContext(context_);
  }
  Pcsc(const Pcsc&) = delete;
  Pcsc& operator=(const Pcsc&) = delete;

  LONG result() const { return result_; }
  SCARDCONTEXT context() const { return context_; }

  std::vector<std::string> Readers() const {
    DWORD size = 0;
    if (SCardListReaders(context_, nullptr, nullptr, &size) != SCARD_S_SUCCESS) return {};
    std::string names(size, '\0');
    if (SCardListReaders(context_, nullptr, names.data(), &size) != SCARD_S_SUCCESS) return {};
    std::vector<std::string> readers;
    for (const char* name = names.data(); *name != '\0'; name += readers.back().size() + 1) {
      readers.push_back(name);
    }
    return readers;
  }

  // The first slot of reader `i`; empty when pcscd does not have it (yet).
  std::string Reader(int i) const {
    for (const std::string& name : Readers()) {
      if (absl::StartsWith(name, absl::StrCat("Countersign test reader ", i, " ")) &&
          absl::EndsWith(name, " 00")) {
        return name;
      }
    }
    return "";
  }

  bool Present(int i) const {
    const std::string name = Reader(i);
    SCARD_READERSTATE state{};
    state.szReader = name.c_str();
    return SCardGetStatusChange(context_, 0, &state, 1) == SCARD_S_SUCCESS &&
           (state.dwEventState & SCARD_STATE_PRESENT) != 0;
  }

 private:
  SCARDCONTEXT context_ = 0;
  LONG result_;
};

// A card that is connected to. Without assertions, which Catch has on one thread alone.
class Connection {
 public:
  Connection(const Pcsc& pcsc, int reader) {
    result_ = SCardConnect(pcsc.context(), pcsc.Reader(reader).c_str(), SCARD_SHARE_SHARED,
                           SCARD_PROTOCOL_T1, &handle_, &protocol_);
  }
  ~Connection() {
    if (result_ == SCARD_S_SUCCESS) SCardDisconnect(handle_, SCARD_LEAVE_CARD);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  LONG result() const { return result_; }

  // One APDU. An answer without a status word, which vpcd makes of a card that is pulled meanwhile,
  // is none.
  LONG Transmit(absl::string_view apdu, Response* response) {
    std::string bytes(300, '\0');
    DWORD size = bytes.size();
    const LONG result =
        SCardTransmit(handle_, SCARD_PCI_T1, reinterpret_cast<const BYTE*>(apdu.data()),
                      apdu.size(), nullptr, reinterpret_cast<BYTE*>(bytes.data()), &size);
    if (result != SCARD_S_SUCCESS) return result;
    auto parsed = countersign::piv::ParseResponse(absl::string_view(bytes).substr(0, size));
    if (!parsed.ok()) return SCARD_E_NOT_TRANSACTED;
    *response = *std::move(parsed);
    return result;
  }

  // A command with chaining and GET RESPONSE; a status word of 0 when there is no answer.
  Response Send(const Command& command) {
    Response last;
    for (const std::string& apdu : EncodeCommand(command)) {
      if (Transmit(apdu, &last) != SCARD_S_SUCCESS) return {};
    }
    Response whole = last;
    while (whole.sw >> 8 == 0x61) {
      constexpr absl::string_view kGetResponse("\x00\xC0\x00\x00\x00", 5);
      if (Transmit(kGetResponse, &last) != SCARD_S_SUCCESS) return {};
      whole.data += last.data;
      whole.sw = last.sw;
    }
    return whole;
  }

  std::string Atr() {
    std::string atr(MAX_ATR_SIZE, '\0');
    DWORD size = atr.size();
    REQUIRE(SCardStatus(handle_, nullptr, nullptr, nullptr, nullptr,
                        reinterpret_cast<BYTE*>(atr.data()), &size) == SCARD_S_SUCCESS);
    return atr.substr(0, size);
  }

 private:
  SCARDHANDLE handle_ = 0;
  DWORD protocol_ = 0;
  LONG result_;
};

const Command kSelectPiv{0, 0xA4, 0x04, 0, std::string(countersign::piv::kPivAid)};
const Command kSerial{0, 0xF8, 0, 0, ""};

// Serial number of the card in a reader; empty when it does not answer.
std::string SerialIn(const Pcsc& pcsc, int reader) {
  Connection card(pcsc, reader);
  if (card.result() != SCARD_S_SUCCESS || !card.Send(kSelectPiv).ok()) return "";
  return card.Send(kSerial).data;
}

// One after another on one daemon, which this process is bound to.
TEST_CASE("Cards come into readers, go and come back, and outlive their pcscd") {
  constexpr int kReaders = 3;
  const auto daemon = RequireOk(PcscDaemon::Start(kReaders));
  REQUIRE(setenv("PCSCLITE_CSOCK_NAME", daemon->SocketPath().c_str(), 1) == 0);
  std::vector<std::unique_ptr<Card>> cards;
  std::vector<std::unique_ptr<VirtualReader>> readers;
  for (int i = 0; i < kReaders; ++i) {
    cards.push_back(RequireOk(Card::Create({.serial = static_cast<uint32_t>(0x01010100 + i)})));
    readers.push_back(std::make_unique<VirtualReader>(daemon->port(i), cards.back().get()));
  }
  const auto serial = [](int i) { return std::string("\x01\x01\x01") + static_cast<char>(i); };
  auto pcsc = std::make_unique<Pcsc>();
  REQUIRE(pcsc->result() == SCARD_S_SUCCESS);
  const auto present = [&](int i) { return pcsc->Present(i); };

  INFO("a reader is empty until the card is inserted");
  CHECK(pcsc->Readers().size() == 2 * kReaders);
  CHECK_FALSE(present(0));
  for (const auto& reader : readers) {
    CHECK_FALSE(reader->inserted());
    REQUIRE_THAT(reader->Insert(), IsOk());
    CHECK(reader->inserted());
  }
  for (int i = 0; i < kReaders; ++i) REQUIRE(Eventually([&] { return present(i); }));

  INFO("all cards are used at once, each in its reader");
  std::vector<std::thread> users;
  std::vector<int> right(kReaders);
  for (int i = 0; i < kReaders; ++i) {
    users.emplace_back([&, i] {
      const Pcsc own;
      for (int n = 0; n < 10; ++n) right[i] += SerialIn(own, i) == serial(i) ? 1 : 0;
    });
  }
  for (std::thread& user : users) user.join();
  for (int i = 0; i < kReaders; ++i) CHECK(right[i] == 10);

  INFO("long commands and answers pass");
  {
    Connection card(*pcsc, 0);
    REQUIRE(card.result() == SCARD_S_SUCCESS);
    CHECK(card.Atr() == cards[0]->atr());
    REQUIRE(card.Send(kSelectPiv).ok());
    const std::string object = countersign::piv::Tlv(0x53, std::string(3000, 'x'));
    CHECK(card.Send({0, 0xDB, 0x3F, 0xFF, Hex("5c035fc102") + object}).sw == 0x6982);
    // The certificate of f9 is longer than one answer.
    const Response certificate = card.Send({0, 0xCB, 0x3F, 0xFF, Hex("5c035fff01")});
    CHECK(certificate.ok());
    CHECK(certificate.data.size() > 256);
  }

  INFO("a card that is pulled is missed, and is another one when it comes back at once");
  {
    Connection card(*pcsc, 1);
    REQUIRE(card.Send(kSelectPiv).ok());
    readers[1]->Remove();
    CHECK_FALSE(readers[1]->inserted());
    REQUIRE_THAT(readers[1]->Insert(), IsOk());
    Response ignored;
    CHECK(card.Transmit(Hex("00f8000000"), &ignored) != SCARD_S_SUCCESS);
  }
  REQUIRE(Eventually([&] { return SerialIn(*pcsc, 1) == serial(1); }));
  readers[1]->Remove();
  REQUIRE(Eventually([&] { return !present(1); }));
  CHECK(present(0));
  REQUIRE_THAT(readers[1]->Insert(), IsOk());
  REQUIRE(Eventually([&] { return present(1); }));
  CHECK(SerialIn(*pcsc, 1) == serial(1));

  INFO("a fault pulls the card out of its reader, until it is inserted");
  for (const auto kind : {Fault::Kind::kRemoveBefore, Fault::Kind::kRemoveAfter}) {
    {
      Connection card(*pcsc, 2);
      REQUIRE(card.Send(kSelectPiv).ok());
      cards[2]->AddFault({.kind = kind, .instruction = 0x20});
      Response ignored;
      const int tries = cards[2]->pin_tries();
      CHECK(card.Transmit(Hex("0020008008 303030303030ffff"), &ignored) != SCARD_S_SUCCESS);
      CHECK(cards[2]->pin_tries() == (kind == Fault::Kind::kRemoveBefore ? tries : tries - 1));
    }
    CHECK(Eventually([&] { return !readers[2]->inserted() && !present(2); }));
    REQUIRE_THAT(readers[2]->Insert(), IsOk());
    REQUIRE(Eventually([&] { return SerialIn(*pcsc, 2) == serial(2); }));
  }

  INFO("cards find a pcscd that was killed and started anew by themselves");
  readers[1]->Remove();
  pcsc.reset();
  REQUIRE_THAT(daemon->Restart(), IsOk());
  pcsc = std::make_unique<Pcsc>();
  REQUIRE(pcsc->result() == SCARD_S_SUCCESS);
  for (const int i : {0, 2}) {
    REQUIRE(Eventually([&] { return SerialIn(*pcsc, i) == serial(i); }));
  }
  CHECK_FALSE(present(1));

  INFO("without pcscd there is no service");
  pcsc.reset();
  daemon->Stop();
  CHECK(Pcsc().result() != SCARD_S_SUCCESS);
}

TEST_CASE("Two daemons at once do not see each other's cards") {
  std::string seen[2];
  std::unique_ptr<PcscDaemon> daemons[2];
  std::unique_ptr<Card> cards[2];
  std::unique_ptr<VirtualReader> readers[2];
  for (int i = 0; i < 2; ++i) {
    daemons[i] = RequireOk(PcscDaemon::Start(1));
    cards[i] = RequireOk(Card::Create({.serial = static_cast<uint32_t>(1000 + i)}));
    readers[i] = std::make_unique<VirtualReader>(daemons[i]->port(0), cards[i].get());
    REQUIRE_THAT(readers[i]->Insert(), IsOk());
  }
  for (int i = 0; i < 2; ++i) {
    const std::string status = absl::StrCat("PCSCLITE_CSOCK_NAME=", daemons[i]->SocketPath(),
                                            " yubico-piv-tool -r 'test reader' -a status");
    const std::string expected = absl::StrCat("Serial Number:\t", 1000 + i, "\n");
    CommandResult result;
    CHECK(Eventually([&] {
      result = RunCommand(status);
      return result.exit_code == 0 && absl::StrContains(result.output, expected);
    }));
    INFO(result.output);
    CHECK(absl::StrContains(result.output, expected));
  }
}

TEST_CASE("A daemon has from 1 to 8 readers") {
  for (const int readers : {-1, 0, 9}) {
    CHECK_THAT(PcscDaemon::Start(readers), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("A reader that was never inserted ends at once") {
  const auto card = RequireOk(Card::Create({}));
  VirtualReader reader(1, card.get());
  reader.Remove();
  CHECK_FALSE(reader.inserted());
}

}  // namespace
}  // namespace countersign::testing::piv
