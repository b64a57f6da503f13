#include "libs/testing/piv/virtual_reader.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/bytes.h"
#include "libs/base/mutex.h"

namespace countersign::testing::piv {
namespace {

constexpr absl::Duration kInsertTimeout = absl::Seconds(10);
constexpr absl::Duration kRedialInterval = absl::Milliseconds(20);

// vpcd's control messages, of one byte (vpcd.h in vsmartcard).
constexpr char kPowerOff = 0;
constexpr char kPowerOn = 1;
constexpr char kReset = 2;
constexpr char kGetAtr = 4;

int Dial(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd);
    return -1;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

// False at the end of the connection. vpcd writes length and body apart, without TCP_NODELAY: its
// second write waits for the acknowledgement of the first, which the kernel would put off for 40
// ms.
bool Receive(int fd, size_t size, std::string* bytes) {
  bytes->resize(size);
  size_t got = 0;
  while (got < size) {
    const ssize_t n = recv(fd, bytes->data() + got, size - got, 0);
    if (n <= 0) return false;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
    got += static_cast<size_t>(n);
  }
  return true;
}

bool ReceiveMessage(int fd, std::string* body) {
  std::string header;
  uint16_t size = 0;
  if (!Receive(fd, sizeof(size), &header)) return false;
  base::ByteReader(header).ReadU16(&size);
  return Receive(fd, size, body);
}

bool SendMessage(int fd, absl::string_view body) {
  std::string message;
  base::AppendU16(&message, static_cast<uint16_t>(body.size()));
  absl::StrAppend(&message, body);
  absl::string_view rest = message;
  while (!rest.empty()) {
    const ssize_t n = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    rest.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

struct VirtualReader::Impl {
  Impl(int reader_port, Card* inserted_card) : port(reader_port), card(inserted_card) {}

  void Run();
  // Answers on one connection until it ends.
  void Serve(int connection);
  // Answers one message; false when the connection shall end.
  bool Answer(int connection, const std::string& message);
  // A fault has pulled the card.
  void TakeOut();

  const int port;
  Card* const card;
  base::Mutex control;  // held by Insert and Remove as long as they take; before `mutex`
  std::thread thread;   // guarded by `control`

  base::Mutex mutex;  // guards the rest
  base::CondVar changed;
  bool inserted = false;
  bool taken = false;  // vpcd has asked the card for something since Insert
  // pcscd has to find the reader empty before a card that was pulled comes back, or it would not
  // know that it had been away: the first time it looks, nobody answers.
  bool seen_empty = true;
  int fd = -1;
};

void VirtualReader::Impl::TakeOut() {
  const base::MutexLock lock(&mutex);
  inserted = false;
  seen_empty = false;
  changed.NotifyAll();
}

void VirtualReader::Impl::Run() {
  while (true) {
    const int connection = Dial(port);
    {
      const base::MutexLock lock(&mutex);
      if (inserted && connection < 0) {
        changed.WaitFor(&mutex, kRedialInterval, [this] { return !inserted; });
      }
      if (!inserted) {
        if (connection >= 0) close(connection);
        return;
      }
      fd = connection;
    }
    if (connection < 0) continue;
    Serve(connection);
    const base::MutexLock lock(&mutex);
    close(connection);
    fd = -1;
  }
}

void VirtualReader::Impl::Serve(int connection) {
  std::string message;
  while (ReceiveMessage(connection, &message)) {
    {
      const base::MutexLock lock(&mutex);
      if (!seen_empty) {
        seen_empty = message.size() == 1 && message[0] == kGetAtr;
        return;
      }
      taken = true;
      changed.NotifyAll();
    }
    if (!Answer(connection, message)) return;
  }
}

bool VirtualReader::Impl::Answer(int connection, const std::string& message) {
  if (message.size() == 1) {
    if (message[0] == kGetAtr) return SendMessage(connection, card->atr());
    if (message[0] == kPowerOff || message[0] == kPowerOn || message[0] == kReset) card->Reset();
    return true;
  }
  const auto answer = card->Transmit(message);
  if (answer.ok()) return SendMessage(connection, *answer);
  TakeOut();
  return false;
}

VirtualReader::VirtualReader(int port, Card* card) : impl_(std::make_unique<Impl>(port, card)) {}

VirtualReader::~VirtualReader() { Remove(); }

absl::Status VirtualReader::Insert() {
  {
    const base::MutexLock control(&impl_->control);
    bool start = false;
    {
      const base::MutexLock lock(&impl_->mutex);
      start = !impl_->inserted;
    }
    if (start) {
      if (impl_->thread.joinable()) impl_->thread.join();
      impl_->card->Reset();
      const base::MutexLock lock(&impl_->mutex);
      impl_->inserted = true;
      impl_->taken = false;
      impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
    }
    const base::MutexLock lock(&impl_->mutex);
    if (impl_->changed.WaitFor(&impl_->mutex, kInsertTimeout,
                               [this] { return impl_->taken || !impl_->inserted; })) {
      return absl::OkStatus();
    }
  }
  Remove();
  return absl::DeadlineExceededError(
      absl::StrCat("vpcd does not take the card at port ", impl_->port));
}

void VirtualReader::Remove() {
  const base::MutexLock control(&impl_->control);
  {
    const base::MutexLock lock(&impl_->mutex);
    if (impl_->inserted) {
      impl_->inserted = false;
      // A card that nobody has looked at was not missed either.
      impl_->seen_empty = impl_->seen_empty && !impl_->taken;
      impl_->card->Pull();
      if (impl_->fd >= 0) shutdown(impl_->fd, SHUT_RDWR);
      impl_->changed.NotifyAll();
    }
  }
  if (impl_->thread.joinable()) impl_->thread.join();
}

bool VirtualReader::inserted() const {
  const base::MutexLock lock(&impl_->mutex);
  return impl_->inserted;
}

}  // namespace countersign::testing::piv
