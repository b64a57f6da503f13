#include "libs/http/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/http/event_loop.h"
#include "libs/http/url.h"

namespace countersign::http {
namespace {

using internal::Acceptor;
using internal::EventLoop;
using internal::ServerState;
using internal::Tcp;

absl::StatusOr<Tcp::endpoint> ResolveListen(const std::string& address) {
  ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(address));
  boost::system::error_code error;
  const auto literal = boost::asio::ip::make_address(where.host, error);
  if (!error) return Tcp::endpoint(literal, static_cast<uint16_t>(where.port));
  boost::asio::io_context io;
  Tcp::resolver resolver(io);
  const auto found = resolver.resolve(where.host, absl::StrCat(where.port), error);
  if (error || found.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot listen on '", address, "': ", error.message()));
  }
  return found.begin()->endpoint();
}

absl::Status Failure(const Tcp::endpoint& endpoint, const boost::system::error_code& error) {
  const std::string where = FormatHostPort(endpoint.address().to_string(), endpoint.port());
  if (error == boost::asio::error::address_in_use) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", where, ": the port is in use by another process"));
  }
  if (error == boost::asio::error::access_denied) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot listen on ", where, ": ", error.message()));
  }
  return absl::UnavailableError(absl::StrCat("cannot listen on ", where, ": ", error.message()));
}

boost::system::error_code SharePort(Acceptor* acceptor) {
  const int on = 1;
  if (setsockopt(acceptor->native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) {
    return {errno, boost::system::system_category()};
  }
  return {};
}

// Listens on `*endpoint` (port 0 is replaced by the one taken). SO_REUSEPORT would let a second
// process take a share of the port in silence: the first listener claims the port without it and
// sets it only once it holds the port; the others join with it.
absl::Status OpenListener(bool first, Tcp::endpoint* endpoint, Acceptor* acceptor) {
  boost::system::error_code error;
  acceptor->open(endpoint->protocol(), error);
  if (!error) acceptor->set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error && !first) error = SharePort(acceptor);
  if (!error) acceptor->bind(*endpoint, error);
  if (!error) acceptor->listen(4096, error);
  if (!error && first) error = SharePort(acceptor);
  if (error) return Failure(*endpoint, error);
  *endpoint = acceptor->local_endpoint(error);
  if (error) return Failure(*endpoint, error);
  return absl::OkStatus();
}

}  // namespace

class Server::Impl {
 public:
  Impl(ServerOptions options, Handler handler) : state_(std::make_shared<ServerState>()) {
    state_->options = std::move(options);
    state_->handler = std::move(handler);
  }

  absl::Status Start() {
    ASSIGN_OR_RETURN(Tcp::endpoint endpoint, ResolveListen(state_->options.address));
    std::vector<std::shared_ptr<EventLoop>> loops;
    std::vector<Acceptor> acceptors;
    for (int i = 0; i < std::max(1, state_->options.threads); ++i) {
      loops.push_back(std::make_shared<EventLoop>(state_));
      acceptors.emplace_back(loops.back()->io().get_executor());
      RETURN_IF_ERROR(OpenListener(i == 0, &endpoint, &acceptors.back()));
    }
    port_ = endpoint.port();
    address_ = FormatHostPort(endpoint.address().to_string(), port_);
    for (size_t i = 0; i < loops.size(); ++i) loops[i]->Start(std::move(acceptors[i]));
    loops_ = std::move(loops);
    return absl::OkStatus();
  }

  ~Impl() { Drain(absl::ZeroDuration()); }

  bool Drain(absl::Duration grace) {
    base::MutexLock once(&drain_mutex_);
    if (loops_.empty()) return true;
    for (const auto& loop : loops_) loop->BeginDrain();
    bool answered;
    {
      base::MutexLock lock(&state_->mutex);
      answered = state_->changed.WaitFor(&state_->mutex, grace,
                                         [this] { return state_->connections == 0; });
    }
    if (!answered) answered = NothingOwed();
    for (const auto& loop : loops_) loop->CloseAll();
    for (const auto& loop : loops_) loop->Join();
    loops_.clear();
    return answered;
  }

  int port() const { return port_; }
  const std::string& address() const { return address_; }
  int connections() const { return state_->connections; }

 private:
  // Whether only connections without a request under way are left.
  bool NothingOwed() {
    base::Mutex mutex;
    base::CondVar done;
    size_t asked = 0;
    bool owed = false;
    for (const auto& loop : loops_) {
      loop->Post([&, loop] {
        const bool unanswered = loop->HasUnanswered();
        base::MutexLock lock(&mutex);
        owed = owed || unanswered;
        ++asked;
        done.NotifyAll();
      });
    }
    base::MutexLock lock(&mutex);
    done.Wait(&mutex, [&] { return asked == loops_.size(); });
    return !owed;
  }

  const std::shared_ptr<ServerState> state_;
  int port_ = 0;
  std::string address_;
  // Makes Drain run once.
  base::Mutex drain_mutex_;
  std::vector<std::shared_ptr<EventLoop>> loops_;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Listen(ServerOptions options, Handler handler) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(handler));
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;
int Server::port() const { return impl_->port(); }
const std::string& Server::address() const { return impl_->address(); }
int Server::connections() const { return impl_->connections(); }
bool Server::Drain(absl::Duration grace) { return impl_->Drain(grace); }

}  // namespace countersign::http
