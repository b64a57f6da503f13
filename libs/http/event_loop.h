// One thread of a server: its event loop, its listener and the connections it accepted.
#ifndef COUNTERSIGN_LIBS_HTTP_EVENT_LOOP_H_
#define COUNTERSIGN_LIBS_HTTP_EVENT_LOOP_H_

#include <atomic>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>  // Asio 1.74 uses std::exchange without it

#include "absl/strings/string_view.h"
#include "libs/base/mutex.h"
#include "libs/http/fast_path.h"
#include "libs/http/server.h"

namespace countersign::http::internal {

using Tcp = boost::asio::ip::tcp;
using Socket = boost::asio::basic_stream_socket<Tcp, boost::asio::io_context::executor_type>;
using Acceptor = boost::asio::basic_socket_acceptor<Tcp, boost::asio::io_context::executor_type>;
using SteadyTime = std::chrono::steady_clock::time_point;

class Http1Session;

// What all loops of a server share.
struct ServerState {
  ServerOptions options;
  Handler handler;
  std::atomic<int> connections{0};

  // Guards no data of its own; connections is changed under it so that Drain can wait for 0.
  base::Mutex mutex;
  base::CondVar changed;
};

// Everything but Post, InThread and the functions marked so belongs to the loop's own thread.
class EventLoop : public std::enable_shared_from_this<EventLoop> {
 public:
  explicit EventLoop(std::shared_ptr<ServerState> state);

  // Any thread, before Start.
  boost::asio::io_context& io() { return io_; }
  void Start(Acceptor acceptor);

  // Any thread. Runs `task` on the loop; drops it when the loop has ended.
  void Post(std::function<void()> task);
  bool InThread() const { return std::this_thread::get_id() == thread_id_; }

  // Any other thread: stop accepting and close idle connections; close all; wait for the end.
  void BeginDrain();
  void CloseAll();
  void Join();

  const ServerState& state() const { return *state_; }
  bool draining() const { return draining_; }
  // Sessions that still owe an answer.
  bool HasUnanswered() const;
  // The Date field's value.
  absl::string_view Date();
  FastPath& fast_path() { return fast_path_; }

  void Add(std::shared_ptr<Http1Session> session);
  void Remove(Http1Session* session);

 private:
  void Accept();
  void Sweep();

  const std::shared_ptr<ServerState> state_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  Acceptor acceptor_;
  boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                    boost::asio::wait_traits<std::chrono::steady_clock>,
                                    boost::asio::io_context::executor_type>
      sweep_timer_;
  std::chrono::nanoseconds sweep_period_;
  std::unordered_map<Http1Session*, std::shared_ptr<Http1Session>> sessions_;
  bool draining_ = false;
  bool closing_ = false;
  int64_t date_second_ = -1;
  std::string date_;
  FastPath fast_path_;

  // Once stopped, nothing is posted any more: nothing would run it.
  base::Mutex post_mutex_;
  bool stopped_ ABSL_GUARDED_BY(post_mutex_) = false;

  std::thread thread_;
  std::atomic<std::thread::id> thread_id_;
};

}  // namespace countersign::http::internal

#endif  // COUNTERSIGN_LIBS_HTTP_EVENT_LOOP_H_
