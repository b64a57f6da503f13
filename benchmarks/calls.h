// Load made of unary calls on generated stubs.
#ifndef COUNTERSIGN_BENCHMARKS_CALLS_H_
#define COUNTERSIGN_BENCHMARKS_CALLS_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "benchmarks/load.h"

namespace countersign::bench {

// Runs `method` of `Service` over `channels` in turn. `fill` prepares a slot's next request, which
// still holds its last one; `check` says whether an OK answer is a good one.
template <typename Service, typename Request, typename Response, typename Method>
LoadResult RunCalls(const LoadOptions& options,
                    const std::vector<std::shared_ptr<grpc::Channel>>& channels, Method method,
                    const std::function<void(int slot, Request* request)>& fill,
                    const std::function<bool(const Response& response)>& check) {
  using Stub = typename Service::Stub;
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    Request request;
    Response response;
  };
  std::vector<std::unique_ptr<Stub>> stubs;
  for (const auto& channel : channels) stubs.push_back(Service::NewStub(channel));
  std::vector<Call> calls(static_cast<size_t>(options.in_flight));
  return RunLoad(options, [&](int slot, std::function<void(bool)> done) {
    Call& call = calls[static_cast<size_t>(slot)];
    call.context = std::make_unique<grpc::ClientContext>();
    fill(slot, &call.request);
    call.response.Clear();
    auto* async = stubs[static_cast<size_t>(slot) % stubs.size()]->async();
    method(async, call.context.get(), &call.request, &call.response,
           [&call, &check, done = std::move(done)](const grpc::Status& status) {
             done(status.ok() && check(call.response));
           });
  });
}

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_CALLS_H_
