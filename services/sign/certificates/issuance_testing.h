// What the tests of the queue share: a database of either engine, an upstream that does as it is
// told, and certificates with their requests.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_TESTING_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_TESTING_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/manual_clock.h"
#include "libs/base/mutex.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/csr.h"
#include "libs/pki/signature.h"
#include "libs/storage/testing.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "services/sign/certificates/issuance_queue.h"
#include "services/sign/certificates/renewals.h"
#include "services/sign/schema.h"

namespace countersign::sign {

// An upstream that holds what it is asked for until it is told what to answer, unless it has an
// answer for all. Thread-safe.
class FakeUpstream final : public Upstream {
 public:
  absl::string_view kind() const override { return "fake"; }

  void Issue(Task task, Done done) override {
    std::string name;
    absl::Status failure;
    {
      base::MutexLock lock(&mutex_);
      ++tries_[task.request.request_id()];
      most_held_ = std::max(most_held_, held_.size() + 1);
      last_request_ = task.request;
      last_progress_ = task.progress;
      if (holding_) {
        held_.emplace_back(std::move(task), std::move(done));
        return;
      }
      failure = failure_;
    }
    Answer(task, done, failure);
  }

  void Cancel() override {
    base::MutexLock lock(&mutex_);
    holding_ = false;
    failure_ = absl::CancelledError("the service stops");
    std::vector<std::pair<Task, Done>> held;
    held.swap(held_);
    for (auto& [task, done] : held) {
      mutex_.Unlock();
      done(absl::CancelledError("the service stops"));
      mutex_.Lock();
    }
  }

  void Hold(bool hold) {
    base::MutexLock lock(&mutex_);
    holding_ = hold;
  }
  // What all that come later are answered.
  void FailWith(absl::Status failure) {
    base::MutexLock lock(&mutex_);
    failure_ = std::move(failure);
  }
  size_t held() const {
    base::MutexLock lock(&mutex_);
    return held_.size();
  }
  size_t most_held() const {
    base::MutexLock lock(&mutex_);
    return most_held_;
  }
  // Answers the one held longest.
  void Release(const absl::Status& status = absl::OkStatus()) {
    std::pair<Task, Done> first;
    {
      base::MutexLock lock(&mutex_);
      first = std::move(held_.front());
      held_.erase(held_.begin());
    }
    Answer(first.first, first.second, status);
  }
  // The progress of the one held longest, saved as a try would.
  absl::Status SaveProgress(const std::string& progress) {
    std::function<absl::Status(const std::string&)> save;
    {
      base::MutexLock lock(&mutex_);
      save = held_.front().first.save_progress;
    }
    return save(progress);
  }
  std::map<std::string, int> tries() const {
    base::MutexLock lock(&mutex_);
    return tries_;
  }
  v1::IssueCertificateRequest last_request() const {
    base::MutexLock lock(&mutex_);
    return last_request_;
  }
  std::string last_progress() const {
    base::MutexLock lock(&mutex_);
    return last_progress_;
  }

 private:
  static void Answer(const Task& task, const Done& done, const absl::Status& status) {
    if (!status.ok()) return done(status);
    Issued issued;
    issued.der = "certificate for " + task.request.request_id();
    done(std::move(issued));
  }

  mutable base::Mutex mutex_;
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<Task, Done>> held_ ABSL_GUARDED_BY(mutex_);
  size_t most_held_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, int> tries_ ABSL_GUARDED_BY(mutex_);
  v1::IssueCertificateRequest last_request_ ABSL_GUARDED_BY(mutex_);
  std::string last_progress_ ABSL_GUARDED_BY(mutex_);
};

// A database with queues on it, each as a process would have.
struct TestQueue {
  explicit TestQueue(storage::Engine engine, int64_t capacity = 10000)
      : empty(engine), database(empty.Open()) {
    testing::RequireOk(MigrateSchema(*database));
    store = std::make_unique<IssuanceStore>(database.get(), capacity, /*max_tries=*/3);
    renewal_store = std::make_unique<RenewalStore>(database.get(), /*max_tries=*/3);
    renewals = std::make_unique<Renewals>(
        Renewals::Options{.store = renewal_store.get(), .page = 10, .clock = &clock});
    testing::RequireOk(
        database->Run("INSERT INTO upstreams (tenant, upstream_id, settings, account, create_time)"
                      " VALUES ('default', 'there', $1, $1, 0)",
                      {storage::Value::Bytes("")}));
  }

  IssuanceQueue::Options QueueOptions() {
    return {
        .issuances = store.get(),
        .renewals = renewal_store.get(),
        .find_upstream = [this](const ResourceId&) { return upstream; },
        .track =
            [this](const std::string&, const v1::IssueCertificateRequest& request,
                   Upstream::Issued issued, std::function<void(absl::StatusOr<std::string>)> done) {
              std::string name = "tenants/default/certificates/of-" + request.request_id();
              {
                base::MutexLock lock(&mutex);
                ++tracked[request.request_id()];
              }
              done(std::move(name));
            },
        .resume_start = [this](const ResourceId& name) { return renewals->ResumeStart(name); },
        .poll = absl::Milliseconds(5),
        .stop_grace = absl::Milliseconds(1),
        .clock = &clock};
  }
  std::unique_ptr<IssuanceQueue> Start() { return std::make_unique<IssuanceQueue>(QueueOptions()); }

  static NewIssuance Request(const std::string& id, const std::string& tenant = "default") {
    NewIssuance issuance;
    issuance.name = {tenant, id};
    issuance.request.set_csr("a certification request");
    issuance.request.set_owner_team("team");
    return issuance;
  }
  // Queues requests straight into the table.
  absl::StatusOr<std::vector<v1::Issuance>> Enqueue(std::vector<NewIssuance> issuances) {
    EnqueueGroup group;
    group.issuances = std::move(issuances);
    EnqueueGroup* const groups[] = {&group};
    const absl::Status status = store->Enqueue(groups, clock.Now());
    if (!status.ok()) return status;
    return std::move(group.result);
  }
  v1::Issuance Get(const std::string& id, const std::string& tenant = "default") {
    return testing::RequireOk(store->Get({tenant, id}));
  }
  // Whether the request comes to this state before the test runs out of patience.
  bool Becomes(const std::string& id, v1::IssuanceState state) {
    return testing::Eventually([&] { return Get(id).state() == state; });
  }

  // Certificates of the inventory, real ones, each with its request, of owner "team".
  void AddCertificates(int from, int to) {
    const auto key =
        testing::RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
    std::vector<storage::Row> rows;
    using storage::Value;
    for (int i = from; i < to; ++i) {
      const std::string host = absl::StrCat("host-", i, ".example.com");
      pki::CertificateTemplate what;
      what.serial = absl::StrCat("\x40serial ", 100000 + i);
      what.issuer_der = pki::EncodeName(testing::RequireOk(pki::ParseNameText("CN=Issuer")));
      what.subject_der = pki::EncodeName(testing::RequireOk(pki::ParseNameText("CN=" + host)));
      what.not_before = clock.Now();
      what.not_after = clock.Now() + absl::Hours(24 * 90);
      what.spki_der = key.public_key().spki_der();
      what.subject_alt_names = {{pki::GeneralName::Kind::kDns, host}};
      const std::string der =
          testing::RequireOk(pki::SignAndAssemble(pki::BuildTbsCertificate(what), key));
      const std::string csr = testing::RequireOk(pki::BuildCsr(
          testing::RequireOk(pki::ParseNameText("CN=" + host)), what.subject_alt_names, key));
      rows.push_back(storage::Row({Value::Text("default"),
                                   Value::Text(absl::StrCat("c", i)),
                                   Value::Null(),
                                   Value::Bytes(what.serial),
                                   int64_t{v1::CERTIFICATE_PROFILE_TLS_SERVER},
                                   int64_t{v1::CERTIFICATE_STATUS_ACTIVE},
                                   Value::Text("CN=" + host),
                                   Value::Text("CN=Issuer"),
                                   absl::ToUnixMicros(what.not_before),
                                   absl::ToUnixMicros(what.not_after),
                                   absl::ToUnixMicros(what.not_before + absl::Hours(i)),
                                   Value::Bytes(host),
                                   Value::Bytes("key"),
                                   Value::Text(host),
                                   Value::Text("team"),
                                   Value::Text("test"),
                                   Value::Text("{\"app\":\"shop\"}"),
                                   Value::Text(""),
                                   0,
                                   0,
                                   Value::Bytes(der),
                                   Value::Bytes(csr)}));
    }
    testing::RequireOk(database->InTransaction([&](storage::Transaction& transaction) {
      return transaction
          .BulkInsert("certificates", {"tenant",      "certificate_id", "authority_id",
                                       "serial",      "profile",        "status",
                                       "subject",     "issuer",         "not_before",
                                       "not_after",   "renew_time",     "fingerprint_sha256",
                                       "key_sha256",  "host_names",     "owner_team",
                                       "environment", "labels",         "replaces",
                                       "create_time", "update_time",    "der",
                                       "csr"},
                      rows)
          .status();
    }));
  }
  static v1::StartRenewalRequest RenewTeam(int32_t concurrency) {
    v1::StartRenewalRequest request;
    request.set_parent("tenants/default");
    request.mutable_filter()->set_owner_team("team");
    request.set_upstream("tenants/default/upstreams/there");
    request.set_concurrency(concurrency);
    return request;
  }

  // How often each request came into the inventory.
  std::map<std::string, int> Tracked() {
    base::MutexLock lock(&mutex);
    return tracked;
  }

  const storage::EmptyDatabase empty;
  const std::unique_ptr<storage::Database> database;
  base::ManualClock clock{absl::FromUnixSeconds(1800000000)};
  std::unique_ptr<IssuanceStore> store;
  std::unique_ptr<RenewalStore> renewal_store;
  std::unique_ptr<Renewals> renewals;
  const std::shared_ptr<FakeUpstream> upstream = std::make_shared<FakeUpstream>();
  base::Mutex mutex;
  std::map<std::string, int> tracked ABSL_GUARDED_BY(mutex);
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_TESTING_H_
