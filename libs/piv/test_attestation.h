// Attestation certificates for tests, made in memory.
#ifndef COUNTERSIGN_LIBS_PIV_TEST_ATTESTATION_H_
#define COUNTERSIGN_LIBS_PIV_TEST_ATTESTATION_H_

#include <string>

#include "libs/piv/attestation.h"
#include "libs/pki/test_authority.h"

namespace countersign::piv {

// What a YubiKey 5 says of a fresh key in 9c, whose SPKI is filled in.
Attestation TestFacts(const crypto::PublicKey& key);

// A root, a card's f9 certificate under it (a CA of path length 0, as cards have), and an
// attestation by the card's key. Each fails the test case when something cannot be made.
struct TestChain {
  pki::TestIdentity root;
  pki::TestIdentity card;
  std::string attestation;
};
TestChain MakeTestChain(const Attestation& facts);
pki::CertificateTemplate TestCardTemplate();

// The DER of an attestation certificate that says `facts`, signed by `issuer`.
std::string MakeAttestation(const pki::TestIdentity& issuer, const Attestation& facts);

// `tbs` of version 3 with one more extension in its list, which must be there.
std::string WithExtension(absl::string_view tbs, absl::string_view oid, absl::string_view value);

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_TEST_ATTESTATION_H_
