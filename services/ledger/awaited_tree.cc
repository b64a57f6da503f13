#include "services/ledger/awaited_tree.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace countersign::ledger {
namespace {

// Somebody may set the clock while the thread sleeps.
constexpr absl::Duration kLongestSleep = absl::Milliseconds(100);

}  // namespace

AwaitedTree::AwaitedTree(std::string late, const base::Clock* clock)
    : late_(std::move(late)), clock_(clock), thread_([this] { Run(); }) {}

AwaitedTree::~AwaitedTree() {
  Close(absl::UnavailableError("the ledger is stopping"));
  {
    base::MutexLock lock(&mutex_);
    ending_ = true;
  }
  earlier_.NotifyOne();
  thread_.join();
}

void AwaitedTree::Await(uint64_t size, absl::Time deadline, Done done) {
  absl::StatusOr<SignedTreeHead> answer;
  {
    base::MutexLock lock(&mutex_);
    if (!closed_.ok()) {
      answer = closed_;
    } else if (tree_.checkpoint != nullptr && tree_.head.size >= size) {
      answer = tree_;
    } else {
      const uint64_t number = next_number_++;
      const auto at = waiters_.emplace(size, Waiter{deadline, number, std::move(done)});
      const auto by_deadline = deadlines_.emplace(std::pair(deadline, number), at).first;
      if (by_deadline == deadlines_.begin()) earlier_.NotifyOne();
      return;
    }
  }
  done(std::move(answer));
}

void AwaitedTree::Take(Waiters::iterator waiter, std::vector<Done>* out) {
  deadlines_.erase({waiter->second.deadline, waiter->second.number});
  out->push_back(std::move(waiter->second.done));
  waiters_.erase(waiter);
}

void AwaitedTree::Answer(std::vector<Done> waiters, const absl::StatusOr<SignedTreeHead>& answer) {
  for (Done& done : waiters) done(answer);
}

void AwaitedTree::Set(SignedTreeHead tree) {
  std::vector<Done> ready;
  {
    base::MutexLock lock(&mutex_);
    if (tree_.checkpoint != nullptr && tree.head.size < tree_.head.size) return;
    tree_ = tree;
    while (!waiters_.empty() && waiters_.begin()->first <= tree.head.size) {
      Take(waiters_.begin(), &ready);
    }
  }
  Answer(std::move(ready), tree);
}

void AwaitedTree::SetProblem(std::string problem) {
  base::MutexLock lock(&mutex_);
  problem_ = std::move(problem);
}

void AwaitedTree::FailAbove(uint64_t size, const absl::Status& status) {
  std::vector<Done> failed;
  {
    base::MutexLock lock(&mutex_);
    for (auto at = waiters_.upper_bound(size); at != waiters_.end();) Take(at++, &failed);
  }
  Answer(std::move(failed), status);
}

void AwaitedTree::FailWithoutDeadline(const absl::Status& status) {
  std::vector<Done> failed;
  {
    base::MutexLock lock(&mutex_);
    while (!deadlines_.empty() && deadlines_.rbegin()->first.first == absl::InfiniteFuture()) {
      Take(deadlines_.rbegin()->second, &failed);
    }
  }
  Answer(std::move(failed), status);
}

void AwaitedTree::Close(const absl::Status& status) {
  std::vector<Done> failed;
  {
    base::MutexLock lock(&mutex_);
    if (closed_.ok()) closed_ = status;
    while (!waiters_.empty()) Take(waiters_.begin(), &failed);
  }
  Answer(std::move(failed), status);
}

SignedTreeHead AwaitedTree::tree() const {
  base::MutexLock lock(&mutex_);
  return tree_;
}

bool AwaitedTree::AwaitedBetween(uint64_t above, uint64_t up_to) const {
  base::MutexLock lock(&mutex_);
  const auto first = waiters_.upper_bound(above);
  return first != waiters_.end() && first->first <= up_to;
}

void AwaitedTree::Run() {
  while (true) {
    std::vector<Done> expired;
    std::string why;
    {
      base::MutexLock lock(&mutex_);
      while (!ending_ && deadlines_.empty()) earlier_.Wait(&mutex_);
      if (ending_) return;
      const absl::Time now = clock_->Now();
      const absl::Time earliest = deadlines_.begin()->first.first;
      if (earliest > now) {
        earlier_.WaitFor(&mutex_, std::min(earliest - now, kLongestSleep), [&] {
          return ending_ || (!deadlines_.empty() && deadlines_.begin()->first.first < earliest);
        });
        continue;
      }
      while (!deadlines_.empty() && deadlines_.begin()->first.first <= now) {
        Take(deadlines_.begin()->second, &expired);
      }
      why = problem_;
    }
    Answer(std::move(expired),
           absl::DeadlineExceededError(absl::StrCat(late_, why.empty() ? "" : ": ", why)));
  }
}

}  // namespace countersign::ledger
