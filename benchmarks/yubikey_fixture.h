// An agent over simulated cards, behind a real pcscd, and a session with it.
#ifndef COUNTERSIGN_BENCHMARKS_YUBIKEY_FIXTURE_H_
#define COUNTERSIGN_BENCHMARKS_YUBIKEY_FIXTURE_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "benchmarks/environment.h"

namespace countersign::testing::piv {
class Card;
class PcscDaemon;
class VirtualReader;
}  // namespace countersign::testing::piv

namespace countersign::bench {

// Serial numbers of the cards count from here.
inline constexpr uint32_t kFirstSerial = 10000001;

// Everything ends with it. Used by one thread, the one that lives longest.
class YubikeyFixture {
 public:
  // So many cards, unlocked, whose private-key operations take `card_time` each. The agent is
  // `name` in the environment; the alias `keys/pool` stands for the 9e slots of all.
  static absl::StatusOr<std::unique_ptr<YubikeyFixture>> Start(Environment& environment,
                                                               const std::string& name, int cards,
                                                               absl::Duration card_time);
  ~YubikeyFixture();

  const std::vector<std::shared_ptr<grpc::Channel>>& channels() const { return channels_; }
  // A call's context, with the token of a session that may do everything.
  std::unique_ptr<grpc::ClientContext> Context() const;
  // Of the caller "admin", who may do everything.
  const std::string& api_key() const { return api_key_; }
  // Where the daemon's programs meet it.
  const std::string& socket() const;
  // Resident memory of the agent.
  absl::StatusOr<double> ResidentBytes() const;

 private:
  YubikeyFixture(Environment& environment, std::string name);

  absl::Status StartCards(int cards, absl::Duration card_time);
  absl::Status StartAgent(int cards);
  absl::Status OpenSession();
  absl::Status Unlock(uint32_t serial);

  Environment& environment_;
  const std::string name_;
  std::unique_ptr<testing::piv::PcscDaemon> daemon_;
  std::vector<std::unique_ptr<testing::piv::Card>> cards_;
  std::vector<std::unique_ptr<testing::piv::VirtualReader>> readers_;
  std::string api_key_;
  std::string token_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_YUBIKEY_FIXTURE_H_
