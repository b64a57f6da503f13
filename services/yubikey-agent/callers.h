// Who may open sessions: the registered callers, and the check of what they prove themselves by.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALLERS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALLERS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "services/yubikey-agent/callers_file.h"

namespace countersign::yubikey {

// The file's callers as they are now. Thread-safe.
//
// The Verify functions return Unauthenticated, always with the same message, when the proof does
// not hold. They do the same work for a caller that there is not as for one that there is.
class Callers {
 public:
  struct Options {
    std::string path;
    std::vector<std::string> attestation_roots;  // DER; for callers registered by their card
    const base::Clock* clock = base::Clock::System();
    // Whether the agent itself signs by the key with this fingerprint: whoever may sign by it would
    // be whoever is registered with it, so it proves nothing. May be null: none.
    std::function<bool(const std::string& fingerprint)> is_served;
    // Called, after Verify has begun to refuse what it was, for each caller that is gone, proves
    // itself otherwise, or may have less or for a shorter time than before.
    std::function<void(const std::string& caller)> on_lost;
  };

  // NotFound, InvalidArgument: the file is not there or not of the format.
  static absl::StatusOr<std::unique_ptr<Callers>> Open(Options options);

  // Reads the file again when it has changed. With a failure, which is logged once for each state
  // of the file, the callers stay as they were.
  absl::Status Refresh();

  // Whether this is still what is registered: to be asked after a session was opened, since its
  // caller may have been lost in between.
  bool IsCurrent(const std::shared_ptr<const Caller>& caller) const;

  absl::StatusOr<std::shared_ptr<const Caller>> VerifyApiKey(absl::string_view name,
                                                             absl::string_view api_key) const;
  // `signature` over `message`, by the registered key; or, when there is an `attestation`, by the
  // key that its first certificate attests, for a caller that is registered by its card.
  absl::StatusOr<std::shared_ptr<const Caller>> VerifySignature(
      absl::string_view name, absl::string_view message, absl::string_view signature,
      absl::Span<const std::string> attestation) const;

  static absl::Status Refused();

 private:
  struct Registered {
    absl::flat_hash_map<std::string, std::shared_ptr<const Caller>> by_name;
    std::vector<crypto::PublicKey> keys;  // those that callers have

    std::shared_ptr<const Caller> Find(absl::string_view name) const;
  };
  // What tells one state of the file from another.
  struct Stamp {
    int64_t modified_ns = 0;
    uint64_t inode = 0;
    int64_t size = -1;

    friend bool operator==(const Stamp& a, const Stamp& b) = default;
  };

  Callers(Options options, crypto::PublicKey stand_in)
      : options_(std::move(options)), stand_in_(std::move(stand_in)) {}

  bool IsServed(const crypto::PublicKey& key) const;
  static Stamp StampOf(const std::string& path);
  absl::Status Load();
  std::shared_ptr<const Registered> registered() const;
  // What an unknown caller's signature is checked against: some caller's key, always the same one
  // for the same name.
  const crypto::PublicKey& StandIn(const Registered& now, absl::string_view name) const;

  const Options options_;
  const crypto::PublicKey stand_in_;

  // One Refresh at a time: what it reads is newer than what is there.
  base::Mutex refresh_mutex_;
  Stamp stamp_ ABSL_GUARDED_BY(refresh_mutex_);
  absl::Status loaded_ ABSL_GUARDED_BY(refresh_mutex_);

  mutable base::Mutex mutex_;
  std::shared_ptr<const Registered> registered_ ABSL_GUARDED_BY(mutex_) =
      std::make_shared<Registered>();
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALLERS_H_
