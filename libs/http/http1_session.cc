#include "libs/http/http1_session.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/write.hpp>
#include <boost/beast/http/error.hpp>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "libs/base/log.h"
#include "libs/http/problem.h"
#include "libs/http/url.h"

namespace countersign::http::internal {
namespace {

namespace beast = boost::beast;

constexpr size_t kReadBytes = 16 * 1024;
constexpr absl::Duration kLinger = absl::Seconds(1);

absl::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

// One request's way back to its connection; the last copy of a responder that goes unused answers
// 500.
class Exchange {
 public:
  Exchange(std::shared_ptr<EventLoop> loop, std::weak_ptr<Http1Session> session, uint64_t number)
      : loop_(std::move(loop)), session_(std::move(session)), number_(number) {}

  ~Exchange() {
    if (!answered_) {
      Answer(ProblemResponse(500, "the server lost track of this request; please try again"));
    }
  }

  void Answer(Response response) {
    if (answered_.exchange(true)) return;
    if (loop_->InThread()) {
      if (auto session = session_.lock()) session->OnResponse(number_, std::move(response));
      return;
    }
    loop_->Post([session = session_, number = number_,
                 shared = std::make_shared<Response>(std::move(response))] {
      if (auto alive = session.lock()) alive->OnResponse(number, std::move(*shared));
    });
  }

 private:
  const std::shared_ptr<EventLoop> loop_;
  const std::weak_ptr<Http1Session> session_;
  const uint64_t number_;
  std::atomic<bool> answered_{false};
};

bool ValidFieldName(absl::string_view name) {
  for (char c : name) {
    if (!absl::ascii_isalnum(c) && !absl::StrContains("!#$%&'*+-.^_`|~", c)) return false;
  }
  return !name.empty();
}

bool ValidFieldValue(absl::string_view value) {
  for (unsigned char c : value) {
    if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
  }
  return true;
}

bool OwnedByServer(absl::string_view name) {
  for (absl::string_view own :
       {"Content-Length", "Connection", "Keep-Alive", "Transfer-Encoding", "Date"}) {
    if (absl::EqualsIgnoreCase(name, own)) return true;
  }
  return false;
}

// The status and explanation for what the parser refuses.
std::pair<int, absl::string_view> Explain(const beast::error_code& error) {
  using Error = beast::http::error;
  if (error == Error::header_limit || error == Error::buffer_overflow) {
    return {431, "the header fields are larger than this server accepts"};
  }
  if (error == Error::body_limit) return {413, "the body is larger than this server accepts"};
  if (error == Error::bad_version) return {505, "this server speaks HTTP/1.1 and HTTP/1.0"};
  return {400, "this is not a well-formed HTTP/1.1 request"};
}

}  // namespace

Http1Session::Http1Session(EventLoop* loop) : loop_(loop), socket_(loop->io().get_executor()) {}

void Http1Session::SetState(State state, absl::Duration timeout) {
  state_ = state;
  deadline_ = timeout == absl::InfiniteDuration()
                  ? SteadyTime::max()
                  : std::chrono::steady_clock::now() +
                        std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                            absl::ToChronoNanoseconds(timeout));
}

void Http1Session::Start(bool refuse) {
  boost::system::error_code error;
  socket_.set_option(Tcp::no_delay(true), error);
  const auto remote = socket_.remote_endpoint(error);
  if (error) return Close();
  peer_ = FormatHostPort(remote.address().to_string(), remote.port());
  if (refuse) {
    Response response =
        ProblemResponse(503, "this server has as many connections as it accepts; try again later");
    response.headers.Set("Retry-After", "1");
    return Write(std::move(response), /*close=*/true);
  }
  BeginRequest();
}

void Http1Session::BeginRequest() {
  const ServerOptions& options = loop_->state().options;
  while (true) {
    if (buffer_.size() == 0) {
      if (loop_->draining()) return Linger();
      SetState(State::kIdle, options.idle_timeout);
      return Read();
    }
    const Fast fast = AnswerFast();
    if (fast == Fast::kUnderWay) return;
    if (fast == Fast::kNotForIt) break;
  }
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(std::min<size_t>(options.max_header_bytes, 1 << 30)));
  parser_->body_limit(options.max_body_bytes);
  header_accepted_ = false;
  head_ = false;
  http10_ = false;
  keep_alive_ = false;
  SetState(State::kReading, options.read_timeout);
  OnBytes();
}

Http1Session::Fast Http1Session::AnswerFast() {
  FastPath& fast_path = loop_->fast_path();
  if (!fast_path.enabled()) return Fast::kNotForIt;
  const absl::string_view bytes(static_cast<const char*>(buffer_.data().data()), buffer_.size());
  const FastPath::Answered answered = fast_path.Answer(bytes, loop_->Date(), loop_->draining());
  if (answered.consumed == 0) return Fast::kNotForIt;
  buffer_.consume(answered.consumed);
  absl::string_view out = fast_path.out();
  // The socket takes a small answer at once unless the client does not read.
  const ssize_t sent =
      send(socket_.native_handle(), out.data(), out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    Close();
    return Fast::kUnderWay;
  }
  if (sent > 0) out.remove_prefix(static_cast<size_t>(sent));
  if (out.empty() && !answered.close) return Fast::kAnswered;
  if (out.empty()) {
    Linger();
    return Fast::kUnderWay;
  }
  out_head_.assign(out.data(), out.size());
  SetState(State::kWriting, loop_->state().options.request_timeout);
  Send(answered.close);
  return Fast::kUnderWay;
}

void Http1Session::Read() {
  socket_.async_read_some(
      buffer_.prepare(kReadBytes),
      [self = shared_from_this()](boost::system::error_code error, size_t bytes) {
        if (self->state_ != State::kIdle && self->state_ != State::kReading) return;
        if (error) {
          // A client that has sent half a request and closed its side may still listen.
          if (error == boost::asio::error::eof && self->state_ == State::kReading) {
            return self->Fail(400, "the connection was closed in the middle of the request");
          }
          return self->Close();
        }
        self->buffer_.commit(bytes);
        if (self->state_ == State::kIdle) return self->BeginRequest();
        self->OnBytes();
      });
}

void Http1Session::OnBytes() {
  while (true) {
    if (!parser_->got_some()) {
      // RFC 9112 section 2.2: empty lines before a request line are ignored.
      absl::string_view seen(static_cast<const char*>(buffer_.data().data()), buffer_.size());
      while (absl::ConsumePrefix(&seen, "\r\n")) buffer_.consume(2);
      if (seen.empty() || seen == "\r") return Read();
    }
    beast::error_code error;
    const size_t used = parser_->put(buffer_.data(), error);
    buffer_.consume(used);
    if (error == beast::http::error::need_more) {
      // The parser bounds header and body, but not a chunk's extensions or the trailers.
      if (buffer_.size() > loop_->state().options.max_header_bytes + kReadBytes) {
        return Fail(431, "chunk extensions or trailers are larger than this server accepts");
      }
      return Read();
    }
    if (error) {
      const auto [status, detail] = Explain(error);
      return Fail(status, detail);
    }
    if (parser_->is_header_done() && !header_accepted_) {
      header_accepted_ = true;
      if (!AcceptHeader()) return;
      parser_->eager(true);
      if (!parser_->is_done() &&
          absl::EqualsIgnoreCase(View(parser_->get()[beast::http::field::expect]),
                                 "100-continue")) {
        static constexpr absl::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
        boost::asio::async_write(
            socket_, boost::asio::buffer(kContinue.data(), kContinue.size()),
            [self = shared_from_this()](boost::system::error_code failed, size_t) {
              if (self->state_ != State::kReading) return;
              if (failed) return self->Close();
              self->OnBytes();
            });
        return;
      }
    }
    if (parser_->is_done()) return Dispatch();
    if (buffer_.size() == 0) return Read();
  }
}

bool Http1Session::AcceptHeader() {
  const auto& message = parser_->get();
  http10_ = message.version() == 10;
  int hosts = 0;
  int encodings = 0;
  for (const auto& field : message) {
    if (field.name() == beast::http::field::host) ++hosts;
    if (field.name() == beast::http::field::transfer_encoding) ++encodings;
  }
  if (hosts > 1 || (hosts == 0 && !http10_)) {
    Fail(400, "a request needs exactly one Host field");
    return false;
  }
  if (encodings > 0) {
    // Anything but plain chunked would leave room for doubt about where the body ends.
    if (http10_) {
      Fail(400, "HTTP/1.0 has no Transfer-Encoding");
      return false;
    }
    if (encodings > 1 || !parser_->chunked() ||
        !absl::EqualsIgnoreCase(View(message[beast::http::field::transfer_encoding]), "chunked")) {
      Fail(501, "the only Transfer-Encoding that this server knows is chunked");
      return false;
    }
  }
  const absl::string_view expect = View(message[beast::http::field::expect]);
  if (!expect.empty() && !absl::EqualsIgnoreCase(expect, "100-continue")) {
    Fail(417, "the only expectation that this server knows is 100-continue");
    return false;
  }
  return true;
}

void Http1Session::Dispatch() {
  auto message = parser_->release();
  Request request;
  request.method = std::string(message.method_string());
  absl::string_view target = View(message.target());
  // The absolute form that proxies receive (RFC 9112 section 3.2.2).
  if (absl::StartsWithIgnoreCase(target, "http://")) {
    const size_t end = target.find_first_of("/?", 7);
    request.target = end == absl::string_view::npos ? "/"
                     : target[end] == '?'           ? absl::StrCat("/", target.substr(end))
                                                    : std::string(target.substr(end));
  } else {
    request.target = std::string(target);
  }
  bool valid = absl::StartsWith(request.target, "/") ||
               (request.target == "*" && request.method == "OPTIONS");
  for (char c : request.target) valid = valid && absl::ascii_isgraph(c) && c != '#';
  if (!valid) return Fail(400, "the request target is not a path of printable ASCII characters");

  head_ = request.method == "HEAD";
  request.head = head_;
  if (head_) request.method = "GET";
  for (const auto& field : message) {
    request.headers.Add(View(field.name_string()), View(field.value()));
  }
  request.body = std::move(message.body());
  request.peer = peer_;
  keep_alive_ = message.keep_alive();
  const absl::Duration timeout = loop_->state().options.request_timeout;
  request.deadline = absl::Now() + timeout;
  SetState(State::kHandling, timeout);

  auto exchange =
      std::make_shared<Exchange>(loop_->shared_from_this(), weak_from_this(), ++exchange_);
  Responder respond = [exchange](Response response) { exchange->Answer(std::move(response)); };
  exchange.reset();
  try {
    loop_->state().handler(std::move(request), std::move(respond));
  } catch (const std::exception& error) {
    base::Log(base::Severity::kError, "an HTTP handler threw", {{"error", error.what()}});
  } catch (...) {
    base::Log(base::Severity::kError, "an HTTP handler threw");
  }
}

void Http1Session::OnResponse(uint64_t exchange, Response response) {
  if (state_ != State::kHandling || exchange != exchange_) return;
  Write(std::move(response), !keep_alive_ || loop_->draining());
}

void Http1Session::Fail(int status, absl::string_view detail) {
  Write(ProblemResponse(status, detail), /*close=*/true);
}

void Http1Session::Write(Response response, bool close) {
  if (response.status < 200 || response.status > 599) {
    base::Log(base::Severity::kError, "an HTTP handler answered with a status that is none",
              {{"status", absl::StrCat(response.status)}});
    response = ProblemResponse(500, "");
  }
  SetState(State::kWriting, loop_->state().options.request_timeout);
  out_head_ = absl::StrCat("HTTP/1.1 ", response.status, " ", ReasonPhrase(response.status),
                           "\r\nDate: ", loop_->Date(), "\r\n");
  for (const auto& [name, value] : response.headers) {
    if (OwnedByServer(name)) continue;
    if (!ValidFieldName(name) || !ValidFieldValue(value)) {
      base::Log(base::Severity::kError, "dropped a malformed response header", {{"name", name}});
      continue;
    }
    absl::StrAppend(&out_head_, name, ": ", value, "\r\n");
  }
  const bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless) {
    absl::StrAppend(&out_head_, "Content-Length: ", response.body_view().size(), "\r\n");
  }
  if (close) {
    absl::StrAppend(&out_head_, "Connection: close\r\n");
  } else if (http10_) {
    absl::StrAppend(&out_head_, "Connection: keep-alive\r\n");
  }
  absl::StrAppend(&out_head_, "\r\n");
  out_body_ = bodiless || head_ ? nullptr : std::move(response.body);
  Send(close);
}

void Http1Session::Send(bool close) {
  const std::array<boost::asio::const_buffer, 2> buffers = {
      boost::asio::buffer(out_head_),
      out_body_ == nullptr ? boost::asio::const_buffer() : boost::asio::buffer(*out_body_)};
  boost::asio::async_write(
      socket_, buffers,
      [self = shared_from_this(), close](boost::system::error_code error, size_t) {
        if (self->state_ != State::kWriting) return;
        self->out_body_.reset();
        if (error) return self->Close();
        if (close) return self->Linger();
        self->BeginRequest();
      });
}

void Http1Session::Linger() {
  // Closing with unread bytes would send a reset, which can overtake the answer (RFC 9112 section
  // 9.6): half-close, and wait for the client to close.
  if (state_ != State::kLingering) {
    boost::system::error_code error;
    socket_.shutdown(Tcp::socket::shutdown_send, error);
    if (error) return Close();
    SetState(State::kLingering, kLinger);
  }
  buffer_.clear();
  socket_.async_read_some(buffer_.prepare(kReadBytes),
                          [self = shared_from_this()](boost::system::error_code error, size_t) {
                            if (self->state_ != State::kLingering) return;
                            if (error) return self->Close();
                            self->Linger();
                          });
}

bool Http1Session::OwesAnswer() const {
  return state_ == State::kReading || state_ == State::kHandling || state_ == State::kWriting;
}

void Http1Session::OnDrain() {
  if (state_ != State::kIdle) return;
  // The read that is under way ends the session once the client closes too.
  boost::system::error_code error;
  socket_.cancel(error);
  Linger();
}

void Http1Session::OnDeadline() {
  switch (state_) {
    case State::kIdle:
    case State::kWriting:
    case State::kLingering:
      return Close();
    case State::kReading: {
      boost::system::error_code error;
      socket_.cancel(error);
      return Fail(408, "the request did not arrive in time");
    }
    case State::kHandling:
      return Write(ProblemResponse(504, "the request was not answered in time"), /*close=*/true);
    case State::kClosed:
      return;
  }
}

void Http1Session::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  boost::system::error_code ignored;
  socket_.close(ignored);
  loop_->Remove(this);
}

}  // namespace countersign::http::internal
