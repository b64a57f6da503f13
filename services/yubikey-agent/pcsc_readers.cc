#include "services/yubikey-agent/pcsc_readers.h"

#include <PCSC/winscard.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "services/yubikey-agent/pcsc_transport.h"

namespace countersign::yubikey {
namespace {

constexpr char kReaderListChanged[] = "\\\\?PnP?\\Notification";
constexpr absl::Duration kMinBackoff = absl::Milliseconds(50);
constexpr absl::Duration kMaxBackoff = absl::Seconds(2);
// The daemon tells of readers that come only while it is being asked; one that came between two
// questions is found after this long.
constexpr DWORD kSliceMs = 1000;

}  // namespace

struct PcscReaders::Watched {
  std::vector<std::string> names;
  std::vector<SCARD_READERSTATE> states;  // of `names`, then the list of readers itself
};

PcscReaders::PcscReaders(Options options) : options_(std::move(options)), backoff_(kMinBackoff) {}

PcscReaders::~PcscReaders() { DropContext(); }

std::vector<CardReaders::Present> PcscReaders::WaitForChange(const std::vector<Present>& known) {
  Watched watched;
  std::vector<Present> present;
  {
    base::MutexLock lock(&mutex_);
    waiting_ = true;
  }
  for (;;) {
    present.clear();
    long rc = SCARD_E_NO_SERVICE;
    if (EnsureContext()) rc = Look(&watched, &present);
    if (rc != SCARD_S_SUCCESS && rc != SCARD_E_UNKNOWN_READER) {
      DropContext();
      present.clear();
    }
    if (TakeInterrupt() || present != known) break;
    if (rc == SCARD_E_UNKNOWN_READER) continue;
    if (rc != SCARD_S_SUCCESS) {
      if (SleepInterrupted(backoff_)) break;
      backoff_ = std::min(2 * backoff_, kMaxBackoff);
      continue;
    }
    backoff_ = kMinBackoff;
    long context;
    {
      base::MutexLock lock(&mutex_);
      context = context_;
    }
    rc = SCardGetStatusChange(context, kSliceMs, watched.states.data(),
                              static_cast<DWORD>(watched.states.size()));
    // What else it returned, Look meets again.
    if (rc == SCARD_E_CANCELLED && TakeInterrupt()) break;
  }
  base::MutexLock lock(&mutex_);
  waiting_ = false;
  changed_.NotifyAll();
  return present;
}

void PcscReaders::Interrupt() {
  base::MutexLock lock(&mutex_);
  interrupted_ = true;
  changed_.NotifyAll();
  // SCardCancel does nothing before the wait has begun: it is repeated until the waiting thread has
  // seen the interrupt.
  while (waiting_ && interrupted_) {
    if (context_ != 0) SCardCancel(context_);
    changed_.WaitFor(&mutex_, absl::Milliseconds(5),
                     [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !interrupted_; });
  }
}

absl::StatusOr<std::unique_ptr<piv::Transport>> PcscReaders::Connect(const std::string& reader) {
  return ConnectPcsc(reader);
}

long PcscReaders::Look(Watched* watched, std::vector<Present>* present) {
  long context;
  {
    base::MutexLock lock(&mutex_);
    context = context_;
  }
  watched->names.clear();
  watched->states.clear();
  DWORD size = 0;
  LONG rc = SCardListReaders(context, nullptr, nullptr, &size);
  std::string names(size, '\0');
  if (rc == SCARD_S_SUCCESS) rc = SCardListReaders(context, nullptr, names.data(), &size);
  if (rc == SCARD_E_INSUFFICIENT_BUFFER) return SCARD_E_UNKNOWN_READER;  // one came just now
  if (rc == SCARD_E_NO_READERS_AVAILABLE) {
    size = 0;
    rc = SCARD_S_SUCCESS;
  }
  if (rc != SCARD_S_SUCCESS) return rc;
  // Names end with a zero each, and the list with another.
  for (const char* name = names.data(); name < names.data() + size && *name != '\0';) {
    const std::string reader = name;
    name += reader.size() + 1;
    if (absl::StrContains(reader, absl::string_view(options_.reader_contains))) {
      watched->names.push_back(reader);
    }
  }
  for (const std::string& name : watched->names) {
    SCARD_READERSTATE state = {};
    state.szReader = name.c_str();
    state.dwCurrentState = SCARD_STATE_UNAWARE;
    watched->states.push_back(state);
  }
  if (!watched->states.empty()) {
    rc = SCardGetStatusChange(context, 0, watched->states.data(),
                              static_cast<DWORD>(watched->states.size()));
    if (rc != SCARD_S_SUCCESS && rc != SCARD_E_TIMEOUT && rc != SCARD_E_CANCELLED) return rc;
  }
  std::map<std::string, Seen> seen;
  for (SCARD_READERSTATE& state : watched->states) {
    state.dwCurrentState = state.dwEventState & ~static_cast<DWORD>(SCARD_STATE_CHANGED);
    if ((state.dwEventState & SCARD_STATE_PRESENT) == 0 ||
        (state.dwEventState & SCARD_STATE_MUTE) != 0) {
      continue;
    }
    const unsigned long counter = state.dwEventState >> 16;
    const auto old = seen_.find(state.szReader);
    const bool same = old != seen_.end() && old->second.counter == counter;
    const uint64_t insertion = same ? old->second.insertion : next_insertion_++;
    seen[state.szReader] = {counter, insertion};
    present->push_back({state.szReader, insertion});
  }
  seen_ = std::move(seen);
  SCARD_READERSTATE list = {};
  list.szReader = kReaderListChanged;
  watched->states.push_back(list);
  return SCARD_S_SUCCESS;
}

bool PcscReaders::EnsureContext() {
  {
    base::MutexLock lock(&mutex_);
    if (context_ != 0) return true;
  }
  SCARDCONTEXT context = 0;
  if (SCardEstablishContext(SCARD_SCOPE_SYSTEM, nullptr, nullptr, &context) != SCARD_S_SUCCESS) {
    return false;
  }
  base::MutexLock lock(&mutex_);
  context_ = context;
  return true;
}

void PcscReaders::DropContext() {
  // Another daemon counts its events from the start: equal counters would mean nothing.
  seen_.clear();
  base::MutexLock lock(&mutex_);
  if (context_ != 0) SCardReleaseContext(context_);
  context_ = 0;
}

bool PcscReaders::SleepInterrupted(absl::Duration duration) {
  base::MutexLock lock(&mutex_);
  changed_.WaitFor(&mutex_, duration,
                   [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return interrupted_; });
  const bool interrupted = std::exchange(interrupted_, false);
  if (interrupted) changed_.NotifyAll();
  return interrupted;
}

bool PcscReaders::TakeInterrupt() {
  base::MutexLock lock(&mutex_);
  const bool interrupted = std::exchange(interrupted_, false);
  if (interrupted) changed_.NotifyAll();
  return interrupted;
}

}  // namespace countersign::yubikey
