// Keys that are the same in every run of a test.
#ifndef COUNTERSIGN_LIBS_NOTE_TEST_KEYS_H_
#define COUNTERSIGN_LIBS_NOTE_TEST_KEYS_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "libs/base/clock.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/secret.h"
#include "libs/note/cosignature.h"
#include "libs/note/key.h"
#include "libs/testing/matchers.h"

namespace countersign::note {

// An Ed25519 key whose private key is 32 times `seed`.
inline crypto::PrivateKey TestKey(char seed) {
  return testing::RequireOk(
      crypto::PrivateKey::FromEd25519Seed(crypto::SecretBytes(std::string(32, seed))));
}

inline std::unique_ptr<NoteSigner> TestLogSigner(absl::string_view name, char seed = 'L') {
  return testing::RequireOk(NewEd25519Signer(name, TestKey(seed)));
}

inline std::unique_ptr<CosignatureSigner> TestWitnessSigner(
    absl::string_view name, char seed = 'W', const base::Clock* clock = base::Clock::System()) {
  return testing::RequireOk(CosignatureSigner::Create(name, TestKey(seed), clock));
}

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_TEST_KEYS_H_
