#include "services/sign/card_signer.h"

#include <deque>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/runtime/error_details.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

// Hashing more than this is left to the executor.
constexpr size_t kInlineHashBytes = 256 << 10;
// When it is worth asking again once too much waits: some signatures later.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

}  // namespace

// The payloads of a call.
struct CardSigner::Batch {
  std::vector<std::string> inputs;
  std::vector<std::string> signatures;
  Call call = nullptr;
  Done done;

  base::Mutex mutex;
  size_t left ABSL_GUARDED_BY(mutex) = 0;
  // The first; what waits then is not sent any more.
  absl::Status failure ABSL_GUARDED_BY(mutex);
};

// What waits for the card, and what is under way.
struct CardSigner::Queue : std::enable_shared_from_this<Queue> {
  Queue(CardClient* cards, std::string name, crypto::Algorithm algorithm,
        crypto::PublicKey public_key, base::ThreadPool* executor)
      : cards(cards),
        name(std::move(name)),
        algorithm(algorithm),
        public_key(std::move(public_key)),
        executor(executor) {}

  // What the card is sent for `payload`.
  absl::StatusOr<std::string> Input(const Payload& payload) const;
  absl::Status Verify(const std::string& input, const std::string& signature) const;
  void Start(absl::Span<const Payload> payloads, Call call, Done done);
  // Sends as much as may be under way.
  void Pump();
  // One input of `batch` is done with.
  void Answered(const std::shared_ptr<Batch>& batch);

  CardClient* const cards;
  const std::string name;
  const crypto::Algorithm algorithm;
  const crypto::PublicKey public_key;
  base::ThreadPool* const executor;

  base::Mutex mutex;
  // Inputs of batches, by their index.
  std::deque<std::pair<std::shared_ptr<Batch>, size_t>> waiting ABSL_GUARDED_BY(mutex);
  size_t running ABSL_GUARDED_BY(mutex) = 0;
  // Whether a thread sends: an answer that comes meanwhile leaves the next to it, so that answers
  // on the spot do not pile up calls within calls.
  bool sending ABSL_GUARDED_BY(mutex) = false;
};

CardSigner::CardSigner(CardClient* cards, std::string name, crypto::Algorithm algorithm,
                       crypto::PublicKey public_key, base::ThreadPool* executor)
    : queue_(std::make_shared<Queue>(cards, std::move(name), algorithm, std::move(public_key),
                                     executor)) {}

CardSigner::~CardSigner() = default;

absl::StatusOr<std::string> CardSigner::Queue::Input(const Payload& payload) const {
  const bool is_digest = payload.kind == Payload::Kind::kDigest;
  if (algorithm != crypto::Algorithm::kEd25519) {
    return is_digest ? std::string(payload.bytes)
                     : crypto::Digest(crypto::DigestFor(algorithm), payload.bytes);
  }
  if (is_digest) {
    return PreconditionError(
        kWrongAlgorithm,
        "an Ed25519 key on a card signs messages only: no digests, and so not with the ledger; use "
        "an ECDSA or RSA key for these");
  }
  if (payload.bytes.size() > kMaxCardMessage) {
    return FieldError("message",
                      absl::StrCat("an Ed25519 key on a card signs at most ", kMaxCardMessage,
                                   " bytes, and this one has ", payload.bytes.size()));
  }
  return std::string(payload.bytes);
}

absl::Status CardSigner::Queue::Verify(const std::string& input,
                                       const std::string& signature) const {
  ASSIGN_OR_RETURN(const bool valid, algorithm == crypto::Algorithm::kEd25519
                                         ? public_key.VerifyMessage(algorithm, input, signature)
                                         : public_key.VerifyDigest(algorithm, input, signature));
  if (valid) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("yubikey-agent: answered a signature that is not by ", name));
}

void CardSigner::Queue::Start(absl::Span<const Payload> payloads, Call call, Done done) {
  auto batch = std::make_shared<Batch>();
  batch->inputs.reserve(payloads.size());
  for (const Payload& payload : payloads) {
    absl::StatusOr<std::string> input = Input(payload);
    if (!input.ok()) return done(input.status());
    batch->inputs.push_back(*std::move(input));
  }
  batch->signatures.resize(payloads.size());
  batch->call = call;
  bool full;
  {
    base::MutexLock lock(&mutex);
    full = waiting.size() + payloads.size() > kMaxWaiting;
    if (!full) {
      batch->done = std::move(done);
      {
        base::MutexLock batch_lock(&batch->mutex);
        batch->left = payloads.size();
      }
      for (size_t i = 0; i < payloads.size(); ++i) waiting.emplace_back(batch, i);
    }
  }
  if (full) {
    return done(runtime::AttachRetryAfter(
        runtime::AttachReason(absl::ResourceExhaustedError(
                                  absl::StrCat("too many signatures wait for the card of ", name)),
                              "QUEUE_FULL"),
        kRetryAfter));
  }
  Pump();
}

void CardSigner::Queue::Pump() {
  // The last answer may come, and end who asked, before this returns.
  const std::shared_ptr<Queue> self = shared_from_this();
  for (;;) {
    std::shared_ptr<Batch> batch;
    size_t i;
    {
      base::MutexLock lock(&mutex);
      // The one who sends sees what came meanwhile when it comes round again.
      if (sending || waiting.empty() || running == kInFlight) return;
      sending = true;
      batch = std::move(waiting.front().first);
      i = waiting.front().second;
      waiting.pop_front();
      ++running;
    }
    bool failed;
    {
      base::MutexLock lock(&batch->mutex);
      failed = !batch->failure.ok();
    }
    const auto answer = [self, batch, i](absl::StatusOr<std::string> signature) {
      {
        base::MutexLock lock(&self->mutex);
        --self->running;
      }
      {
        base::MutexLock lock(&batch->mutex);
        if (signature.ok()) {
          batch->signatures[i] = *std::move(signature);
        } else if (batch->failure.ok()) {
          batch->failure = signature.status();
        }
      }
      self->Pump();
      self->Answered(batch);
    };
    if (failed) {
      answer(absl::CancelledError());
    } else {
      cards->Sign(name, algorithm, batch->inputs[i], batch->call, answer);
    }
    base::MutexLock lock(&mutex);
    sending = false;
  }
}

void CardSigner::Queue::Answered(const std::shared_ptr<Batch>& batch) {
  {
    base::MutexLock lock(&batch->mutex);
    if (--batch->left != 0) return;
  }
  executor->Schedule([self = shared_from_this(), batch] {
    absl::Status status;
    {
      base::MutexLock lock(&batch->mutex);
      status = batch->failure;
    }
    for (size_t i = 0; i < batch->inputs.size() && status.ok(); ++i) {
      status = self->Verify(batch->inputs[i], batch->signatures[i]);
    }
    if (!status.ok()) return batch->done(status);
    batch->done(std::move(batch->signatures));
  });
}

void CardSigner::Sign(absl::Span<const Payload> payloads, Call call, Done done) {
  size_t bytes = 0;
  for (const Payload& payload : payloads) bytes += payload.bytes.size();
  if (bytes <= kInlineHashBytes) return queue_->Start(payloads, call, std::move(done));
  queue_->executor->Schedule([queue = queue_, payloads, call, done = std::move(done)]() mutable {
    queue->Start(payloads, call, std::move(done));
  });
}

absl::StatusOr<std::string> CardSigner::SignNow(absl::string_view message) {
  ASSIGN_OR_RETURN(const std::string input, queue_->Input({Payload::Kind::kMessage, message}));
  std::promise<absl::StatusOr<std::string>> promise;
  queue_->cards->Sign(
      queue_->name, queue_->algorithm, input, nullptr,
      [&promise](absl::StatusOr<std::string> result) { promise.set_value(std::move(result)); });
  ASSIGN_OR_RETURN(std::string signature, promise.get_future().get());
  RETURN_IF_ERROR(queue_->Verify(input, signature));
  return signature;
}

}  // namespace countersign::sign
