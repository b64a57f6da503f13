// What the tests of authorities, revocation and CRLs share: all that a sign process has of them, on
// a database that several such processes may share.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITIES_TESTING_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITIES_TESTING_H_

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/manual_clock.h"
#include "libs/base/mutex.h"
#include "libs/base/thread_pool.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/oid.h"
#include "libs/pki/pem.h"
#include "libs/pki/signature.h"
#include "libs/storage/testing.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/sign/certificates/authorities.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/certificates/crl_publisher.h"
#include "services/sign/certificates/crl_shard.h"
#include "services/sign/certificates/ocsp_notifier.h"
#include "services/sign/certificates/revocation.h"
#include "services/sign/certificates/sign_and_assemble.h"
#include "services/sign/key_ring.h"
#include "services/sign/key_store.h"

namespace countersign::sign {

inline crypto::Kek KekOf(char fill) {
  return testing::RequireOk(crypto::Kek::FromBytes(crypto::SecretBytes(std::string(32, fill))));
}

// Remembers what it was told.
class FakeNotifier : public OcspNotifier {
 public:
  void Notify(int64_t change_number) override {
    base::MutexLock lock(&mutex_);
    last_ = change_number;
  }
  bool NotifyAndWait(int64_t change_number, absl::Duration) override {
    Notify(change_number);
    base::MutexLock lock(&mutex_);
    ++waits_;
    return reachable_;
  }

  void SetReachable(bool reachable) {
    base::MutexLock lock(&mutex_);
    reachable_ = reachable;
  }
  int64_t last() const {
    base::MutexLock lock(&mutex_);
    return last_;
  }
  int waits() const {
    base::MutexLock lock(&mutex_);
    return waits_;
  }

 private:
  mutable base::Mutex mutex_;
  int64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  int waits_ ABSL_GUARDED_BY(mutex_) = 0;
  bool reachable_ ABSL_GUARDED_BY(mutex_) = true;
};

struct SignProcess {
  SignProcess(const storage::EmptyDatabase& database, const base::Clock* the_clock,
              bool allow_key_export = false, char ocsp_kek = 'o', CardClient* cards = nullptr)
      : clock(the_clock),
        store(testing::RequireOk(KeyStore::Open(database.Open(), KekOf('k'), clock, cards))),
        authorities({.keys = store.get(),
                     .key_ring = &ring,
                     .certificates = &certificates,
                     .ocsp_kek = KekOf(ocsp_kek),
                     .allow_key_export = allow_key_export,
                     .on_change = [this](int64_t number) { notifier.Notify(number); },
                     .clock = clock}) {}

  v1::Authority Create(const std::string& id, const std::string& issuer = "",
                       v1::AuthoritySettings settings = {},
                       v1::Algorithm algorithm = v1::ALGORITHM_ECDSA_P256_SHA256) {
    return testing::RequireOk(authorities.CreateAuthority(Request(id, issuer, settings, algorithm)))
        .authority();
  }

  static v1::CreateAuthorityRequest Request(
      const std::string& id, const std::string& issuer = "", v1::AuthoritySettings settings = {},
      v1::Algorithm algorithm = v1::ALGORITHM_ECDSA_P256_SHA256) {
    v1::CreateAuthorityRequest request;
    request.set_parent("tenants/default");
    request.set_authority_id(id);
    v1::Authority* authority = request.mutable_authority();
    authority->set_subject("CN=" + id + ",O=Example,C=DE");
    authority->set_algorithm(algorithm);
    authority->set_issuer(issuer);
    authority->set_path_length(-1);
    *authority->mutable_settings() = settings;
    return request;
  }

  // A server's certificate by `authority`, in the inventory as issuance puts it there.
  v1::Certificate Issue(const std::string& authority, const std::string& host,
                        const std::string& owner = "web",
                        absl::Duration lifetime = absl::Hours(24 * 90)) {
    using testing::RequireOk;
    const auto live = RequireOk(authorities.Load(authority));
    const crypto::PrivateKey key =
        RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
    const absl::Time now = absl::FromUnixSeconds(absl::ToUnixSeconds(clock->Now()));
    pki::CertificateTemplate what;
    what.serial = pki::RandomSerial();
    what.signature_algorithm = live->key->algorithm;
    what.issuer_der = live->certificate.subject_der;
    what.subject_der = pki::EncodeName(RequireOk(pki::ParseNameText("CN=" + host)));
    what.not_before = std::max(now - absl::Minutes(5), live->certificate.not_before);
    what.not_after = now + lifetime;
    what.spki_der = key.public_key().spki_der();
    what.basic_constraints = pki::BasicConstraints{};
    what.key_usage = pki::kDigitalSignature;
    what.extended_key_usage = {std::string(pki::kOidServerAuth)};
    what.subject_alt_names = {{pki::GeneralName::Kind::kDns, host}};
    what.subject_key_id = pki::KeyIdentifier(what.spki_der);
    what.authority_key_id = live->certificate.extensions.subject_key_id;
    NewCertificate added;
    added.crl_shard = CrlShardOf(what.serial, live->settings.crl_shards());
    if (!live->settings.crl_url().empty()) {
      what.crl_url = CrlUrlOf(live->settings.crl_url(), added.crl_shard);
    }
    added.tenant = live->tenant;
    added.authority_id = live->id;
    added.authority = live->name;
    added.certificate = RequireOk(pki::ParseCertificate(
        RequireOk(SignAndAssemble(pki::BuildTbsCertificate(what), *live->key))));
    added.profile = v1::CERTIFICATE_PROFILE_TLS_SERVER;
    added.owner_team = owner;
    pki::OcspStatus status;
    status.serial = added.certificate.serial;
    added.ocsp_record =
        RequireOk(live->SignOcspRecord(status, added.certificate.not_after, clock->Now()));
    return RequireOk(certificates.InsertAndWait(std::move(added)));
  }

  // The record that OCSP responders would answer with.
  std::string Record(const v1::Certificate& certificate) {
    const auto live = testing::RequireOk(authorities.LoadByName(certificate.authority()));
    std::string hex = certificate.serial_number();
    if (hex.size() % 2 != 0) hex = "0" + hex;
    const auto rows = testing::RequireOk(store->database()->Query(
        "SELECT record FROM ocsp_records WHERE authority_id = $1 AND serial = $2",
        {live->id, storage::Value::Bytes(testing::RequireOk(base::HexDecode(hex)))}));
    REQUIRE(rows.size() == 1);
    return rows[0].Bytes(0);
  }

  int64_t Head() {
    return testing::RequireOk(store->database()->Query("SELECT change_number FROM ocsp_head"))[0]
        .Int(0);
  }

  const base::Clock* const clock;
  const std::unique_ptr<KeyStore> store;
  base::ThreadPool executor{2};
  KeyRing ring{store.get(), &executor, {.clock = clock}};
  FakeNotifier notifier;
  CertificateStore certificates{{.database = store->database(), .clock = clock}};
  Authorities authorities;
  CrlPublisher crls{{.database = store->database(),
                     .authorities = &authorities,
                     .certificates = &certificates,
                     .clock = clock}};
  Revocation revocation{{.keys = store.get(),
                         .certificates = &certificates,
                         .authorities = &authorities,
                         .notifier = &notifier,
                         .crls = &crls,
                         .executor = &executor,
                         .clock = clock}};
};

// A database of its own with a first process on it.
struct TestAuthorities {
  explicit TestAuthorities(storage::Engine engine, bool allow_key_export = false)
      : database(engine), process(database, &clock, allow_key_export) {}

  storage::EmptyDatabase database;
  base::ManualClock clock{absl::FromUnixSeconds(1700000000)};
  SignProcess process;
};

// Runs openssl with the fixture's time, and files named by what is in them.
class OpenSsl {
 public:
  explicit OpenSsl(const base::Clock* clock) : clock_(clock) {}

  // Writes a file of PEM certificates, CRLs or whatever `label` says; returns its path.
  std::string File(const std::string& label, const std::vector<std::string>& ders) {
    std::string text;
    for (const std::string& der : ders) text += pki::FormatPem(label, der);
    return Write(text);
  }
  std::string Write(const std::string& contents) {
    const std::string path = absl::StrCat(dir_.path(), "/", ++files_);
    REQUIRE(base::WriteFileAtomically(path, contents).ok());
    return path;
  }
  std::string NewPath() { return absl::StrCat(dir_.path(), "/", ++files_); }

  testing::CommandResult Run(const std::string& arguments) {
    return testing::RunCommand("openssl " + arguments);
  }
  // `openssl verify` at the fixture's time.
  testing::CommandResult Verify(const std::string& arguments) {
    return Run(absl::StrCat("verify -x509_strict -attime ", absl::ToUnixSeconds(clock_->Now()), " ",
                            arguments));
  }

 private:
  const base::Clock* const clock_;
  testing::TempDir dir_;
  int files_ = 0;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITIES_TESTING_H_
