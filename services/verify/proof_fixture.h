// A file's signature in a log of one entry, cosigned by one witness: made with fresh keys.
#ifndef COUNTERSIGN_SERVICES_VERIFY_PROOF_FIXTURE_H_
#define COUNTERSIGN_SERVICES_VERIFY_PROOF_FIXTURE_H_

#include <string>

namespace countersign::verify {

struct ProofFixture {
  std::string artifact;
  // Lower-case hex SHA-256 of the signer's SPKI. Its name in the trust files is "alice".
  std::string signer_fingerprint;
  // The log's origin is "log.example/one", the witness's name "north", its time kCosignTime.
  std::string bundle;
  std::string tlog_proof;
  // Asks for the witness's cosignature.
  std::string trust_file;
  // Asks for that of a second witness too, which is not there.
  std::string strict_trust_file;

  static constexpr int kCosignTime = 1'700'000'000;
};

// Fails the test case when anything goes wrong.
ProofFixture MakeProofFixture();

}  // namespace countersign::verify

#endif  // COUNTERSIGN_SERVICES_VERIFY_PROOF_FIXTURE_H_
