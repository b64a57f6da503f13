#include "libs/crypto/secret.h"

#include <string>
#include <type_traits>
#include <utility>

#include "catch2/catch.hpp"

namespace countersign::crypto {
namespace {

std::string Read(const SecretBytes& secret) {
  return std::string(secret.Expose(SecretAccess::Grant()));
}

TEST_CASE("A secret is read only with a token, and cannot be copied") {
  static_assert(!std::is_copy_constructible_v<SecretBytes>);
  static_assert(!std::is_copy_assignable_v<SecretBytes>);
  static_assert(!std::is_default_constructible_v<SecretAccess> ||
                !std::is_aggregate_v<SecretAccess>);
  CHECK(Read(SecretBytes(absl::string_view("open sesame"))) == "open sesame");
}

TEST_CASE("Moving a secret leaves nothing behind") {
  SecretBytes a(absl::string_view("first"));
  SecretBytes b(std::move(a));
  CHECK(Read(b) == "first");
  CHECK(a.empty());
  SecretBytes c(absl::string_view("second"));
  c = std::move(b);
  CHECK(Read(c) == "first");
  CHECK(b.empty());
  SecretBytes& self = c;
  c = std::move(self);
  CHECK(Read(c) == "first");
}

TEST_CASE("Truncating wipes what it drops") {
  SecretBytes secret(absl::string_view("0123456789"));
  const char* bytes = secret.Expose(SecretAccess::Grant()).data();
  secret.Truncate(4);
  CHECK(Read(secret) == "0123");
  CHECK(std::string(bytes, 10) == std::string("0123\0\0\0\0\0\0", 10));
}

TEST_CASE("Wipe overwrites") {
  char buffer[] = "password";
  Wipe(buffer, 8);
  CHECK(std::string(buffer, 8) == std::string(8, '\0'));
}

TEST_CASE("A secret made by size starts as zeros") {
  CHECK(Read(SecretBytes(size_t{3})) == std::string(3, '\0'));
  CHECK(Read(SecretBytes()).empty());
}

}  // namespace
}  // namespace countersign::crypto
