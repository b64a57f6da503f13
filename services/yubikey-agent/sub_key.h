// Sub-keys as values: what one shall be, and one of its generations.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/private_key.h"

namespace countersign::yubikey {

// What a sub-key shall be: the fields of the contract's SubKey that its maker sets.
struct SubKeySpec {
  std::string id;  // its name is `subKeys/{id}`
  std::string card_key;
  std::string authority;
  crypto::Algorithm algorithm = crypto::Algorithm::kEcdsaP256Sha256;
  std::string common_name;
  absl::Duration lifetime = absl::Hours(1);
  int64_t max_uses = 0;  // 0: without limit
  bool renew = false;
  bool log_certificates = false;

  std::string Name() const { return "subKeys/" + id; }
};

// OK when the contract allows it; else InvalidArgument, naming the field of CreateSubKeyRequest.
absl::Status CheckSubKeySpec(const SubKeySpec& spec);

// What came of a certification.
struct SubKeyCertificates {
  std::vector<std::string> chain;        // DER: the certificate, then its issuers
  std::vector<std::string> attestation;  // of the card key, then the card's; empty: not to be had
  std::string inventory_name;            // in an authority's inventory; empty: the agent issued it
  std::string fingerprint;               // lower-case hex SHA-256 of the certificate
  absl::Time issue_time;
  absl::Time not_before;
  absl::Time not_after;  // the last second that it is used in
};

// A key and its certificate. Immutable but for the count of its uses. Thread-safe.
class SubKeyGeneration {
 public:
  SubKeyGeneration(int64_t number, crypto::PrivateKey key, SubKeyCertificates certificates,
                   int64_t max_uses)
      : number_(number),
        key_(std::move(key)),
        certificates_(std::move(certificates)),
        max_uses_(max_uses) {}

  int64_t number() const { return number_; }
  const crypto::PrivateKey& key() const { return key_; }
  const SubKeyCertificates& certificates() const { return certificates_; }
  int64_t uses() const { return uses_.load(std::memory_order_relaxed); }

  // Counts `count` uses, all or none. False, with none, when there are not so many left: among all
  // threads there is never one use more than `max_uses`.
  bool Take(int64_t count);
  // Takes back uses that came to nothing.
  void GiveBack(int64_t count) { uses_.fetch_sub(count, std::memory_order_relaxed); }
  // Whether nine tenths of the uses are gone.
  bool Wearing() const { return max_uses_ > 0 && uses() >= max_uses_ - max_uses_ / 10; }

 private:
  const int64_t number_;
  const crypto::PrivateKey key_;
  const SubKeyCertificates certificates_;
  const int64_t max_uses_;
  std::atomic<int64_t> uses_{0};
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_H_
