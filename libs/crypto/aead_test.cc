#include "libs/crypto/aead.h"

#include <sys/stat.h>

#include <thread>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::crypto {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;
using ::countersign::testing::TempDir;

SecretBytes Secret(absl::string_view text) { return SecretBytes(text); }

std::string Read(const SecretBytes& secret) {
  return std::string(secret.Expose(SecretAccess::Grant()));
}

TEST_CASE("What a KEK seals it opens, with the same associated data") {
  const Kek kek = RequireOk(Kek::FromBytes(SecretBytes(size_t{32})));
  for (const std::string& text : {std::string(), std::string("k"), std::string(3000, 'x')}) {
    const std::string sealed = RequireOk(kek.Seal(Secret(text), "tenants/a/keys/b/versions/1"));
    CHECK(sealed.size() == text.size() + 37);
    CHECK(Read(RequireOk(kek.Open(sealed, "tenants/a/keys/b/versions/1"))) == text);
    CHECK_THAT(kek.Open(sealed, "tenants/a/keys/b/versions/2"),
               StatusIs(absl::StatusCode::kDataLoss));
    CHECK_THAT(kek.Open(sealed, ""), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_CASE("Sealing twice gives different bytes") {
  const Kek kek = RequireOk(Kek::FromBytes(SecretBytes(size_t{32})));
  CHECK(RequireOk(kek.Seal(Secret("s"), "a")) != RequireOk(kek.Seal(Secret("s"), "a")));
}

TEST_CASE("A change to any one byte, and any truncation, is noticed") {
  const Kek kek = RequireOk(Kek::FromBytes(SecretBytes(size_t{32})));
  const std::string sealed = RequireOk(kek.Seal(Secret("the private key"), "name"));
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string altered = sealed;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    INFO("byte " << i);
    CHECK_FALSE(kek.Open(altered, "name").ok());
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    CHECK_THAT(kek.Open(sealed.substr(0, size), "name"), StatusIs(absl::StatusCode::kDataLoss));
  }
  CHECK_FALSE(kek.Open(sealed + "x", "name").ok());
}

TEST_CASE("Another KEK is recognised as another, by its id") {
  const Kek one = RequireOk(Kek::FromBytes(SecretBytes(std::string(32, '1'))));
  const Kek two = RequireOk(Kek::FromBytes(SecretBytes(std::string(32, '2'))));
  CHECK(one.id() != two.id());
  CHECK(one.id().size() == 16);
  CHECK_THAT(two.Open(RequireOk(one.Seal(Secret("s"), "a")), "a"),
             StatusIs(absl::StatusCode::kFailedPrecondition, two.id()));
  CHECK_THAT(Kek::FromBytes(Secret("short")), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("The KEK file is made once, for its owner alone, and used from then on") {
  TempDir dir;
  const std::string path = dir.path() + "/kek";
  const Kek first = RequireOk(Kek::LoadOrCreate(path));
  struct stat info;
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(info.st_size == 65);
  CHECK(dir.List() == std::vector<std::string>{"kek"});

  const std::string sealed = RequireOk(first.Seal(Secret("s"), "a"));
  const Kek second = RequireOk(Kek::LoadOrCreate(path));
  CHECK(second.id() == first.id());
  CHECK(Read(RequireOk(second.Open(sealed, "a"))) == "s");
}

TEST_CASE("Processes that make the KEK file at once agree on one key") {
  TempDir dir;
  const std::string path = dir.path() + "/kek";
  std::vector<std::string> ids(8);
  std::vector<std::thread> threads;
  for (std::string& id : ids) {
    threads.emplace_back([&path, &id] {
      const absl::StatusOr<Kek> kek = Kek::LoadOrCreate(path);
      id = kek.ok() ? kek->id() : kek.status().ToString();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const Kek kek = RequireOk(Kek::LoadOrCreate(path));
  for (const std::string& id : ids) CHECK(id == kek.id());
}

TEST_CASE("A KEK file that others may read is refused") {
  TempDir dir;
  const std::string path = dir.path() + "/kek";
  RequireOk(Kek::LoadOrCreate(path));
  for (mode_t mode : {0640, 0604, 0620, 0666}) {
    REQUIRE(chmod(path.c_str(), mode) == 0);
    CHECK_THAT(Kek::LoadOrCreate(path),
               StatusIs(absl::StatusCode::kFailedPrecondition, "chmod 600"));
  }
  REQUIRE(chmod(path.c_str(), 0400) == 0);
  RequireOk(Kek::LoadOrCreate(path));
}

TEST_CASE("A KEK file with something else in it is not replaced") {
  TempDir dir;
  const std::string path = dir.path() + "/kek";
  for (const std::string& text :
       {std::string(), std::string(63, 'a'), std::string(64, 'g'), std::string(65, 'a'),
        std::string(64, 'a') + "\n\n", std::string(1000, '0')}) {
    RequireOk(base::WriteFileDurably(path, text, 0600));
    CHECK_THAT(Kek::LoadOrCreate(path), StatusIs(absl::StatusCode::kDataLoss));
    CHECK(RequireOk(base::ReadFile(path)) == text);
  }
  CHECK_FALSE(Kek::LoadOrCreate(dir.path()).ok());
  CHECK_THAT(Kek::LoadOrCreate(dir.path() + "/missing/kek"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace countersign::crypto
