#include "libs/crypto/pkcs12.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/openssl_util.h"
#include "libs/crypto/random.h"
#include "libs/crypto/sha1.h"
#include "openssl/bytestring.h"
#include "openssl/cipher.h"
#include "openssl/digest.h"
#include "openssl/evp.h"
#include "openssl/hmac.h"
#include "openssl/pkcs8.h"
#include "openssl/x509.h"

namespace countersign::crypto {
namespace {

constexpr int kMaxDepth = 16;
constexpr unsigned kIterations = 100'000;
constexpr size_t kSaltBytes = 16;
constexpr size_t kMacBytes = 32;       // SHA-256's output
constexpr size_t kMacBlockBytes = 64;  // and its block
constexpr char kMacKeyPurpose = 3;     // RFC 7292 appendix B.3
constexpr size_t kCipherBlockBytes = 16;
constexpr size_t kCipherKeyBytes = 32;

constexpr unsigned kTagged0 = CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0;

// OBJECT IDENTIFIER elements.
constexpr absl::string_view kData("\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01", 11);
constexpr absl::string_view kEncryptedData("\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x06", 11);
constexpr absl::string_view kShroudedKeyBag("\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x0A\x01\x02",
                                            13);
constexpr absl::string_view kCertBag("\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x0A\x01\x03", 13);
constexpr absl::string_view kX509Certificate("\x06\x0A\x2A\x86\x48\x86\xF7\x0D\x01\x09\x16\x01",
                                             12);
constexpr absl::string_view kFriendlyName("\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x09\x14", 11);
constexpr absl::string_view kLocalKeyId("\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x09\x15", 11);
constexpr absl::string_view kPbes2("\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x05\x0D", 11);
constexpr absl::string_view kPbkdf2("\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x05\x0C", 11);
constexpr absl::string_view kAes256Cbc("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2A", 11);
// AlgorithmIdentifiers hmacWithSHA256 and SHA-256.
constexpr absl::string_view kHmacSha256("\x30\x0C\x06\x08\x2A\x86\x48\x86\xF7\x0D\x02\x09\x05\x00",
                                        14);
constexpr absl::string_view kSha256("\x30\x0D\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00",
                                    15);

absl::Status Bad(absl::string_view what) {
  return Failure(absl::StatusCode::kInvalidArgument, absl::StrCat("PKCS#12: ", what));
}

// Whether all counts of iterations are at most `limit`: everywhere in the format such a count is
// the INTEGER behind the OCTET STRING that holds the salt. What is encrypted has none. `*is_der`
// becomes false for what does not parse.
bool IterationsWithin(CBS in, uint64_t limit, int depth, bool* is_der) {
  unsigned before = 0;
  while (CBS_len(&in) != 0) {
    CBS contents;
    unsigned tag;
    if (depth > kMaxDepth || !Verdict(CBS_get_any_asn1(&in, &contents, &tag))) {
      *is_der = false;
      return true;
    }
    if (tag == CBS_ASN1_INTEGER && before == CBS_ASN1_OCTETSTRING) {
      uint64_t count = 0;
      if (CBS_len(&contents) > 8) return false;
      for (size_t i = 0; i < CBS_len(&contents); ++i) count = count << 8 | CBS_data(&contents)[i];
      if (count > limit) return false;
    } else if ((tag & CBS_ASN1_CONSTRUCTED) != 0) {
      if (!IterationsWithin(contents, limit, depth + 1, is_der)) return false;
    } else if (tag == CBS_ASN1_OCTETSTRING && CBS_peek_asn1_tag(&contents, CBS_ASN1_SEQUENCE)) {
      bool inner_is_der = true;
      if (!IterationsWithin(contents, limit, depth + 1, &inner_is_der)) return false;
    }
    before = tag;
  }
  return true;
}

// What BoringSSL takes passphrases as.
absl::StatusOr<SecretBytes> CString(const SecretBytes& passphrase) {
  const absl::string_view bytes = passphrase.Expose(SecretAccess::Grant());
  if (bytes.find('\0') != absl::string_view::npos) return Bad("the passphrase has a zero byte");
  SecretBytes terminated(bytes.size() + 1);
  std::copy(bytes.begin(), bytes.end(), terminated.ExposeMutable(SecretAccess::Grant()));
  return terminated;
}

std::string ToString(const CBB* cbb) {
  return std::string(reinterpret_cast<const char*>(CBB_data(cbb)), CBB_len(cbb));
}

std::string Spki(const EVP_PKEY* pkey) {
  bssl::ScopedCBB cbb;
  if (pkey == nullptr || !CBB_init(cbb.get(), 128) ||
      !Verdict(EVP_marshal_public_key(cbb.get(), pkey)) || !CBB_flush(cbb.get())) {
    return "";
  }
  return ToString(cbb.get());
}

absl::StatusOr<PrivateKey> KeyFrom(const EVP_PKEY* pkey) {
  ASSIGN_OR_RETURN(const PublicKey public_key, PublicKey::FromSpkiDer(Spki(pkey)));
  ASSIGN_OR_RETURN(Algorithm algorithm, public_key.DefaultAlgorithm());
  // The default for digests; certificates are signed as messages (RFC 8410).
  if (algorithm == Algorithm::kEd25519ph) algorithm = Algorithm::kEd25519;
  bssl::ScopedCBB cbb;
  if (!CBB_init(cbb.get(), 2560) || !EVP_marshal_private_key(cbb.get(), pkey) ||
      !CBB_flush(cbb.get())) {
    return Bad("its private key is of no known kind");
  }
  return PrivateKey::FromPkcs8(
      SecretBytes(absl::string_view(reinterpret_cast<const char*>(CBB_data(cbb.get())),
                                    CBB_len(cbb.get()))),
      algorithm);
}

std::string CertificateDer(X509* x509) {
  uint8_t* bytes = nullptr;
  const int size = i2d_X509(x509, &bytes);
  if (size <= 0) return "";
  std::string der(reinterpret_cast<const char*>(bytes), size);
  OPENSSL_free(bytes);
  return der;
}

std::string CertificateSpki(X509* x509) {
  bssl::UniquePtr<EVP_PKEY> pkey(X509_get_pubkey(x509));
  if (pkey == nullptr) ERR_clear_error();
  return Spki(pkey.get());
}

std::string Element(unsigned tag, std::initializer_list<absl::string_view> contents) {
  bssl::ScopedCBB cbb;
  CBB child;
  CBB_init(cbb.get(), 64);
  CBB_add_asn1(cbb.get(), &child, tag);
  for (const absl::string_view part : contents) CBB_add_bytes(&child, Bytes(part), part.size());
  CBB_flush(cbb.get());
  return ToString(cbb.get());
}
std::string Sequence(std::initializer_list<absl::string_view> contents) {
  return Element(CBS_ASN1_SEQUENCE, contents);
}
std::string Octets(absl::string_view bytes) { return Element(CBS_ASN1_OCTETSTRING, {bytes}); }
std::string Number(uint64_t value) {
  bssl::ScopedCBB cbb;
  CBB_init(cbb.get(), 16);
  CBB_add_asn1_uint64(cbb.get(), value);
  CBB_flush(cbb.get());
  return ToString(cbb.get());
}

// UTF-16 in big-endian order, without surrogates. False for what is not UTF-8 of the basic plane.
bool ToBmp(absl::string_view utf8, char* out, size_t* size) {
  *size = 0;
  for (size_t i = 0; i < utf8.size();) {
    const auto byte = [&](size_t at) -> unsigned {
      return at < utf8.size() ? static_cast<uint8_t>(utf8[at]) : 0;
    };
    const unsigned first = byte(i);
    const size_t length = first < 0x80                    ? 1
                          : first >= 0xC2 && first < 0xE0 ? 2
                          : first >= 0xE0 && first < 0xF0 ? 3
                                                          : 0;
    if (length == 0) return false;
    unsigned code = length == 1 ? first : length == 2 ? first & 0x1F : first & 0x0F;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return false;
      code = code << 6 | (byte(i + k) & 0x3F);
    }
    if ((length == 3 && code < 0x800) || (code >= 0xD800 && code < 0xE000)) return false;
    out[(*size)++] = static_cast<char>(code >> 8);
    out[(*size)++] = static_cast<char>(code);
    i += length;
  }
  return true;
}

// `plaintext` under PBES2: its AlgorithmIdentifier and the ciphertext.
struct Encrypted {
  std::string algorithm;
  std::string ciphertext;
};
absl::StatusOr<Encrypted> Encrypt(absl::string_view plaintext, const SecretBytes& passphrase) {
  const absl::string_view pass = passphrase.Expose(SecretAccess::Grant());
  const std::string salt = RandomBytes(kSaltBytes);
  const std::string iv = RandomBytes(kCipherBlockBytes);
  SecretBytes key(kCipherKeyBytes);
  auto* key_bytes = reinterpret_cast<uint8_t*>(key.ExposeMutable(SecretAccess::Grant()));
  std::string ciphertext(plaintext.size() + kCipherBlockBytes, '\0');
  int size = 0;
  int last = 0;
  bssl::ScopedEVP_CIPHER_CTX context;
  if (!PKCS5_PBKDF2_HMAC(pass.data(), pass.size(), Bytes(salt), salt.size(), kIterations,
                         EVP_sha256(), key.size(), key_bytes) ||
      !EVP_EncryptInit_ex(context.get(), EVP_aes_256_cbc(), nullptr, key_bytes, Bytes(iv)) ||
      !EVP_EncryptUpdate(context.get(), MutableBytes(&ciphertext), &size, Bytes(plaintext),
                         static_cast<int>(plaintext.size())) ||
      !EVP_EncryptFinal_ex(context.get(), MutableBytes(&ciphertext) + size, &last)) {
    return Failure(absl::StatusCode::kInternal, "PKCS#12: encryption failed");
  }
  ciphertext.resize(size + last);
  return Encrypted{
      Sequence({kPbes2, Sequence({Sequence({kPbkdf2, Sequence({Octets(salt), Number(kIterations),
                                                               kHmacSha256})}),
                                  Sequence({kAes256Cbc, Octets(iv)})})}),
      std::move(ciphertext)};
}

// The attributes of a bag, in the order of DER.
std::string Attributes(absl::string_view name_bmp, absl::string_view key_id) {
  std::vector<std::string> attributes = {
      Sequence({kLocalKeyId, Element(CBS_ASN1_SET, {Octets(key_id)})})};
  if (!name_bmp.empty()) {
    attributes.push_back(Sequence(
        {kFriendlyName, Element(CBS_ASN1_SET, {Element(CBS_ASN1_BMPSTRING, {name_bmp})})}));
  }
  std::sort(attributes.begin(), attributes.end());
  return Element(CBS_ASN1_SET,
                 {attributes.front(), attributes.size() > 1 ? attributes.back() : ""});
}

std::string CertificateBag(absl::string_view der, absl::string_view attributes) {
  return Sequence(
      {kCertBag,
       Element(kTagged0, {Sequence({kX509Certificate, Element(kTagged0, {Octets(der)})})}),
       attributes});
}

// RFC 7292 appendix B.2 for one block of output, then HMAC: all with SHA-256.
absl::StatusOr<std::string> Mac(absl::string_view message, absl::string_view salt,
                                const SecretBytes& passphrase) {
  const absl::string_view pass = passphrase.Expose(SecretAccess::Grant());
  SecretBytes bmp(2 * pass.size() + 2);  // with the zero character that ends it
  size_t bmp_size;
  if (!ToBmp(pass, bmp.ExposeMutable(SecretAccess::Grant()), &bmp_size)) {
    return Bad("the passphrase is not UTF-8 of the basic plane");
  }
  bmp_size += 2;
  const auto padded = [](size_t size) {
    return (size + kMacBlockBytes - 1) / kMacBlockBytes * kMacBlockBytes;
  };
  const size_t salt_size = padded(salt.size());
  SecretBytes input(kMacBlockBytes + salt_size + padded(bmp_size));
  char* bytes = input.ExposeMutable(SecretAccess::Grant());
  std::memset(bytes, kMacKeyPurpose, kMacBlockBytes);
  for (size_t i = 0; i < salt_size; ++i) bytes[kMacBlockBytes + i] = salt[i % salt.size()];
  const absl::string_view password = bmp.Expose(SecretAccess::Grant());
  for (size_t i = 0; i < padded(bmp_size); ++i) {
    bytes[kMacBlockBytes + salt_size + i] = password[i % bmp_size];
  }
  SecretBytes key(kMacBytes);
  auto* key_bytes = reinterpret_cast<uint8_t*>(key.ExposeMutable(SecretAccess::Grant()));
  Sha256Raw(reinterpret_cast<const uint8_t*>(bytes), input.size(), key_bytes);
  for (unsigned i = 1; i < kIterations; ++i) Sha256Raw(key_bytes, kMacBytes, key_bytes);
  std::string mac(kMacBytes, '\0');
  unsigned size = 0;
  if (HMAC(EVP_sha256(), key_bytes, kMacBytes, Bytes(message), message.size(), MutableBytes(&mac),
           &size) == nullptr) {
    return Failure(absl::StatusCode::kInternal, "PKCS#12: the MAC failed");
  }
  return mac;
}

}  // namespace

absl::StatusOr<Pkcs12> ParsePkcs12(absl::string_view der, const SecretBytes& passphrase,
                                   uint64_t max_iterations) {
  CBS in;
  CBS_init(&in, Bytes(der), der.size());
  bool is_der = true;
  if (!IterationsWithin(in, max_iterations, 0, &is_der)) {
    return Bad(absl::StrCat("it asks for more than ", max_iterations, " rounds of key derivation"));
  }
  CBS whole;
  CBS rest = in;
  if (!is_der || !CBS_get_asn1(&rest, &whole, CBS_ASN1_SEQUENCE) || CBS_len(&rest) != 0) {
    return Bad("it is not one SEQUENCE in DER");
  }
  ASSIGN_OR_RETURN(const SecretBytes terminated, CString(passphrase));
  bssl::UniquePtr<STACK_OF(X509)> certificates(sk_X509_new_null());
  EVP_PKEY* raw_key = nullptr;
  const bool opened = certificates != nullptr &&
                      PKCS12_get_key_and_certs(&raw_key, certificates.get(), &in,
                                               terminated.Expose(SecretAccess::Grant()).data());
  bssl::UniquePtr<EVP_PKEY> pkey(raw_key);
  if (!opened) {
    const bool wrong = ERR_GET_REASON(ERR_peek_error()) == PKCS8_R_INCORRECT_PASSWORD;
    return Bad(wrong ? "the passphrase is wrong, or the file was altered"
                     : "it does not parse, or is encrypted in a way that is not supported");
  }
  if (pkey == nullptr) return Bad("it has no private key");
  ASSIGN_OR_RETURN(PrivateKey key, KeyFrom(pkey.get()));
  Pkcs12 result{std::move(key), "", {}, ""};
  for (X509* x509 : certificates.get()) {
    if (!result.certificate.empty() ||
        CertificateSpki(x509) != result.key.public_key().spki_der()) {
      result.others.push_back(CertificateDer(x509));
      continue;
    }
    result.certificate = CertificateDer(x509);
    int size = 0;
    if (const uint8_t* name = X509_alias_get0(x509, &size); name != nullptr && size > 0) {
      result.friendly_name.assign(reinterpret_cast<const char*>(name), size);
    }
  }
  if (result.certificate.empty()) return Bad("it has no certificate of its private key");
  return result;
}

absl::StatusOr<std::string> BuildPkcs12(const PrivateKey& key, absl::string_view certificate,
                                        const std::vector<std::string>& others,
                                        absl::string_view friendly_name,
                                        const SecretBytes& passphrase) {
  const uint8_t* at = Bytes(certificate);
  bssl::UniquePtr<X509> x509(d2i_X509(nullptr, &at, static_cast<long>(certificate.size())));
  if (x509 == nullptr || at != Bytes(certificate) + certificate.size() ||
      CertificateSpki(x509.get()) != key.public_key().spki_der()) {
    return Bad("the certificate is not the key's");
  }
  std::string name_bmp(2 * friendly_name.size(), '\0');
  size_t name_size;
  if (!ToBmp(friendly_name, name_bmp.data(), &name_size)) {
    return Bad("the friendly name is not UTF-8 of the basic plane");
  }
  name_bmp.resize(name_size);
  const auto key_id = Sha1(certificate);  // as other programs identify the pair
  const std::string attributes = Attributes(
      name_bmp, absl::string_view(reinterpret_cast<const char*>(key_id.data()), key_id.size()));

  std::string certificate_bags = CertificateBag(certificate, attributes);
  for (const std::string& other : others) certificate_bags += CertificateBag(other, "");
  ASSIGN_OR_RETURN(const Encrypted bags, Encrypt(Sequence({certificate_bags}), passphrase));
  ASSIGN_OR_RETURN(const SecretBytes pkcs8, key.ToPkcs8());
  ASSIGN_OR_RETURN(const Encrypted shrouded,
                   Encrypt(pkcs8.Expose(SecretAccess::Grant()), passphrase));
  const std::string key_bag =
      Sequence({kShroudedKeyBag,
                Element(kTagged0, {Sequence({shrouded.algorithm, Octets(shrouded.ciphertext)})}),
                attributes});
  const std::string safe = Sequence(
      {Sequence(
           {kEncryptedData,
            Element(kTagged0, {Sequence({Number(0), Sequence({kData, bags.algorithm,
                                                              Element(CBS_ASN1_CONTEXT_SPECIFIC | 0,
                                                                      {bags.ciphertext})})})})}),
       Sequence({kData, Element(kTagged0, {Octets(Sequence({key_bag}))})})});
  const std::string salt = RandomBytes(kSaltBytes);
  ASSIGN_OR_RETURN(const std::string mac, Mac(safe, salt, passphrase));
  return Sequence(
      {Number(3), Sequence({kData, Element(kTagged0, {Octets(safe)})}),
       Sequence({Sequence({kSha256, Octets(mac)}), Octets(salt), Number(kIterations)})});
}

}  // namespace countersign::crypto
