#include "libs/testing/piv/card_attestation.h"

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/secret.h"
#include "libs/piv/tlv.h"
#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/der.h"
#include "libs/pki/extensions.h"
#include "libs/pki/name.h"
#include "libs/pki/oid.h"
#include "libs/pki/signature.h"
#include "openssl/bytestring.h"
#include "openssl/ec_key.h"
#include "openssl/ecdsa.h"
#include "openssl/evp.h"
#include "openssl/mem.h"

namespace countersign::testing::piv {
namespace {

constexpr absl::string_view kRootName = "CN=Countersign test PIV root";
constexpr uint8_t kUsbAKeychain = 1;

absl::Time Year(int year) {
  return absl::FromCivil(absl::CivilSecond(year, 1, 1), absl::UTCTimeZone());
}

std::string NameDer(absl::string_view text) { return pki::EncodeName(*pki::ParseNameText(text)); }

std::string Hash(absl::string_view text) {
  return crypto::Digest(crypto::DigestAlgorithm::kSha256, text);
}

CardKey RootKey() {
  const std::string scalar = Hash("Countersign test PIV root: the key");
  return *CardKey::Import(countersign::piv::Algorithm::kEccP256, countersign::piv::Tlv(6, scalar));
}

absl::StatusOr<crypto::PrivateKey> SigningKey(const CardKey& key) {
  crypto::Algorithm algorithm;
  switch (key.algorithm) {
    case countersign::piv::Algorithm::kRsa2048:
      algorithm = crypto::Algorithm::kRsaPkcs1_2048Sha256;
      break;
    case countersign::piv::Algorithm::kEccP256:
      algorithm = crypto::Algorithm::kEcdsaP256Sha256;
      break;
    case countersign::piv::Algorithm::kEccP384:
      algorithm = crypto::Algorithm::kEcdsaP384Sha384;
      break;
    default:
      return absl::FailedPreconditionError("such a key attests nothing");
  }
  return crypto::PrivateKey::FromPkcs8(crypto::SecretBytes(key.Pkcs8()), algorithm);
}

// What root and f9 certificates share.
pki::CertificateTemplate AuthorityTemplate(absl::string_view subject, const CardKey& key,
                                           int path_length) {
  pki::CertificateTemplate what;
  what.issuer_der = NameDer(kRootName);
  what.subject_der = NameDer(subject);
  what.not_before = Year(2020);
  what.not_after = Year(2060);
  what.spki_der = key.Spki();
  what.basic_constraints = pki::BasicConstraints{true, path_length};
  what.key_usage = pki::kKeyCertSign | pki::kCrlSign;
  what.subject_key_id = pki::KeyIdentifier(what.spki_der);
  return what;
}

void WriteExtension(absl::string_view oid, absl::string_view value, pki::DerWriter* out) {
  pki::ExtensionWriter extension(*pki::ParseOid(oid), /*critical=*/false, out);
  out->AddRaw(value);
}

// Yubico's extensions, bare bytes in the place of DER but for the serial number.
void WriteStatements(const Statement& what, pki::DerWriter* out) {
  const char version[] = {static_cast<char>(what.version.major),
                          static_cast<char>(what.version.minor),
                          static_cast<char>(what.version.patch)};
  WriteExtension("1.3.6.1.4.1.41482.3.3", absl::string_view(version, sizeof(version)), out);
  pki::DerWriter serial;
  serial.AddInt64(what.serial);
  WriteExtension("1.3.6.1.4.1.41482.3.7", serial.der(), out);
  const char policy[] = {static_cast<char>(what.key->pin_policy),
                         static_cast<char>(what.key->touch_policy)};
  WriteExtension("1.3.6.1.4.1.41482.3.8", absl::string_view(policy, sizeof(policy)), out);
  const char form_factor = kUsbAKeychain;
  WriteExtension("1.3.6.1.4.1.41482.3.9", absl::string_view(&form_factor, 1), out);
}

}  // namespace

std::string MakeAttestationRoot() {
  const CardKey key = RootKey();
  pki::CertificateTemplate what = AuthorityTemplate(kRootName, key, /*path_length=*/1);
  what.serial = std::string(1, '\x01');
  const std::string tbs = pki::BuildTbsCertificate(what);
  // Its signature is the same each time too, by a nonce that is.
  const std::string pkcs8 = key.Pkcs8();
  CBS cbs;
  CBS_init(&cbs, reinterpret_cast<const uint8_t*>(pkcs8.data()), pkcs8.size());
  const bssl::UniquePtr<EVP_PKEY> parsed(EVP_parse_private_key(&cbs));
  const std::string digest = Hash(tbs);
  const std::string nonce = Hash(absl::StrCat("Countersign test PIV root: the nonce", tbs));
  const bssl::UniquePtr<ECDSA_SIG> signature(ECDSA_sign_with_nonce_and_leak_private_key_for_testing(
      reinterpret_cast<const uint8_t*>(digest.data()), digest.size(),
      EVP_PKEY_get0_EC_KEY(parsed.get()), reinterpret_cast<const uint8_t*>(nonce.data()),
      nonce.size()));
  uint8_t* der = nullptr;
  size_t size = 0;
  ECDSA_SIG_to_bytes(&der, &size, signature.get());
  const bssl::UniquePtr<uint8_t> owner(der);
  return pki::AssembleSigned(tbs, what.signature_algorithm,
                             absl::string_view(reinterpret_cast<const char*>(der), size));
}

std::string MakeAttestationCertificate(uint32_t serial, const CardKey& key) {
  const CardKey root = RootKey();
  pki::CertificateTemplate what = AuthorityTemplate(
      absl::StrCat("CN=Countersign test PIV attestation ", serial), key, /*path_length=*/0);
  what.serial = pki::RandomSerial();
  what.authority_key_id = pki::KeyIdentifier(root.Spki());
  return *pki::SignAndAssemble(pki::BuildTbsCertificate(what), *SigningKey(root));
}

absl::StatusOr<std::string> MakeStatement(const Statement& what, const CardKey& signer,
                                          absl::string_view signer_certificate) {
  ASSIGN_OR_RETURN(const pki::Certificate issuer, pki::ParseCertificate(signer_certificate));
  ASSIGN_OR_RETURN(const crypto::PrivateKey key, SigningKey(signer));
  pki::DerWriter tbs;
  const size_t sequence = tbs.Begin(pki::kSequence);
  const size_t version = tbs.Begin(pki::ContextConstructed(0));
  tbs.AddInt64(2);
  tbs.End(version);
  tbs.AddUnsigned(pki::RandomSerial());
  tbs.AddRaw(pki::SignatureAlgorithmDer(key.algorithm()));
  tbs.AddRaw(issuer.subject_der);
  const size_t validity = tbs.Begin(pki::kSequence);
  pki::WriteTime(issuer.not_before, &tbs);
  pki::WriteTime(issuer.not_after, &tbs);
  tbs.End(validity);
  tbs.AddRaw(NameDer(
      absl::StrCat("CN=Countersign test PIV attestation ", countersign::piv::SlotName(what.slot))));
  tbs.AddRaw(what.key->Spki());
  const size_t extensions = tbs.Begin(pki::ContextConstructed(3));
  const size_t list = tbs.Begin(pki::kSequence);
  WriteStatements(what, &tbs);
  tbs.End(list);
  tbs.End(extensions);
  tbs.End(sequence);
  return pki::SignAndAssemble(tbs.der(), key);
}

}  // namespace countersign::testing::piv
