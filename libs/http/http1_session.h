// One HTTP/1.1 connection on an event loop.
#ifndef COUNTERSIGN_LIBS_HTTP_HTTP1_SESSION_H_
#define COUNTERSIGN_LIBS_HTTP_HTTP1_SESSION_H_

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "libs/http/event_loop.h"
#include "libs/http/message.h"

namespace countersign::http::internal {

// Lives in its loop's map until it is closed; touched by the loop's thread only. Requests of one
// connection are handled one after the other, so that pipelined ones are answered in order.
class Http1Session : public std::enable_shared_from_this<Http1Session> {
 public:
  explicit Http1Session(EventLoop* loop);

  Socket& socket() { return socket_; }

  // Begins to read; with `refuse`, answers 503 and closes.
  void Start(bool refuse);

  // The answer to the exchange with that number; one that came too late is dropped.
  void OnResponse(uint64_t exchange, Response response);

  // Closes when it is between requests; otherwise the next answer is the last.
  void OnDrain();
  void OnDeadline();
  void Close();

  SteadyTime deadline() const { return deadline_; }
  bool OwesAnswer() const;

 private:
  enum class State {
    kIdle,       // between requests
    kReading,    // part of a request has arrived
    kHandling,   // the handler has it
    kWriting,    // the answer is on its way
    kLingering,  // nothing more to say; reads until the client closes, so that it sees the answer
    kClosed,
  };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void SetState(State state, absl::Duration timeout);
  void BeginRequest();
  enum class Fast { kNotForIt, kAnswered, kUnderWay };
  // Has the fast path answer what it can of the buffer.
  Fast AnswerFast();
  void Read();
  void OnBytes();
  // Checks the header block as a whole; returns false when it has answered.
  bool AcceptHeader();
  void Dispatch();
  // Answers `response` and closes.
  void Fail(int status, absl::string_view detail);
  void Write(Response response, bool close);
  // Sends out_head_ and out_body_.
  void Send(bool close);
  void Linger();

  EventLoop* const loop_;
  Socket socket_;
  std::string peer_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  bool header_accepted_ = false;
  State state_ = State::kIdle;
  SteadyTime deadline_;

  uint64_t exchange_ = 0;
  bool head_ = false;
  bool http10_ = false;
  bool keep_alive_ = false;
  std::string out_head_;
  std::shared_ptr<const std::string> out_body_;
};

}  // namespace countersign::http::internal

#endif  // COUNTERSIGN_LIBS_HTTP_HTTP1_SESSION_H_
