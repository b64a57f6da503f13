// Sub-keys: short-lived software keys, certified by a key on a card, that sign at software speed.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEYS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEYS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "services/yubikey-agent/sub_key.h"
#include "services/yubikey-agent/sub_key_authority.h"
#include "services/yubikey-agent/sub_key_issuer.h"

namespace countersign::runtime {
class Metrics;
}

namespace countersign::yubikey {

// A moment's view of a sub-key.
struct SubKeyInfo {
  SubKeySpec spec;
  absl::Time create_time;
  int64_t generation = 0;
  int64_t uses = 0;
  SubKeyCertificates certificates;
  bool revoked = false;
};

// All sub-keys of the agent, in memory. Thread-safe.
//
// Those that renew themselves get a new key and certificate when a third of the life is left, nine
// tenths of the uses are gone, or the clock was set back behind the certificate's begin. Until the
// new one is there the old one serves; a renewal that fails is tried again after 1, 2, 4 … 60
// seconds. A certificate that an authority issued is looked up in the inventory every minute: once
// it is revoked there the sub-key is of no use any more, and while it is on hold none either. While
// the inventory cannot be asked, the last answer holds.
class SubKeys {
 public:
  struct Options {
    // Both must outlive this object.
    const SubKeyIssuer* issuer;
    SubKeyAuthority* authority = nullptr;  // null: there is no sign service
    size_t capacity = 10'000;
    // The most certifications that are under way for renewals.
    int concurrent_renewals = 16;
    // How often a thread looks after what is due. Infinite: there is none, and Upkeep is called.
    absl::Duration upkeep_interval = absl::Seconds(1);
    const base::Clock* clock = base::Clock::System();
    runtime::Metrics* metrics = nullptr;  // may be null
  };
  using Done = std::function<void(absl::StatusOr<SubKeyInfo>)>;
  // What a sub-key is used for.
  enum class Use { kSignMessage, kSignDigest, kDecrypt };

  explicit SubKeys(const Options& options);
  // Waits for what is under way.
  ~SubKeys();

  // Makes a sub-key. `done` is called once, from any thread, perhaps before it returns. Fails as
  // CheckSubKeySpec and SubKeyIssuer, and with AlreadyExists, or ResourceExhausted when there are
  // too many.
  void Create(SubKeySpec spec, absl::Time deadline, Done done);

  absl::StatusOr<SubKeyInfo> Get(absl::string_view id) const;
  std::vector<SubKeyInfo> List() const;  // by id

  // Makes a sub-key of no use before it returns, then has its certificates revoked in the inventory
  // and calls `done`. Unavailable when the sign service could not be told of each: the agent goes
  // on trying, and Revoke may be called again.
  void Revoke(absl::string_view id, absl::Time deadline, Done done);

  // The generation to do `count` uses with, which are counted. NotFound; FailedPrecondition with
  // reason SUB_KEY_REVOKED, SUB_KEY_EXPIRED, SUB_KEY_USED_UP or WRONG_ALGORITHM.
  absl::StatusOr<std::shared_ptr<const SubKeyGeneration>> Take(absl::string_view id, Use use,
                                                               int64_t count);

  // HPKE (RFC 9180, base mode) by whichever generation opens it, newest first; counted when it
  // does. Failures as Take, and InvalidArgument with reason DECRYPTION_FAILED.
  absl::StatusOr<std::string> Decrypt(absl::string_view id, absl::string_view enc,
                                      absl::string_view info, absl::string_view aad,
                                      absl::string_view ciphertext);

  // Begins what is due: renewals, looks into the inventory, revocations to be told again. Does not
  // wait for it.
  void Upkeep();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEYS_H_
