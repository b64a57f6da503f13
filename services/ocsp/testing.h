// Authorities with delegated OCSP signers, and the sign service's tables with them in, for tests.
#ifndef COUNTERSIGN_SERVICES_OCSP_TESTING_H_
#define COUNTERSIGN_SERVICES_OCSP_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/sign/v1/certificates.pb.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate.h"
#include "libs/pki/ocsp_record.h"
#include "libs/pki/ocsp_request.h"
#include "libs/pki/ocsp_responder.h"
#include "libs/storage/database.h"
#include "services/ocsp/directory.h"
#include "services/ocsp/responses.h"

namespace countersign::ocsp {

// The KEK of all signers here.
const crypto::Kek& TestKek();

struct TestSigner {
  SignerRow row;
  std::shared_ptr<const crypto::PrivateKey> key;
  std::shared_ptr<const pki::OcspResponder> responder;
};

// A self-signed authority, valid for ten years around `now`, with one signer that is valid from a
// day before to 30 days after.
struct TestAuthority {
  TestAuthority(int64_t id, absl::string_view name, absl::Time now,
                sign::v1::AuthoritySettings settings = {},
                crypto::Algorithm signer_algorithm = crypto::Algorithm::kEcdsaP256Sha256);

  // Another signer; the last one is that which SignRecord uses.
  void AddSigner(int64_t signer_id, absl::Time not_before, absl::Time not_after);

  // What the sign service would store. `serial` is a magnitude; times in seconds.
  std::string SignRecord(absl::string_view serial, absl::Time now, bool revoked = false,
                         int64_t revocation_time = 0, uint8_t reason = 0,
                         absl::Duration lifetime = absl::Hours(96),
                         absl::Duration certificate_life = absl::Hours(24 * 90)) const;

  // A request for one certificate of this authority.
  std::string Request(absl::string_view serial, pki::OcspHash hash = pki::OcspHash::kSha1,
                      absl::string_view nonce = "") const;

  AuthorityRow row;
  std::shared_ptr<const crypto::PrivateKey> key;
  pki::Certificate certificate;
  crypto::Algorithm signer_algorithm;
  std::vector<TestSigner> signers;
};

// A serial number of 16 bytes, different for each number.
std::string TestSerial(int64_t number);

// Puts the authorities, as they are now, into `responses`.
void SetDirectory(absl::Span<const TestAuthority* const> authorities, Responses* responses);

// A request for several certificates: `requests`, of one each and without nonces, made into one.
std::string JoinRequests(absl::Span<const std::string> requests);

// Makes the tables that a responder reads, as the sign service does.
void CreateTables(storage::Database& database);
// Writes the authority and its signers, or writes them again.
void StoreAuthority(storage::Database& database, const TestAuthority& authority);
// Writes records as one change each; returns the last one's number. Thread-safe, unlike the others.
struct StoredRecord {
  int64_t authority_id = 0;
  std::string serial;
  std::string record;
};
absl::StatusOr<int64_t> StoreRecords(storage::Database& database,
                                     absl::Span<const StoredRecord> records);

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_TESTING_H_
