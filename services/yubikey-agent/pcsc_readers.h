// Cards in the readers of a PC/SC daemon, reached through libpcsclite and libykpiv.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_PCSC_READERS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_PCSC_READERS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/mutex.h"
#include "services/yubikey-agent/card_readers.h"

namespace countersign::yubikey {

// Thread-safe, but for one WaitForChange at a time. A daemon that ends takes every card with it;
// when it is back, its cards are new insertions. The daemon is the one that PCSCLITE_CSOCK_NAME
// names, or the machine's.
class PcscReaders final : public CardReaders {
 public:
  struct Options {
    // Readers whose name does not contain this are left alone; empty: none are.
    std::string reader_contains;
  };

  explicit PcscReaders(Options options);
  ~PcscReaders() override;

  std::vector<Present> WaitForChange(const std::vector<Present>& known) override;
  void Interrupt() override;
  absl::StatusOr<std::unique_ptr<piv::Transport>> Connect(const std::string& reader) override;

 private:
  struct Watched;

  // What is in the readers now, and what SCardGetStatusChange is to be asked to look for; an error
  // is PC/SC's code.
  long Look(Watched* watched, std::vector<Present>* present);
  bool EnsureContext();
  void DropContext();
  // Sleeps unless interrupted; true when it was.
  bool SleepInterrupted(absl::Duration duration);
  bool TakeInterrupt();

  const Options options_;
  base::Mutex mutex_;
  base::CondVar changed_;
  // PC/SC's context of the waiting thread, which alone makes and releases it; 0: none. Guarded so
  // that Interrupt never cancels one that was released.
  long context_ ABSL_GUARDED_BY(mutex_) = 0;
  bool interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;

  // Of the waiting thread: each reader's event counter when its card was first seen, and the
  // insertion that was made of it.
  struct Seen {
    unsigned long counter = 0;
    uint64_t insertion = 0;
  };
  std::map<std::string, Seen> seen_;
  uint64_t next_insertion_ = 1;
  absl::Duration backoff_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_PCSC_READERS_H_
