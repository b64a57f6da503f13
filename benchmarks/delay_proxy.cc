#include "benchmarks/delay_proxy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"

namespace countersign::bench {

Timer::Timer() : thread_([this] { Work(); }) {}

Timer::~Timer() {
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void Timer::After(absl::Duration delay, std::function<void()> function) {
  base::MutexLock lock(&mutex_);
  due_.emplace(absl::Now() + delay, std::move(function));
  changed_.NotifyAll();
}

void Timer::Work() {
  base::MutexLock lock(&mutex_);
  while (!stopping_) {
    if (due_.empty()) {
      changed_.Wait(&mutex_);
      continue;
    }
    const absl::Time next = due_.begin()->first;
    const absl::Duration wait = next - absl::Now();
    if (wait > absl::ZeroDuration()) {
      changed_.WaitFor(&mutex_, wait, [&] { return stopping_ || due_.begin()->first < next; });
      continue;
    }
    const std::function<void()> function = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    mutex_.Unlock();
    function();
    mutex_.Lock();
  }
}

struct DelayProxy::State {
  std::string upstream;
  absl::Duration delay;
  Timer* timer;
  base::Mutex mutex;
  std::vector<double> latencies_ms ABSL_GUARDED_BY(mutex);
  // Last: its callbacks use the rest.
  std::unique_ptr<http::Client> client ABSL_GUARDED_BY(mutex) = std::make_unique<http::Client>();
};

absl::StatusOr<std::unique_ptr<DelayProxy>> DelayProxy::Start(const std::string& upstream,
                                                              absl::Duration delay, Timer* timer) {
  auto state = std::make_shared<State>();
  state->upstream = upstream;
  state->delay = delay;
  state->timer = timer;
  std::unique_ptr<DelayProxy> proxy(new DelayProxy(state));
  ASSIGN_OR_RETURN(
      proxy->server_,
      http::Server::Listen({}, [state](http::Request request, http::Responder respond) {
        const absl::Time arrived = absl::Now();
        auto forward = [state, arrived, request = std::move(request),
                        respond = std::move(respond)]() {
          http::ClientRequest forwarded{.method = request.method,
                                        .url = absl::StrCat(state->upstream, request.target),
                                        .body = request.body};
          base::MutexLock lock(&state->mutex);
          if (state->client == nullptr) return;
          state->client->Send(std::move(forwarded), [state = state.get(), arrived, respond](
                                                        absl::StatusOr<http::Response> response) {
            if (!response.ok()) {
              return respond(
                  http::MakeResponse(502, "text/plain", std::string(response.status().message())));
            }
            {
              base::MutexLock lock(&state->mutex);
              state->latencies_ms.push_back(absl::ToDoubleMilliseconds(absl::Now() - arrived));
            }
            respond(*std::move(response));
          });
        };
        if (state->delay == absl::ZeroDuration()) return forward();
        state->timer->After(state->delay, std::move(forward));
      }));
  return proxy;
}

DelayProxy::~DelayProxy() {
  server_.reset();
  std::unique_ptr<http::Client> client;
  {
    base::MutexLock lock(&state_->mutex);
    client = std::move(state_->client);
  }
}

std::string DelayProxy::url() const { return absl::StrCat("http://", server_->address()); }

std::vector<double> DelayProxy::TakeLatenciesMs() {
  base::MutexLock lock(&state_->mutex);
  return std::exchange(state_->latencies_ms, {});
}

}  // namespace countersign::bench
