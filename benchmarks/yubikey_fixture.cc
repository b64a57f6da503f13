#include "benchmarks/yubikey_fixture.h"

#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "countersign/yubikey/v1/session_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/status.h"
#include "libs/testing/piv/card.h"
#include "libs/testing/piv/virtual_reader.h"

namespace countersign::bench {

namespace pb = ::countersign::yubikey::v1;

YubikeyFixture::YubikeyFixture(Environment& environment, std::string name)
    : environment_(environment), name_(std::move(name)) {}

absl::StatusOr<std::unique_ptr<YubikeyFixture>> YubikeyFixture::Start(Environment& environment,
                                                                      const std::string& name,
                                                                      int cards,
                                                                      absl::Duration card_time) {
  std::unique_ptr<YubikeyFixture> fixture(new YubikeyFixture(environment, name));
  RETURN_IF_ERROR(fixture->StartCards(cards, card_time));
  RETURN_IF_ERROR(fixture->StartAgent(cards));
  RETURN_IF_ERROR(fixture->OpenSession());
  for (const auto& card : fixture->cards_) RETURN_IF_ERROR(fixture->Unlock(card->serial()));
  return fixture;
}

YubikeyFixture::~YubikeyFixture() {
  channels_.clear();
  if (const absl::Status status = environment_.StopService(name_); !status.ok()) {
    // The benchmark that owned it has said why, if it ever ran.
    environment_.KillService(name_).IgnoreError();
  }
  readers_.clear();
}

absl::Status YubikeyFixture::StartCards(int cards, absl::Duration card_time) {
  ASSIGN_OR_RETURN(daemon_, testing::piv::PcscDaemon::Start(cards));
  for (int i = 0; i < cards; ++i) {
    ASSIGN_OR_RETURN(
        auto card, testing::piv::Card::Create({.serial = kFirstSerial + static_cast<uint32_t>(i)}));
    card->SetOperationTime(card_time);
    readers_.push_back(std::make_unique<testing::piv::VirtualReader>(daemon_->port(i), card.get()));
    cards_.push_back(std::move(card));
    RETURN_IF_ERROR(readers_.back()->Insert());
  }
  return absl::OkStatus();
}

absl::Status YubikeyFixture::StartAgent(int cards) {
  RETURN_IF_ERROR(environment_.InitService(name_, "yubikey-agent", {}));
  ASSIGN_OR_RETURN(const std::string key,
                   base::ReadFile(absl::StrCat(environment_.work(), "/", name_, "/admin.key")));
  api_key_ = std::string(absl::StripAsciiWhitespace(key));
  std::string places;
  for (int i = 0; i < cards; ++i) {
    absl::StrAppend(&places, i == 0 ? "" : ",", "cards/", kFirstSerial + static_cast<uint32_t>(i),
                    "/slots/9e");
  }
  RETURN_IF_ERROR(environment_
                      .StartService(name_, "yubikey-agent",
                                    {"--alias", absl::StrCat("pool=", places)},
                                    {absl::StrCat("PCSCLITE_CSOCK_NAME=", daemon_->SocketPath())})
                      .status());
  ASSIGN_OR_RETURN(channels_, environment_.Channels(name_));
  const auto stub = pb::CardService::NewStub(channels_[0]);
  for (const absl::Time give_up = absl::Now() + absl::Seconds(20); absl::Now() < give_up;) {
    grpc::ClientContext context;
    pb::ListCardsResponse response;
    RETURN_IF_ERROR(runtime::FromGrpcStatus(stub->ListCards(&context, {}, &response)));
    if (response.cards_size() == cards) return absl::OkStatus();
    std::this_thread::yield();
  }
  return absl::DeadlineExceededError("the agent does not see all cards");
}

absl::Status YubikeyFixture::OpenSession() {
  const auto stub = pb::SessionService::NewStub(channels_[0]);
  pb::OpenSessionRequest request;
  request.set_caller("admin");
  request.mutable_api_key()->set_api_key(api_key_);
  grpc::ClientContext context;
  pb::OpenSessionResponse response;
  RETURN_IF_ERROR(runtime::FromGrpcStatus(stub->OpenSession(&context, request, &response)));
  token_ = response.token();
  return absl::OkStatus();
}

absl::Status YubikeyFixture::Unlock(uint32_t serial) {
  const auto stub = pb::CardService::NewStub(channels_[0]);
  pb::UnlockCardRequest request;
  request.set_name(absl::StrCat("cards/", serial));
  request.set_pin("123456");
  pb::UnlockCardResponse response;
  return runtime::FromGrpcStatus(stub->UnlockCard(Context().get(), request, &response));
}

std::unique_ptr<grpc::ClientContext> YubikeyFixture::Context() const {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("authorization", absl::StrCat("Bearer ", token_));
  return context;
}

const std::string& YubikeyFixture::socket() const { return daemon_->SocketPath(); }

absl::StatusOr<double> YubikeyFixture::ResidentBytes() const {
  return environment_.Metric(name_, "process_resident_memory_bytes");
}

}  // namespace countersign::bench
