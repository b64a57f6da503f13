// Issues certificates: from a request to something durable.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUER_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "countersign/sign/v1/certificate_service.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/pki/weak_keys.h"
#include "services/sign/certificates/authorities.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/certificates/issuing.h"
#include "services/sign/signing.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

struct IssuingAuthority;

// Thread-safe. Issue and IssueBatch compute (checking and signing take some 0.1 ms a certificate)
// and may read an authority from the database: call them on an executor. They do not wait for what
// they write.
class Issuer final : public Issuing {
 public:
  struct Options {
    Authorities* authorities;
    CertificateStore* certificates;
    const pki::WeakKeys* weak_keys;
    Signing* signing = nullptr;  // null: there is no ledger, and requests that want one fail
    base::ThreadPool* executor;  // null unless IssueBatch or a ledger is used
    const base::Clock* clock = base::Clock::System();
  };

  // What `options` points to must outlive every call.
  explicit Issuer(const Options& options) : options_(options) {}

  void Issue(const v1::IssueCertificateRequest& request, Call call, Done done) override;

  // As the contract says of BatchIssueCertificates; on all of the executor's threads. Calls `done`
  // once, from any thread. `request` is used only until IssueBatch returns.
  using BatchDone = std::function<void(absl::StatusOr<v1::BatchIssueCertificatesResponse>)>;
  void IssueBatch(const v1::BatchIssueCertificatesRequest& request, BatchDone done);

 private:
  struct State;

  // The authority of this name, read from the database when it is not in memory.
  absl::StatusOr<std::shared_ptr<const IssuingAuthority>> FindAuthority(const std::string& name);
  // Prepares, signs and inserts; the certificate is answered when it is durable. `fingerprint` is
  // the request's, empty when it has no request id.
  void IssueOne(const v1::IssueCertificateRequest& request,
                std::shared_ptr<const IssuingAuthority> authority, std::string fingerprint,
                Call call, CertificateStore::InsertDone done);
  void Log(std::shared_ptr<const IssuingAuthority> authority, const std::string& log,
           v1::LedgerWait wait, Call call, v1::IssueCertificateResponse response, Done done);

  const Options options_;
  base::Mutex mutex_;
  // By name: the last that was seen.
  absl::flat_hash_map<std::string, std::shared_ptr<const IssuingAuthority>> authorities_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUER_H_
