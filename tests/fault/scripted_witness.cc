#include "tests/fault/scripted_witness.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/note/add_checkpoint.h"
#include "libs/note/signed_note.h"

namespace countersign::fault {
namespace {

constexpr int kPollMs = 20;

// One whole request, or nothing when the peer leaves first.
std::string ReadRequest(int fd, const std::atomic<bool>& stopping) {
  std::string bytes;
  while (!stopping) {
    const size_t head = bytes.find("\r\n\r\n");
    if (head != std::string::npos) {
      size_t length = 0;
      const size_t field = bytes.find("Content-Length: ");
      if (field < head) length = strtoul(bytes.c_str() + field + 16, nullptr, 10);
      if (bytes.size() >= head + 4 + length) return bytes;
    }
    pollfd readable = {fd, POLLIN, 0};
    if (poll(&readable, 1, kPollMs) == 0) continue;
    char buffer[65536];
    const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got <= 0) return "";
    bytes.append(buffer, static_cast<size_t>(got));
  }
  return "";
}

}  // namespace

std::string Answer::CheckpointText() const {
  const auto body = note::ParseAddCheckpoint(request_.substr(request_.find("\r\n\r\n") + 4));
  if (!body.ok()) return "";
  const auto note = note::ParseNote(body->checkpoint);
  return note.ok() ? note->text : "";
}

bool Answer::Send(absl::string_view bytes) {
  while (!bytes.empty() && !*stopping_) {
    pollfd writable = {fd_, POLLOUT, 0};
    if (poll(&writable, 1, kPollMs) == 0) continue;
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return bytes.empty();
}

bool Answer::Respond(int status, absl::string_view body, absl::string_view type) {
  return Send(absl::StrCat("HTTP/1.1 ", status, " Said\r\nContent-Type: ", type,
                           "\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
}

void Answer::WaitForClose() {
  while (Pause(1000)) {
  }
}

bool Answer::Pause(int ms) {
  for (int waited = 0; waited < ms && !*stopping_; waited += kPollMs) {
    pollfd closed = {fd_, POLLRDHUP, 0};
    if (poll(&closed, 1, std::min(kPollMs, ms)) != 0) return false;
  }
  return !*stopping_;
}

ScriptedWitness::ScriptedWitness(const std::string& name)
    : signer_(note::TestWitnessSigner(absl::StrCat("witness.example/", name), 'X')),
      script_([](Answer& answer) { answer.Respond(500, "nothing to say"); }) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (bind(fd_, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(fd_, 64) != 0 ||
      getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { AcceptLoop(); });
}

ScriptedWitness::~ScriptedWitness() {
  stopping_ = true;
  acceptor_.join();
  close(fd_);
}

std::string ScriptedWitness::url() const { return absl::StrCat("http://127.0.0.1:", port_); }

std::string ScriptedWitness::Cosign(absl::string_view text) const {
  return note::FormatSignatureLine(
      {signer_->name(), signer_->key_id(), testing::RequireOk(signer_->Sign(text))});
}

void ScriptedWitness::Say(Script script) {
  base::MutexLock lock(&mutex_);
  script_ = std::move(script);
  requests_ = 0;
}

void ScriptedWitness::AcceptLoop() {
  while (!stopping_) {
    connections_.remove_if([](Connection& connection) {
      if (connection.done) connection.thread.join();
      return connection.done.load();
    });
    pollfd readable = {fd_, POLLIN, 0};
    if (poll(&readable, 1, kPollMs) <= 0) continue;
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    Connection& connection = connections_.emplace_back();
    connection.thread = std::thread([this, fd, &connection] {
      Serve(fd);
      close(fd);
      connection.done = true;
    });
  }
  for (Connection& connection : connections_) connection.thread.join();
}

void ScriptedWitness::Serve(int fd) {
  std::string request = ReadRequest(fd, stopping_);
  if (request.empty()) return;
  Script script;
  {
    base::MutexLock lock(&mutex_);
    script = script_;
    ++requests_;
  }
  Answer answer(fd, std::move(request), &stopping_);
  script(answer);
}

}  // namespace countersign::fault
