#include "services/ocsp/directory.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "countersign/sign/v1/certificates.pb.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/algorithm.h"
#include "libs/pki/certificate.h"

namespace countersign::ocsp {
namespace {

constexpr int64_t kDefaultLifetime = 4 * 24 * 3600;
constexpr int64_t kDefaultMaxAge = 3600;
constexpr pki::OcspHash kHashes[] = {pki::OcspHash::kSha1, pki::OcspHash::kSha256,
                                     pki::OcspHash::kSha384, pki::OcspHash::kSha512};
// An algorithm and two hashes of 64 bytes.
constexpr size_t kMaxKeyBytes = 1 + 2 * 64;

void LogLeftOut(absl::string_view what, int64_t id, const absl::Status& why) {
  base::Log(base::Severity::kError, absl::StrCat("an OCSP ", what, " cannot be used"),
            {{"id", absl::StrCat(id)}, {"reason", std::string(why.message())}});
}

absl::StatusOr<std::unique_ptr<Authority>> MakeAuthority(const AuthorityRow& row,
                                                         pki::Certificate* certificate) {
  ASSIGN_OR_RETURN(*certificate, pki::ParseCertificate(row.certificate));
  sign::v1::AuthoritySettings settings;
  if (!settings.ParseFromString(row.settings)) {
    return absl::DataLossError("its settings are malformed");
  }
  auto authority = std::make_unique<Authority>();
  authority->id = row.authority_id;
  authority->name = absl::StrContains(row.name, '/')
                        ? row.name
                        : absl::StrCat("tenants/", row.tenant, "/authorities/", row.name);
  authority->certificate = row.certificate;
  authority->subject_der = certificate->subject_der;
  authority->key_bits = certificate->key_bits;
  authority->lifetime = settings.ocsp_lifetime().seconds();
  if (authority->lifetime <= 0) authority->lifetime = kDefaultLifetime;
  authority->max_age = settings.ocsp_max_age().seconds();
  if (authority->max_age <= 0) authority->max_age = kDefaultMaxAge;
  authority->nonces = settings.ocsp_nonces();
  authority->signed_unknown = settings.ocsp_signed_unknown();
  return authority;
}

absl::StatusOr<std::shared_ptr<const Signer>> MakeSigner(const SignerRow& row,
                                                         const pki::Certificate& issuer,
                                                         const crypto::Kek& kek) {
  if (row.signer_id < 0 || row.signer_id > std::numeric_limits<uint32_t>::max()) {
    return absl::OutOfRangeError("its number is none that records bear");
  }
  ASSIGN_OR_RETURN(const pki::Certificate certificate, pki::ParseCertificate(row.certificate));
  ASSIGN_OR_RETURN(const crypto::Algorithm algorithm, crypto::ParseAlgorithm(row.algorithm));
  auto signer = std::make_shared<Signer>();
  signer->id = static_cast<uint32_t>(row.signer_id);
  signer->not_before = absl::ToUnixSeconds(certificate.not_before);
  signer->not_after =
      std::min(absl::ToUnixSeconds(certificate.not_after), absl::ToUnixSeconds(issuer.not_after));
  signer->certificate = row.certificate;
  signer->issuer = issuer.der;
  ASSIGN_OR_RETURN(signer->responder, pki::OcspResponder::Create(issuer, certificate, algorithm));
  const auto open = [&]() -> absl::StatusOr<crypto::PrivateKey> {
    ASSIGN_OR_RETURN(const crypto::SecretBytes pkcs8,
                     kek.Open(row.sealed_key, absl::StrCat("ocsp-signers/", row.signer_id)));
    ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::PrivateKey::FromPkcs8(pkcs8, algorithm));
    if (key.public_key().spki_der() != certificate.spki_der) {
      return absl::DataLossError("its key is not that of its certificate");
    }
    return key;
  };
  absl::StatusOr<crypto::PrivateKey> key = open();
  if (key.ok()) {
    signer->key = *std::move(key);
  } else {
    LogLeftOut("signer's key", row.signer_id, key.status());
  }
  return signer;
}

// Writes the key of by_cert_id_ to `buffer`; empty when the hashes are too long to be any.
absl::string_view KeyOf(pki::OcspHash hash, absl::string_view name_hash, absl::string_view key_hash,
                        char (&buffer)[kMaxKeyBytes]) {
  if (1 + name_hash.size() + key_hash.size() > kMaxKeyBytes) return {};
  buffer[0] = static_cast<char>(hash);
  std::memcpy(buffer + 1, name_hash.data(), name_hash.size());
  std::memcpy(buffer + 1 + name_hash.size(), key_hash.data(), key_hash.size());
  return absl::string_view(buffer, 1 + name_hash.size() + key_hash.size());
}

}  // namespace

const Signer* Authority::FindSigner(uint32_t signer_id) const {
  for (const auto& signer : signers) {
    if (signer->id == signer_id) return signer.get();
  }
  return nullptr;
}

std::shared_ptr<const Signer> Authority::CurrentSigner(int64_t now) const {
  std::shared_ptr<const Signer> newest;
  for (const auto& signer : signers) {
    if (!signer->key.has_value() || signer->not_before > now || signer->not_after <= now) continue;
    if (newest == nullptr ||
        std::pair(signer->not_before, signer->id) > std::pair(newest->not_before, newest->id)) {
      newest = signer;
    }
  }
  return newest;
}

std::unique_ptr<const Directory> Directory::Build(absl::Span<const AuthorityRow> authorities,
                                                  absl::Span<const SignerRow> signers,
                                                  const crypto::Kek& kek,
                                                  const Directory* previous) {
  absl::flat_hash_map<int64_t, std::vector<const SignerRow*>> signers_of;
  for (const SignerRow& row : signers) signers_of[row.authority_id].push_back(&row);

  auto directory = std::make_unique<Directory>();
  for (const AuthorityRow& row : authorities) {
    pki::Certificate certificate;
    absl::StatusOr<std::unique_ptr<Authority>> made = MakeAuthority(row, &certificate);
    if (!made.ok()) {
      LogLeftOut("authority", row.authority_id, made.status());
      continue;
    }
    std::unique_ptr<Authority> authority = *std::move(made);
    const Authority* const before =
        previous == nullptr ? nullptr : previous->FindById(row.authority_id);
    for (const SignerRow* signer_row : signers_of[row.authority_id]) {
      if (before != nullptr) {
        const auto same =
            std::find_if(before->signers.begin(), before->signers.end(), [&](const auto& signer) {
              return signer->id == signer_row->signer_id && signer->key.has_value() &&
                     signer->certificate == signer_row->certificate &&
                     signer->issuer == row.certificate;
            });
        if (same != before->signers.end()) {
          authority->signers.push_back(*same);
          continue;
        }
      }
      absl::StatusOr<std::shared_ptr<const Signer>> signer =
          MakeSigner(*signer_row, certificate, kek);
      if (signer.ok()) {
        authority->signers.push_back(*std::move(signer));
      } else {
        LogLeftOut("signer", signer_row->signer_id, signer.status());
      }
    }
    char buffer[kMaxKeyBytes];
    for (const pki::OcspHash hash : kHashes) {
      const std::string name_hash = pki::OcspDigest(hash, authority->subject_der);
      const std::string key_hash = pki::OcspDigest(hash, authority->key_bits);
      directory->by_cert_id_[KeyOf(hash, name_hash, key_hash, buffer)].push_back(authority.get());
    }
    directory->by_id_[authority->id] = authority.get();
    directory->by_name_[authority->name] = authority.get();
    directory->authorities_.push_back(std::move(authority));
  }
  return directory;
}

absl::Span<const Authority* const> Directory::Find(const pki::OcspCertId& id) const {
  if (!id.known_hash || id.negative_serial) return {};
  char buffer[kMaxKeyBytes];
  const absl::string_view key = KeyOf(id.hash, id.issuer_name_hash, id.issuer_key_hash, buffer);
  // Both hashes are of the algorithm's length, so that where one ends is not in doubt.
  if (id.issuer_name_hash.size() != id.issuer_key_hash.size()) return {};
  const auto found = by_cert_id_.find(key);
  return found == by_cert_id_.end() ? absl::Span<const Authority* const>() : found->second;
}

const Authority* Directory::FindById(int64_t authority_id) const {
  const auto found = by_id_.find(authority_id);
  return found == by_id_.end() ? nullptr : found->second;
}

const Authority* Directory::FindByName(absl::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

int64_t Directory::ShortestLifetime() const {
  int64_t shortest = 0;
  for (const auto& authority : authorities_) {
    if (shortest == 0 || authority->lifetime < shortest) shortest = authority->lifetime;
  }
  return shortest;
}

}  // namespace countersign::ocsp
