// The signing seam: whatever holds a private key signs behind it, near or far, fast or slow.
#ifndef COUNTERSIGN_SERVICES_SIGN_SIGNER_H_
#define COUNTERSIGN_SERVICES_SIGN_SIGNER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/crypto/private_key.h"
#include "services/sign/call.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

// What to sign; the bytes belong to the caller.
struct Payload {
  enum class Kind { kMessage, kDigest };
  Kind kind = Kind::kMessage;
  absl::string_view bytes;
};

// Thread-safe.
class Signer {
 public:
  // The signatures, one a payload and in their order.
  using Done = std::function<void(absl::StatusOr<std::vector<std::string>>)>;

  virtual ~Signer() = default;

  // Signs all `payloads` or fails. Calls `done` once, from any thread, perhaps before it returns;
  // this object, `call` and the payloads' array and bytes must live until then. A digest is of the
  // length that the key's algorithm needs (crypto::SignedDigest). What takes long ends with `call`.
  virtual void Sign(absl::Span<const Payload> payloads, Call call, Done done) = 0;

  // Signs one message and returns when that is done. Blocks for as long as it takes, but needs no
  // other thread of the executor: for code that runs there.
  virtual absl::StatusOr<std::string> SignNow(absl::string_view message) = 0;
};

// Signs with a key in memory: at once on the calling thread when that takes microseconds, else on
// the executor, many payloads in parallel.
class SoftwareSigner : public Signer {
 public:
  // `executor` must outlive this object and every call.
  SoftwareSigner(std::shared_ptr<const crypto::PrivateKey> key, base::ThreadPool* executor);

  void Sign(absl::Span<const Payload> payloads, Call call, Done done) override;
  absl::StatusOr<std::string> SignNow(absl::string_view message) override;

 private:
  const std::shared_ptr<const crypto::PrivateKey> key_;
  base::ThreadPool* const executor_;
  const bool cheap_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_SIGNER_H_
