#include "services/sign/key_store.h"

#include <set>
#include <thread>
#include <unordered_set>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/crypto/random.h"
#include "libs/runtime/error_details.h"
#include "services/sign/errors.h"
#include "services/sign/testing.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;
using ::countersign::testing::TempDir;

constexpr char kRelease[] = "tenants/default/keys/release";
const auto kNotFound = StatusIs(absl::StatusCode::kNotFound);
const auto kInvalid = StatusIs(absl::StatusCode::kInvalidArgument);

std::string Version(int n) { return std::string(kRelease) + "/versions/" + std::to_string(n); }

KeyName Parsed(const std::string& name) {
  return RequireOk(ParseKeyName("name", name, Want::kKeyOrVersion));
}

TEST_CASE("A created key can be read, after a restart too") {
  TestStore keys;
  v1::CreateKeyRequest request;
  request.set_parent("tenants/default");
  request.set_key_id("release");
  request.mutable_key()->set_algorithm(v1::ALGORITHM_ED25519);
  request.mutable_key()->set_owner("release team");
  (*request.mutable_key()->mutable_labels())["env"] = "prod \"quoted\" é";
  (*request.mutable_key()->mutable_labels())["empty"] = "";
  const auto created = RequireOk(keys.store->CreateKey(request));
  CHECK(created.key().name() == kRelease);
  CHECK(created.key().primary_version() == Version(1));
  CHECK(created.key().create_time().seconds() == 1700000000);
  CHECK(created.key_version().name() == Version(1));
  CHECK(created.key_version().state() == v1::KEY_VERSION_STATE_ENABLED);
  CHECK(created.key_version().fingerprint().size() == 64);

  keys.Reopen();
  const auto got = RequireOk(keys.store->GetKey(Named<v1::GetKeyRequest>(kRelease)));
  CHECK(Same(got.key(), created.key()));
  CHECK(got.key().labels().at("env") == "prod \"quoted\" é");
  const auto version =
      RequireOk(keys.store->GetKeyVersion(Named<v1::GetKeyVersionRequest>(Version(1))));
  CHECK(Same(version.key_version(), created.key_version()));
  const auto public_key =
      RequireOk(keys.store->GetPublicKey(Named<v1::GetPublicKeyRequest>(kRelease)));
  CHECK(public_key.name() == Version(1));
  CHECK(public_key.spki() == created.key_version().spki());
  CHECK(public_key.pem().find("BEGIN PUBLIC KEY") != std::string::npos);
}

TEST_CASE("A key of every algorithm is stored and comes back as it was") {
  TestStore keys;
  for (int number = v1::ALGORITHM_ED25519; number <= v1::ALGORITHM_HPKE_X25519; ++number) {
    const auto algorithm = static_cast<v1::Algorithm>(number);
    if (algorithm == v1::ALGORITHM_ED25519PH) continue;
    INFO(v1::Algorithm_Name(algorithm));
    const auto created = keys.Create("k" + std::to_string(number), algorithm);
    CHECK(created.key_version().algorithm() == algorithm);
    const auto loaded = RequireOk(keys.store->Load(Parsed(created.key().name())));
    CHECK(loaded.public_key.spki_der() == created.key_version().spki());
    CHECK(loaded.version.ToString() == created.key_version().name());
  }
}

TEST_CASE("What no key can be is refused") {
  TestStore keys;
  const auto create = [&](auto change) {
    v1::CreateKeyRequest request;
    request.set_parent("tenants/default");
    request.set_key_id("k");
    request.mutable_key()->set_algorithm(v1::ALGORITHM_ED25519);
    change(&request);
    return keys.store->CreateKey(request);
  };
  using Request = v1::CreateKeyRequest;
  CHECK_THAT(create([](Request* r) { r->set_parent("default"); }), kInvalid);
  CHECK_THAT(create([](Request* r) { r->set_key_id("Upper"); }), kInvalid);
  CHECK_THAT(create([](Request* r) { r->set_request_id("not a uuid"); }), kInvalid);
  CHECK_THAT(create([](Request* r) { r->clear_key(); }), kInvalid);
  CHECK_THAT(create([](Request* r) { r->mutable_key()->set_algorithm(v1::ALGORITHM_ED25519PH); }),
             kInvalid);
  CHECK_THAT(
      create([](Request* r) { r->mutable_key()->set_algorithm(static_cast<v1::Algorithm>(99)); }),
      kInvalid);
  CHECK_THAT(create([](Request* r) { r->mutable_key()->set_owner(std::string(257, 'o')); }),
             kInvalid);
  CHECK_THAT(create([](Request* r) { (*r->mutable_key()->mutable_labels())["Env"] = "x"; }),
             kInvalid);
  CHECK_THAT(create([](Request* r) { (*r->mutable_key()->mutable_labels())[""] = "x"; }), kInvalid);
  CHECK_THAT(create([](Request* r) {
               (*r->mutable_key()->mutable_labels())["k"] = std::string(257, 'v');
             }),
             kInvalid);
  CHECK_THAT(create([](Request* r) {
               for (int i = 0; i < 65; ++i) {
                 (*r->mutable_key()->mutable_labels())["k" + std::to_string(i)] = "v";
               }
             }),
             kInvalid);
  CHECK_THAT(create([](Request* r) {}), IsOk());
  const auto again = create([](Request* r) {});
  CHECK_THAT(again, StatusIs(absl::StatusCode::kAlreadyExists, "tenants/default/keys/k"));
  CHECK(runtime::ReasonOf(again.status()) == kKeyExists);
}

TEST_CASE("A key without an id gets one") {
  TestStore keys;
  const std::string a = keys.Create("").key().name();
  const std::string b = keys.Create("").key().name();
  CHECK(a != b);
  CHECK_THAT(keys.store->GetKey(Named<v1::GetKeyRequest>(a)), IsOk());
}

TEST_CASE("Tenants do not see each other's keys") {
  TestStore keys;
  keys.Create("release");
  CHECK_THAT(keys.store->GetKey(Named<v1::GetKeyRequest>("tenants/other/keys/release")), kNotFound);
  CHECK_THAT(keys.store->Load(Parsed("tenants/other/keys/release")), kNotFound);
  v1::CreateKeyRequest request;
  request.set_parent("tenants/other");
  request.set_key_id("release");
  request.mutable_key()->set_algorithm(v1::ALGORITHM_ED25519);
  CHECK_THAT(keys.store->CreateKey(request), IsOk());
  v1::ListKeysRequest list;
  list.set_parent("tenants/other");
  const auto listed = RequireOk(keys.store->ListKeys(list));
  REQUIRE(listed.keys_size() == 1);
  CHECK(listed.keys(0).name() == "tenants/other/keys/release");
}

TEST_CASE("Keys are listed in pages, in order of their names, by owner when asked") {
  TestStore keys;
  for (int i = 0; i < 7; ++i) keys.Create("k" + std::to_string(i));
  v1::UpdateKeyRequest update;
  update.mutable_key()->set_name("tenants/default/keys/k3");
  update.mutable_key()->set_owner("ann");
  RequireOk(keys.store->UpdateKey(update));

  v1::ListKeysRequest request;
  request.set_parent("tenants/default");
  request.set_page_size(3);
  std::vector<std::string> names;
  int pages = 0;
  do {
    const auto page = RequireOk(keys.store->ListKeys(request));
    for (const auto& key : page.keys()) names.push_back(key.name());
    request.set_page_token(page.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  CHECK(pages == 3);
  REQUIRE(names.size() == 7);
  CHECK(std::is_sorted(names.begin(), names.end()));

  v1::ListKeysRequest by_owner;
  by_owner.set_parent("tenants/default");
  by_owner.set_owner("ann");
  const auto owned = RequireOk(keys.store->ListKeys(by_owner));
  REQUIRE(owned.keys_size() == 1);
  CHECK(owned.keys(0).name() == "tenants/default/keys/k3");

  request.set_page_token("00");
  CHECK_THAT(keys.store->ListKeys(request), kInvalid);
}

TEST_CASE("Updating changes what the mask names, and nothing else") {
  TestStore keys;
  keys.Create("release");
  keys.clock.Advance(absl::Seconds(5));
  v1::UpdateKeyRequest request;
  request.mutable_key()->set_name(kRelease);
  request.mutable_key()->set_owner("ann");
  (*request.mutable_key()->mutable_labels())["a"] = "b";
  request.mutable_update_mask()->add_paths("owner");
  const auto updated = RequireOk(keys.store->UpdateKey(request));
  CHECK(updated.key().owner() == "ann");
  CHECK(updated.key().labels().empty());
  CHECK(updated.key().update_time().seconds() == 1700000005);
  CHECK(updated.key().create_time().seconds() == 1700000000);

  request.mutable_update_mask()->set_paths(0, "algorithm");
  CHECK_THAT(keys.store->UpdateKey(request), kInvalid);
  request.clear_update_mask();
  CHECK(RequireOk(keys.store->UpdateKey(request)).key().labels().at("a") == "b");
  request.mutable_key()->set_name("tenants/default/keys/missing");
  CHECK_THAT(keys.store->UpdateKey(request), kNotFound);
}

TEST_CASE("Rotating makes a new primary version and leaves the old ones usable") {
  TestStore keys;
  const auto created = keys.Create("release");
  const auto rotated = RequireOk(keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease)));
  CHECK(rotated.key().primary_version() == Version(2));
  CHECK(rotated.key_version().name() == Version(2));
  CHECK(rotated.key_version().spki() != created.key_version().spki());
  CHECK(RequireOk(keys.store->Load(Parsed(kRelease))).version == Parsed(Version(2)));
  CHECK(RequireOk(keys.store->Load(Parsed(Version(1)))).public_key.spki_der() ==
        created.key_version().spki());
  CHECK_THAT(keys.store->RotateKey(Named<v1::RotateKeyRequest>("tenants/default/keys/missing")),
             kNotFound);

  RequireOk(keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease)));
  v1::ListKeyVersionsRequest list;
  list.set_parent(kRelease);
  list.set_page_size(2);
  const auto first = RequireOk(keys.store->ListKeyVersions(list));
  REQUIRE(first.key_versions_size() == 2);
  CHECK(first.key_versions(0).name() == Version(3));
  CHECK(first.key_versions(1).name() == Version(2));
  list.set_page_token(first.next_page_token());
  const auto second = RequireOk(keys.store->ListKeyVersions(list));
  REQUIRE(second.key_versions_size() == 1);
  CHECK(second.key_versions(0).name() == Version(1));
  CHECK(second.next_page_token().empty());
}

TEST_CASE("A disabled version is of no use until it is enabled again") {
  TestStore keys;
  keys.Create("release");
  for (int i = 0; i < 2; ++i) {
    const auto disabled =
        RequireOk(keys.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(Version(1))));
    CHECK(disabled.key_version().state() == v1::KEY_VERSION_STATE_DISABLED);
    const auto refused = keys.store->Load(Parsed(kRelease));
    CHECK_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "disabled"));
    CHECK(runtime::ReasonOf(refused.status()) == kKeyVersionDisabled);
  }
  CHECK_THAT(keys.store->GetPublicKey(Named<v1::GetPublicKeyRequest>(kRelease)), IsOk());
  RequireOk(keys.store->EnableKeyVersion(Named<v1::EnableKeyVersionRequest>(Version(1))));
  CHECK_THAT(keys.store->Load(Parsed(kRelease)), IsOk());
  CHECK_THAT(keys.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(Version(2))),
             kNotFound);
  CHECK_THAT(keys.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(kRelease)),
             kInvalid);
}

TEST_CASE("A destroyed version is gone for good, and the newest left succeeds it") {
  TestStore keys;
  keys.Create("release");
  RequireOk(keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease)));
  keys.clock.Advance(absl::Seconds(9));
  for (int i = 0; i < 2; ++i) {
    const auto destroyed =
        RequireOk(keys.store->DestroyKeyVersion(Named<v1::DestroyKeyVersionRequest>(Version(2))));
    CHECK(destroyed.key_version().state() == v1::KEY_VERSION_STATE_DESTROYED);
    CHECK(destroyed.key_version().destroy_time().seconds() == 1700000009);
    CHECK_FALSE(destroyed.key_version().spki().empty());
    keys.clock.Advance(absl::Seconds(1));
  }
  const auto refused = keys.store->Load(Parsed(Version(2)));
  CHECK_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "destroyed"));
  CHECK(runtime::ReasonOf(refused.status()) == kKeyVersionDestroyed);
  CHECK_THAT(keys.store->EnableKeyVersion(Named<v1::EnableKeyVersionRequest>(Version(2))),
             StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK_THAT(keys.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(Version(2))),
             StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(RequireOk(keys.store->Load(Parsed(kRelease))).version == Parsed(Version(1)));

  RequireOk(keys.store->DestroyKeyVersion(Named<v1::DestroyKeyVersionRequest>(Version(1))));
  CHECK(RequireOk(keys.store->GetKey(Named<v1::GetKeyRequest>(kRelease)))
            .key()
            .primary_version()
            .empty());
  CHECK_THAT(keys.store->Load(Parsed(kRelease)),
             StatusIs(absl::StatusCode::kFailedPrecondition, "rotate"));
  CHECK_THAT(keys.store->GetPublicKey(Named<v1::GetPublicKeyRequest>(Version(1))), IsOk());

  const auto rotated = RequireOk(keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease)));
  CHECK(rotated.key().primary_version() == Version(3));
}

TEST_CASE("A repeated request id is answered as the first time") {
  TestStore keys;
  const std::string id = crypto::RandomUuid();
  const auto first = keys.Create("", v1::ALGORITHM_ED25519, id);
  const auto second = keys.Create("", v1::ALGORITHM_ED25519, id);
  CHECK(Same(first, second));

  keys.Create("release");
  const std::string rotation = crypto::RandomUuid();
  const auto rotated =
      RequireOk(keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease, rotation)));
  keys.Reopen();
  keys.clock.Advance(absl::Hours(23));
  CHECK(Same(RequireOk(keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease, rotation))),
             rotated));
  CHECK(RequireOk(keys.store->GetKey(Named<v1::GetKeyRequest>(kRelease))).key().primary_version() ==
        Version(2));

  // Disabling again by an old request id does not undo an enabling that came after it.
  const std::string disabling = crypto::RandomUuid();
  const auto disable = Named<v1::DisableKeyVersionRequest>(Version(2), disabling);
  RequireOk(keys.store->DisableKeyVersion(disable));
  RequireOk(keys.store->EnableKeyVersion(Named<v1::EnableKeyVersionRequest>(Version(2))));
  RequireOk(keys.store->DisableKeyVersion(disable));
  CHECK_THAT(keys.store->Load(Parsed(Version(2))), IsOk());
}

TEST_CASE("A request id used for something else is refused, until a day has passed") {
  TestStore keys;
  const std::string id = crypto::RandomUuid();
  keys.Create("release", v1::ALGORITHM_ED25519, id);
  for (const auto& status :
       {keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease, id)).status(),
        keys.store->DestroyKeyVersion(Named<v1::DestroyKeyVersionRequest>(Version(1), id))
            .status()}) {
    CHECK_THAT(status, StatusIs(absl::StatusCode::kAlreadyExists, id));
    CHECK(runtime::ReasonOf(status) == kRequestIdReused);
  }
  // The same id of another tenant is another id.
  v1::CreateKeyRequest other;
  other.set_parent("tenants/other");
  other.mutable_key()->set_algorithm(v1::ALGORITHM_ED25519);
  other.set_request_id(id);
  CHECK_THAT(keys.store->CreateKey(other), IsOk());

  keys.clock.Advance(absl::Hours(24));
  CHECK_THAT(keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease, id)), IsOk());
}

TEST_CASE("Concurrent repetitions of one request make one key") {
  TestStore keys;
  const std::string id = crypto::RandomUuid();
  std::vector<std::string> names(8);
  std::vector<std::thread> threads;
  for (std::string& name : names) {
    threads.emplace_back([&keys, &id, &name] {
      v1::CreateKeyRequest request;
      request.set_parent("tenants/default");
      request.mutable_key()->set_algorithm(v1::ALGORITHM_ED25519);
      request.set_request_id(id);
      const auto created = keys.store->CreateKey(request);
      name = created.ok() ? created->key_version().fingerprint() : created.status().ToString();
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == 1);
  v1::ListKeysRequest list;
  list.set_parent("tenants/default");
  CHECK(RequireOk(keys.store->ListKeys(list)).keys_size() == 1);
}

TEST_CASE("Concurrent rotations each make a version") {
  TestStore keys;
  keys.Create("release", v1::ALGORITHM_ED25519);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back(
        [&keys] { (void)keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease)); });
  }
  for (std::thread& thread : threads) thread.join();
  v1::ListKeyVersionsRequest list;
  list.set_parent(kRelease);
  CHECK(RequireOk(keys.store->ListKeyVersions(list)).key_versions_size() == 9);
  CHECK(RequireOk(keys.store->Load(Parsed(kRelease))).version == Parsed(Version(9)));
}

TEST_CASE("A database opens only with the KEK its keys are sealed under") {
  TempDir dir;
  RequireOk(KeyStore::Open(RequireOk(storage::Database::Open(DatabaseUrl(dir))), TestKek('a')));
  CHECK_THAT(KeyStore::Open(RequireOk(storage::Database::Open(DatabaseUrl(dir))), TestKek('b')),
             StatusIs(absl::StatusCode::kFailedPrecondition, "key-encryption key"));
  RequireOk(KeyStore::Open(RequireOk(storage::Database::Open(DatabaseUrl(dir))), TestKek('a')));
}

TEST_CASE("Sealed keys that were swapped or altered in the database do not load") {
  TestStore keys;
  keys.Create("a", v1::ALGORITHM_ED25519);
  keys.Create("b", v1::ALGORITHM_ED25519);
  const auto database = RequireOk(storage::Database::Open(DatabaseUrl(keys.dir)));
  RequireOk(database
                ->Run("UPDATE key_versions SET sealed_key = (SELECT sealed_key FROM key_versions"
                      " WHERE key_id = 'b') WHERE key_id = 'a'")
                .status());
  CHECK_THAT(keys.store->Load(Parsed("tenants/default/keys/a")),
             StatusIs(absl::StatusCode::kDataLoss));
  CHECK_THAT(keys.store->Load(Parsed("tenants/default/keys/b")), IsOk());
  RequireOk(database
                ->Run("UPDATE key_versions SET spki = (SELECT spki FROM key_versions"
                      " WHERE key_id = 'a') WHERE key_id = 'b'")
                .status());
  CHECK_THAT(keys.store->Load(Parsed("tenants/default/keys/b")),
             StatusIs(absl::StatusCode::kDataLoss, "do not belong together"));
}

// All runs of 16 bytes in the files of a folder.
using Runs = std::unordered_set<std::string>;

Runs RunsIn(const TempDir& dir) {
  Runs runs;
  for (const std::string& name : dir.List()) {
    const std::string bytes = RequireOk(base::ReadFile(dir.path() + "/" + name));
    for (size_t i = 0; i + 16 <= bytes.size(); ++i) runs.insert(bytes.substr(i, 16));
  }
  return runs;
}

int CountRuns(const Runs& runs, const std::string& bytes, const std::string& except = "") {
  int count = 0;
  for (size_t i = 0; i + 16 <= bytes.size(); ++i) {
    const std::string run = bytes.substr(i, 16);
    if (except.find(run) == std::string::npos && runs.count(run) != 0) ++count;
  }
  return count;
}

TEST_CASE("No private key's bytes are in the database's files") {
  TestStore keys;
  std::vector<std::pair<std::string, std::string>> halves;  // private, public
  for (v1::Algorithm algorithm :
       {v1::ALGORITHM_ED25519, v1::ALGORITHM_ECDSA_P256_SHA256, v1::ALGORITHM_ECDSA_P384_SHA384,
        v1::ALGORITHM_RSA_PSS_2048_SHA256, v1::ALGORITHM_HPKE_X25519}) {
    const auto created = keys.Create("", algorithm);
    const auto loaded = RequireOk(keys.store->Load(Parsed(created.key().name())));
    const crypto::SecretBytes pkcs8 = RequireOk(loaded.key->ToPkcs8());
    halves.emplace_back(std::string(pkcs8.Expose(crypto::SecretAccess::Grant())),
                        created.key_version().spki());
  }
  const auto check = [&] {
    const Runs runs = RunsIn(keys.dir);
    for (const auto& [private_half, public_half] : halves) {
      CHECK(CountRuns(runs, public_half) == static_cast<int>(public_half.size()) - 15);
      CHECK(CountRuns(runs, private_half, public_half) == 0);
    }
  };
  check();  // with the write-ahead log beside the database
  keys.store.reset();
  check();
}

TEST_CASE("A destroyed key's sealed form is erased from the database's files") {
  TestStore keys;
  const auto rsa = keys.Create("rsa", v1::ALGORITHM_RSA_PSS_4096_SHA256);
  const auto small = keys.Create("small", v1::ALGORITHM_ED25519);
  std::vector<std::string> sealed;
  {
    const auto database = RequireOk(storage::Database::Open(DatabaseUrl(keys.dir)));
    const storage::Rows rows =
        RequireOk(database->Query("SELECT sealed_key FROM key_versions ORDER BY key_id"));
    REQUIRE(rows.size() == 2);
    for (const storage::Row& row : rows) sealed.push_back(row.Bytes(0));
  }
  keys.Reopen();
  const Runs before = RunsIn(keys.dir);
  CHECK(CountRuns(before, sealed[1]) == static_cast<int>(sealed[1].size()) - 15);
  for (const auto& created : {rsa, small}) {
    RequireOk(keys.store->DestroyKeyVersion(
        Named<v1::DestroyKeyVersionRequest>(created.key_version().name())));
  }
  // While the database is open, with a log of its own beside it.
  const Runs after = RunsIn(keys.dir);
  for (const std::string& bytes : sealed) CHECK(CountRuns(after, bytes) == 0);
}

TEST_CASE("Answers are kept once, by tenant and request id") {
  TestStore keys;
  const std::string id = crypto::RandomUuid();
  CHECK_FALSE(RequireOk(keys.store->Recall("t", id, "print")).has_value());
  CHECK(RequireOk(keys.store->Remember("t", id, "print", "first")) == "first");
  CHECK(RequireOk(keys.store->Remember("t", id, "print", "second")) == "first");
  CHECK(RequireOk(keys.store->Recall("t", id, "print")) == "first");
  CHECK_THAT(keys.store->Recall("t", id, "another"), StatusIs(absl::StatusCode::kAlreadyExists));
  CHECK_THAT(keys.store->Remember("t", id, "another", "x"),
             StatusIs(absl::StatusCode::kAlreadyExists));
  CHECK_FALSE(RequireOk(keys.store->Recall("u", id, "print")).has_value());
  keys.clock.Advance(kRequestIdLifetime);
  CHECK_FALSE(RequireOk(keys.store->Recall("t", id, "print")).has_value());
  CHECK(RequireOk(keys.store->Remember("t", id, "another", "third")) == "third");
}

TEST_CASE("A request's fingerprint is blind to its id alone") {
  auto a = Named<v1::RotateKeyRequest>(kRelease, crypto::RandomUuid());
  auto b = Named<v1::RotateKeyRequest>(kRelease, crypto::RandomUuid());
  CHECK(RequestFingerprint("RotateKey", a) == RequestFingerprint("RotateKey", b));
  CHECK(RequestFingerprint("RotateKey", a) != RequestFingerprint("GetKey", a));
  b.set_name("tenants/default/keys/other");
  CHECK(RequestFingerprint("RotateKey", a) != RequestFingerprint("RotateKey", b));
}

TEST_CASE("A key made elsewhere is imported with what else its transaction writes, or not at all") {
  TestStore keys;
  const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP384Sha384));
  std::string version;
  const auto import = [&](absl::Status result) {
    return keys.store->database()->InTransaction([&](storage::Transaction& transaction) {
      const auto imported =
          keys.store->ImportKey(transaction, "default", "root", "the authority", key);
      if (!imported.ok()) return imported.status();
      version = *imported;
      return result;
    });
  };
  CHECK_THAT(import(absl::InternalError("not today")), StatusIs(absl::StatusCode::kInternal));
  CHECK_THAT(keys.store->GetKey(Named<v1::GetKeyRequest>("tenants/default/keys/root")), kNotFound);

  REQUIRE_THAT(import(absl::OkStatus()), IsOk());
  CHECK(version == "tenants/default/keys/root/versions/1");
  keys.Reopen();
  const auto got =
      RequireOk(keys.store->GetKey(Named<v1::GetKeyRequest>("tenants/default/keys/root")));
  CHECK(got.key().owner() == "the authority");
  CHECK(got.key().primary_version() == version);
  CHECK(got.key().algorithm() == v1::ALGORITHM_ECDSA_P384_SHA384);
  const auto loaded = RequireOk(keys.store->Load(Parsed(version)));
  CHECK(loaded.key->public_key() == key.public_key());

  CHECK_THAT(import(absl::OkStatus()), StatusIs(absl::StatusCode::kAlreadyExists));
}

}  // namespace
}  // namespace countersign::sign
