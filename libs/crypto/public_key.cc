#include "libs/crypto/public_key.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/ed25519ph.h"
#include "libs/crypto/key_impl.h"
#include "libs/crypto/openssl_util.h"
#include "openssl/bn.h"
#include "openssl/bytestring.h"
#include "openssl/curve25519.h"
#include "openssl/ec_key.h"
#include "openssl/ecdsa.h"
#include "openssl/nid.h"
#include "openssl/rsa.h"

namespace countersign::crypto {
namespace {

constexpr absl::string_view kPemBegin = "-----BEGIN PUBLIC KEY-----";
constexpr absl::string_view kPemEnd = "-----END PUBLIC KEY-----";
constexpr int kMinRsaBits = 2048;
constexpr int kMaxRsaBits = 4096;

std::string Describe(KeyType type, int bits) {
  switch (type) {
    case KeyType::kEd25519:
      return "an Ed25519 key";
    case KeyType::kX25519:
      return "an X25519 key";
    case KeyType::kEcP256:
      return "a P-256 key";
    case KeyType::kEcP384:
      return "a P-384 key";
    case KeyType::kRsa:
      return absl::StrCat("an RSA key of ", bits, " bits");
  }
  return "";
}

// The key that an algorithm needs; bits count for RSA alone.
std::pair<KeyType, int> Needed(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kEd25519:
    case Algorithm::kEd25519ph:
      return {KeyType::kEd25519, 0};
    case Algorithm::kEcdsaP256Sha256:
      return {KeyType::kEcP256, 0};
    case Algorithm::kEcdsaP384Sha384:
      return {KeyType::kEcP384, 0};
    case Algorithm::kRsaPss2048Sha256:
    case Algorithm::kRsaPkcs1_2048Sha256:
      return {KeyType::kRsa, 2048};
    case Algorithm::kRsaPss3072Sha256:
    case Algorithm::kRsaPkcs1_3072Sha256:
      return {KeyType::kRsa, 3072};
    case Algorithm::kRsaPss4096Sha256:
    case Algorithm::kRsaPkcs1_4096Sha256:
      return {KeyType::kRsa, 4096};
    case Algorithm::kHpkeX25519:
      return {KeyType::kX25519, 0};
  }
  return {KeyType::kRsa, -1};
}

absl::StatusOr<bssl::UniquePtr<EVP_PKEY>> FromRaw(int type, absl::string_view name,
                                                  absl::string_view raw) {
  if (raw.size() != 32) {
    return absl::InvalidArgumentError(
        absl::StrCat("an ", name, " public key has 32 bytes, not ", raw.size()));
  }
  bssl::UniquePtr<EVP_PKEY> pkey(
      EVP_PKEY_new_raw_public_key(type, nullptr, Bytes(raw), raw.size()));
  if (pkey == nullptr) {
    return Failure(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("not an ", name, " public key"));
  }
  return pkey;
}

absl::StatusOr<std::string> EncodeSpki(const EVP_PKEY* pkey) {
  bssl::ScopedCBB cbb;
  if (!CBB_init(cbb.get(), 512) || !EVP_marshal_public_key(cbb.get(), pkey) ||
      !CBB_flush(cbb.get())) {
    return Failure(absl::StatusCode::kInternal, "cannot encode the public key");
  }
  return std::string(reinterpret_cast<const char*>(CBB_data(cbb.get())), CBB_len(cbb.get()));
}

// Whether `der`, which parses, is an elliptic curve's header and an uncompressed point: then it is
// the one encoding there is, and encoding the point again, which inverts a field element and costs
// more than all the rest of reading it, could say nothing else.
bool IsUncompressedPoint(absl::string_view der) {
  constexpr absl::string_view kP256(
      "\x30\x59\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07"
      "\x03\x42\x00\x04",
      27);
  constexpr absl::string_view kP384(
      "\x30\x76\x30\x10\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x05\x2B\x81\x04\x00\x22"
      "\x03\x62\x00\x04",
      24);
  return (der.size() == kP256.size() + 64 && der.substr(0, kP256.size()) == kP256) ||
         (der.size() == kP384.size() + 96 && der.substr(0, kP384.size()) == kP384);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const PublicKey::Impl>> PublicKey::Impl::FromPkey(
    bssl::UniquePtr<EVP_PKEY> pkey, absl::string_view spki) {
  auto impl = std::make_shared<Impl>();
  impl->bits = EVP_PKEY_bits(pkey.get());
  switch (EVP_PKEY_id(pkey.get())) {
    case EVP_PKEY_ED25519:
      impl->type = KeyType::kEd25519;
      break;
    case EVP_PKEY_X25519:
      impl->type = KeyType::kX25519;
      break;
    case EVP_PKEY_EC: {
      const EC_GROUP* group = EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(pkey.get()));
      switch (EC_GROUP_get_curve_name(group)) {
        case NID_X9_62_prime256v1:
          impl->type = KeyType::kEcP256;
          break;
        case NID_secp384r1:
          impl->type = KeyType::kEcP384;
          break;
        default:
          return absl::InvalidArgumentError(
              "unsupported elliptic curve: P-256 and P-384 are supported");
      }
      break;
    }
    case EVP_PKEY_RSA: {
      impl->type = KeyType::kRsa;
      if (impl->bits < kMinRsaBits || impl->bits > kMaxRsaBits) {
        return absl::InvalidArgumentError(absl::StrCat("unsupported RSA key of ", impl->bits,
                                                       " bits: ", kMinRsaBits, " to ", kMaxRsaBits,
                                                       " are supported"));
      }
      if (!BN_is_word(RSA_get0_e(EVP_PKEY_get0_RSA(pkey.get())), RSA_F4)) {
        return absl::InvalidArgumentError(
            "unsupported RSA public exponent: only 65537 is supported");
      }
      break;
    }
    default:
      return absl::InvalidArgumentError(
          "unsupported key type: Ed25519, X25519, P-256, P-384 and RSA are supported");
  }

  if (spki.empty()) {
    ASSIGN_OR_RETURN(impl->spki, EncodeSpki(pkey.get()));
  } else {
    impl->spki = std::string(spki);
  }
  if (impl->type == KeyType::kEd25519 || impl->type == KeyType::kX25519) {
    impl->raw.resize(32);
    size_t size = impl->raw.size();
    if (!EVP_PKEY_get_raw_public_key(pkey.get(), MutableBytes(&impl->raw), &size)) {
      return Failure(absl::StatusCode::kInternal, "cannot encode the public key");
    }
  }
  impl->pkey = std::move(pkey);
  return std::shared_ptr<const Impl>(std::move(impl));
}

absl::StatusOr<PublicKey> PublicKey::FromSpkiDer(absl::string_view der) {
  CBS cbs;
  CBS_init(&cbs, Bytes(der), der.size());
  bssl::UniquePtr<EVP_PKEY> pkey(EVP_parse_public_key(&cbs));
  if (pkey == nullptr) {
    return Failure(absl::StatusCode::kInvalidArgument,
                   "not a supported public key in SubjectPublicKeyInfo form");
  }
  if (CBS_len(&cbs) != 0) {
    return absl::InvalidArgumentError("bytes follow the public key");
  }
  ASSIGN_OR_RETURN(auto impl, Impl::FromPkey(std::move(pkey), IsUncompressedPoint(der) ? der : ""));
  // A key with two encodings would have two fingerprints.
  if (impl->spki != der) {
    return absl::InvalidArgumentError(
        "the public key is not in canonical DER (an uncompressed point, minimal lengths)");
  }
  return PublicKey(std::move(impl));
}

absl::StatusOr<PublicKey> PublicKey::FromPem(absl::string_view pem) {
  absl::string_view body = absl::StripAsciiWhitespace(pem);
  if (!absl::ConsumePrefix(&body, kPemBegin) || !absl::ConsumeSuffix(&body, kPemEnd)) {
    return absl::InvalidArgumentError(
        "not a PEM public key: expected one block from -----BEGIN PUBLIC KEY----- to -----END "
        "PUBLIC KEY-----");
  }
  std::string base64;
  for (char c : body) {
    if (!absl::ascii_isspace(c)) base64.push_back(c);
  }
  const absl::StatusOr<std::string> der = base::Base64Decode(base64);
  if (!der.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the PEM public key is not base64: ", der.status().message()));
  }
  return FromSpkiDer(*der);
}

absl::StatusOr<PublicKey> PublicKey::FromEd25519Raw(absl::string_view raw) {
  ASSIGN_OR_RETURN(auto pkey, FromRaw(EVP_PKEY_ED25519, "Ed25519", raw));
  ASSIGN_OR_RETURN(auto impl, Impl::FromPkey(std::move(pkey)));
  return PublicKey(std::move(impl));
}

absl::StatusOr<PublicKey> PublicKey::FromX25519Raw(absl::string_view raw) {
  ASSIGN_OR_RETURN(auto pkey, FromRaw(EVP_PKEY_X25519, "X25519", raw));
  ASSIGN_OR_RETURN(auto impl, Impl::FromPkey(std::move(pkey)));
  return PublicKey(std::move(impl));
}

KeyType PublicKey::type() const { return impl_->type; }

int PublicKey::bits() const { return impl_->bits; }

const std::string& PublicKey::spki_der() const { return impl_->spki; }

const std::string& PublicKey::raw() const { return impl_->raw; }

std::string PublicKey::ToPem() const {
  const std::string base64 = base::Base64Encode(impl_->spki);
  std::string pem = absl::StrCat(kPemBegin, "\n");
  for (size_t at = 0; at < base64.size(); at += 64) {
    absl::StrAppend(&pem, base64.substr(at, 64), "\n");
  }
  absl::StrAppend(&pem, kPemEnd, "\n");
  return pem;
}

std::string PublicKey::Fingerprint() const {
  return base::HexEncode(base::AsBytes(Sha256(impl_->spki)));
}

absl::Status PublicKey::Check(Algorithm algorithm) const {
  const auto [type, bits] = Needed(algorithm);
  if (impl_->type == type && (bits == 0 || impl_->bits == bits)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(AlgorithmName(algorithm), " needs ",
                                                 Describe(type, bits), ", and this is ",
                                                 Describe(impl_->type, impl_->bits)));
}

absl::StatusOr<Algorithm> PublicKey::DefaultAlgorithm() const {
  for (Algorithm algorithm : {Algorithm::kEd25519ph, Algorithm::kEcdsaP256Sha256,
                              Algorithm::kEcdsaP384Sha384, Algorithm::kRsaPkcs1_2048Sha256,
                              Algorithm::kRsaPkcs1_3072Sha256, Algorithm::kRsaPkcs1_4096Sha256}) {
    const auto [type, bits] = Needed(algorithm);
    if (impl_->type == type && (bits == 0 || impl_->bits == bits)) return algorithm;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no signature algorithm goes with ", Describe(impl_->type, impl_->bits)));
}

absl::StatusOr<bool> PublicKey::VerifyMessage(Algorithm algorithm, absl::string_view message,
                                              absl::string_view signature) const {
  if (algorithm == Algorithm::kEd25519) {
    RETURN_IF_ERROR(Check(algorithm));
    return signature.size() == ED25519_SIGNATURE_LEN &&
           Verdict(ED25519_verify(Bytes(message), message.size(), Bytes(signature),
                                  Bytes(impl_->raw)) == 1);
  }
  return VerifyDigest(algorithm, Digest(DigestFor(algorithm), message), signature);
}

absl::StatusOr<bool> PublicKey::VerifyDigest(Algorithm algorithm, absl::string_view digest,
                                             absl::string_view signature) const {
  const size_t expected = DigestLength(DigestFor(algorithm));
  if (expected == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(AlgorithmName(algorithm), " does not sign digests",
                     algorithm == Algorithm::kEd25519 ? "; ed25519ph does" : ""));
  }
  RETURN_IF_ERROR(Check(algorithm));
  if (digest.size() != expected) {
    return absl::InvalidArgumentError(absl::StrCat(AlgorithmName(algorithm), " signs digests of ",
                                                   expected, " bytes, and this one has ",
                                                   digest.size()));
  }
  switch (algorithm) {
    case Algorithm::kEd25519ph:
      return signature.size() == ED25519_SIGNATURE_LEN &&
             Ed25519phVerify(Bytes(impl_->raw), Bytes(digest), Bytes(signature));
    case Algorithm::kEcdsaP256Sha256:
    case Algorithm::kEcdsaP384Sha384:
      return Verdict(ECDSA_verify(0, Bytes(digest), digest.size(), Bytes(signature),
                                  signature.size(), EVP_PKEY_get0_EC_KEY(impl_->pkey.get())) == 1);
    case Algorithm::kRsaPss2048Sha256:
    case Algorithm::kRsaPss3072Sha256:
    case Algorithm::kRsaPss4096Sha256:
      return Verdict(RSA_verify_pss_mgf1(EVP_PKEY_get0_RSA(impl_->pkey.get()), Bytes(digest),
                                         digest.size(), EVP_sha256(), EVP_sha256(),
                                         static_cast<int>(expected), Bytes(signature),
                                         signature.size()) == 1);
    case Algorithm::kRsaPkcs1_2048Sha256:
    case Algorithm::kRsaPkcs1_3072Sha256:
    case Algorithm::kRsaPkcs1_4096Sha256:
      return Verdict(RSA_verify(NID_sha256, Bytes(digest), digest.size(), Bytes(signature),
                                signature.size(), EVP_PKEY_get0_RSA(impl_->pkey.get())) == 1);
    case Algorithm::kEd25519:
    case Algorithm::kHpkeX25519:
      break;
  }
  return absl::InternalError("no such algorithm");
}

absl::StatusOr<bool> PublicKey::VerifyRsaPkcs1(DigestAlgorithm hash, absl::string_view message,
                                               absl::string_view signature) const {
  if (impl_->type != KeyType::kRsa) {
    return absl::InvalidArgumentError(
        absl::StrCat("RSA PKCS#1 needs an RSA key, and this is ", Describe(impl_->type, 0)));
  }
  int nid = 0;
  switch (hash) {
    case DigestAlgorithm::kSha256:
      nid = NID_sha256;
      break;
    case DigestAlgorithm::kSha384:
      nid = NID_sha384;
      break;
    case DigestAlgorithm::kSha512:
      nid = NID_sha512;
      break;
    case DigestAlgorithm::kNone:
      return absl::InvalidArgumentError("RSA PKCS#1 signs digests, and no hash is named");
  }
  const std::string digest = Digest(hash, message);
  return Verdict(RSA_verify(nid, Bytes(digest), digest.size(), Bytes(signature), signature.size(),
                            EVP_PKEY_get0_RSA(impl_->pkey.get())) == 1);
}

}  // namespace countersign::crypto
