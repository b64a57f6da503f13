#include "libs/http/client.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <map>
#include <optional>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/mutex.h"
#include "libs/http/url.h"

namespace countersign::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using Tcp = asio::ip::tcp;
using Socket = asio::basic_stream_socket<Tcp, asio::io_context::executor_type>;
using Error = boost::system::error_code;

constexpr size_t kReadBytes = 16 * 1024;

absl::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

absl::Status ValidateFields(const ClientRequest& request) {
  for (char c : request.method) {
    if (!absl::ascii_isalpha(c) && c != '-') {
      return absl::InvalidArgumentError("the method must be a word");
    }
  }
  if (request.method.empty()) return absl::InvalidArgumentError("the method must not be empty");
  for (const auto& [name, value] : request.headers) {
    bool valid = !name.empty();
    for (char c : name) {
      valid = valid && (absl::ascii_isalnum(c) || absl::StrContains("!#$%&'*+-.^_`|~", c));
    }
    for (unsigned char c : value) valid = valid && (c >= 0x20 || c == '\t') && c != 0x7f;
    if (!valid) {
      return absl::InvalidArgumentError(absl::StrCat("header field '", name, "' is malformed"));
    }
  }
  return absl::OkStatus();
}

std::string FormatHead(const ClientRequest& request, const Url& url) {
  std::string head =
      absl::StrCat(request.method, " ", url.target, " HTTP/1.1\r\nHost: ", url.authority(), "\r\n");
  for (const auto& [name, value] : request.headers) {
    if (absl::EqualsIgnoreCase(name, "Host") || absl::EqualsIgnoreCase(name, "Content-Length") ||
        absl::EqualsIgnoreCase(name, "Transfer-Encoding") ||
        absl::EqualsIgnoreCase(name, "Connection")) {
      continue;
    }
    absl::StrAppend(&head, name, ": ", value, "\r\n");
  }
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT" ||
      request.method == "PATCH") {
    absl::StrAppend(&head, "Content-Length: ", request.body.size(), "\r\n");
  }
  absl::StrAppend(&head, "\r\n");
  return head;
}

}  // namespace

// All members but Send and the destructor belong to the client's thread.
class Client::Impl {
 public:
  explicit Impl(ClientOptions options)
      : options_(std::move(options)), work_(io_.get_executor()), thread_([this] { io_.run(); }) {}

  ~Impl();

  void Send(ClientRequest request, Callback done);

 private:
  class Exchange;
  struct Idle {
    std::unique_ptr<Socket> socket;
    absl::Time since;
  };

  // A kept connection to `key` that the server has not closed, or null.
  std::unique_ptr<Socket> TakeIdle(const std::string& key) {
    auto at = pool_.find(key);
    if (at == pool_.end()) return nullptr;
    while (!at->second.empty()) {
      Idle idle = std::move(at->second.back());
      at->second.pop_back();
      char byte;
      const auto peeked = recv(idle.socket->native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      const bool silent = peeked < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
      if (silent && absl::Now() - idle.since < options_.idle_timeout) return std::move(idle.socket);
    }
    pool_.erase(at);
    return nullptr;
  }

  void Keep(const std::string& key, std::unique_ptr<Socket> socket) {
    const absl::Time now = absl::Now();
    for (auto at = pool_.begin(); at != pool_.end();) {
      auto& idle = at->second;
      while (!idle.empty() && now - idle.front().since >= options_.idle_timeout) idle.pop_front();
      at = idle.empty() ? pool_.erase(at) : std::next(at);
    }
    if (closing_ || options_.max_idle_per_host <= 0) return;
    auto& idle = pool_[key];
    if (static_cast<int>(idle.size()) >= options_.max_idle_per_host) idle.pop_front();
    idle.push_back({std::move(socket), now});
  }

  const ClientOptions options_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  // By "host:port"; the most recently used at the back.
  std::map<std::string, std::deque<Idle>> pool_;
  std::unordered_set<std::shared_ptr<Exchange>> exchanges_;
  bool closing_ = false;
  std::thread thread_;
};

// One request and its answer.
class Client::Impl::Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(Impl* impl, ClientRequest request, Url url, Callback done)
      : impl_(impl),
        request_(std::move(request)),
        url_(std::move(url)),
        key_(FormatHostPort(url_.host, url_.port)),
        head_(FormatHead(request_, url_)),
        done_(std::move(done)),
        resolver_(impl->io_),
        timer_(impl->io_) {}

  void Start() {
    if (impl_->closing_) return Finish(absl::CancelledError("the HTTP client was closed"));
    impl_->exchanges_.insert(shared_from_this());
    if (request_.timeout <= absl::ZeroDuration()) return Expire();
    if (request_.timeout < absl::Hours(24 * 365)) {
      timer_.expires_after(absl::ToChronoNanoseconds(request_.timeout));
      timer_.async_wait([self = shared_from_this()](Error cancelled) {
        if (!cancelled) self->Expire();
      });
    }
    socket_ = impl_->TakeIdle(key_);
    reused_ = socket_ != nullptr;
    if (reused_) return Write();
    Connect();
  }

  void Finish(absl::StatusOr<Response> result) {
    if (done_ == nullptr) return;
    Callback done = std::move(done_);
    done_ = nullptr;
    timer_.cancel();
    resolver_.cancel();
    if (socket_ != nullptr) {
      Error ignored;
      socket_->close(ignored);
    }
    auto self = shared_from_this();
    impl_->exchanges_.erase(self);
    done(std::move(result));
  }

 private:
  void Expire() {
    Finish(absl::DeadlineExceededError(
        absl::StrCat(key_, " did not answer within ", absl::FormatDuration(request_.timeout))));
  }

  void Fail(absl::string_view what, const Error& error) {
    Finish(absl::UnavailableError(absl::StrCat(what, " ", key_, ": ", error.message())));
  }

  void Connect() {
    Error error;
    const auto literal = asio::ip::make_address(url_.host, error);
    if (!error) {
      endpoints_ = {Tcp::endpoint(literal, static_cast<uint16_t>(url_.port))};
      return ConnectTo();
    }
    resolver_.async_resolve(
        url_.host, absl::StrCat(url_.port), Tcp::resolver::numeric_service,
        [self = shared_from_this()](Error failed, const Tcp::resolver::results_type& found) {
          if (self->done_ == nullptr) return;
          if (failed) return self->Fail("cannot resolve", failed);
          for (const auto& entry : found) self->endpoints_.push_back(entry.endpoint());
          self->ConnectTo();
        });
  }

  void ConnectTo() {
    socket_ = std::make_unique<Socket>(impl_->io_.get_executor());
    asio::async_connect(*socket_, endpoints_,
                        [self = shared_from_this()](Error error, const Tcp::endpoint&) {
                          if (self->done_ == nullptr) return;
                          if (error) return self->Fail("cannot connect to", error);
                          Error ignored;
                          self->socket_->set_option(Tcp::no_delay(true), ignored);
                          self->Write();
                        });
  }

  void Write() {
    received_ = false;
    buffer_.clear();
    NewParser();
    const std::array<asio::const_buffer, 2> buffers = {asio::buffer(head_),
                                                       asio::buffer(request_.body)};
    asio::async_write(*socket_, buffers, [self = shared_from_this()](Error error, size_t) {
      if (self->done_ == nullptr) return;
      // A server that refuses a large body may answer and close before it has read all: its answer
      // tells more than the broken pipe.
      self->write_error_ = error;
      self->Read();
    });
  }

  void NewParser() {
    parser_.emplace();
    parser_->eager(true);
    parser_->header_limit(static_cast<uint32_t>(
        std::min<size_t>(impl_->options_.max_response_header_bytes, 1 << 30)));
    parser_->body_limit(impl_->options_.max_response_bytes);
    parser_->skip(request_.method == "HEAD");
  }

  void Read() {
    socket_->async_read_some(buffer_.prepare(kReadBytes),
                             [self = shared_from_this()](Error error, size_t bytes) {
                               if (self->done_ != nullptr) self->OnRead(error, bytes);
                             });
  }

  void OnRead(const Error& error, size_t bytes) {
    if (error) {
      Error parse;
      if (error == asio::error::eof && parser_->is_header_done() && parser_->need_eof()) {
        parser_->put_eof(parse);
        if (!parse && parser_->is_done()) return Complete();
      }
      const bool repeatable =
          request_.idempotent || request_.method == "GET" || request_.method == "HEAD";
      if (reused_ && !received_ && repeatable) {
        reused_ = false;
        endpoints_.clear();
        return Connect();
      }
      if (write_error_ && !received_) return Fail("cannot send to", write_error_);
      return Fail("lost the connection to", error);
    }
    received_ = true;
    buffer_.commit(bytes);
    while (true) {
      Error parse;
      buffer_.consume(parser_->put(buffer_.data(), parse));
      if (parse == beast::http::error::need_more && !TooLarge()) {
        if (buffer_.size() > impl_->options_.max_response_header_bytes + kReadBytes) {
          return Finish(absl::InternalError(absl::StrCat(key_, " sent endless chunk extensions")));
        }
        return Read();
      }
      if (parse == beast::http::error::body_limit || parse == beast::http::error::header_limit ||
          TooLarge()) {
        return Finish(absl::ResourceExhaustedError(
            absl::StrCat("the answer of ", key_, " is larger than ",
                         impl_->options_.max_response_bytes, " bytes")));
      }
      if (parse) {
        return Finish(absl::InternalError(
            absl::StrCat(key_, " did not answer with HTTP/1.1: ", parse.message())));
      }
      if (parser_->is_header_done() && parser_->get().result_int() < 200 && parser_->is_done()) {
        // An interim answer; the final one follows.
        NewParser();
        if (buffer_.size() == 0) return Read();
        continue;
      }
      if (parser_->is_done()) return Complete();
      if (buffer_.size() == 0) return Read();
    }
  }

  // The parser forgets its limit when header and body come in one read.
  bool TooLarge() const {
    if (!parser_->is_header_done() || request_.method == "HEAD") return false;
    const uint64_t announced = parser_->content_length().value_or(0);
    return std::max<uint64_t>(announced, parser_->get().body().size()) >
           impl_->options_.max_response_bytes;
  }

  void Complete() {
    const bool reusable =
        parser_->keep_alive() && !parser_->need_eof() && buffer_.size() == 0 && !write_error_;
    auto message = parser_->release();
    Response response;
    response.status = static_cast<int>(message.result_int());
    for (const auto& field : message) {
      response.headers.Add(View(field.name_string()), View(field.value()));
    }
    response.body = std::make_shared<const std::string>(std::move(message.body()));
    if (reusable) impl_->Keep(key_, std::move(socket_));
    Finish(std::move(response));
  }

  Impl* const impl_;
  const ClientRequest request_;
  const Url url_;
  const std::string key_;
  const std::string head_;
  Callback done_;  // null once called
  Tcp::resolver resolver_;
  asio::steady_timer timer_;
  std::vector<Tcp::endpoint> endpoints_;
  std::unique_ptr<Socket> socket_;
  beast::flat_buffer buffer_;
  std::optional<beast::http::response_parser<beast::http::string_body>> parser_;
  Error write_error_;
  bool reused_ = false;
  bool received_ = false;
};

Client::Impl::~Impl() {
  asio::post(io_, [this] {
    closing_ = true;
    const auto exchanges = exchanges_;
    for (const auto& exchange : exchanges) {
      exchange->Finish(absl::CancelledError("the HTTP client was closed"));
    }
    pool_.clear();
    work_.reset();
  });
  thread_.join();
}

void Client::Impl::Send(ClientRequest request, Callback done) {
  absl::Status valid = ValidateFields(request);
  absl::StatusOr<Url> url = ParseHttpUrl(request.url);
  if (valid.ok()) valid = url.status();
  if (!valid.ok()) {
    asio::post(io_, [valid, done = std::move(done)] { done(valid); });
    return;
  }
  auto exchange =
      std::make_shared<Exchange>(this, std::move(request), *std::move(url), std::move(done));
  asio::post(io_, [exchange] { exchange->Start(); });
}

Client::Client(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Client::~Client() = default;

void Client::Send(ClientRequest request, Callback done) {
  impl_->Send(std::move(request), std::move(done));
}

absl::StatusOr<Response> Client::Call(ClientRequest request) {
  base::Mutex mutex;
  base::CondVar ready;
  std::optional<absl::StatusOr<Response>> answer;
  Send(std::move(request), [&](absl::StatusOr<Response> result) {
    base::MutexLock lock(&mutex);
    answer = std::move(result);
    ready.NotifyOne();
  });
  base::MutexLock lock(&mutex);
  ready.Wait(&mutex, [&] { return answer.has_value(); });
  return *std::move(answer);
}

absl::StatusOr<Response> Client::Get(absl::string_view url, absl::Duration timeout) {
  ClientRequest request;
  request.url = std::string(url);
  request.timeout = timeout;
  return Call(std::move(request));
}

absl::StatusOr<Response> Client::Post(absl::string_view url, absl::string_view content_type,
                                      std::string body, absl::Duration timeout) {
  ClientRequest request;
  request.method = "POST";
  request.url = std::string(url);
  request.headers.Add("Content-Type", content_type);
  request.body = std::move(body);
  request.timeout = timeout;
  return Call(std::move(request));
}

}  // namespace countersign::http
