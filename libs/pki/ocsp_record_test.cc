#include "libs/pki/ocsp_record.h"

#include <string>

#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

OcspRecord Example() {
  return {.status = {.serial = absl::string_view("\x01\x00\xFF", 3),
                     .revoked = true,
                     .revocation_time = 1'700'000'000,
                     .reason = 4,
                     .this_update = 1'700'000'060,
                     .next_update = -1},
          .not_after = 4'102'444'800,
          .signer_id = 0xFFFFFFFF,
          .sha1_signature = "one",
          .sha256_signature = "another"};
}

void CheckSame(const OcspRecord& a, const OcspRecord& b) {
  CHECK(a.status.serial == b.status.serial);
  CHECK(a.status.revoked == b.status.revoked);
  CHECK(a.status.revocation_time == b.status.revocation_time);
  CHECK(a.status.reason == b.status.reason);
  CHECK(a.status.this_update == b.status.this_update);
  CHECK(a.status.next_update == b.status.next_update);
  CHECK(a.not_after == b.not_after);
  CHECK(a.signer_id == b.signer_id);
  CHECK(a.sha1_signature == b.sha1_signature);
  CHECK(a.sha256_signature == b.sha256_signature);
}

TEST_CASE("A packed record is unpacked to what it was") {
  const std::string packed = PackOcspRecord(Example());
  CHECK(packed.substr(0, 7) == std::string("\x01\x01\x03\x01\x00\xFF\x04", 7));
  CheckSame(RequireOk(UnpackOcspRecord(packed)), Example());

  OcspRecord plain = Example();
  plain.status.revoked = false;
  plain.sha1_signature = "";
  plain.sha256_signature = "";
  const std::string packed_plain = PackOcspRecord(plain);
  CheckSame(RequireOk(UnpackOcspRecord(packed_plain)), plain);
}

TEST_CASE("Records are appended to what is there") {
  std::string out = "before";
  AppendOcspRecord(Example(), &out);
  CHECK(out == "before" + PackOcspRecord(Example()));
}

TEST_CASE("A record that is cut short, longer, or of another version is lost data") {
  const std::string packed = PackOcspRecord(Example());
  for (size_t size = 0; size < packed.size(); ++size) {
    CHECK_THAT(UnpackOcspRecord(packed.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss));
  }
  CHECK_THAT(UnpackOcspRecord(packed + "x"), StatusIs(absl::StatusCode::kDataLoss));
  for (const auto& [at, byte] :
       {std::pair(0, '\x02'), std::pair(1, '\x02'), std::pair(2, '\x00'), std::pair(2, '\x15')}) {
    std::string wrong = packed;
    wrong[at] = byte;
    CHECK_THAT(UnpackOcspRecord(wrong), StatusIs(absl::StatusCode::kDataLoss));
  }
}

}  // namespace
}  // namespace countersign::pki
