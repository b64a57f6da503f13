#include "libs/testing/piv/card.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/testing/piv/card_applet.h"
#include "libs/testing/piv/card_attestation.h"
#include "libs/testing/piv/card_state.h"

namespace countersign::testing::piv {
namespace {

using countersign::piv::Command;
using countersign::piv::EncodeResponse;
using countersign::piv::Response;

constexpr uint8_t kChained = 0x10;
constexpr size_t kMaxResponse = 256;
// More than any command carries.
constexpr size_t kMaxChainBytes = 4096;
constexpr uint16_t kMemoryFailure = 0x6581;

constexpr absl::string_view kAtr4(
    "\x3B\xF8\x13\x00\x00\x81\x31\xFE\x15\x59\x75\x62\x69\x6B\x65\x79\x34\xD4", 18);
constexpr absl::string_view kAtr5(
    "\x3B\xFD\x13\x00\x00\x81\x31\xFE\x15\x80\x73\xC0\x21\xC0\x57\x59\x75\x62\x69\x4B\x65\x79\x40",
    23);

// The Le at the end of an APDU that parsed; 256 without one.
size_t ExpectedBytes(absl::string_view apdu, const Command& command) {
  const bool has_le =
      command.data.empty() ? apdu.size() >= 5 : apdu.size() == 6 + command.data.size();
  const size_t le = has_le ? static_cast<uint8_t>(apdu.back()) : 0;
  return le == 0 ? kMaxResponse : le;
}

bool SameCommand(const Command& a, const Command& b) {
  return a.ins == b.ins && a.p1 == b.p1 && a.p2 == b.p2;
}

absl::Status Pulled() { return absl::UnavailableError("the card was pulled"); }

}  // namespace

struct Card::Impl {
  Impl(CardState card_state, std::string file)
      : state(std::move(card_state)),
        state_file(std::move(file)),
        atr(state.version.AtLeast(5, 0) ? kAtr5 : kAtr4),
        applet(&state, [this](uint8_t ins) { return TouchTimeout(ins); }) {}

  absl::StatusOr<std::string> Transmit(absl::string_view apdu);
  // A whole command, with its faults.
  absl::StatusOr<Response> Do(const Command& command) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // The next part of `pending`.
  Response Part(size_t size, uint16_t sw) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Counts a command against the faults of these kinds, and returns the first one that strikes.
  std::optional<Fault> Strike(uint8_t instruction, std::initializer_list<Fault::Kind> kinds)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  std::optional<absl::Duration> TouchTimeout(uint8_t instruction)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // False when the card is pulled meanwhile.
  bool Sleep(absl::Duration time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  base::Mutex transmitting;  // one APDU at a time; taken before `mutex`
  base::Mutex mutex;         // guards the rest
  base::CondVar pulled_now;
  CardState state;
  const std::string state_file;
  const std::string atr;
  CardApplet applet;
  bool pulled = false;
  std::optional<Command> chain;  // of the blocks so far
  std::string pending;           // what GET RESPONSE has not fetched yet
  uint16_t pending_sw = 0;
  std::vector<Fault> faults;
  absl::Duration operation_time;
  uint64_t commands = 0;
  std::array<uint64_t, 256> commands_by_instruction{};
};

bool Card::Impl::Sleep(absl::Duration time) {
  if (time > absl::ZeroDuration()) pulled_now.WaitFor(&mutex, time, [this] { return pulled; });
  return !pulled;
}

std::optional<Fault> Card::Impl::Strike(uint8_t instruction,
                                        std::initializer_list<Fault::Kind> kinds) {
  for (auto fault = faults.begin(); fault != faults.end(); ++fault) {
    if (std::find(kinds.begin(), kinds.end(), fault->kind) == kinds.end()) continue;
    if (fault->instruction != 0 && fault->instruction != instruction) continue;
    if (fault->skip > 0) {
      --fault->skip;
      continue;
    }
    const Fault struck = *fault;
    if (fault->times > 0 && --fault->times == 0) faults.erase(fault);
    return struck;
  }
  return std::nullopt;
}

std::optional<absl::Duration> Card::Impl::TouchTimeout(uint8_t instruction) {
  const auto fault = Strike(instruction, {Fault::Kind::kTouchTimeout});
  if (!fault.has_value()) return std::nullopt;
  return fault->delay;
}

absl::StatusOr<Response> Card::Impl::Do(const Command& command) {
  if (Strike(command.ins, {Fault::Kind::kRemoveBefore}).has_value()) {
    pulled = true;
    return Pulled();
  }
  ++commands;
  ++commands_by_instruction[command.ins];
  if (const auto delay = Strike(command.ins, {Fault::Kind::kDelay}); delay.has_value()) {
    if (!Sleep(delay->delay)) return Pulled();
  }
  if (const auto fault = Strike(command.ins, {Fault::Kind::kStatusWord}); fault.has_value()) {
    applet.ForgetFreshPin();
    return Response{"", fault->status_word};
  }
  CardApplet::Outcome outcome = applet.Process(command);
  if (outcome.changed && !state_file.empty() &&
      !base::WriteFileDurably(state_file, SerializeCardState(state), 0600).ok()) {
    outcome.response = {"", kMemoryFailure};
  }
  const bool there =
      Sleep(outcome.waited) && Sleep(outcome.used_key ? operation_time : absl::ZeroDuration());
  if (!there || Strike(command.ins, {Fault::Kind::kRemoveAfter}).has_value()) {
    pulled = true;
    return Pulled();
  }
  return std::move(outcome.response);
}

Response Card::Impl::Part(size_t size, uint16_t sw) {
  Response part{pending.substr(0, size), sw};
  pending.erase(0, part.data.size());
  pending_sw = sw;
  // 6100 stands for 256 bytes or more.
  if (!pending.empty()) {
    part.sw = static_cast<uint16_t>(0x6100 | (pending.size() > 0xFF ? 0 : pending.size()));
  }
  return part;
}

absl::StatusOr<std::string> Card::Impl::Transmit(absl::string_view apdu) {
  const base::MutexLock one(&transmitting);
  const base::MutexLock lock(&mutex);
  if (pulled) return Pulled();
  const auto parsed = countersign::piv::ParseCommand(apdu);
  if (!parsed.ok()) return EncodeResponse({"", countersign::piv::kWrongLength});
  Command command = *parsed;
  const size_t size = ExpectedBytes(apdu, command);
  if (command.ins == countersign::piv::kGetResponse && command.cla == 0) {
    if (pending.empty()) return EncodeResponse({"", countersign::piv::kConditionsNotSatisfied});
    return EncodeResponse(Part(size, pending_sw));
  }
  pending.clear();
  // A block of another command ends a chain that was not finished.
  if (chain.has_value() && SameCommand(*chain, command)) {
    command.data.insert(0, chain->data);
  }
  chain.reset();
  if (command.data.size() > kMaxChainBytes) {
    return EncodeResponse({"", countersign::piv::kWrongLength});
  }
  if (command.cla == kChained) {
    chain = std::move(command);
    return EncodeResponse({"", countersign::piv::kOk});
  }
  ASSIGN_OR_RETURN(Response response, Do(command));
  pending = std::move(response.data);
  return EncodeResponse(Part(size, response.sw));
}

absl::StatusOr<std::unique_ptr<Card>> Card::Create(CardOptions options) {
  const std::string& file = options.state_file;
  if (!file.empty() && base::FileExists(file)) {
    ASSIGN_OR_RETURN(const std::string json, base::ReadFile(file));
    ASSIGN_OR_RETURN(CardState state, ParseCardState(json));
    return std::unique_ptr<Card>(new Card(std::make_unique<Impl>(std::move(state), file)));
  }
  CardState state = MakeCardState(options.serial, options.version);
  if (!file.empty()) {
    RETURN_IF_ERROR(base::WriteFileDurably(file, SerializeCardState(state), 0600));
  }
  return std::unique_ptr<Card>(new Card(std::make_unique<Impl>(std::move(state), file)));
}

Card::Card(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Card::~Card() = default;

absl::StatusOr<std::string> Card::Transmit(absl::string_view apdu) { return impl_->Transmit(apdu); }

void Card::Reset() {
  const base::MutexLock one(&impl_->transmitting);
  const base::MutexLock lock(&impl_->mutex);
  impl_->applet.Reset();
  impl_->chain.reset();
  impl_->pending.clear();
  impl_->pulled = false;
}

void Card::Pull() {
  const base::MutexLock lock(&impl_->mutex);
  impl_->pulled = true;
  impl_->pulled_now.NotifyAll();
}

const std::string& Card::atr() const { return impl_->atr; }

void Card::AddFault(const Fault& fault) {
  const base::MutexLock lock(&impl_->mutex);
  impl_->faults.push_back(fault);
}

void Card::ClearFaults() {
  const base::MutexLock lock(&impl_->mutex);
  impl_->faults.clear();
}

void Card::SetOperationTime(absl::Duration time) {
  const base::MutexLock lock(&impl_->mutex);
  impl_->operation_time = time;
}

uint32_t Card::serial() const { return impl_->state.serial; }

int Card::pin_tries() const {
  const base::MutexLock lock(&impl_->mutex);
  return impl_->state.pin.tries;
}

int Card::puk_tries() const {
  const base::MutexLock lock(&impl_->mutex);
  return impl_->state.puk.tries;
}

uint64_t Card::commands() const {
  const base::MutexLock lock(&impl_->mutex);
  return impl_->commands;
}

uint64_t Card::commands(uint8_t instruction) const {
  const base::MutexLock lock(&impl_->mutex);
  return impl_->commands_by_instruction[instruction];
}

std::string Card::AttestationRoot() { return MakeAttestationRoot(); }

}  // namespace countersign::testing::piv
