#include "services/sign/certificates/certificate_store.h"

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "catch2/catch.hpp"
#include "google/protobuf/util/message_differencer.h"
#include "libs/base/mutex.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/eventually.h"
#include "services/sign/certificates/certificate_store_testing.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using absl::StatusCode;
using storage::Engine;
using storage::Rows;
using storage::Value;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kRequestId[] = "9F1B0000-0000-4000-8000-000000000001";

// Inserts `certificates` at once and returns what became of each.
std::vector<absl::StatusOr<v1::Certificate>> InsertAll(CertificateStore& store,
                                                       std::vector<NewCertificate> certificates) {
  std::vector<absl::StatusOr<v1::Certificate>> results(certificates.size(),
                                                       absl::UnknownError("not answered"));
  base::Mutex mutex;
  base::CondVar changed;
  size_t answered = 0;
  for (size_t i = 0; i < certificates.size(); ++i) {
    store.Insert(std::move(certificates[i]), [&, i](absl::StatusOr<v1::Certificate> result) {
      base::MutexLock lock(&mutex);
      results[i] = std::move(result);
      ++answered;
      changed.NotifyAll();
    });
  }
  base::MutexLock lock(&mutex);
  changed.Wait(&mutex, [&] { return answered == results.size(); });
  return results;
}

v1::ListCertificatesRequest ListOf(const v1::CertificateFilter& filter, int page_size = 0) {
  v1::ListCertificatesRequest request;
  request.set_parent("tenants/default");
  *request.mutable_filter() = filter;
  request.set_page_size(page_size);
  return request;
}

std::vector<std::string> NamesOf(CertificateStore& store, const v1::CertificateFilter& filter,
                                 int page_size = 0) {
  std::vector<std::string> names;
  v1::ListCertificatesRequest request = ListOf(filter, page_size);
  while (true) {
    const auto page = RequireOk(store.List(request));
    for (const v1::Certificate& one : page.certificates()) names.push_back(one.name());
    if (page.next_page_token().empty()) return names;
    request.set_page_token(page.next_page_token());
  }
}

TEST_CASE("A certificate comes back as it was inserted") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  NewCertificate made = MakeCertificate(7, inventory.clock.Now());
  made.labels = {{"app", "shop"}, {"tier", "1"}};
  const v1::Certificate answered = inventory.Insert(made);
  CHECK(answered.name() == NameOf(made));
  CHECK(answered.authority() == kTestAuthority);
  CHECK(answered.status() == v1::CERTIFICATE_STATUS_ACTIVE);
  CHECK(answered.der() == made.certificate.der);
  CHECK(answered.host_names_size() == 2);
  CHECK(answered.host_names(0) == "host-7.example.com");
  CHECK(answered.host_names(1) == "192.0.2.1");
  CHECK(answered.labels().at("app") == "shop");
  CHECK(answered.not_after().seconds() == absl::ToUnixSeconds(made.certificate.not_after));
  CHECK_FALSE(answered.has_revocation_time());

  const v1::Certificate read = RequireOk(inventory.store->Get(NameOf(made)));
  CHECK(google::protobuf::util::MessageDifferencer::Equals(read, answered));
  CHECK(RequireOk(inventory.store->GetCsr(NameOf(made))) == "csr of 7");
  CHECK(testing::Eventually([&] { return inventory.last_change == 1; }));

  CHECK_THAT(inventory.store->Get("tenants/default/certificates/77"),
             StatusIs(StatusCode::kNotFound, "77"));
  CHECK_THAT(inventory.store->Get("tenants/other/certificates/" + read.serial_number()),
             StatusIs(StatusCode::kNotFound));
  CHECK_THAT(inventory.store->Get("tenants/default/certificates/07"),
             StatusIs(StatusCode::kInvalidArgument, "leading zeros"));
}

TEST_CASE("Certificates of many callers are numbered without a gap, each with its OCSP record") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  // A second process on the same database.
  const auto other = inventory.NewStore();
  constexpr int kThreads = 6;
  constexpr int kEach = 200;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      CertificateStore& store = t % 2 == 0 ? *inventory.store : *other;
      std::vector<NewCertificate> certificates;
      for (int i = 0; i < kEach; ++i) {
        certificates.push_back(MakeCertificate(t * kEach + i, inventory.clock.Now()));
      }
      for (const auto& result : InsertAll(store, std::move(certificates))) {
        if (!result.ok()) FAIL_CHECK(result.status());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  constexpr int64_t kAll = kThreads * kEach;
  CHECK(inventory.Count("certificates") == kAll);
  const Rows records = RequireOk(inventory.database->Query(
      "SELECT change_number, serial, record FROM ocsp_records WHERE authority_id = 1"
      " ORDER BY change_number"));
  REQUIRE(records.size() == static_cast<size_t>(kAll));
  for (size_t i = 0; i < records.size(); ++i) {
    CHECK(records[i].Int(0) == static_cast<int64_t>(i) + 1);
  }
  CHECK(testing::Eventually([&] { return inventory.last_change == kAll; }));
  const NewCertificate one = MakeCertificate(5, inventory.clock.Now());
  const Rows row = RequireOk(inventory.database->Query(
      "SELECT record FROM ocsp_records WHERE authority_id = 1 AND serial = $1",
      {Value::Bytes(one.certificate.serial)}));
  CHECK(row[0].Bytes(0) == one.ocsp_record);
}

TEST_CASE("One that is refused does not stop those that are written with it") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  inventory.Insert(MakeCertificate(3, inventory.clock.Now()));
  std::vector<NewCertificate> certificates;
  for (int i = 0; i < 20; ++i) certificates.push_back(MakeCertificate(i, inventory.clock.Now()));
  const auto results = InsertAll(*inventory.store, std::move(certificates));
  for (size_t i = 0; i < results.size(); ++i) {
    CHECK_THAT(results[i], i == 3 ? StatusIs(StatusCode::kAlreadyExists) : IsOk());
  }
  CHECK(inventory.Count("certificates") == 20);
  CHECK(inventory.Count("ocsp_records") == 20);
}

TEST_CASE("A request id stands for the first certificate that was made for it") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const auto with_id = [&](int number, const std::string& fingerprint) {
    NewCertificate made = MakeCertificate(number, inventory.clock.Now());
    made.request_id = kRequestId;
    made.request_fingerprint = fingerprint;
    return made;
  };
  CHECK_FALSE(RequireOk(inventory.store->Recall("default", kRequestId, "same")).has_value());
  // Several at once: one is made, all are answered with it.
  std::vector<NewCertificate> certificates;
  for (int i = 0; i < 8; ++i) certificates.push_back(with_id(i, "same"));
  certificates.push_back(MakeCertificate(100, inventory.clock.Now()));
  const auto results = InsertAll(*inventory.store, std::move(certificates));
  std::set<std::string> names;
  for (size_t i = 0; i < 8; ++i) names.insert(RequireOk(results[i]).name());
  CHECK(names.size() == 1);
  CHECK_THAT(results[8], IsOk());
  CHECK(inventory.Count("certificates") == 2);

  CHECK(inventory.Insert(with_id(9, "same")).name() == *names.begin());
  CHECK(RequireOk(inventory.store->Recall("default", kRequestId, "same"))->name() ==
        *names.begin());
  const auto reused = inventory.store->InsertAndWait(with_id(10, "other"));
  CHECK_THAT(reused, StatusIs(StatusCode::kAlreadyExists, "different request"));
  CHECK(runtime::ReasonOf(reused.status()) == kRequestIdReused);
  CHECK(inventory.Count("certificates") == 2);

  // It is forgotten after a day.
  inventory.clock.Advance(absl::Hours(25));
  CHECK(inventory.Insert(with_id(11, "other")).name() == NameOf(with_id(11, "")));
}

TEST_CASE("A certificate that is replaced becomes REPLACED with the one that replaces it") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const absl::Time now = inventory.clock.Now();
  const v1::Certificate old = inventory.Insert(MakeCertificate(1, now));
  const v1::Certificate revoked = inventory.Insert(MakeCertificate(2, now));
  RequireOk(inventory.store->ChangeStatus({{revoked.name(), v1::CERTIFICATE_STATUS_REVOKED, now,
                                            v1::REVOCATION_REASON_SUPERSEDED, "revoked"}},
                                          {v1::CERTIFICATE_STATUS_ACTIVE}));

  NewCertificate renewal = MakeCertificate(3, now);
  renewal.replaces = old.serial_number();
  CHECK(inventory.Insert(renewal).replaces() == old.name());
  CHECK(RequireOk(inventory.store->Get(old.name())).status() == v1::CERTIFICATE_STATUS_REPLACED);

  renewal = MakeCertificate(4, now);
  renewal.replaces = revoked.serial_number();
  inventory.Insert(renewal);
  CHECK(RequireOk(inventory.store->Get(revoked.name())).status() == v1::CERTIFICATE_STATUS_REVOKED);

  // One whose predecessor is unknown is not made, nor is its request remembered.
  std::vector<NewCertificate> two = {MakeCertificate(5, now), MakeCertificate(6, now)};
  two[0].replaces = "abc";
  two[0].request_id = kRequestId;
  two[0].request_fingerprint = "f";
  const auto results = InsertAll(*inventory.store, two);
  CHECK_THAT(results[0], StatusIs(StatusCode::kNotFound, "certificates/abc"));
  CHECK_THAT(results[1], IsOk());
  CHECK(inventory.Count("requests") == 0);
}

TEST_CASE("Statuses change all together, or none does") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const absl::Time now = inventory.clock.Now();
  std::vector<CertificateStore::StatusChange> changes;
  for (int i = 0; i < 3; ++i) {
    NewCertificate made = MakeCertificate(i, now);
    made.crl_shard = i % 2;
    changes.push_back({inventory.Insert(made).name(), v1::CERTIFICATE_STATUS_REVOKED,
                       now + absl::Seconds(i), v1::REVOCATION_REASON_KEY_COMPROMISE,
                       absl::StrCat("revoked ", i)});
  }
  const std::vector<v1::CertificateStatus> active(3, v1::CERTIFICATE_STATUS_ACTIVE);
  std::vector<v1::CertificateStatus> wrong = active;
  wrong[1] = v1::CERTIFICATE_STATUS_ON_HOLD;
  CHECK_THAT(inventory.store->ChangeStatus(changes, wrong),
             StatusIs(StatusCode::kAborted, changes[1].name));
  CHECK(RequireOk(inventory.store->Get(changes[0].name)).status() == v1::CERTIFICATE_STATUS_ACTIVE);
  CHECK(RequireOk(inventory.store->Revoked(1, 0, now)).empty());

  CHECK(RequireOk(inventory.store->ChangeStatus(changes, active)) == 6);
  CHECK(inventory.last_change == 6);
  const v1::Certificate revoked = RequireOk(inventory.store->Get(changes[2].name));
  CHECK(revoked.status() == v1::CERTIFICATE_STATUS_REVOKED);
  CHECK(revoked.revocation_time().seconds() == absl::ToUnixSeconds(now) + 2);
  CHECK(revoked.revocation_reason() == v1::REVOCATION_REASON_KEY_COMPROMISE);
  auto entries = RequireOk(inventory.store->Revoked(1, 0, now));
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].reason == 1);
  CHECK(RequireOk(inventory.store->Revoked(1, 1, now)).size() == 1);
  CHECK(RequireOk(inventory.store->Revoked(2, 0, now)).empty());
  CHECK(RequireOk(inventory.store->Revoked(1, 0, now + absl::Hours(24 * 91))).empty());
  const Rows records = RequireOk(inventory.database->Query(
      "SELECT record FROM ocsp_records WHERE change_number > 3 ORDER BY change_number"));
  REQUIRE(records.size() == 3);
  CHECK(records[0].Bytes(0).substr(0, 8) == "revoked ");

  // Released again, it is in no CRL.
  changes.resize(1);
  changes[0].status = v1::CERTIFICATE_STATUS_ACTIVE;
  RequireOk(inventory.store->ChangeStatus(changes, {v1::CERTIFICATE_STATUS_REVOKED}));
  CHECK_FALSE(RequireOk(inventory.store->Get(changes[0].name)).has_revocation_time());
  CHECK(RequireOk(inventory.store->Revoked(1, 0, now)).size() == 1);
}

TEST_CASE("Each field of a filter finds what it names, page by page") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const absl::Time now = inventory.clock.Now();
  std::vector<NewCertificate> made;
  for (int i = 0; i < 230; ++i) made.push_back(MakeCertificate(i, now));
  std::vector<std::string> names;
  for (const NewCertificate& one : made) names.push_back(NameOf(one));
  std::vector<NewCertificate> shuffled(made.rbegin(), made.rend());
  for (const auto& result : InsertAll(*inventory.store, shuffled)) REQUIRE_THAT(result, IsOk());
  const auto every = [&](int step, int first) {
    std::vector<std::string> some;
    for (size_t i = first; i < names.size(); i += step) some.push_back(names[i]);
    return some;
  };
  CertificateStore& store = *inventory.store;
  const auto find = [&](auto set, int page_size = 7) {
    v1::CertificateFilter filter;
    set(filter);
    return NamesOf(store, filter, page_size);
  };
  CHECK(find([](auto&) {}) == names);
  CHECK(find([](auto&) {}, 230) == names);
  CHECK(find([](auto& f) { f.set_owner_team("team-3"); }) == every(50, 3));
  CHECK(find([](auto& f) { f.set_environment("production"); }) == every(4, 0));
  CHECK(find([](auto& f) {
          f.set_owner_team("team-4");
          f.set_environment("production");
        }) == every(100, 4));
  CHECK(find([](auto& f) { f.set_host_name("HOST-17.example.com"); }) ==
        std::vector<std::string>{names[17]});
  CHECK(find([](auto& f) { f.set_host_name("192.0.2.1"); }) == names);
  CHECK(find([](auto& f) { f.set_host_name("host-17.example"); }).empty());
  const v1::Certificate one = RequireOk(store.Get(names[42]));
  const std::vector<std::string> just = {names[42]};
  CHECK(find([&](auto& f) { f.set_fingerprint_sha256(one.fingerprint_sha256()); }) == just);
  CHECK(find([&](auto& f) { f.set_key_fingerprint(one.key_fingerprint()); }) == just);
  CHECK(find([&](auto& f) { f.set_serial_number("00" + one.serial_number()); }) == just);
  CHECK(find([&](auto& f) { f.set_authority(kTestAuthority); }) == names);
  CHECK(find([&](auto& f) {
          f.mutable_expires_from()->set_seconds(one.not_after().seconds());
          f.mutable_expires_before()->set_seconds(one.not_after().seconds() + 1);
        }) == just);

  RequireOk(store.ChangeStatus(
      {{names[5], v1::CERTIFICATE_STATUS_REVOKED, now, v1::REVOCATION_REASON_SUPERSEDED, "r"}},
      {v1::CERTIFICATE_STATUS_ACTIVE}));
  CHECK(find([](auto& f) { f.add_statuses(v1::CERTIFICATE_STATUS_REVOKED); }) ==
        std::vector<std::string>{names[5]});
  CHECK(find([](auto& f) { f.add_statuses(v1::CERTIFICATE_STATUS_ACTIVE); }).size() == 229);
  CHECK(find([](auto& f) {
          f.add_statuses(v1::CERTIFICATE_STATUS_ACTIVE);
          f.add_statuses(v1::CERTIFICATE_STATUS_REVOKED);
        }) == names);

  v1::CertificateFilter none;
  v1::ListCertificatesRequest request = ListOf(none, 1);
  CHECK(RequireOk(store.List(request)).certificates(0).der().empty());
  request.set_include_der(true);
  const auto page = RequireOk(store.List(request));
  CHECK(page.certificates(0).der() == made[0].certificate.der);
  CHECK(page.certificates(0).authority() == kTestAuthority);
  request.set_page_token(page.next_page_token());
  request.mutable_filter()->set_owner_team("team-1");
  CHECK_THAT(store.List(request), StatusIs(StatusCode::kInvalidArgument, "page_token"));
  request.set_parent("tenants/other");
  request.clear_page_token();
  CHECK(RequireOk(store.List(request)).certificates().empty());
}

TEST_CASE("A malformed filter is refused with its field") {
  TestInventory inventory(Engine::kSqlite);
  const auto refuse = [&](auto set, const std::string& field) {
    v1::CertificateFilter filter;
    set(filter);
    CHECK_THAT(inventory.store->List(ListOf(filter)),
               StatusIs(StatusCode::kInvalidArgument, field));
  };
  refuse([](auto& f) { f.set_fingerprint_sha256("abc"); }, "filter.fingerprint_sha256");
  refuse([](auto& f) { f.set_key_fingerprint(std::string(64, 'x')); }, "filter.key_fingerprint");
  refuse([](auto& f) { f.set_serial_number("0x12"); }, "filter.serial_number");
  refuse([](auto& f) { f.set_serial_number(std::string(41, '1')); }, "filter.serial_number");
  refuse([](auto& f) { f.add_statuses(v1::CERTIFICATE_STATUS_UNSPECIFIED); }, "filter.statuses");
  refuse([](auto& f) { f.set_authority("tenants/other/authorities/a"); }, "filter.authority");
  refuse([](auto& f) { f.set_owner_team(std::string("a\0b", 3)); }, "filter.owner_team");
  v1::CertificateFilter unknown;
  unknown.set_authority("tenants/default/authorities/a");
  CHECK_THAT(inventory.store->List(ListOf(unknown)), StatusIs(StatusCode::kNotFound));
}

TEST_CASE("Owner, environment and status change in bulk, but not of what is revoked") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const absl::Time now = inventory.clock.Now();
  std::vector<NewCertificate> made;
  for (int i = 0; i < 100; ++i) made.push_back(MakeCertificate(i, now));
  for (const auto& result : InsertAll(*inventory.store, made)) REQUIRE_THAT(result, IsOk());
  RequireOk(inventory.store->ChangeStatus({{NameOf(made[3]), v1::CERTIFICATE_STATUS_REVOKED, now,
                                            v1::REVOCATION_REASON_SUPERSEDED, "r"}},
                                          {v1::CERTIFICATE_STATUS_ACTIVE}));
  v1::BulkUpdateCertificatesRequest request;
  request.set_parent("tenants/default");
  CHECK_THAT(inventory.store->BulkUpdate(request),
             StatusIs(StatusCode::kInvalidArgument, "filter"));
  request.mutable_filter()->set_owner_team("team-3");
  CHECK_THAT(inventory.store->BulkUpdate(request),
             StatusIs(StatusCode::kInvalidArgument, "nothing to change"));
  request.set_status(v1::CERTIFICATE_STATUS_REVOKED);
  CHECK_THAT(inventory.store->BulkUpdate(request),
             StatusIs(StatusCode::kInvalidArgument, "revocation"));
  request.set_status(v1::CERTIFICATE_STATUS_RETIRED);
  CHECK(RequireOk(inventory.store->BulkUpdate(request)).updated() == 1);
  CHECK(RequireOk(inventory.store->Get(NameOf(made[53]))).status() ==
        v1::CERTIFICATE_STATUS_RETIRED);

  inventory.clock.Advance(absl::Seconds(5));
  request.set_owner_team("platform");
  request.set_environment("");
  CHECK(RequireOk(inventory.store->BulkUpdate(request)).updated() == 2);
  const v1::Certificate revoked = RequireOk(inventory.store->Get(NameOf(made[3])));
  CHECK(revoked.owner_team() == "platform");
  CHECK(revoked.environment().empty());
  CHECK(revoked.status() == v1::CERTIFICATE_STATUS_REVOKED);
  CHECK(revoked.update_time().seconds() == absl::ToUnixSeconds(now) + 5);
  CHECK(RequireOk(inventory.store->BulkUpdate(request)).updated() == 0);

  request.mutable_filter()->Clear();
  request.mutable_filter()->set_host_name("192.0.2.1");
  CHECK(RequireOk(inventory.store->BulkUpdate(request)).updated() == 100);
}

TEST_CASE("Certificates of others are tracked once, and stay as they are") {
  TestInventory inventory(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const absl::Time now = inventory.clock.Now();
  const v1::Certificate ours = inventory.Insert(MakeCertificate(1, now));
  const auto foreign = [&](int number) {
    NewCertificate made = MakeCertificate(number, now);
    made.authority_id = 0;
    made.authority.clear();
    made.ocsp_record.clear();
    made.csr.clear();
    made.renew_time.reset();
    made.profile = v1::CERTIFICATE_PROFILE_UNSPECIFIED;
    return made;
  };
  std::vector<NewCertificate> some = {foreign(2), foreign(1), foreign(2), foreign(3)};
  some[3].certificate.extensions.subject_alt_names.push_back(
      {pki::GeneralName::Kind::kDns, std::string("a b\0", 4)});
  const auto imported = RequireOk(inventory.store->Import(some));
  REQUIRE(imported.size() == 4);
  CHECK(imported[0].name() ==
        "tenants/default/certificates/fp-" + imported[0].fingerprint_sha256());
  CHECK(imported[0].authority().empty());
  CHECK_FALSE(imported[0].has_renew_time());
  CHECK(imported[1].name() == ours.name());
  CHECK(imported[2].name() == imported[0].name());
  CHECK(imported[3].host_names_size() == 2);
  CHECK(inventory.Count("certificates") == 3);
  CHECK(inventory.Count("ocsp_records") == 1);

  some[0].owner_team = "late";
  CHECK(RequireOk(inventory.store->Import(some))[0].owner_team() == "team-2");
  v1::CertificateFilter filter;
  filter.set_serial_number(imported[0].serial_number());
  CHECK(NamesOf(*inventory.store, filter) == std::vector<std::string>{imported[0].name()});
  filter.Clear();
  filter.set_host_name("host-3.example.com");
  CHECK(NamesOf(*inventory.store, filter) == std::vector<std::string>{imported[3].name()});
}

TEST_CASE("Connections that are lost lose no certificate that was answered for") {
  TestInventory inventory(Engine::kPostgres);
  std::atomic<bool> done{false};
  std::vector<std::string> answered;
  std::vector<std::string> refused;
  std::thread inserter([&] {
    for (int i = 0; i < 400; ++i) {
      const NewCertificate made = MakeCertificate(i, inventory.clock.Now());
      const auto result = inventory.store->InsertAndWait(made);
      (result.ok() ? answered : refused).push_back(NameOf(made));
    }
    done = true;
  });
  while (!done) {
    CHECK_THAT(storage::TestServer().TerminateConnections(), IsOk());
    std::this_thread::yield();
  }
  inserter.join();
  for (const std::string& name : answered) {
    CHECK(testing::Eventually([&] { return inventory.store->Get(name).ok(); }));
  }
  CHECK(inventory.Count("certificates") == static_cast<int64_t>(answered.size()));
  CHECK(inventory.Count("ocsp_records") == static_cast<int64_t>(answered.size()));
}

}  // namespace
}  // namespace countersign::sign
