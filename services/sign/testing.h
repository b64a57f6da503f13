// What the tests of this folder share: a key store of their own, and calls made to look
// synchronous.
#ifndef COUNTERSIGN_SERVICES_SIGN_TESTING_H_
#define COUNTERSIGN_SERVICES_SIGN_TESTING_H_

#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "countersign/sign/v1/sign.pb.h"
#include "google/protobuf/util/message_differencer.h"
#include "libs/base/manual_clock.h"
#include "libs/base/mutex.h"
#include "libs/base/thread_pool.h"
#include "libs/crypto/aead.h"
#include "libs/storage/database.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/sign/key_ring.h"
#include "services/sign/key_store.h"
#include "services/sign/ledger_client.h"
#include "services/sign/signing.h"

namespace countersign::sign {

inline crypto::Kek TestKek(char fill = 'k') {
  return testing::RequireOk(crypto::Kek::FromBytes(crypto::SecretBytes(std::string(32, fill))));
}

inline std::string DatabaseUrl(const testing::TempDir& dir) {
  return "sqlite:" + dir.path() + "/keys.db";
}

// Equal field by field; a map's order does not count.
inline bool Same(const google::protobuf::Message& a, const google::protobuf::Message& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

// A key store in a folder that goes away with it.
struct TestStore {
  TestStore() { Reopen(); }

  void Reopen() {
    store.reset();
    store = testing::RequireOk(KeyStore::Open(
        testing::RequireOk(storage::Database::Open(DatabaseUrl(dir))), TestKek(), &clock));
  }

  v1::CreateKeyResponse Create(const std::string& key_id,
                               v1::Algorithm algorithm = v1::ALGORITHM_ECDSA_P256_SHA256,
                               const std::string& request_id = "") {
    v1::CreateKeyRequest request;
    request.set_parent("tenants/default");
    request.set_key_id(key_id);
    request.mutable_key()->set_algorithm(algorithm);
    request.set_request_id(request_id);
    return testing::RequireOk(store->CreateKey(request));
  }

  testing::TempDir dir;
  base::ManualClock clock{absl::FromUnixSeconds(1700000000)};
  std::unique_ptr<KeyStore> store;
};

// A request with a name and, where the message has it, a request id.
template <typename Request>
Request Named(const std::string& name, const std::string& request_id = "") {
  Request request;
  request.set_name(name);
  if constexpr (requires { request.set_request_id(request_id); }) {
    request.set_request_id(request_id);
  }
  return request;
}

// A log in memory that keeps one copy of each entry.
class FakeLedger : public LedgerClient {
 public:
  void Append(const std::string& log, std::vector<std::string> entries, v1::LedgerWait wait,
              Call call, Done done) override {
    std::vector<v1::LedgerProof> proofs;
    {
      base::MutexLock lock(&mutex_);
      if (!failure_.ok()) return done(std::exchange(failure_, absl::OkStatus()));
      for (const std::string& entry : entries) {
        const auto [it, inserted] = places_.emplace(entry, places_.size());
        v1::LedgerProof& proof = proofs.emplace_back();
        proof.set_log_origin(log);
        proof.set_log_key_id(std::string(32, 'i'));
        proof.set_index(static_cast<int64_t>(it->second));
        if (wait != v1::LEDGER_WAIT_SEQUENCED) proof.set_checkpoint("checkpoint");
      }
    }
    done(std::move(proofs));
  }

  // The next Append fails, and keeps nothing.
  void FailNext(absl::Status status) {
    base::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }

  size_t size() const {
    base::MutexLock lock(&mutex_);
    return places_.size();
  }

 private:
  mutable base::Mutex mutex_;
  std::map<std::string, size_t> places_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

// Everything below the gRPC service, wired as main does.
struct TestSigning {
  TestSigning() = default;

  absl::StatusOr<std::vector<v1::Signature>> Sign(SigningJob job) {
    std::promise<absl::StatusOr<std::vector<v1::Signature>>> promise;
    signing.Sign(std::move(job), [&promise](auto result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  TestStore keys;
  base::ThreadPool executor{2};
  KeyRing ring{keys.store.get(), &executor, {.clock = &keys.clock}};
  FakeLedger ledger;
  Signing signing{{.keys = &ring,
                   .store = keys.store.get(),
                   .ledger = &ledger,
                   .executor = &executor,
                   .default_log = "tenants/default/logs/main"}};
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_TESTING_H_
