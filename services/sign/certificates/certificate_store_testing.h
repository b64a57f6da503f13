// What the tests of the inventory share: a database with its schema and an authority, and
// certificates that need no key.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_STORE_TESTING_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_STORE_TESTING_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/manual_clock.h"
#include "libs/crypto/digest.h"
#include "libs/storage/testing.h"
#include "libs/testing/matchers.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/schema.h"

namespace countersign::sign {

inline constexpr char kTestAuthority[] = "tenants/default/authorities/issuing";

// What certificate `number` is: its serial has 16 bytes, it expires `number` seconds after others.
inline NewCertificate MakeCertificate(int64_t number, absl::Time now) {
  NewCertificate made;
  made.tenant = "default";
  made.authority_id = 1;
  made.authority = kTestAuthority;
  made.profile = v1::CERTIFICATE_PROFILE_TLS_SERVER;
  pki::Certificate& certificate = made.certificate;
  const auto digest = crypto::Sha256(absl::StrCat("serial ", number));
  certificate.serial = std::string(base::AsBytes(digest).substr(0, 16));
  certificate.serial[0] = static_cast<char>(0x40 | (certificate.serial[0] & 0x3f));
  certificate.der = absl::StrCat("der of ", number, std::string(600, 'd'));
  certificate.spki_der = absl::StrCat("key of ", number);
  certificate.not_before = now;
  certificate.not_after = now + absl::Hours(24 * 90) + absl::Seconds(number);
  certificate.extensions.subject_alt_names = {
      {pki::GeneralName::Kind::kDns, absl::StrCat("Host-", number, ".example.com")},
      {pki::GeneralName::Kind::kIp, std::string("\xc0\x00\x02\x01", 4)}};
  made.owner_team = absl::StrCat("team-", number % 50);
  made.environment = number % 4 == 0 ? "production" : "staging";
  made.renew_time = now + absl::Hours(24 * 60);
  made.csr = absl::StrCat("csr of ", number);
  made.ocsp_record = absl::StrCat("record of ", number);
  return made;
}

inline std::string NameOf(const NewCertificate& certificate) {
  return absl::StrCat("tenants/default/certificates/",
                      base::HexEncode(certificate.certificate.serial));
}

// A database of either engine with authority 1 in it, and stores on it.
struct TestInventory {
  explicit TestInventory(storage::Engine engine) : empty(engine), database(empty.Open()) {
    testing::RequireOk(MigrateSchema(*database));
    testing::RequireOk(
        database->Run("INSERT INTO authorities (authority_id, tenant, name, key_version, issuer,"
                      " certificate, issuers, cross_certificates, settings, disabled, crl_number,"
                      " create_time, update_time)"
                      " VALUES (1, 'default', $1, '', '', $2, $2, $2, $2, 0, 0, 0, 0)",
                      {storage::Value::Text(kTestAuthority), storage::Value::Bytes("")}));
    store = NewStore();
  }

  // One more, as another process would have.
  std::unique_ptr<CertificateStore> NewStore() {
    return std::make_unique<CertificateStore>(CertificateStore::Options{
        .database = database.get(), .clock = &clock, .on_change = [this](int64_t number) {
          int64_t last = last_change;
          while (number > last && !last_change.compare_exchange_weak(last, number)) {
          }
        }});
  }

  v1::Certificate Insert(NewCertificate certificate) {
    return testing::RequireOk(store->InsertAndWait(std::move(certificate)));
  }

  int64_t Count(const std::string& table) {
    return testing::RequireOk(database->Query("SELECT COUNT(*) FROM " + table))[0].Int(0);
  }

  const storage::EmptyDatabase empty;
  const std::unique_ptr<storage::Database> database;
  base::ManualClock clock{absl::FromUnixSeconds(1800000000)};
  std::atomic<int64_t> last_change{0};
  std::unique_ptr<CertificateStore> store;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_STORE_TESTING_H_
