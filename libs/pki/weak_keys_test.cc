#include "libs/pki/weak_keys.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/sha1.h"
#include "libs/crypto/test_moduli.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::pki {
namespace {

using ::countersign::crypto::Algorithm;
using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;
using ::countersign::testing::TempDir;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

constexpr absl::string_view kF4("\x01\x00\x01", 3);

std::string RsaSpki(absl::string_view modulus, absl::string_view exponent = kF4) {
  DerWriter key;
  const size_t fields = key.Begin(kSequence);
  key.AddUnsigned(modulus);
  key.AddUnsigned(exponent);
  key.End(fields);
  DerWriter spki;
  const size_t whole = spki.Begin(kSequence);
  const size_t algorithm = spki.Begin(kSequence);
  spki.Add(kOid, kOidRsaEncryption);
  spki.AddNull();
  spki.End(algorithm);
  spki.AddBitStringBytes(key.der());
  spki.End(whole);
  return spki.Take();
}

std::string Spki(Algorithm algorithm) {
  return RequireOk(crypto::PrivateKey::Generate(algorithm)).public_key().spki_der();
}

TEST_CASE("Fresh keys of the suite's kinds may be certified") {
  const WeakKeys weak;
  for (const Algorithm algorithm :
       {Algorithm::kEcdsaP256Sha256, Algorithm::kEcdsaP384Sha384, Algorithm::kEd25519,
        Algorithm::kRsaPkcs1_2048Sha256, Algorithm::kRsaPkcs1_3072Sha256}) {
    CHECK_THAT(weak.Check(Spki(algorithm)), IsOk());
  }
}

TEST_CASE("Factorable, small and odd keys are refused") {
  const WeakKeys weak;
  CHECK_THAT(weak.Check(RsaSpki(absl::HexStringToBytes(crypto::kRocaModulusHex))),
             StatusIs(kInvalid, "ROCA"));
  CHECK_THAT(weak.Check(RsaSpki(absl::HexStringToBytes(crypto::kClosePrimesModulusHex))),
             StatusIs(kInvalid, "so close"));
  const std::string distant = absl::HexStringToBytes(crypto::kDistantPrimesModulusHex);
  CHECK_THAT(weak.Check(RsaSpki(distant)), IsOk());
  CHECK_THAT(weak.Check(RsaSpki(distant, "\x03")), StatusIs(kInvalid, "exponent"));
  CHECK_THAT(weak.Check(RsaSpki(std::string(256, '\xFF'))), StatusIs(kInvalid, "small prime"));
  CHECK_THAT(weak.Check(RsaSpki(absl::StrCat("\x7F", std::string(255, '\xFF')))),
             StatusIs(kInvalid, "has 2047 bits"));
  CHECK_THAT(weak.Check(RsaSpki(absl::StrCat("\x01", std::string(512, '\xFF')))),
             StatusIs(kInvalid, "has 4097 bits"));
  // secp256k1, on which the suite does nothing.
  CHECK_THAT(weak.Check(absl::HexStringToBytes("3016301006072a8648ce3d020106052b8104000a030200ff")),
             StatusIs(kInvalid, "P-256 nor P-384"));
  CHECK_THAT(weak.Check(Spki(Algorithm::kHpkeX25519)), StatusIs(kInvalid, "no known kind"));
  CHECK_THAT(weak.Check("garbage"), StatusIs(kInvalid, "SubjectPublicKeyInfo"));
  CHECK_THAT(weak.Check(""), StatusIs(kInvalid));
}

TEST_CASE("Keys on a list are refused: Debian's moduli, and any key by its SHA-256") {
  const TempDir dir;
  const std::string path = dir.path() + "/list";
  const std::string modulus = absl::HexStringToBytes(crypto::kDistantPrimesModulusHex);
  // What `openssl rsa -noout -modulus | sha1sum` prints, without its first half.
  const auto digest = crypto::Sha1(absl::StrCat(
      "Modulus=", absl::AsciiStrToUpper(absl::string_view(crypto::kDistantPrimesModulusHex)),
      "\n"));
  const std::string line = base::HexEncode(base::AsBytes(digest)).substr(20);
  const std::string spki = Spki(Algorithm::kEcdsaP256Sha256);
  const std::string hash = base::HexEncode(crypto::Digest(crypto::DigestAlgorithm::kSha256, spki));
  RequireOk(base::WriteFileAtomically(
      path, absl::StrCat("# two kinds of lines\n\n", line, "\n", absl::AsciiStrToUpper(hash),
                         "  # compromised\n")));
  WeakKeys weak;
  CHECK_THAT(weak.Check(RsaSpki(modulus)), IsOk());
  CHECK_THAT(weak.AddBlocklist(path), IsOk());
  CHECK_THAT(weak.Check(RsaSpki(modulus)), StatusIs(kInvalid, "CVE-2008-0166"));
  CHECK_THAT(weak.Check(spki), StatusIs(kInvalid, "known to be compromised"));
  CHECK_THAT(weak.Check(Spki(Algorithm::kEcdsaP256Sha256)), IsOk());
}

TEST_CASE("A list with another line is refused, and its line is named") {
  const TempDir dir;
  const std::string path = dir.path() + "/list";
  WeakKeys weak;
  for (const absl::string_view bad : {"0123456789", "0123456789012345678g", "not hexadecimal"}) {
    RequireOk(base::WriteFileAtomically(path, absl::StrCat("# fine\n", bad, "\n")));
    CHECK_THAT(weak.AddBlocklist(path), StatusIs(kInvalid, "line 2"));
  }
  CHECK_THAT(weak.AddBlocklist(dir.path() + "/missing"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace countersign::pki
