// Whom a verifier trusts: signers, logs, witnesses and how many of these must agree.
//
// The trust file is what `countersign trust export` writes and `countersign verify` reads
// (FORMAT.md):
//   {"mediaType":"application/vnd.countersign.trust.v1+json",
//    "signers":[{"name":…,"publicKey":"-----BEGIN PUBLIC KEY-----…"}],
//    "policy":["log <vkey>","witness <name> <vkey>","quorum <name>"]}
// `policy` holds the lines of a C2SP tlog-policy.
#ifndef COUNTERSIGN_LIBS_BUNDLE_TRUST_H_
#define COUNTERSIGN_LIBS_BUNDLE_TRUST_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/public_key.h"

namespace countersign::note {
class Policy;
}

namespace countersign::bundle {

inline constexpr absl::string_view kTrustMediaType = "application/vnd.countersign.trust.v1+json";

struct TrustedSigner {
  // What a verdict calls the key: its resource name, or whatever the exporter chose.
  std::string name;
  crypto::PublicKey key;
};

// Immutable and thread-safe; copies share the parsed log policy.
class TrustPolicy {
 public:
  // `policy_text` is a C2SP tlog-policy. InvalidArgument when it does not parse or names no log,
  // for a signer without a name, and for a key that stands there twice.
  static absl::StatusOr<TrustPolicy> Create(absl::string_view policy_text,
                                            std::vector<TrustedSigner> signers);

  // Reads a trust file. InvalidArgument, naming the field, otherwise.
  static absl::StatusOr<TrustPolicy> Parse(absl::string_view json);

  // The trust file; Parse reads it back.
  std::string Format() const;

  // Sigstore's trusted_root.json with this policy's logs. Their keys count as valid from the start
  // of 1970, as a C2SP policy gives keys no dates. Witnesses and signers have no place in it.
  std::string SigstoreTrustedRoot() const;

  const note::Policy& log_policy() const { return *policy_; }
  const std::string& policy_text() const { return policy_text_; }
  const std::vector<TrustedSigner>& signers() const { return signers_; }

  // The signer with this key; null when it is not trusted.
  const TrustedSigner* FindSigner(absl::string_view spki_der) const;

 private:
  TrustPolicy() = default;

  std::shared_ptr<const note::Policy> policy_;
  std::string policy_text_;
  std::vector<TrustedSigner> signers_;
};

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_TRUST_H_
