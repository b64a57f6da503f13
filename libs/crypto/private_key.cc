#include "libs/crypto/private_key.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
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
#include "openssl/rand.h"
#include "openssl/rsa.h"

namespace countersign::crypto {
namespace {

bssl::UniquePtr<EVP_PKEY> GenerateEc(int curve) {
  bssl::UniquePtr<EC_KEY> key(EC_KEY_new_by_curve_name(curve));
  bssl::UniquePtr<EVP_PKEY> pkey(EVP_PKEY_new());
  if (key == nullptr || pkey == nullptr || !EC_KEY_generate_key(key.get()) ||
      !EVP_PKEY_set1_EC_KEY(pkey.get(), key.get())) {
    return nullptr;
  }
  return pkey;
}

bssl::UniquePtr<EVP_PKEY> GenerateRsa(int bits) {
  bssl::UniquePtr<RSA> key(RSA_new());
  bssl::UniquePtr<BIGNUM> exponent(BN_new());
  bssl::UniquePtr<EVP_PKEY> pkey(EVP_PKEY_new());
  if (key == nullptr || exponent == nullptr || pkey == nullptr ||
      !BN_set_word(exponent.get(), RSA_F4) ||
      !RSA_generate_key_ex(key.get(), bits, exponent.get(), nullptr) ||
      !EVP_PKEY_set1_RSA(pkey.get(), key.get())) {
    return nullptr;
  }
  return pkey;
}

// Ed25519 and X25519 take any 32 random bytes.
bssl::UniquePtr<EVP_PKEY> GenerateRaw(int type) {
  SecretBytes seed(32);
  auto* bytes = reinterpret_cast<uint8_t*>(seed.ExposeMutable(SecretAccess::Grant()));
  RAND_bytes(bytes, seed.size());
  return bssl::UniquePtr<EVP_PKEY>(EVP_PKEY_new_raw_private_key(type, nullptr, bytes, seed.size()));
}

bssl::UniquePtr<EVP_PKEY> GeneratePkey(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kEd25519:
    case Algorithm::kEd25519ph:
      return GenerateRaw(EVP_PKEY_ED25519);
    case Algorithm::kHpkeX25519:
      return GenerateRaw(EVP_PKEY_X25519);
    case Algorithm::kEcdsaP256Sha256:
      return GenerateEc(NID_X9_62_prime256v1);
    case Algorithm::kEcdsaP384Sha384:
      return GenerateEc(NID_secp384r1);
    case Algorithm::kRsaPss2048Sha256:
    case Algorithm::kRsaPkcs1_2048Sha256:
      return GenerateRsa(2048);
    case Algorithm::kRsaPss3072Sha256:
    case Algorithm::kRsaPkcs1_3072Sha256:
      return GenerateRsa(3072);
    case Algorithm::kRsaPss4096Sha256:
    case Algorithm::kRsaPkcs1_4096Sha256:
      return GenerateRsa(4096);
  }
  return nullptr;
}

}  // namespace

PrivateKey::PrivateKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PrivateKey::~PrivateKey() = default;
PrivateKey::PrivateKey(PrivateKey&&) noexcept = default;
PrivateKey& PrivateKey::operator=(PrivateKey&&) noexcept = default;

absl::StatusOr<std::unique_ptr<PrivateKey::Impl>> PrivateKey::Impl::FromPkey(
    bssl::UniquePtr<EVP_PKEY> pkey, Algorithm algorithm) {
  // By way of its encoding, so that no copy of the public key keeps the private half alive.
  bssl::ScopedCBB cbb;
  if (!CBB_init(cbb.get(), 512) || !EVP_marshal_public_key(cbb.get(), pkey.get()) ||
      !CBB_flush(cbb.get())) {
    return Failure(absl::StatusCode::kInternal, "cannot encode the public key");
  }
  ASSIGN_OR_RETURN(PublicKey public_key,
                   PublicKey::FromSpkiDer(
                       {reinterpret_cast<const char*>(CBB_data(cbb.get())), CBB_len(cbb.get())}));
  RETURN_IF_ERROR(public_key.Check(algorithm));
  SecretBytes ed25519;
  if (public_key.type() == KeyType::kEd25519) {
    ed25519 = SecretBytes(64);
    char* bytes = ed25519.ExposeMutable(SecretAccess::Grant());
    size_t size = 32;
    if (!EVP_PKEY_get_raw_private_key(pkey.get(), reinterpret_cast<uint8_t*>(bytes), &size)) {
      return Failure(absl::StatusCode::kInternal, "cannot read the Ed25519 key");
    }
    std::memcpy(bytes + 32, public_key.raw().data(), 32);
  }
  return std::unique_ptr<Impl>(
      new Impl{algorithm, std::move(public_key), std::move(pkey), std::move(ed25519)});
}

absl::StatusOr<PrivateKey> PrivateKey::Generate(Algorithm algorithm) {
  bssl::UniquePtr<EVP_PKEY> pkey = GeneratePkey(algorithm);
  if (pkey == nullptr) {
    return Failure(absl::StatusCode::kInternal,
                   absl::StrCat("cannot generate a key for ", AlgorithmName(algorithm)));
  }
  ASSIGN_OR_RETURN(auto impl, Impl::FromPkey(std::move(pkey), algorithm));
  return PrivateKey(std::move(impl));
}

absl::StatusOr<PrivateKey> PrivateKey::FromPkcs8(const SecretBytes& der, Algorithm algorithm) {
  const absl::string_view bytes = der.Expose(SecretAccess::Grant());
  CBS cbs;
  CBS_init(&cbs, Bytes(bytes), bytes.size());
  bssl::UniquePtr<EVP_PKEY> pkey(EVP_parse_private_key(&cbs));
  if (pkey == nullptr || CBS_len(&cbs) != 0) {
    return Failure(absl::StatusCode::kInvalidArgument,
                   "not a supported private key in PKCS#8 form");
  }
  ASSIGN_OR_RETURN(auto impl, Impl::FromPkey(std::move(pkey), algorithm));
  return PrivateKey(std::move(impl));
}

absl::StatusOr<PrivateKey> PrivateKey::FromEd25519Seed(const SecretBytes& seed) {
  const absl::string_view bytes = seed.Expose(SecretAccess::Grant());
  bssl::UniquePtr<EVP_PKEY> pkey(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(bytes), bytes.size()));
  if (pkey == nullptr) {
    return Failure(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("an Ed25519 seed has 32 bytes, not ", bytes.size()));
  }
  ASSIGN_OR_RETURN(auto impl, Impl::FromPkey(std::move(pkey), Algorithm::kEd25519));
  return PrivateKey(std::move(impl));
}

absl::StatusOr<SecretBytes> PrivateKey::ToPkcs8() const {
  // BoringSSL wipes what it frees, the CBB's buffer included.
  bssl::ScopedCBB cbb;
  if (!CBB_init(cbb.get(), 2560) || !EVP_marshal_private_key(cbb.get(), impl_->pkey.get()) ||
      !CBB_flush(cbb.get())) {
    return Failure(absl::StatusCode::kInternal, "cannot encode the private key");
  }
  return SecretBytes(
      absl::string_view(reinterpret_cast<const char*>(CBB_data(cbb.get())), CBB_len(cbb.get())));
}

Algorithm PrivateKey::algorithm() const { return impl_->algorithm; }

const PublicKey& PrivateKey::public_key() const { return impl_->public_key; }

DigestAlgorithm SignedDigest(Algorithm algorithm) {
  return algorithm == Algorithm::kEd25519 ? DigestAlgorithm::kSha512 : DigestFor(algorithm);
}

absl::StatusOr<std::string> PrivateKey::SignMessage(absl::string_view message) const {
  if (impl_->algorithm != Algorithm::kEd25519) {
    return SignDigest(Digest(DigestFor(impl_->algorithm), message));
  }
  std::string signature(ED25519_SIGNATURE_LEN, '\0');
  if (!ED25519_sign(MutableBytes(&signature), Bytes(message), message.size(),
                    Bytes(impl_->ed25519.Expose(SecretAccess::Grant())))) {
    return Failure(absl::StatusCode::kInternal, "Ed25519 signing failed");
  }
  return signature;
}

absl::StatusOr<std::string> PrivateKey::SignDigest(absl::string_view digest) const {
  if (!CanSign(impl_->algorithm)) {
    return absl::FailedPreconditionError(
        absl::StrCat("a key for ", AlgorithmName(impl_->algorithm), " does not sign"));
  }
  const size_t expected = DigestLength(SignedDigest(impl_->algorithm));
  if (digest.size() != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("a key for ", AlgorithmName(impl_->algorithm), " signs ",
                     DigestName(SignedDigest(impl_->algorithm)), " digests of ", expected,
                     " bytes, and this one has ", digest.size()));
  }
  EVP_PKEY* const pkey = impl_->pkey.get();
  switch (impl_->algorithm) {
    case Algorithm::kEd25519:
    case Algorithm::kEd25519ph: {
      std::string signature(ED25519_SIGNATURE_LEN, '\0');
      Ed25519phSign(Bytes(impl_->ed25519.Expose(SecretAccess::Grant())), Bytes(digest),
                    MutableBytes(&signature));
      return signature;
    }
    case Algorithm::kEcdsaP256Sha256:
    case Algorithm::kEcdsaP384Sha384: {
      const EC_KEY* key = EVP_PKEY_get0_EC_KEY(pkey);
      std::string signature(ECDSA_size(key), '\0');
      unsigned size = 0;
      if (!ECDSA_sign(0, Bytes(digest), digest.size(), MutableBytes(&signature), &size, key)) {
        return Failure(absl::StatusCode::kInternal, "ECDSA signing failed");
      }
      signature.resize(size);
      return signature;
    }
    case Algorithm::kRsaPss2048Sha256:
    case Algorithm::kRsaPss3072Sha256:
    case Algorithm::kRsaPss4096Sha256: {
      RSA* key = EVP_PKEY_get0_RSA(pkey);
      std::string signature(RSA_size(key), '\0');
      size_t size = 0;
      if (!RSA_sign_pss_mgf1(key, &size, MutableBytes(&signature), signature.size(), Bytes(digest),
                             digest.size(), EVP_sha256(), EVP_sha256(),
                             static_cast<int>(expected))) {
        return Failure(absl::StatusCode::kInternal, "RSA-PSS signing failed");
      }
      signature.resize(size);
      return signature;
    }
    case Algorithm::kRsaPkcs1_2048Sha256:
    case Algorithm::kRsaPkcs1_3072Sha256:
    case Algorithm::kRsaPkcs1_4096Sha256: {
      RSA* key = EVP_PKEY_get0_RSA(pkey);
      std::string signature(RSA_size(key), '\0');
      unsigned size = 0;
      if (!RSA_sign(NID_sha256, Bytes(digest), digest.size(), MutableBytes(&signature), &size,
                    key)) {
        return Failure(absl::StatusCode::kInternal, "RSA signing failed");
      }
      signature.resize(size);
      return signature;
    }
    case Algorithm::kHpkeX25519:
      break;
  }
  return absl::InternalError("no such algorithm");
}

absl::StatusOr<SecretBytes> X25519Secret::Of(const PrivateKey& key) {
  if (key.impl_->algorithm != Algorithm::kHpkeX25519) {
    return absl::InvalidArgumentError(
        absl::StrCat("HPKE needs a key for hpke-x25519, and this one is for ",
                     AlgorithmName(key.impl_->algorithm)));
  }
  SecretBytes raw(32);
  size_t size = raw.size();
  if (!EVP_PKEY_get_raw_private_key(
          key.impl_->pkey.get(),
          reinterpret_cast<uint8_t*>(raw.ExposeMutable(SecretAccess::Grant())), &size)) {
    return Failure(absl::StatusCode::kInternal, "cannot read the X25519 key");
  }
  return raw;
}

}  // namespace countersign::crypto
