#include "libs/acme/jws.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/hmac.h"
#include "nlohmann/json.hpp"

namespace countersign::acme {
namespace {

constexpr size_t kFieldBytes = 32;

// An integer of DER as 32 bytes.
bool AppendFixed(absl::string_view integer, std::string* out) {
  while (integer.size() > kFieldBytes && integer[0] == '\0') integer.remove_prefix(1);
  if (integer.size() > kFieldBytes) return false;
  out->append(kFieldBytes - integer.size(), '\0');
  absl::StrAppend(out, integer);
  return true;
}

// r and s behind one another (RFC 7518 section 3.4) of an ECDSA-Sig-Value.
absl::StatusOr<std::string> RawSignature(absl::string_view der) {
  std::string raw;
  const auto u8 = [&](size_t i) { return static_cast<uint8_t>(der[i]); };
  // SEQUENCE of two INTEGERs, each shorter than 128 bytes.
  size_t at = 2;
  bool ok = der.size() > 8 && u8(0) == 0x30 && u8(1) == der.size() - 2;
  for (int i = 0; ok && i < 2; ++i) {
    ok = at + 2 <= der.size() && u8(at) == 0x02 && u8(at + 1) < 128 &&
         at + 2 + u8(at + 1) <= der.size();
    if (!ok) break;
    ok = AppendFixed(der.substr(at + 2, u8(at + 1)), &raw);
    at += 2 + u8(at + 1);
  }
  if (!ok || at != der.size()) return absl::InternalError("not an ECDSA signature");
  return raw;
}

std::string Flattened(absl::string_view header, absl::string_view payload,
                      absl::string_view signature) {
  return absl::StrCat(R"({"protected":")", header, R"(","payload":")", payload,
                      R"(","signature":")", Base64Url(signature), R"("})");
}

}  // namespace

std::string Base64Url(absl::string_view bytes) { return absl::WebSafeBase64Escape(bytes); }

absl::StatusOr<std::string> Jwk(const crypto::PublicKey& key) {
  if (key.type() != crypto::KeyType::kEcP256) {
    return absl::InvalidArgumentError("an ACME account's key is a P-256 key");
  }
  // The point, uncompressed, is the end of the SubjectPublicKeyInfo.
  absl::string_view point = key.spki_der();
  point.remove_prefix(point.size() - 2 * kFieldBytes);
  return absl::StrCat(R"({"crv":"P-256","kty":"EC","x":")", Base64Url(point.substr(0, kFieldBytes)),
                      R"(","y":")", Base64Url(point.substr(kFieldBytes)), R"("})");
}

absl::StatusOr<std::string> JwkThumbprint(const crypto::PublicKey& key) {
  ASSIGN_OR_RETURN(const std::string jwk, Jwk(key));
  return Base64Url(base::AsBytes(crypto::Sha256(jwk)));
}

absl::StatusOr<std::string> SignEs256(const crypto::PrivateKey& key, absl::string_view key_id,
                                      absl::string_view nonce, absl::string_view url,
                                      absl::string_view payload) {
  nlohmann::json header = {{"alg", "ES256"}, {"url", std::string(url)}};
  if (!nonce.empty()) header["nonce"] = std::string(nonce);
  if (key_id.empty()) {
    ASSIGN_OR_RETURN(const std::string jwk, Jwk(key.public_key()));
    header["jwk"] = nlohmann::json::parse(jwk);
  } else {
    header["kid"] = std::string(key_id);
  }
  const std::string protected_header = Base64Url(header.dump());
  const std::string encoded = Base64Url(payload);
  ASSIGN_OR_RETURN(const std::string der,
                   key.SignMessage(absl::StrCat(protected_header, ".", encoded)));
  ASSIGN_OR_RETURN(const std::string signature, RawSignature(der));
  return Flattened(protected_header, encoded, signature);
}

absl::StatusOr<std::string> BindExternalAccount(const crypto::PublicKey& account_key,
                                                absl::string_view key_id,
                                                const crypto::SecretBytes& mac_key,
                                                absl::string_view url) {
  const nlohmann::json header = {
      {"alg", "HS256"}, {"kid", std::string(key_id)}, {"url", std::string(url)}};
  ASSIGN_OR_RETURN(const std::string jwk, Jwk(account_key));
  const std::string protected_header = Base64Url(header.dump());
  const std::string payload = Base64Url(jwk);
  return Flattened(protected_header, payload,
                   crypto::HmacSha256(mac_key, absl::StrCat(protected_header, ".", payload)));
}

}  // namespace countersign::acme
