// A log and its witnesses in memory, for tests of what verifies against them.
#ifndef COUNTERSIGN_LIBS_BUNDLE_TEST_LOG_H_
#define COUNTERSIGN_LIBS_BUNDLE_TEST_LOG_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "libs/bundle/hashedrekord.h"
#include "libs/bundle/proofs.h"
#include "libs/bundle/trust.h"
#include "libs/crypto/private_key.h"
#include "libs/note/cosignature.h"
#include "libs/note/key.h"

namespace countersign::bundle {

// Witness n cosigns at 1,700,000,000 + n seconds. Ends the process when something fails.
class TestLog {
 public:
  static constexpr int kWitnesses = 3;

  explicit TestLog(const std::string& origin = "log.example/test");

  // The log, witnesses w0.. and a quorum of `quorum` of them (0: none).
  std::string PolicyText(int quorum) const;
  TrustPolicy Trust(int quorum, const crypto::PublicKey& signer) const;

  // `body` at index 2 in a tree of 6, the checkpoint cosigned by these witnesses.
  LoggedSignature Log(const std::string& body, const std::vector<int>& cosigners) const;

  const note::NoteSigner& signer() const { return *log_; }
  const note::CosignatureSigner& witness(int n) const { return *witnesses_[n]; }

 private:
  std::unique_ptr<note::NoteSigner> log_;
  std::vector<std::unique_ptr<note::CosignatureSigner>> witnesses_;
};

// What `key` signs of a file with the contents `artifact`.
HashedRekord SignedEntry(const crypto::PrivateKey& key, absl::string_view artifact);

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_TEST_LOG_H_
