#include "services/sign/certificates/grpc_ocsp_notifier.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "countersign/ocsp/v1/ocsp.grpc.pb.h"
#include "libs/runtime/channel.h"

namespace countersign::sign {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(2);

}  // namespace

// All but the stub and, while a call runs, its context and messages is guarded by the mutex.
struct GrpcOcspNotifier::Responder {
  std::unique_ptr<ocsp::v1::OcspService::Stub> stub;
  int64_t wanted = 0;  // the newest change that it is to have
  int64_t told = 0;    // the newest change that it is known to have
  bool calling = false;
  absl::Duration pause;  // how long it is left alone after the failure; 0 when it answered last
  absl::Time alone_until = absl::InfinitePast();
  uint64_t calls_ended = 0;

  std::unique_ptr<grpc::ClientContext> context;
  ocsp::v1::RefreshRequest request;
  ocsp::v1::RefreshResponse response;
};

GrpcOcspNotifier::GrpcOcspNotifier(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                                   Options options)
    : options_(options) {
  for (const auto& channel : channels) {
    auto responder = std::make_unique<Responder>();
    responder->stub = ocsp::v1::OcspService::NewStub(channel);
    responders_.push_back(std::move(responder));
  }
}

GrpcOcspNotifier::GrpcOcspNotifier(const std::vector<std::shared_ptr<grpc::Channel>>& channels)
    : GrpcOcspNotifier(channels, Options()) {}

GrpcOcspNotifier::~GrpcOcspNotifier() {
  base::MutexLock lock(&mutex_);
  stopping_ = true;
  for (const auto& responder : responders_) {
    if (responder->calling) responder->context->TryCancel();
  }
  ended_.Wait(&mutex_, [this] {
    return std::none_of(responders_.begin(), responders_.end(),
                        [](const auto& responder) { return responder->calling; });
  });
}

void GrpcOcspNotifier::Tell(Responder* responder) {
  if (stopping_ || responder->calling || responder->told >= responder->wanted ||
      options_.clock->Now() < responder->alone_until) {
    return;
  }
  responder->calling = true;
  responder->context = runtime::MakeContext(options_.call_timeout);
  responder->request.set_change_number(responder->wanted);
  responder->response.Clear();
  // The callback comes on another thread, or on this one after it has left.
  responder->stub->async()->Refresh(
      responder->context.get(), &responder->request, &responder->response,
      [this, responder](const grpc::Status& status) { Told(responder, status.ok()); });
}

void GrpcOcspNotifier::Told(Responder* responder, bool ok) {
  base::MutexLock lock(&mutex_);
  responder->calling = false;
  ++responder->calls_ended;
  if (ok) {
    responder->told = std::max(responder->told, responder->response.change_number());
    responder->pause = absl::ZeroDuration();
    responder->alone_until = absl::InfinitePast();
    // Unless it answered with less than it was told: then asking on would be a busy loop.
    if (responder->told >= responder->request.change_number()) Tell(responder);
  } else {
    responder->pause = std::clamp(2 * responder->pause, kFirstPause, kLongestPause);
    responder->alone_until = options_.clock->Now() + responder->pause;
  }
  ended_.NotifyAll();
}

void GrpcOcspNotifier::Notify(int64_t change_number) {
  base::MutexLock lock(&mutex_);
  for (const auto& responder : responders_) {
    responder->wanted = std::max(responder->wanted, change_number);
    Tell(responder.get());
  }
}

bool GrpcOcspNotifier::NotifyAndWait(int64_t change_number, absl::Duration timeout) {
  base::MutexLock lock(&mutex_);
  // One whose call fails from here on is waited for no longer, however many calls it takes: the
  // call under way may have begun before this change.
  for (const auto& responder : responders_) {
    responder->wanted = std::max(responder->wanted, change_number);
    Tell(responder.get());
  }
  const auto settled = [&] {
    return std::none_of(responders_.begin(), responders_.end(), [&](const auto& responder) {
      return responder->calling && responder->told < change_number;
    });
  };
  ended_.WaitFor(&mutex_, timeout, settled);
  return std::all_of(responders_.begin(), responders_.end(),
                     [&](const auto& responder) { return responder->told >= change_number; });
}

}  // namespace countersign::sign
