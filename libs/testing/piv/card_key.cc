#include "libs/testing/piv/card_key.h"

#include <cstdint>
#include <map>
#include <utility>

#include "libs/piv/tlv.h"
#include "openssl/bn.h"
#include "openssl/bytestring.h"
#include "openssl/ec.h"
#include "openssl/ec_key.h"
#include "openssl/ecdh.h"
#include "openssl/ecdsa.h"
#include "openssl/err.h"
#include "openssl/mem.h"
#include "openssl/nid.h"
#include "openssl/rand.h"
#include "openssl/rsa.h"

namespace countersign::testing::piv {
namespace {

using countersign::piv::Algorithm;
using countersign::piv::AppendTlv;
using countersign::piv::TlvReader;

constexpr size_t kEd25519Bytes = 32;
constexpr uint32_t kTagModulus = 0x81;
constexpr uint32_t kTagExponent = 0x82;
constexpr uint32_t kTagPoint = 0x86;

const uint8_t* Bytes(absl::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}
uint8_t* MutableBytes(std::string* bytes) { return reinterpret_cast<uint8_t*>(bytes->data()); }

int CurveOf(Algorithm algorithm) {
  if (algorithm == Algorithm::kEccP256) return NID_X9_62_prime256v1;
  return algorithm == Algorithm::kEccP384 ? NID_secp384r1 : NID_undef;
}

unsigned RsaBits(Algorithm algorithm) {
  if (algorithm == Algorithm::kRsa1024) return 1024;
  return algorithm == Algorithm::kRsa2048 ? 2048 : 0;
}

size_t FieldBytes(const EC_KEY* key) {
  return (EC_GROUP_get_degree(EC_KEY_get0_group(key)) + 7) / 8;
}

bssl::UniquePtr<EVP_PKEY> FromRsa(bssl::UniquePtr<RSA> rsa) {
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  EVP_PKEY_assign_RSA(key.get(), rsa.release());
  return key;
}

bssl::UniquePtr<EVP_PKEY> FromEc(bssl::UniquePtr<EC_KEY> ec) {
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  EVP_PKEY_assign_EC_KEY(key.get(), ec.release());
  return key;
}

bssl::UniquePtr<BIGNUM> Number(absl::string_view bytes) {
  return bssl::UniquePtr<BIGNUM>(BN_bin2bn(Bytes(bytes), bytes.size(), nullptr));
}

std::string Bytes(const BIGNUM* number) {
  std::string bytes(BN_num_bytes(number), '\0');
  BN_bn2bin(number, MutableBytes(&bytes));
  return bytes;
}

std::string Take(CBB* cbb) {
  uint8_t* data = nullptr;
  size_t size = 0;
  if (!CBB_finish(cbb, &data, &size)) return "";
  bssl::UniquePtr<uint8_t> owner(data);
  return std::string(reinterpret_cast<char*>(data), size);
}

// The primes with the exponent 65537, when the three numbers behind them fit.
bssl::UniquePtr<EVP_PKEY> ImportRsa(const std::map<uint32_t, absl::string_view>& parts) {
  bssl::UniquePtr<BIGNUM> numbers[5];
  for (uint32_t tag = 1; tag <= 5; ++tag) {
    const auto part = parts.find(tag);
    if (part == parts.end()) return nullptr;
    numbers[tag - 1] = Number(part->second);
  }
  auto& [p, q, dp, dq, qinv] = numbers;
  bssl::UniquePtr<BN_CTX> context(BN_CTX_new());
  bssl::UniquePtr<BIGNUM> n(BN_new()), e(BN_new()), d(BN_new()), p1(BN_new()), q1(BN_new()),
      phi(BN_new());
  if (!BN_set_word(e.get(), RSA_F4) || !BN_mul(n.get(), p.get(), q.get(), context.get()) ||
      !BN_sub(p1.get(), p.get(), BN_value_one()) || !BN_sub(q1.get(), q.get(), BN_value_one()) ||
      !BN_mul(phi.get(), p1.get(), q1.get(), context.get()) ||
      BN_mod_inverse(d.get(), e.get(), phi.get(), context.get()) == nullptr) {
    return nullptr;
  }
  bssl::UniquePtr<RSA> rsa(RSA_new());
  if (!RSA_set0_key(rsa.get(), n.release(), e.release(), d.release()) ||
      !RSA_set0_factors(rsa.get(), p.release(), q.release()) ||
      !RSA_set0_crt_params(rsa.get(), dp.release(), dq.release(), qinv.release()) ||
      !RSA_check_key(rsa.get())) {
    return nullptr;
  }
  return FromRsa(std::move(rsa));
}

bssl::UniquePtr<EVP_PKEY> FromScalar(int curve, absl::string_view scalar) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve));
  const EC_GROUP* group = EC_KEY_get0_group(ec.get());
  const bssl::UniquePtr<BIGNUM> number = Number(scalar);
  bssl::UniquePtr<EC_POINT> point(EC_POINT_new(group));
  if (!EC_KEY_set_private_key(ec.get(), number.get()) ||
      !EC_POINT_mul(group, point.get(), number.get(), nullptr, nullptr, nullptr) ||
      !EC_KEY_set_public_key(ec.get(), point.get()) || !EC_KEY_check_key(ec.get())) {
    return nullptr;
  }
  return FromEc(std::move(ec));
}

bssl::UniquePtr<EVP_PKEY> FromSeed(absl::string_view seed) {
  if (seed.size() != kEd25519Bytes) return nullptr;
  return bssl::UniquePtr<EVP_PKEY>(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(seed), seed.size()));
}

}  // namespace

std::optional<CardKey> CardKey::Of(Algorithm algorithm, bssl::UniquePtr<EVP_PKEY> key) {
  ERR_clear_error();
  if (key == nullptr) return std::nullopt;
  CardKey made;
  made.algorithm = algorithm;
  made.key_ = std::move(key);
  return made;
}

std::optional<CardKey> CardKey::Generate(Algorithm algorithm) {
  if (const unsigned bits = RsaBits(algorithm); bits != 0) {
    bssl::UniquePtr<RSA> rsa(RSA_new());
    bssl::UniquePtr<BIGNUM> exponent(BN_new());
    if (!BN_set_word(exponent.get(), RSA_F4) ||
        !RSA_generate_key_ex(rsa.get(), static_cast<int>(bits), exponent.get(), nullptr)) {
      return std::nullopt;
    }
    return Of(algorithm, FromRsa(std::move(rsa)));
  }
  if (const int curve = CurveOf(algorithm); curve != NID_undef) {
    bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve));
    if (!EC_KEY_generate_key(ec.get())) return std::nullopt;
    return Of(algorithm, FromEc(std::move(ec)));
  }
  if (algorithm != Algorithm::kEd25519) return std::nullopt;
  std::string seed(kEd25519Bytes, '\0');
  RAND_bytes(MutableBytes(&seed), seed.size());
  return Of(algorithm, FromSeed(seed));
}

std::optional<CardKey> CardKey::Import(Algorithm algorithm, absl::string_view components) {
  constexpr uint32_t kTagScalar = 6;
  constexpr uint32_t kTagSeed = 7;
  std::map<uint32_t, absl::string_view> parts;
  TlvReader reader(components);
  uint32_t tag = 0;
  absl::string_view value;
  while (reader.Read(&tag, &value)) parts[tag] = value;
  if (!reader.empty()) return std::nullopt;
  if (const unsigned bits = RsaBits(algorithm); bits != 0) {
    bssl::UniquePtr<EVP_PKEY> key = ImportRsa(parts);
    if (key != nullptr && EVP_PKEY_bits(key.get()) != static_cast<int>(bits)) key.reset();
    return Of(algorithm, std::move(key));
  }
  if (const int curve = CurveOf(algorithm); curve != NID_undef) {
    return Of(algorithm, parts.count(kTagScalar) ? FromScalar(curve, parts[kTagScalar]) : nullptr);
  }
  if (algorithm != Algorithm::kEd25519) return std::nullopt;
  return Of(algorithm, parts.count(kTagSeed) ? FromSeed(parts[kTagSeed]) : nullptr);
}

std::optional<CardKey> CardKey::FromPkcs8(Algorithm algorithm, absl::string_view der) {
  CBS cbs;
  CBS_init(&cbs, Bytes(der), der.size());
  return Of(algorithm, bssl::UniquePtr<EVP_PKEY>(EVP_parse_private_key(&cbs)));
}

std::string CardKey::Pkcs8() const {
  bssl::ScopedCBB cbb;
  if (!CBB_init(cbb.get(), 0) || !EVP_marshal_private_key(cbb.get(), key_.get())) return "";
  return Take(cbb.get());
}

std::string CardKey::Spki() const {
  bssl::ScopedCBB cbb;
  if (!CBB_init(cbb.get(), 0) || !EVP_marshal_public_key(cbb.get(), key_.get())) return "";
  return Take(cbb.get());
}

std::string CardKey::PublicTlvs() const {
  std::string tlvs;
  if (const RSA* rsa = EVP_PKEY_get0_RSA(key_.get()); rsa != nullptr) {
    AppendTlv(kTagModulus, Bytes(RSA_get0_n(rsa)), &tlvs);
    AppendTlv(kTagExponent, Bytes(RSA_get0_e(rsa)), &tlvs);
    return tlvs;
  }
  std::string point;
  if (const EC_KEY* ec = EVP_PKEY_get0_EC_KEY(key_.get()); ec != nullptr) {
    point.resize(1 + 2 * FieldBytes(ec));
    EC_POINT_point2oct(EC_KEY_get0_group(ec), EC_KEY_get0_public_key(ec),
                       POINT_CONVERSION_UNCOMPRESSED, MutableBytes(&point), point.size(), nullptr);
  } else {
    point.resize(kEd25519Bytes);
    size_t size = point.size();
    EVP_PKEY_get_raw_public_key(key_.get(), MutableBytes(&point), &size);
  }
  ERR_clear_error();
  AppendTlv(kTagPoint, point, &tlvs);
  return tlvs;
}

std::optional<std::string> CardKey::Sign(absl::string_view input) const {
  std::string signature(EVP_PKEY_size(key_.get()), '\0');
  bool ok = false;
  if (RSA* rsa = EVP_PKEY_get0_RSA(key_.get()); rsa != nullptr) {
    size_t size = 0;
    ok = input.size() == RSA_size(rsa) &&
         RSA_sign_raw(rsa, &size, MutableBytes(&signature), signature.size(), Bytes(input),
                      input.size(), RSA_NO_PADDING);
  } else if (const EC_KEY* ec = EVP_PKEY_get0_EC_KEY(key_.get()); ec != nullptr) {
    unsigned size = 0;
    ok = !input.empty() && input.size() <= FieldBytes(ec) &&
         ECDSA_sign(0, Bytes(input), input.size(), MutableBytes(&signature), &size, ec);
    signature.resize(size);
  } else {
    bssl::ScopedEVP_MD_CTX context;
    size_t size = signature.size();
    ok = EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) &&
         EVP_DigestSign(context.get(), MutableBytes(&signature), &size, Bytes(input), input.size());
  }
  ERR_clear_error();
  if (!ok) return std::nullopt;
  return signature;
}

std::optional<std::string> CardKey::Agree(absl::string_view point) const {
  const EC_KEY* ec = EVP_PKEY_get0_EC_KEY(key_.get());
  if (ec == nullptr || point.size() != 1 + 2 * FieldBytes(ec)) return std::nullopt;
  bssl::UniquePtr<EC_POINT> peer(EC_POINT_new(EC_KEY_get0_group(ec)));
  std::string shared(FieldBytes(ec), '\0');
  const bool ok =
      EC_POINT_oct2point(EC_KEY_get0_group(ec), peer.get(), Bytes(point), point.size(), nullptr) &&
      ECDH_compute_key(shared.data(), shared.size(), peer.get(), ec, nullptr) ==
          static_cast<int>(shared.size());
  ERR_clear_error();
  if (!ok) return std::nullopt;
  return shared;
}

}  // namespace countersign::testing::piv
