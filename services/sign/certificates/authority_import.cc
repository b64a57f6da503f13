// Authorities taken over from files, PEM or PKCS#12.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/crypto/pkcs12.h"
#include "libs/pki/der.h"
#include "libs/pki/oid.h"
#include "libs/pki/path.h"
#include "libs/pki/pem.h"
#include "services/sign/algorithms.h"
#include "services/sign/certificates/authorities_impl.h"
#include "services/sign/certificates/authority_settings.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Transaction;

struct KeyAndCertificates {
  crypto::SecretBytes pkcs8;
  std::vector<std::string> certificates;  // DER
};

crypto::SecretBytes TakeSecret(std::string* bytes) {
  crypto::SecretBytes secret{absl::string_view(*bytes)};
  crypto::Wipe(bytes->data(), bytes->size());
  bytes->clear();
  return secret;
}

// PrivateKeyInfo (RFC 5958) around a key in its type's own form.
crypto::SecretBytes Pkcs8(absl::string_view algorithm, absl::string_view curve,
                          absl::string_view key) {
  pki::DerWriter out;
  const size_t info = out.Begin(pki::kSequence);
  out.AddInt64(0);
  const size_t identifier = out.Begin(pki::kSequence);
  out.Add(pki::kOid, algorithm);
  if (curve.empty()) {
    out.AddNull();
  } else {
    out.Add(pki::kOid, curve);
  }
  out.End(identifier);
  out.Add(pki::kOctetString, key);
  out.End(info);
  std::string der = out.Take();
  return TakeSecret(&der);
}

// The contents of the OID that says which curve an ECPrivateKey (RFC 5915) is on; empty for none.
absl::string_view CurveOf(absl::string_view der) {
  pki::DerReader whole(der);
  pki::DerReader key;
  int64_t version;
  absl::string_view bytes;
  pki::DerReader parameters;
  absl::string_view curve;
  if (!whole.Read(pki::kSequence, &key) || !key.ReadInt64(&version) ||
      !key.Read(pki::kOctetString, &bytes) || !key.Read(pki::ContextConstructed(0), &parameters) ||
      !parameters.Read(pki::kOid, &curve)) {
    return "";
  }
  return curve;
}

absl::StatusOr<KeyAndCertificates> ReadPem(const std::string& text) {
  absl::StatusOr<std::vector<pki::PemBlock>> blocks = pki::ParsePem(text);
  if (!blocks.ok()) return FieldError("pem", blocks.status().message());
  KeyAndCertificates read;
  for (pki::PemBlock& block : *blocks) {
    if (block.label == "CERTIFICATE") {
      read.certificates.push_back(std::move(block.der));
      continue;
    }
    if (block.label == "ENCRYPTED PRIVATE KEY") {
      return FieldError("pem",
                        "the private key is encrypted: decrypt it (openssl pkcs8), or send "
                        "PKCS#12 with its passphrase");
    }
    const bool pkcs8 = block.label == "PRIVATE KEY";
    const bool rsa = block.label == "RSA PRIVATE KEY";
    const bool ec = block.label == "EC PRIVATE KEY";
    if (!pkcs8 && !rsa && !ec) continue;
    if (!read.pkcs8.empty()) return FieldError("pem", "holds more than one private key");
    if (rsa) read.pkcs8 = Pkcs8(pki::kOidRsaEncryption, "", block.der);
    if (ec) {
      const absl::string_view curve = CurveOf(block.der);
      if (curve.empty()) return FieldError("pem", "the EC private key names no curve");
      read.pkcs8 = Pkcs8(pki::kOidEcPublicKey, curve, block.der);
    }
    crypto::SecretBytes plain = TakeSecret(&block.der);
    if (pkcs8) read.pkcs8 = std::move(plain);
  }
  if (read.pkcs8.empty()) return FieldError("pem", "holds no private key");
  if (read.certificates.empty()) return FieldError("pem", "holds no certificate");
  return read;
}

// How an authority with a key of this type signs.
absl::StatusOr<crypto::Algorithm> AuthorityAlgorithm(const crypto::PublicKey& key) {
  if (key.type() == crypto::KeyType::kEd25519) return crypto::Algorithm::kEd25519;
  return key.DefaultAlgorithm();
}

// What a file holds: a key, the certificate of it, and others.
struct Contents {
  std::shared_ptr<const crypto::PrivateKey> key;
  pki::Certificate own;
  std::vector<pki::Certificate> all;
};

absl::StatusOr<std::vector<pki::Certificate>> ParseAll(absl::string_view field,
                                                       const std::vector<std::string>& ders) {
  std::vector<pki::Certificate> certificates;
  for (const std::string& der : ders) {
    absl::StatusOr<pki::Certificate> certificate = pki::ParseCertificate(der);
    if (!certificate.ok()) return FieldError(field, certificate.status().message());
    certificates.push_back(*std::move(certificate));
  }
  return certificates;
}

absl::StatusOr<Contents> OpenPem(const std::string& text) {
  ASSIGN_OR_RETURN(const KeyAndCertificates read, ReadPem(text));
  Contents contents;
  ASSIGN_OR_RETURN(contents.all, ParseAll("pem", read.certificates));
  for (const pki::Certificate& certificate : contents.all) {
    const absl::StatusOr<crypto::PublicKey> public_key = certificate.Key();
    if (!public_key.ok()) continue;
    ASSIGN_OR_RETURN(const crypto::Algorithm algorithm, AuthorityAlgorithm(*public_key));
    absl::StatusOr<crypto::PrivateKey> key = crypto::PrivateKey::FromPkcs8(read.pkcs8, algorithm);
    if (!key.ok() || key->public_key().spki_der() != certificate.spki_der) continue;
    contents.own = certificate;
    contents.key = std::make_shared<const crypto::PrivateKey>(*std::move(key));
    return contents;
  }
  return FieldError("pem",
                    "no certificate in it is of its private key, or that is of a kind or "
                    "size that authorities here do not have");
}

absl::StatusOr<Contents> OpenPkcs12(const v1::ImportAuthorityRequest& request) {
  absl::StatusOr<crypto::Pkcs12> parsed = crypto::ParsePkcs12(
      request.pkcs12(), crypto::SecretBytes(absl::string_view(request.passphrase())));
  if (!parsed.ok()) return FieldError("pkcs12", parsed.status().message());
  Contents contents;
  std::vector<std::string> ders = {parsed->certificate};
  ders.insert(ders.end(), parsed->others.begin(), parsed->others.end());
  ASSIGN_OR_RETURN(contents.all, ParseAll("pkcs12", ders));
  contents.own = contents.all.front();
  contents.key = std::make_shared<const crypto::PrivateKey>(std::move(parsed->key));
  return contents;
}

}  // namespace

absl::Status Authorities::Impl::ReadImport(const v1::ImportAuthorityRequest& request,
                                           Draft* draft) {
  const char* const field = request.has_pem() ? "pem" : "pkcs12";
  if (!request.has_pem() && !request.has_pkcs12()) {
    return FieldError("pem", "give PEM or PKCS#12");
  }
  ASSIGN_OR_RETURN(Contents contents,
                   request.has_pem() ? OpenPem(request.pem()) : OpenPkcs12(request));
  const pki::Certificate* const own = &contents.own;
  const std::vector<pki::Certificate>& pool = contents.all;
  draft->key = options.key_ring->Wrap(std::move(contents.key));
  const auto& constraints = own->extensions.basic_constraints;
  if (!constraints.has_value() || !constraints->ca) {
    return FieldError(field,
                      "the certificate of the key is not an authority's (RFC 5280 section "
                      "4.2.1.9)");
  }
  if (own->extensions.key_usage.has_value() &&
      (*own->extensions.key_usage & pki::kKeyCertSign) == 0) {
    return FieldError(field, "the certificate's key usage does not have keyCertSign");
  }
  if (own->extensions.subject_key_id.empty()) {
    return FieldError(field,
                      "the authority's certificate has no subject key identifier (RFC 5280 "
                      "section 4.2.1.2)");
  }
  const absl::Status weak = weak_keys.Check(own->spki_der);
  if (!weak.ok()) return FieldError(field, weak.message());

  const std::vector<pki::Certificate> chain = pki::OrderChain(*own, pool);
  if (!chain.back().IsSelfIssued()) {
    return FieldError(field,
                      absl::StrCat("the certificate of ", pki::FormatName(chain.back().issuer),
                                   " is missing: add the issuers' up to the root"));
  }
  const absl::Status path = pki::CheckPath(chain, Now());
  if (!path.ok()) return FieldError(field, path.message());
  for (const pki::Certificate& certificate : pool) {
    const bool in_chain = std::any_of(
        chain.begin(), chain.end(),
        [&](const pki::Certificate& element) { return element.der == certificate.der; });
    if (in_chain) continue;
    if (certificate.spki_der == own->spki_der && certificate.subject_der == own->subject_der) {
      draft->row.cross_certificates.push_back(certificate.der);
      continue;
    }
    return FieldError(field,
                      absl::StrCat("the certificate of ", pki::FormatName(certificate.subject),
                                   " does not belong to the authority's chain"));
  }
  draft->certificate = *own;
  draft->row.certificate = own->der;
  for (size_t i = 1; i < chain.size(); ++i) draft->row.issuers.push_back(chain[i].der);
  return absl::OkStatus();
}

absl::StatusOr<v1::ImportAuthorityResponse> Authorities::ImportAuthority(
    const v1::ImportAuthorityRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  if (!ValidKeyId(request.authority_id())) {
    return FieldError("authority_id",
                      "expected 1 to 63 characters of a-z 0-9 -, beginning with a letter");
  }
  Impl::Draft draft;
  draft.new_key = true;
  draft.imported = true;
  draft.row.tenant = tenant;
  draft.row.name = AuthorityName{tenant, request.authority_id()}.ToString();
  ASSIGN_OR_RETURN(draft.row.settings, CompleteSettings("settings", request.settings()));
  ASSIGN_OR_RETURN(const auto answered, impl_->Answered<v1::ImportAuthorityResponse>(
                                            tenant, "ImportAuthority", request));
  if (answered.has_value()) return *answered;
  RETURN_IF_ERROR(impl_->ReadImport(request, &draft));
  // Above every number that its CRLs can have had, since those must not go back (RFC 5280 section
  // 5.2.3).
  draft.row.crl_number = absl::ToUnixSeconds(impl_->Now());
  ASSIGN_OR_RETURN(draft.signer, MakeOcspSigner(draft.certificate, *draft.key, impl_->Now()));
  return impl_->Change<v1::ImportAuthorityResponse>(
      tenant, "ImportAuthority", request,
      [&](Transaction& transaction, int64_t number,
          absl::Time now) -> absl::StatusOr<v1::ImportAuthorityResponse> {
        ASSIGN_OR_RETURN(const AuthorityRow row, impl_->Write(transaction, draft, number, now));
        v1::ImportAuthorityResponse response;
        ASSIGN_OR_RETURN(*response.mutable_authority(), impl_->Describe(transaction, row));
        return response;
      });
}

}  // namespace countersign::sign
