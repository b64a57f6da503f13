#include "services/yubikey-agent/pcsc_transport.h"

#include <PCSC/winscard.h>
#include <ykpiv/ykpiv.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/secret.h"

namespace countersign::yubikey {
namespace {

// More than the largest object with its tags.
constexpr size_t kMaxResponse = 4096;

class PcscTransport final : public piv::Transport {
 public:
  explicit PcscTransport(std::string reader) : reader_(std::move(reader)) {}

  ~PcscTransport() override {
    if (state_ != nullptr) ykpiv_done_with_external_card(state_);
    if (connected_) SCardDisconnect(card_, SCARD_LEAVE_CARD);
    if (established_) SCardReleaseContext(context_);
    crypto::Wipe(response_, sizeof(response_));
  }

  absl::Status Connect() {
    if (const LONG rc = SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context_);
        rc != SCARD_S_SUCCESS) {
      return PcscError("reaching the PC/SC daemon", rc);
    }
    established_ = true;
    DWORD protocol = 0;
    if (const LONG rc = SCardConnect(context_, reader_.c_str(), SCARD_SHARE_SHARED,
                                     SCARD_PROTOCOL_T1, &card_, &protocol);
        rc != SCARD_S_SUCCESS) {
      return PcscError(absl::StrCat("connecting to the card in ", reader_), rc);
    }
    connected_ = true;
    if (ykpiv_init(&state_, /*verbose=*/0) != YKPIV_OK) {
      return absl::ResourceExhaustedError("libykpiv could not be initialised");
    }
    if (const ykpiv_rc rc = ykpiv_connect_with_external_card(
            state_, static_cast<uintptr_t>(context_), static_cast<uintptr_t>(card_));
        rc != YKPIV_OK) {
      return absl::UnavailableError(
          absl::StrCat("the card in ", reader_, " is gone: ", ykpiv_strerror_name(rc)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<piv::Response> Transmit(const piv::Command& command) override {
    const unsigned char header[4] = {command.cla, command.ins, command.p1, command.p2};
    unsigned long size = sizeof(response_);
    int sw = 0;
    const ykpiv_rc rc = ykpiv_transfer_data(
        state_, header, reinterpret_cast<const unsigned char*>(command.data.data()),
        static_cast<long>(command.data.size()), response_, &size, &sw);
    if (rc == YKPIV_SIZE_ERROR) {
      return absl::InternalError(
          absl::StrCat("the card in ", reader_, " answered more than ", kMaxResponse, " bytes"));
    }
    if (rc != YKPIV_OK || sw == 0) return Lost();
    piv::Response response;
    response.data.assign(reinterpret_cast<const char*>(response_), size);
    response.sw = static_cast<uint16_t>(sw);
    crypto::Wipe(response_, size);
    return response;
  }

  absl::Status BeginTransaction() override {
    LONG rc = SCardBeginTransaction(card_);
    if (rc == SCARD_S_SUCCESS) return absl::OkStatus();
    // Another program may reset the card again between our calls.
    for (int i = 0; i < kReconnects && rc == SCARD_W_RESET_CARD; ++i) {
      DWORD protocol = 0;
      rc =
          SCardReconnect(card_, SCARD_SHARE_SHARED, SCARD_PROTOCOL_T1, SCARD_LEAVE_CARD, &protocol);
      if (rc == SCARD_S_SUCCESS) rc = SCardBeginTransaction(card_);
    }
    if (rc == SCARD_S_SUCCESS) {
      return absl::AbortedError(absl::StrCat("another program reset the card in ", reader_));
    }
    return PcscError(absl::StrCat("beginning a transaction with the card in ", reader_), rc);
  }

  void EndTransaction() override { SCardEndTransaction(card_, SCARD_LEAVE_CARD); }

 private:
  static constexpr int kReconnects = 5;

  // libykpiv says that PC/SC failed, and no more: the daemon is asked why.
  absl::Status Lost() {
    DWORD state = 0;
    DWORD protocol = 0;
    const LONG rc = SCardStatus(card_, nullptr, nullptr, &state, &protocol, nullptr, nullptr);
    if (rc != SCARD_S_SUCCESS) return PcscError(absl::StrCat("using the card in ", reader_), rc);
    return absl::UnavailableError(absl::StrCat("the card in ", reader_, " does not answer"));
  }

  const std::string reader_;
  SCARDCONTEXT context_ = 0;
  SCARDHANDLE card_ = 0;
  ykpiv_state* state_ = nullptr;
  bool established_ = false;
  bool connected_ = false;
  unsigned char response_[kMaxResponse];
};

}  // namespace

absl::Status PcscError(absl::string_view what, long code) {
  return absl::UnavailableError(
      absl::StrCat(what, ": ", pcsc_stringify_error(static_cast<LONG>(code))));
}

absl::StatusOr<std::unique_ptr<piv::Transport>> ConnectPcsc(const std::string& reader) {
  auto transport = std::make_unique<PcscTransport>(reader);
  RETURN_IF_ERROR(transport->Connect());
  return transport;
}

}  // namespace countersign::yubikey
