#include "libs/http/event_loop.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <vector>

#include "absl/time/clock.h"
#include "libs/base/log.h"
#include "libs/http/http1_session.h"

namespace countersign::http::internal {
namespace {

// Connections beyond the limit that are told so at a time; further ones are closed without a word.
constexpr int kMaxRefusing = 256;

}  // namespace

EventLoop::EventLoop(std::shared_ptr<ServerState> state)
    : state_(std::move(state)),
      work_(io_.get_executor()),
      acceptor_(io_.get_executor()),
      sweep_timer_(io_.get_executor()),
      fast_path_(state_->options.fast_handler, state_->options.max_header_bytes,
                 state_->options.max_body_bytes) {
  // Timeouts are kept by one timer a loop instead of one a connection; a quarter of the shortest is
  // exact enough.
  const ServerOptions& options = state_->options;
  const absl::Duration shortest =
      std::min({options.idle_timeout, options.read_timeout, options.request_timeout});
  sweep_period_ = absl::ToChronoNanoseconds(
      std::clamp(shortest / 4, absl::Milliseconds(5), absl::Milliseconds(500)));
}

void EventLoop::Start(Acceptor acceptor) {
  acceptor_ = std::move(acceptor);
  thread_ = std::thread([self = shared_from_this()] {
    self->thread_id_ = std::this_thread::get_id();
    self->Accept();
    self->Sweep();
    self->io_.run();
  });
}

void EventLoop::Post(std::function<void()> task) {
  base::MutexLock lock(&post_mutex_);
  if (!stopped_) boost::asio::post(io_, std::move(task));
}

void EventLoop::BeginDrain() {
  Post([self = shared_from_this()] {
    self->draining_ = true;
    boost::system::error_code ignored;
    self->acceptor_.close(ignored);
    const auto sessions = self->sessions_;
    for (const auto& [raw, session] : sessions) session->OnDrain();
  });
}

void EventLoop::CloseAll() {
  Post([self = shared_from_this()] {
    self->draining_ = true;
    self->closing_ = true;
    boost::system::error_code ignored;
    self->acceptor_.close(ignored);
    self->sweep_timer_.cancel();
    const auto sessions = self->sessions_;
    for (const auto& [raw, session] : sessions) session->Close();
    self->work_.reset();
  });
}

void EventLoop::Join() {
  if (thread_.joinable()) thread_.join();
  {
    base::MutexLock lock(&post_mutex_);
    stopped_ = true;
  }
  // What was posted after the last session closed still holds references; let it go.
  io_.restart();
  io_.poll();
}

bool EventLoop::HasUnanswered() const {
  return std::any_of(sessions_.begin(), sessions_.end(),
                     [](const auto& item) { return item.second->OwesAnswer(); });
}

absl::string_view EventLoop::Date() {
  const absl::Time now = absl::Now();
  const int64_t second = absl::ToUnixSeconds(now);
  if (second != date_second_) {
    date_second_ = second;
    date_.clear();
    AppendHttpDate(now, &date_);
  }
  return date_;
}

void EventLoop::Add(std::shared_ptr<Http1Session> session) {
  Http1Session* const raw = session.get();
  sessions_.emplace(raw, std::move(session));
}

void EventLoop::Remove(Http1Session* session) {
  if (sessions_.erase(session) == 0) return;
  base::MutexLock lock(&state_->mutex);
  --state_->connections;
  state_->changed.NotifyAll();
}

void EventLoop::Accept() {
  auto session = std::make_shared<Http1Session>(this);
  acceptor_.async_accept(session->socket(), [this, session](boost::system::error_code error) {
    if (draining_ || error == boost::asio::error::operation_aborted) return;
    if (error) {
      // Out of descriptors, most likely: closing connections will give some back.
      base::Log(base::Severity::kWarning, "cannot accept a connection",
                {{"error", error.message()}});
      sweep_timer_.expires_after(std::chrono::milliseconds(50));
      sweep_timer_.async_wait([this](boost::system::error_code cancelled) {
        if (cancelled || closing_) return;
        Accept();
        Sweep();
      });
      return;
    }
    int count;
    {
      base::MutexLock lock(&state_->mutex);
      count = ++state_->connections;
    }
    Add(session);
    if (count > state_->options.max_connections + kMaxRefusing) {
      session->Close();
    } else {
      session->Start(/*refuse=*/count > state_->options.max_connections);
    }
    Accept();
  });
}

void EventLoop::Sweep() {
  sweep_timer_.expires_after(sweep_period_);
  sweep_timer_.async_wait([this](boost::system::error_code cancelled) {
    if (cancelled || closing_) return;
    const SteadyTime now = std::chrono::steady_clock::now();
    // Collected first: a session that expires leaves the map.
    std::vector<std::shared_ptr<Http1Session>> expired;
    for (const auto& [raw, session] : sessions_) {
      if (session->deadline() <= now) expired.push_back(session);
    }
    for (const auto& session : expired) session->OnDeadline();
    Sweep();
  });
}

}  // namespace countersign::http::internal
