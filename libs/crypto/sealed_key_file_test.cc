#include "libs/crypto/sealed_key_file.h"

#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/temp_dir.h"

namespace countersign::crypto {
namespace {

TEST_CASE("A sealed key file is made once and gives the same key ever after") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/key";
  auto kek = Kek::LoadOrCreate(dir.path() + "/kek");
  REQUIRE(kek.ok());
  auto first = LoadOrCreateSealedKey(path, *kek, Algorithm::kEd25519, "log key");
  REQUIRE(first.ok());
  auto second = LoadOrCreateSealedKey(path, *kek, Algorithm::kEd25519, "log key");
  REQUIRE(second.ok());
  CHECK(first->public_key().spki_der() == second->public_key().spki_der());
  auto der = first->ToPkcs8();
  REQUIRE(der.ok());
  CHECK(base::ReadFile(path)->find(der->Expose(SecretAccess::Grant()).data()) == std::string::npos);
}

TEST_CASE("A sealed key opens only for its purpose, under its KEK and unaltered") {
  testing::TempDir dir;
  const std::string path = dir.path() + "/key";
  auto kek = Kek::LoadOrCreate(dir.path() + "/kek");
  auto other = Kek::LoadOrCreate(dir.path() + "/other");
  REQUIRE(kek.ok());
  REQUIRE(other.ok());
  REQUIRE(LoadOrCreateSealedKey(path, *kek, Algorithm::kEd25519, "log key").ok());
  CHECK(LoadOrCreateSealedKey(path, *kek, Algorithm::kEd25519, "witness key").status().code() ==
        absl::StatusCode::kDataLoss);
  CHECK(LoadOrCreateSealedKey(path, *other, Algorithm::kEd25519, "log key").status().code() ==
        absl::StatusCode::kFailedPrecondition);
  std::string text = *base::ReadFile(path);
  text[text.size() / 2] ^= 1;
  REQUIRE(base::WriteFileDurably(path, text, 0600).ok());
  CHECK(LoadOrCreateSealedKey(path, *kek, Algorithm::kEd25519, "log key").status().code() ==
        absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace countersign::crypto
