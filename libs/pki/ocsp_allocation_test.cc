// Answering one certificate's request from memory allocates nothing.

#include <cstdlib>
#include <new>
#include <string>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/pki/ocsp_responder.h"
#include "libs/pki/test_authority.h"
#include "libs/testing/matchers.h"

namespace {
size_t allocations = 0;

void* Allocate(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace countersign::pki {
namespace {

using ::countersign::testing::RequireOk;

TEST_CASE("Answering one certificate's request from memory allocates nothing") {
  const TestIdentity root = MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256);
  const TestIdentity signer = IssueTest(root, TestOcspSignerTemplate("CN=Responder"));
  const auto responder = RequireOk(OcspResponder::Create(root.certificate, signer.certificate,
                                                         crypto::Algorithm::kEcdsaP256Sha256));
  const std::string serial(16, '\x71');
  const OcspStatus status = {.serial = serial,
                             .revoked = true,
                             .revocation_time = 1,
                             .reason = 1,
                             .this_update = 2,
                             .next_update = 3};
  std::string sha1;
  std::string sha256;
  const std::string packed =
      PackOcspRecord(RequireOk(responder->Sign(status, signer.key, &sha1, &sha256)));
  std::string out;
  std::string decoded;
  out.reserve(OcspResponder::kResponseOverhead + signer.certificate.der.size());
  decoded.reserve(1024);

  for (const OcspHash hash : {OcspHash::kSha1, OcspHash::kSha256}) {
    for (const absl::string_view nonce : {"", "0123456789abcdef"}) {
      const std::string path = base::Base64Encode(BuildOcspRequest(
          hash, root.certificate.subject_der, root.certificate.key_bits, serial, nonce));
      const size_t before = allocations;
      bool answered = false;
      if (DecodeOcspPath(path, &decoded)) {
        const auto request = ParseOcspRequest(decoded);
        const auto record = UnpackOcspRecord(packed);
        if (request.ok() && record.ok() && responder->Matches(request->cert_ids[0])) {
          out.clear();
          responder->AppendTbs(record->status, hash, &out);
          out.clear();
          responder->AppendResponse(
              record->status, hash,
              hash == OcspHash::kSha1 ? record->sha1_signature : record->sha256_signature, &out);
          answered = true;
        }
      }
      const size_t after = allocations;
      CHECK(answered);
      CHECK(after == before);
    }
  }
}

}  // namespace
}  // namespace countersign::pki
