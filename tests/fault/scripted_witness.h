// A witness that answers by raw bytes whatever a test makes it say.
#ifndef COUNTERSIGN_TESTS_FAULT_SCRIPTED_WITNESS_H_
#define COUNTERSIGN_TESTS_FAULT_SCRIPTED_WITNESS_H_

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/string_view.h"
#include "libs/base/mutex.h"
#include "libs/note/test_keys.h"

namespace countersign::fault {

// A connection on which one request has come.
class Answer {
 public:
  Answer(int fd, std::string request, const std::atomic<bool>* stopping)
      : fd_(fd), request_(std::move(request)), stopping_(stopping) {}

  // Head and body, as they came.
  const std::string& request() const { return request_; }
  bool is_post() const { return request_.compare(0, 5, "POST ") == 0; }
  // The text under the log's signature in an add-checkpoint request.
  std::string CheckpointText() const;

  // False when the client has gone or the server stops; then no more is sent.
  bool Send(absl::string_view bytes);
  // A whole response.
  bool Respond(int status, absl::string_view body, absl::string_view type = "text/plain");
  // Until the client has gone or the server stops.
  void WaitForClose();
  // A while, but no longer than until then.
  bool Pause(int ms);

 private:
  const int fd_;
  const std::string request_;
  const std::atomic<bool>* const stopping_;
};

class ScriptedWitness {
 public:
  // Called for each request, on a thread of its own; the connection closes when it returns.
  using Script = std::function<void(Answer&)>;

  // Listens on a free loopback port, with the key of witness.example/<name>.
  explicit ScriptedWitness(const std::string& name);
  ~ScriptedWitness();
  ScriptedWitness(const ScriptedWitness&) = delete;
  ScriptedWitness& operator=(const ScriptedWitness&) = delete;

  std::string url() const;
  const note::CosignatureSigner& signer() const { return *signer_; }
  // A signature line of its key over `text`, as of now.
  std::string Cosign(absl::string_view text) const;

  void Say(Script script);
  // Requests since the last Say.
  int requests() const { return requests_; }

 private:
  struct Connection {
    std::thread thread;
    std::atomic<bool> done{false};
  };

  void AcceptLoop();
  void Serve(int fd);

  const std::unique_ptr<note::CosignatureSigner> signer_;
  int fd_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> requests_{0};
  base::Mutex mutex_;
  Script script_ ABSL_GUARDED_BY(mutex_);
  std::list<Connection> connections_;  // of the accepting thread
  std::thread acceptor_;
};

}  // namespace countersign::fault

#endif  // COUNTERSIGN_TESTS_FAULT_SCRIPTED_WITNESS_H_
