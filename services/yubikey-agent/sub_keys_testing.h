// A card's key and an authority in memory, for tests of sub-keys.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEYS_TESTING_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEYS_TESTING_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/manual_clock.h"
#include "libs/base/mutex.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/test_authority.h"
#include "services/yubikey-agent/card_keys.h"
#include "services/yubikey-agent/sub_key_authority.h"
#include "services/yubikey-agent/sub_key_issuer.h"
#include "services/yubikey-agent/sub_keys.h"

namespace countersign::yubikey {

inline constexpr char kTestCardKey[] = "cards/7/slots/9c";
inline constexpr char kTestAuthority[] = "tenants/example/authorities/code";

// One key, in `cards/7/slots/9c`, which is `keys/release` as well, with a certificate in its slot.
// Thread-safe.
class FakeCardKeys final : public CardKeys {
 public:
  // The certificate is a self-signed authority's, valid from an hour before `now` for 30 days.
  FakeCardKeys(crypto::Algorithm algorithm, absl::Time now);

  // A certificate of the card's key, by itself, with what `change` makes of it.
  std::string Certificate(const std::function<void(pki::CertificateTemplate*)>& change) const;
  // What is in the slot; empty: nothing.
  void SetCertificate(std::string der);
  std::string certificate() const;

  // Signatures fail with this from now on; OK: they do not.
  void Fail(absl::Status failure);
  // Signatures wait until Release, which makes them all.
  void Hold();
  void Release();
  int signatures() const;
  int waiting() const;
  // Whether the card attests its key.
  void SetAttests(bool attests);

  const crypto::PrivateKey& key() const { return key_; }
  absl::StatusOr<std::string> CertificateIn(const KeyPlace& place) const;
  void Attest(const KeyPlace& place, const SubKeyIssuer::AttestDone& done) const;

  absl::StatusOr<CardKey> Find(const std::string& name) override;
  void Sign(const std::string& name, crypto::Algorithm algorithm, std::string digest,
            absl::Time deadline, SignDone done) override;
  void Agree(const std::string& name, std::string peer_spki, absl::Time deadline,
             DecryptDone done) override;
  void Decrypt(const std::string& name, crypto::RsaEncryption encryption, std::string ciphertext,
               absl::Time deadline, DecryptDone done) override;

 private:
  bool Knows(const std::string& name) const;
  KeyPlace Place() const;

  const absl::Time start_;
  const crypto::PrivateKey key_;
  mutable base::Mutex mutex_;
  std::string certificate_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool attests_ ABSL_GUARDED_BY(mutex_) = true;
  int signatures_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
};

// An authority with an inventory. Thread-safe.
class FakeSubKeyAuthority final : public SubKeyAuthority {
 public:
  explicit FakeSubKeyAuthority(const base::Clock* clock);

  // Everything fails with this from now on; OK: it does not.
  void Fail(absl::Status failure);
  // What is issued from now on is answered by Release.
  void Hold();
  void Release();
  // What the inventory says of a certificate.
  void Set(const std::string& name, State state);
  State Get(const std::string& name) const;
  std::vector<std::string> names() const;
  // Whether the last issuance was to be logged.
  bool logged() const;

  void Issue(Request request, absl::Time deadline,
             std::function<void(absl::StatusOr<Issued>)> done) override;
  void Revoke(const std::string& name, absl::Time deadline,
              std::function<void(absl::Status)> done) override;
  void Check(const std::string& name, absl::Time deadline,
             std::function<void(absl::StatusOr<State>)> done) override;

 private:
  const base::Clock* const clock_;
  const pki::TestIdentity root_;
  mutable base::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool logged_ ABSL_GUARDED_BY(mutex_) = false;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, State> inventory_ ABSL_GUARDED_BY(mutex_);
};

// Sub-keys over both, by a clock that stands still at the time of its making.
struct SubKeyWorld {
  explicit SubKeyWorld(crypto::Algorithm card = crypto::Algorithm::kEcdsaP256Sha256);

  std::unique_ptr<SubKeys> MakeSubKeys(absl::Duration upkeep_interval = absl::InfiniteDuration());
  // What `Create` gave, which has to be at once.
  absl::StatusOr<SubKeyInfo> Create(SubKeys* sub_keys, SubKeySpec spec);
  // Of a P-256 sub-key for an hour, by the card.
  static SubKeySpec Spec(const std::string& id);

  base::ManualClock clock;
  FakeCardKeys card;
  FakeSubKeyAuthority authority;
  SubKeyIssuer issuer;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEYS_TESTING_H_
