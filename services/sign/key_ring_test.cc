#include "services/sign/key_ring.h"

#include <atomic>
#include <thread>

#include "catch2/catch.hpp"
#include "services/sign/testing.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

constexpr char kRelease[] = "tenants/default/keys/release";
constexpr char kVersion1[] = "tenants/default/keys/release/versions/1";

struct Fixture {
  explicit Fixture(uint64_t capacity = 10000) {
    ring = std::make_unique<KeyRing>(
        keys.store.get(), &executor,
        KeyRing::Options{.capacity = capacity, .clock = &keys.clock, .shards = 1});
  }

  TestStore keys;
  base::ThreadPool executor{1};
  std::unique_ptr<KeyRing> ring;
};

TEST_CASE("A key is read from the database once, then found in memory") {
  Fixture f;
  f.keys.Create("release");
  CHECK(f.ring->Find(kRelease) == nullptr);
  const auto loaded = RequireOk(f.ring->Load(kRelease));
  CHECK(loaded->version == kVersion1);
  CHECK(loaded->tenant == "default");
  CHECK(loaded->signer != nullptr);
  CHECK(f.ring->Find(kRelease) == loaded);
  CHECK(RequireOk(f.ring->Load(kRelease)) == loaded);
}

TEST_CASE("A key in memory is read again after an hour") {
  Fixture f;
  f.keys.Create("release");
  RequireOk(f.ring->Load(kRelease));
  f.keys.clock.Advance(absl::Minutes(59));
  CHECK(f.ring->Find(kRelease) != nullptr);
  f.keys.clock.Advance(absl::Minutes(1));
  CHECK(f.ring->Find(kRelease) == nullptr);
}

TEST_CASE("The oldest key makes room for a new one") {
  Fixture f(2);
  for (const char* id : {"a", "b", "c"}) f.keys.Create(id, v1::ALGORITHM_ED25519);
  RequireOk(f.ring->Load("tenants/default/keys/a"));
  RequireOk(f.ring->Load("tenants/default/keys/b"));
  RequireOk(f.ring->Load("tenants/default/keys/c"));
  CHECK(f.ring->Find("tenants/default/keys/a") == nullptr);
  CHECK(f.ring->Find("tenants/default/keys/b") != nullptr);
  CHECK(f.ring->Find("tenants/default/keys/c") != nullptr);
  CHECK(f.ring->stats().evictions == 1);
}

TEST_CASE("Rotation, disabling and destruction are in force at once") {
  Fixture f;
  f.keys.Create("release");
  RequireOk(f.ring->Load(kRelease));
  RequireOk(f.ring->Load(kVersion1));
  RequireOk(f.keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease)));
  CHECK(f.ring->Find(kRelease) == nullptr);
  CHECK(f.ring->Find(kVersion1) != nullptr);
  CHECK(RequireOk(f.ring->Load(kRelease))->version == "tenants/default/keys/release/versions/2");

  RequireOk(f.keys.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(kVersion1)));
  CHECK(f.ring->Find(kVersion1) == nullptr);
  CHECK_THAT(f.ring->Load(kVersion1), StatusIs(absl::StatusCode::kFailedPrecondition));
  RequireOk(f.keys.store->EnableKeyVersion(Named<v1::EnableKeyVersionRequest>(kVersion1)));
  RequireOk(f.ring->Load(kVersion1));

  RequireOk(f.keys.store->DestroyKeyVersion(
      Named<v1::DestroyKeyVersionRequest>("tenants/default/keys/release/versions/2")));
  CHECK(RequireOk(f.ring->Load(kRelease))->version == kVersion1);
}

TEST_CASE("No load that began before a change leaves a stale key behind") {
  Fixture f;
  f.keys.Create("release");
  std::atomic<bool> stop{false};
  std::thread loader([&] {
    while (!stop) (void)f.ring->Load(kRelease);
  });
  for (int i = 0; i < 100; ++i) {
    RequireOk(f.keys.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(kVersion1)));
    CHECK(f.ring->Find(kRelease) == nullptr);
    CHECK_THAT(f.ring->Load(kRelease), StatusIs(absl::StatusCode::kFailedPrecondition));
    RequireOk(f.keys.store->EnableKeyVersion(Named<v1::EnableKeyVersionRequest>(kVersion1)));
  }
  stop = true;
  loader.join();
}

TEST_CASE("Keys that are not there, or not named rightly, do not load") {
  Fixture f;
  CHECK_THAT(f.ring->Load("tenants/default/keys/missing"), StatusIs(absl::StatusCode::kNotFound));
  CHECK_THAT(f.ring->Load("missing"), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(f.ring->Load(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("A key for encryption has no signer") {
  Fixture f;
  f.keys.Create("release", v1::ALGORITHM_HPKE_X25519);
  CHECK(RequireOk(f.ring->Load(kRelease))->signer == nullptr);
}

}  // namespace
}  // namespace countersign::sign
