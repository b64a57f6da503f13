// Signs with a key on a card.
#ifndef COUNTERSIGN_SERVICES_SIGN_CARD_SIGNER_H_
#define COUNTERSIGN_SERVICES_SIGN_CARD_SIGNER_H_

#include <memory>
#include <string>

#include "libs/crypto/public_key.h"
#include "services/sign/card_client.h"
#include "services/sign/signer.h"

namespace countersign::sign {

// Hashes here and sends digests, a few at a time: what many calls want, and batches, waits here in
// the order it came, so that it neither fills the card's queue nor is refused by it. Each signature
// is verified before it is let out, so that neither a faulty card nor a wrong one is noticed by
// somebody else first.
//
// Sign answers on the executor. Beside what the agent answers it fails with
//   InvalidArgument     an Ed25519 message of more than kMaxCardMessage bytes
//   FailedPrecondition  reason WRONG_ALGORITHM: a digest for an Ed25519 key, since no card makes
//                       Ed25519ph signatures
//   ResourceExhausted   reason QUEUE_FULL, with RetryInfo: kMaxWaiting wait already
//   Internal            the answered signature does not verify
class CardSigner : public Signer {
 public:
  // How many signatures are under way at once: as many as there may be cards that hold the key.
  static constexpr size_t kInFlight = 4;
  // How many more may wait: two of the largest batches.
  static constexpr size_t kMaxWaiting = 2000;

  // Signs by `algorithm` with the key `name` (`keys/{fingerprint}`), whose public half is
  // `public_key`. `cards` and `executor` must outlive this object and every call.
  CardSigner(CardClient* cards, std::string name, crypto::Algorithm algorithm,
             crypto::PublicKey public_key, base::ThreadPool* executor);
  ~CardSigner() override;

  void Sign(absl::Span<const Payload> payloads, Call call, Done done) override;
  // Does not wait behind what Sign was given.
  absl::StatusOr<std::string> SignNow(absl::string_view message) override;

 private:
  struct Batch;
  struct Queue;

  // Outlives this object for as long as an answer is on its way through it.
  const std::shared_ptr<Queue> queue_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CARD_SIGNER_H_
