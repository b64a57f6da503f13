#include "benchmarks/direct_card.h"

#include <stdlib.h>
#include <ykpiv/ykpiv.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace countersign::bench {
namespace {

absl::Status ToStatus(ykpiv_rc code, const char* what) {
  if (code == YKPIV_OK) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, ": ", ykpiv_strerror(code)));
}

}  // namespace

struct DirectCard::Impl {
  ~Impl() { ykpiv_done(state); }

  ykpiv_state* state = nullptr;
};

DirectCard::DirectCard(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DirectCard::~DirectCard() = default;

absl::StatusOr<std::unique_ptr<DirectCard>> DirectCard::Open(const std::string& socket) {
  setenv("PCSCLITE_CSOCK_NAME", socket.c_str(), 1);
  auto impl = std::make_unique<Impl>();
  absl::Status status = ToStatus(ykpiv_init(&impl->state, 0), "ykpiv_init");
  // An empty name is any reader.
  if (status.ok()) status = ToStatus(ykpiv_connect(impl->state, ""), "ykpiv_connect");
  if (!status.ok()) return status;
  return std::unique_ptr<DirectCard>(new DirectCard(std::move(impl)));
}

absl::Status DirectCard::Sign(const std::string& digest) {
  int tries = 0;
  absl::Status status = ToStatus(ykpiv_verify(impl_->state, "123456", &tries), "ykpiv_verify");
  if (!status.ok()) return status;
  unsigned char signature[80];
  size_t size = sizeof(signature);
  return ToStatus(
      ykpiv_sign_data(impl_->state, reinterpret_cast<const unsigned char*>(digest.data()),
                      digest.size(), signature, &size, YKPIV_ALGO_ECCP256, YKPIV_KEY_SIGNATURE),
      "ykpiv_sign_data");
}

}  // namespace countersign::bench
