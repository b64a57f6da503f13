#include "libs/crypto/private_key_parts.h"

#include <utility>

#include "libs/base/status_macros.h"
#include "libs/crypto/openssl_util.h"
#include "libs/crypto/private_key.h"
#include "openssl/bn.h"
#include "openssl/bytestring.h"
#include "openssl/ec.h"
#include "openssl/ec_key.h"
#include "openssl/evp.h"
#include "openssl/rsa.h"

namespace countersign::crypto {
namespace {

uint8_t* Writable(SecretBytes* secret) {
  return reinterpret_cast<uint8_t*>(secret->ExposeMutable(SecretAccess::Grant()));
}

absl::StatusOr<SecretBytes> Number(const BIGNUM* number, size_t size) {
  SecretBytes out(size);
  if (number == nullptr || !BN_bn2bin_padded(Writable(&out), size, number)) {
    return Failure(absl::StatusCode::kInvalidArgument, "a number of the private key is missing");
  }
  return out;
}

absl::StatusOr<PrivateKeyParts> PartsOfRsa(const RSA* rsa) {
  const size_t half = (RSA_size(rsa) + 1) / 2;
  PrivateKeyParts parts;
  ASSIGN_OR_RETURN(parts.p, Number(RSA_get0_p(rsa), half));
  ASSIGN_OR_RETURN(parts.q, Number(RSA_get0_q(rsa), half));
  ASSIGN_OR_RETURN(parts.dp, Number(RSA_get0_dmp1(rsa), half));
  ASSIGN_OR_RETURN(parts.dq, Number(RSA_get0_dmq1(rsa), half));
  ASSIGN_OR_RETURN(parts.qinv, Number(RSA_get0_iqmp(rsa), half));
  return parts;
}

absl::StatusOr<PrivateKeyParts> PartsOfEc(const EC_KEY* key) {
  const size_t field = (EC_GROUP_get_degree(EC_KEY_get0_group(key)) + 7) / 8;
  PrivateKeyParts parts;
  ASSIGN_OR_RETURN(parts.scalar, Number(EC_KEY_get0_private_key(key), field));
  return parts;
}

}  // namespace

absl::StatusOr<PrivateKeyParts> PartsOfPkcs8(const SecretBytes& der, Algorithm algorithm) {
  RETURN_IF_ERROR(PrivateKey::FromPkcs8(der, algorithm).status());
  const absl::string_view bytes = der.Expose(SecretAccess::Grant());
  CBS cbs;
  CBS_init(&cbs, Bytes(bytes), bytes.size());
  bssl::UniquePtr<EVP_PKEY> pkey(EVP_parse_private_key(&cbs));
  if (pkey == nullptr) {
    return Failure(absl::StatusCode::kInvalidArgument, "not a private key in PKCS#8 form");
  }
  switch (EVP_PKEY_id(pkey.get())) {
    case EVP_PKEY_RSA:
      return PartsOfRsa(EVP_PKEY_get0_RSA(pkey.get()));
    case EVP_PKEY_EC:
      return PartsOfEc(EVP_PKEY_get0_EC_KEY(pkey.get()));
    default: {
      PrivateKeyParts parts;
      parts.scalar = SecretBytes(32);
      size_t size = parts.scalar.size();
      if (!EVP_PKEY_get_raw_private_key(pkey.get(), Writable(&parts.scalar), &size)) {
        return Failure(absl::StatusCode::kInternal, "cannot read the private key");
      }
      return parts;
    }
  }
}

}  // namespace countersign::crypto
