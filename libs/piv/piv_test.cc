#include "libs/piv/piv.h"

#include <set>

#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::piv {
namespace {

using testing::RequireOk;
using testing::StatusIs;

TEST_CASE("Users' slots are listed in the order of other tools, each with a name and an object") {
  REQUIRE(UserSlots().size() == 24);
  CHECK(UserSlots().front() == kAuthentication);
  CHECK(UserSlots()[3] == kRetired1);
  CHECK(UserSlots()[22] == kRetired20);
  CHECK(UserSlots().back() == kCardAuthentication);
  std::set<uint32_t> objects;
  for (const Slot slot : UserSlots()) {
    CHECK(RequireOk(ParseSlot(SlotName(slot))) == slot);
    CHECK(objects.insert(CertificateObject(slot)).second);
  }
  CHECK(objects.count(0) == 0);
}

TEST_CASE("Slots are named by two hexadecimal digits in either case, and nothing else is a slot") {
  CHECK(SlotName(kAuthentication) == "9a");
  CHECK(RequireOk(ParseSlot("9A")) == kAuthentication);
  CHECK(RequireOk(ParseSlot("F9")) == kAttestation);
  for (const char* name : {"", "9", "9b", "96", "81", "09a", "0x9a", "9a ", "80"}) {
    CHECK_THAT(ParseSlot(name), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("Certificates lie in the objects of SP 800-73-4 part 1 table 3") {
  CHECK(CertificateObject(kAuthentication) == 0x5FC105);
  CHECK(CertificateObject(kSignature) == 0x5FC10A);
  CHECK(CertificateObject(kKeyManagement) == 0x5FC10B);
  CHECK(CertificateObject(kCardAuthentication) == 0x5FC101);
  CHECK(CertificateObject(kRetired1) == 0x5FC10D);
  CHECK(CertificateObject(kRetired20) == 0x5FC120);
  CHECK(CertificateObject(kAttestation) == 0x5FFF01);
  CHECK(CertificateObject(kCardManagement) == 0);
}

TEST_CASE("Without a policy, signatures ask for the PIN each time and card authentication never") {
  CHECK(DefaultPinPolicy(kSignature) == PinPolicy::kAlways);
  CHECK(DefaultPinPolicy(kCardAuthentication) == PinPolicy::kNever);
  CHECK(DefaultPinPolicy(kAuthentication) == PinPolicy::kOnce);
  CHECK(DefaultPinPolicy(kRetired1) == PinPolicy::kOnce);
}

TEST_CASE("Versions are compared number by number") {
  const Version version{5, 4, 3};
  CHECK(version.ToString() == "5.4.3");
  CHECK(version.AtLeast(5, 4));
  CHECK(version.AtLeast(4, 9));
  CHECK_FALSE(version.AtLeast(5, 7));
  CHECK_FALSE(version.AtLeast(6, 0));
}

}  // namespace
}  // namespace countersign::piv
