// The authorities that a responder answers for, with their OCSP signers.
#ifndef COUNTERSIGN_SERVICES_OCSP_DIRECTORY_H_
#define COUNTERSIGN_SERVICES_OCSP_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/ocsp_request.h"
#include "libs/pki/ocsp_responder.h"

namespace countersign::ocsp {

// Rows of the tables authorities and ocsp_signers.
struct AuthorityRow {
  int64_t authority_id = 0;
  std::string tenant;
  std::string name;
  std::string certificate;  // DER
  std::string settings;     // countersign.sign.v1.AuthoritySettings
};
struct SignerRow {
  int64_t signer_id = 0;
  int64_t authority_id = 0;
  std::string algorithm;
  std::string certificate;  // DER
  std::string sealed_key;
};

// A delegated OCSP signer of one authority. Immutable and thread-safe.
struct Signer {
  uint32_t id = 0;
  int64_t not_before = 0;
  int64_t not_after = 0;
  std::unique_ptr<const pki::OcspResponder> responder;
  // Absent when it could not be opened: then what it signed before is served, and nothing new.
  std::optional<crypto::PrivateKey> key;
  // What it was made from.
  std::string certificate;
  std::string issuer;
};

// Immutable and thread-safe. Times are in seconds.
struct Authority {
  int64_t id = 0;
  std::string name;  // tenants/{tenant}/authorities/{authority}
  std::string certificate;
  std::string subject_der;
  std::string key_bits;
  // Its settings, with their defaults filled in.
  int64_t lifetime = 0;
  int64_t max_age = 0;
  bool nonces = false;
  bool signed_unknown = false;
  std::vector<std::shared_ptr<const Signer>> signers;

  // Null when there is none of that id.
  const Signer* FindSigner(uint32_t signer_id) const;
  // The one that signs at `now`: valid, with a key, the newest of such. Null when there is none.
  std::shared_ptr<const Signer> CurrentSigner(int64_t now) const;
};

// Immutable and thread-safe.
class Directory {
 public:
  // Rows that cannot be used are logged and left out. Signers of `previous`, which may be null,
  // that have not changed are taken over.
  static std::unique_ptr<const Directory> Build(absl::Span<const AuthorityRow> authorities,
                                                absl::Span<const SignerRow> signers,
                                                const crypto::Kek& kek, const Directory* previous);

  // The authorities that the CertID names by both of its hashes. More than one only when the same
  // authority was imported by several tenants: certificates of one name and key (cross
  // certificates) are one issuer, another key or another name is another. Allocates nothing.
  absl::Span<const Authority* const> Find(const pki::OcspCertId& id) const;

  // Null when there is none.
  const Authority* FindById(int64_t authority_id) const;
  const Authority* FindByName(absl::string_view name) const;

  absl::Span<const std::unique_ptr<const Authority>> authorities() const { return authorities_; }

  // Shortest life of a response among the authorities, in seconds; 0 without authorities.
  int64_t ShortestLifetime() const;

 private:
  using Same = absl::InlinedVector<const Authority*, 1>;

  std::vector<std::unique_ptr<const Authority>> authorities_;
  absl::flat_hash_map<int64_t, const Authority*> by_id_;
  absl::flat_hash_map<std::string, const Authority*> by_name_;
  // By hash algorithm, name hash and key hash, one behind the other.
  absl::flat_hash_map<std::string, Same> by_cert_id_;
};

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_DIRECTORY_H_
