#include "services/yubikey-agent/sub_key_issuer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/csr.h"
#include "libs/pki/name.h"
#include "libs/pki/oid.h"
#include "libs/pki/path.h"
#include "libs/pki/signature.h"
#include "libs/runtime/error_details.h"

namespace countersign::yubikey {
namespace {

// How far a certificate's validity reaches back, for clocks that go wrong.
constexpr absl::Duration kBackdate = absl::Minutes(5);

absl::Status NotAnAuthority(absl::string_view card_key, absl::string_view why) {
  return runtime::AttachReason(
      absl::FailedPreconditionError(absl::StrCat(card_key, " cannot certify sub-keys: ", why)),
      "NOT_AN_AUTHORITY");
}

// How a card's key signs certificates.
absl::StatusOr<crypto::Algorithm> AlgorithmOf(const crypto::PublicKey& key) {
  if (key.type() == crypto::KeyType::kEd25519) return crypto::Algorithm::kEd25519;
  return key.DefaultAlgorithm();
}

absl::Time WholeSeconds(absl::Time time) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(time));
}

pki::Name CommonName(const std::string& text) {
  pki::Name name;
  name.rdns = {{{std::string(pki::kOidCommonName), text}}};
  return name;
}

// A slot's certificate that may certify, and how.
struct Issuer {
  pki::Certificate certificate;
  crypto::Algorithm algorithm;
  std::string key_name;  // `keys/{fingerprint}`: every card with that key can sign
};

absl::StatusOr<Issuer> ParseIssuer(const KeyPlace& place, absl::string_view der, absl::Time now) {
  if (der.empty()) {
    return absl::FailedPreconditionError("its slot has no certificate; make it an authority first");
  }
  Issuer issuer;
  ASSIGN_OR_RETURN(issuer.certificate, pki::ParseCertificate(der));
  const pki::Certificate& certificate = issuer.certificate;
  if (certificate.spki_der != place.spki_der) {
    return absl::FailedPreconditionError("the certificate in its slot is of another key");
  }
  const auto& basic = certificate.extensions.basic_constraints;
  if (!basic.has_value() || !basic->ca) {
    return absl::FailedPreconditionError("the certificate in its slot is no authority's");
  }
  if ((certificate.extensions.key_usage.value_or(0) & pki::kKeyCertSign) == 0) {
    return absl::FailedPreconditionError("the certificate in its slot lacks keyCertSign");
  }
  if (now < certificate.not_before || now > certificate.not_after) {
    return absl::FailedPreconditionError(
        "the certificate in its slot has expired or is not valid yet");
  }
  ASSIGN_OR_RETURN(const crypto::PublicKey key, certificate.Key());
  ASSIGN_OR_RETURN(issuer.algorithm, AlgorithmOf(key));
  issuer.key_name = absl::StrCat("keys/", key.Fingerprint());
  return issuer;
}

std::string BuildTbs(const SubKeySpec& spec, const crypto::PublicKey& key, const Issuer& issuer,
                     absl::Time now) {
  pki::CertificateTemplate what;
  what.serial = pki::RandomSerial();
  what.signature_algorithm = issuer.algorithm;
  what.issuer_der = issuer.certificate.subject_der;
  what.subject_der = pki::EncodeName(CommonName(spec.common_name));
  what.not_before = std::max(WholeSeconds(now - kBackdate), issuer.certificate.not_before);
  what.not_after = std::min(WholeSeconds(now + spec.lifetime), issuer.certificate.not_after);
  what.spki_der = key.spki_der();
  if (spec.algorithm == crypto::Algorithm::kHpkeX25519) {
    what.key_usage = pki::kKeyAgreement;
  } else {
    what.key_usage = pki::kDigitalSignature;
    what.extended_key_usage = {std::string(pki::kOidCodeSigning)};
  }
  what.subject_key_id = pki::KeyIdentifier(key.spki_der());
  what.authority_key_id = issuer.certificate.extensions.subject_key_id;
  return pki::BuildTbsCertificate(what);
}

// The chain as it is given out, once it was verified that it certifies `key`.
absl::StatusOr<SubKeyCertificates> Verified(std::vector<std::string> chain,
                                            const crypto::PublicKey& key, absl::Duration lifetime,
                                            absl::Time now) {
  std::vector<pki::Certificate> path;
  for (const std::string& der : chain) {
    ASSIGN_OR_RETURN(pki::Certificate certificate, pki::ParseCertificate(der));
    path.push_back(std::move(certificate));
  }
  RETURN_IF_ERROR(pki::CheckPath(path, now));
  if (path.front().spki_der != key.spki_der()) {
    return absl::FailedPreconditionError("the certificate is of another key");
  }
  SubKeyCertificates certificates;
  certificates.chain = std::move(chain);
  certificates.fingerprint = base::HexEncode(path.front().Fingerprint());
  certificates.issue_time = now;
  certificates.not_before = path.front().not_before;
  certificates.not_after = std::min(path.front().not_after, WholeSeconds(now + lifetime));
  return certificates;
}

}  // namespace

void SubKeyIssuer::Issue(const SubKeySpec& spec, const crypto::PrivateKey& key, absl::Time deadline,
                         Done done) const {
  if (spec.authority.empty()) return IssueByCard(spec, key, deadline, std::move(done));
  IssueByAuthority(spec, key, deadline, std::move(done));
}

void SubKeyIssuer::IssueByCard(const SubKeySpec& spec, const crypto::PrivateKey& key,
                               absl::Time deadline, Done done) const {
  const absl::StatusOr<CardKey> card_key = options_.card_keys->Find(spec.card_key);
  if (!card_key.ok()) return done(card_key.status());
  const absl::Time now = options_.clock->Now();
  // Of the certificates in the key's slots, the one that lasts longest.
  absl::StatusOr<Issuer> issuer = absl::FailedPreconditionError("it is on no card");
  for (const KeyPlace& place : card_key->places) {
    const absl::StatusOr<std::string> der = options_.certificate(place);
    absl::StatusOr<Issuer> found = der.ok() ? ParseIssuer(place, *der, now) : der.status();
    if (!issuer.ok() ||
        (found.ok() && found->certificate.not_after > issuer->certificate.not_after)) {
      issuer = std::move(found);
    }
  }
  if (!issuer.ok()) return done(NotAnAuthority(spec.card_key, issuer.status().message()));

  std::string tbs = BuildTbs(spec, key.public_key(), *issuer, now);
  const crypto::Algorithm algorithm = issuer->algorithm;
  const crypto::DigestAlgorithm hash = crypto::DigestFor(algorithm);
  std::string digest = hash == crypto::DigestAlgorithm::kNone ? tbs : crypto::Digest(hash, tbs);
  options_.card_keys->Sign(
      issuer->key_name, algorithm, std::move(digest), deadline,
      [this, &key, tbs = std::move(tbs), algorithm, issuer_der = issuer->certificate.der,
       lifetime = spec.lifetime, deadline,
       done = std::move(done)](absl::StatusOr<Signed> signature) {
        if (!signature.ok()) return done(signature.status());
        absl::StatusOr<SubKeyCertificates> certificates =
            Verified({pki::AssembleSigned(tbs, algorithm, signature->signature), issuer_der},
                     key.public_key(), lifetime, options_.clock->Now());
        if (!certificates.ok()) return done(certificates.status());
        Attest(signature->place, deadline, *std::move(certificates), done);
      });
}

void SubKeyIssuer::IssueByAuthority(const SubKeySpec& spec, const crypto::PrivateKey& key,
                                    absl::Time deadline, Done done) const {
  if (options_.authority == nullptr) {
    return done(runtime::AttachReason(
        absl::FailedPreconditionError(
            "the agent was not told of a sign service, so that no authority can issue"),
        "NO_SIGN_SERVICE"));
  }
  absl::StatusOr<std::string> csr = pki::BuildCsr(CommonName(spec.common_name), {}, key);
  if (!csr.ok()) return done(csr.status());
  options_.authority->Issue(
      {.authority = spec.authority,
       .csr = *std::move(csr),
       .lifetime = spec.lifetime,
       .log = spec.log_certificates},
      deadline,
      [this, &key, lifetime = spec.lifetime, deadline,
       done = std::move(done)](absl::StatusOr<SubKeyAuthority::Issued> issued) {
        if (!issued.ok()) return done(issued.status());
        absl::StatusOr<SubKeyCertificates> certificates =
            Verified(std::move(issued->chain), key.public_key(), lifetime, options_.clock->Now());
        if (!certificates.ok()) return done(certificates.status());
        certificates->inventory_name = std::move(issued->name);
        if (certificates->chain.size() < 2) return done(std::move(certificates));
        // The authority's key may be on a card that is here, which then attests it.
        const auto issuer = pki::ParseCertificate(certificates->chain[1]);
        if (!issuer.ok()) return done(issuer.status());
        const absl::StatusOr<CardKey> card_key = options_.card_keys->Find(absl::StrCat(
            "keys/", base::HexEncode(base::AsBytes(crypto::Sha256(issuer->spki_der)))));
        if (!card_key.ok() || card_key->places.empty()) return done(std::move(certificates));
        Attest(card_key->places.front(), deadline, *std::move(certificates), done);
      });
}

void SubKeyIssuer::Attest(const KeyPlace& place, absl::Time deadline,
                          SubKeyCertificates certificates, Done done) const {
  auto kept = std::make_shared<SubKeyCertificates>(std::move(certificates));
  options_.attest(place, deadline,
                  [kept = std::move(kept),
                   done = std::move(done)](absl::StatusOr<std::vector<std::string>> attestation) {
                    // A key that was imported, or a card that was pulled: it is certified anyway.
                    if (attestation.ok()) kept->attestation = *std::move(attestation);
                    done(std::move(*kept));
                  });
}

}  // namespace countersign::yubikey
