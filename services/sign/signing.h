// Signs what callers bring, and has it logged when they want that.
#ifndef COUNTERSIGN_SERVICES_SIGN_SIGNING_H_
#define COUNTERSIGN_SERVICES_SIGN_SIGNING_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "countersign/sign/v1/resources.pb.h"
#include "services/sign/key_ring.h"
#include "services/sign/key_store.h"
#include "services/sign/ledger_client.h"
#include "services/sign/signer.h"

namespace countersign::sign {

// Things to sign with one key, and what is to become of the signatures.
struct SigningJob {
  std::string name;               // the key, or a version of it
  std::vector<Payload> payloads;  // at least one; their bytes live until the job is done
  v1::LedgerWait ledger = v1::LEDGER_WAIT_NONE;
  std::string log;         // empty: the default one
  std::string request_id;  // of a logged job; may be empty
  // Of the request, when request_id is not empty.
  std::string fingerprint;
  Call call = nullptr;
};

// Thread-safe.
//
// A job of a few cheap signatures by a cached key, not logged, is done on the calling thread and
// touches no database. A logged job with a request id has its signatures kept, durably, before they
// are sent to the log: repeated, it sends the same ones, and the log answers with their first
// place.
class Signing {
 public:
  struct Options {
    KeyRing* keys;
    KeyStore* store;
    LedgerClient* ledger;  // null: jobs that want one fail
    base::ThreadPool* executor;
    std::string default_log;  // `tenants/{tenant}/logs/{log}`
  };
  // The signatures, in the order of the payloads.
  using Done = std::function<void(absl::StatusOr<std::vector<v1::Signature>>)>;

  // What `options` points to must outlive every job.
  explicit Signing(Options options);

  // Calls `done` once, from any thread, perhaps before it returns. All payloads are signed, or the
  // job fails:
  //   InvalidArgument      a malformed name or request id, a digest of the wrong length
  //   NotFound             no such key, version or log
  //   FailedPrecondition   the key is disabled, destroyed or not for signing; no ledger configured
  //   AlreadyExists        the request id was used for another request
  //   else                 what the ledger answered, or the YubiKey agent for a key on a card
  void Sign(SigningJob job, Done done);

 private:
  struct State;

  void LoadKeyAndSign(std::shared_ptr<State> state);
  void SignWithKey(std::shared_ptr<State> state);
  void Keep(std::shared_ptr<State> state);
  void Append(std::shared_ptr<State> state);

  const Options options_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_SIGNING_H_
