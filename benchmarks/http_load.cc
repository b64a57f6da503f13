#include "benchmarks/http_load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace countersign::bench {
namespace {

using Nanoseconds = int64_t;

constexpr Nanoseconds kSecond = 1'000'000'000;
// How long answers are waited for once nothing more is asked.
constexpr Nanoseconds kPatience = 5 * kSecond;
// How long sending everything once may take.
constexpr Nanoseconds kLongest = 600 * kSecond;

Nanoseconds Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Latencies to within 1/32.
class Histogram {
 public:
  void Add(Nanoseconds latency) {
    ++counts_[Bucket(static_cast<uint64_t>(std::max<Nanoseconds>(latency, 0)))];
  }
  void Merge(const Histogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  }
  uint64_t Count() const {
    uint64_t count = 0;
    for (uint64_t in_bucket : counts_) count += in_bucket;
    return count;
  }
  // The least latency, in milliseconds, that `part` of all do not exceed.
  double Percentile(double part) const {
    const double wanted = part * static_cast<double>(Count());
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > 0 && static_cast<double>(seen) >= wanted) {
        return static_cast<double>(UpperBound(i)) / 1e6;
      }
    }
    return 0;
  }

 private:
  static constexpr int kSubBits = 5;

  static size_t Bucket(uint64_t value) {
    const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kSubBits - 1);
    return (static_cast<size_t>(shift) << kSubBits) + static_cast<size_t>(value >> shift);
  }
  static uint64_t UpperBound(size_t bucket) {
    const size_t shift = bucket < (2u << kSubBits) ? 0 : (bucket >> kSubBits) - 1;
    return ((bucket - (shift << kSubBits) + 1) << shift) - 1;
  }

  std::array<uint64_t, 60u << kSubBits> counts_ = {};
};

// What an answer is, so far.
enum class Answer { kPartial, kRight, kWrong };

Answer Judge(absl::string_view bytes, const HttpExchange& exchange) {
  const void* const end = memmem(bytes.data(), bytes.size(), "\r\n\r\n", 4);
  if (end == nullptr) return Answer::kPartial;
  const size_t head_size = static_cast<size_t>(static_cast<const char*>(end) - bytes.data()) + 4;
  const absl::string_view head = bytes.substr(0, head_size);
  static constexpr absl::string_view kVersion = "HTTP/1.1 ";
  if (!absl::StartsWith(head, kVersion) || head.size() < kVersion.size() + 3) return Answer::kWrong;
  int status = 0;
  for (size_t i = 0; i < 3; ++i) status = status * 10 + (head[kVersion.size() + i] - '0');
  static constexpr absl::string_view kLength = "\r\nContent-Length: ";
  const void* const field = memmem(head.data(), head.size(), kLength.data(), kLength.size());
  size_t length = 0;
  if (field != nullptr) {
    for (const char* p = static_cast<const char*>(field) + kLength.size(); *p >= '0' && *p <= '9';
         ++p) {
      length = length * 10 + static_cast<size_t>(*p - '0');
    }
  }
  if (bytes.size() < head_size + length) return Answer::kPartial;
  const bool right = status == exchange.status && bytes.size() == head_size + length &&
                     length >= exchange.least_body_bytes &&
                     (exchange.body.empty() || exchange.body == bytes.substr(head_size));
  return right ? Answer::kRight : Answer::kWrong;
}

struct Connection {
  int fd = -1;
  const HttpExchange* exchange = nullptr;  // under way
  Nanoseconds since = 0;
  std::string partial;
};

int Connect(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

// One thread's connections.
class Worker {
 public:
  Worker(const HttpLoadOptions& options, absl::Span<const HttpExchange> exchanges, int index)
      : exchanges_(exchanges),
        seed_(options.seed),
        next_(options.seed + static_cast<uint64_t>(index)),
        step_(static_cast<uint64_t>(options.threads)),
        end_(options.once ? exchanges.size() : ~uint64_t{0}),
        interval_(options.rate > 0 ? static_cast<double>(kSecond) * options.threads / options.rate
                                   : 0),
        epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    connections_.resize(static_cast<size_t>(
        std::max(1, options.connections / options.threads +
                        (index < options.connections % options.threads ? 1 : 0))));
    for (Connection& connection : connections_) {
      connection.fd = Connect(options.port);
      connected_ &= connection.fd >= 0;
      epoll_event event = {};
      event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
      event.data.ptr = &connection;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
      idle_.push_back(&connection);
    }
  }

  ~Worker() {
    for (const Connection& connection : connections_) {
      if (connection.fd >= 0) close(connection.fd);
    }
    close(epoll_);
  }
  Worker(const Worker&) = delete;

  bool connected() const { return connected_; }
  const Histogram& histogram() const { return histogram_; }
  uint64_t failures() const { return failures_; }
  bool closed() const { return closed_; }
  // When the last answer came.
  Nanoseconds ended() const { return ended_; }

  void Run(Nanoseconds begin, Nanoseconds counted_from, Nanoseconds until) {
    // Else the kernel wakes a sleeper up to 50 µs late.
    prctl(PR_SET_TIMERSLACK, 1);
    counted_from_ = counted_from;
    until_ = until;
    double due = static_cast<double>(begin);
    if (interval_ == 0) {
      while (!idle_.empty() && next_ < end_) Ask(idle_.back(), Now());
    }
    std::array<epoll_event, 256> events;
    for (Nanoseconds now = Now(); !closed_; now = Now()) {
      while (interval_ > 0 && due <= static_cast<double>(now) && due < static_cast<double>(until) &&
             !idle_.empty()) {
        Ask(idle_.back(), static_cast<Nanoseconds>(due));
        due += interval_;
      }
      const bool over =
          interval_ > 0 ? due >= static_cast<double>(until) : now >= until || next_ >= end_;
      if (over && idle_.size() == connections_.size()) return;
      if (now >= until + kPatience) break;
      // Without an idle connection there is nothing to do at the time when the next is due.
      const Nanoseconds wake = interval_ > 0 && !over && !idle_.empty()
                                   ? static_cast<Nanoseconds>(due)
                                   : until + kPatience;
      const Nanoseconds wait = std::max<Nanoseconds>(wake - Now(), 0);
      const timespec timeout = {wait / kSecond, wait % kSecond};
      const int ready = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
      for (int i = 0; i < ready; ++i) {
        Receive(static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr));
      }
    }
    failures_ += connections_.size() - idle_.size();
  }

 private:
  const HttpExchange& Choose() {
    if (seed_ == 0) {
      const uint64_t index = next_;
      next_ += step_;
      return exchanges_[index % exchanges_.size()];
    }
    // splitmix64.
    uint64_t z = (next_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return exchanges_[(z ^ (z >> 31)) % exchanges_.size()];
  }

  // `connection` is the last idle one.
  void Ask(Connection* connection, Nanoseconds since) {
    idle_.pop_back();
    connection->exchange = &Choose();
    connection->since = since;
    connection->partial.clear();
    const std::string& request = connection->exchange->request;
    for (size_t sent = 0; sent < request.size();) {
      const ssize_t n =
          send(connection->fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        closed_ = true;
        return;
      }
      sent += static_cast<size_t>(n);
    }
  }

  void Receive(Connection* connection) {
    while (true) {
      const ssize_t n = recv(connection->fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (n <= 0 || connection->exchange == nullptr) {
        closed_ = true;
        return;
      }
      absl::string_view bytes(buffer_.data(), static_cast<size_t>(n));
      if (!connection->partial.empty()) {
        connection->partial.append(bytes.data(), bytes.size());
        bytes = connection->partial;
      }
      const Answer answer = Judge(bytes, *connection->exchange);
      if (answer == Answer::kPartial) {
        if (connection->partial.empty()) connection->partial.assign(bytes.data(), bytes.size());
        continue;
      }
      return End(connection, answer == Answer::kRight);
    }
  }

  void End(Connection* connection, bool right) {
    const Nanoseconds now = Now();
    if (!right) {
      ++failures_;
    } else if (now >= counted_from_ && now < until_) {
      histogram_.Add(now - connection->since);
    }
    connection->exchange = nullptr;
    idle_.push_back(connection);
    ended_ = now;
    if (interval_ == 0 && now < until_ && next_ < end_) Ask(connection, now);
  }

  const absl::Span<const HttpExchange> exchanges_;
  const uint64_t seed_;
  uint64_t next_;
  const uint64_t step_;
  const uint64_t end_;     // of next_, when requests are sent once
  const double interval_;  // between requests, in nanoseconds; 0 for a closed loop
  const int epoll_;
  std::vector<Connection> connections_;
  std::vector<Connection*> idle_;
  bool connected_ = true;
  bool closed_ = false;
  Nanoseconds counted_from_ = 0;
  Nanoseconds until_ = 0;
  Nanoseconds ended_ = 0;
  Histogram histogram_;
  uint64_t failures_ = 0;
  std::array<char, 256 * 1024> buffer_;
};

}  // namespace

absl::StatusOr<LoadResult> RunHttpLoad(const HttpLoadOptions& options,
                                       absl::Span<const HttpExchange> exchanges) {
  if (exchanges.empty()) return absl::InvalidArgumentError("no requests to send");
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < options.threads; ++i) {
    workers.push_back(std::make_unique<Worker>(options, exchanges, i));
    if (!workers.back()->connected()) {
      return absl::UnavailableError(
          absl::StrCat("cannot connect to port ", options.port, ": ", std::strerror(errno)));
    }
  }
  const Nanoseconds begin = Now();
  const Nanoseconds counted_from =
      options.once ? begin : begin + absl::ToInt64Nanoseconds(options.warm_up);
  const Nanoseconds until =
      options.once ? begin + kLongest : counted_from + absl::ToInt64Nanoseconds(options.length);
  std::vector<std::thread> threads;
  for (auto& worker : workers) {
    threads.emplace_back([&] { worker->Run(begin, counted_from, until); });
  }
  for (std::thread& thread : threads) thread.join();
  Histogram all;
  LoadResult result;
  Nanoseconds ended = begin;
  for (const auto& worker : workers) {
    if (worker->closed()) return absl::UnavailableError("the server closed a connection");
    all.Merge(worker->histogram());
    result.failures += worker->failures();
    ended = std::max(ended, worker->ended());
  }
  result.operations = all.Count();
  result.seconds = options.once ? static_cast<double>(ended - begin) / kSecond
                                : absl::ToDoubleSeconds(options.length);
  result.p50_ms = all.Percentile(0.50);
  result.p95_ms = all.Percentile(0.95);
  result.p99_ms = all.Percentile(0.99);
  return result;
}

}  // namespace countersign::bench
