// The issuance queue with all that it needs, wired together.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_SETUP_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_SETUP_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/crypto/aead.h"
#include "libs/runtime/channel.h"
#include "libs/storage/database.h"
#include "services/sign/certificates/issuing.h"

namespace countersign::http {
class Router;
}
namespace countersign::runtime {
class Main;
class Server;
}  // namespace countersign::runtime

namespace countersign::sign {

class CertificateStore;

// What flags say.
struct IssuanceFlags {
  int64_t workers = 50;
  int64_t capacity = 10000;
  absl::Duration lease = absl::Seconds(30);
};

// --issuance-workers, --issuance-queue, --issuance-lease.
void AddIssuanceFlags(runtime::Main* main, IssuanceFlags* flags);

struct IssuanceParts {
  storage::Database* database;
  CertificateStore* certificates;
  Issuing* issuing;
  // Seals the keys of ACME accounts.
  crypto::Kek kek;
  // How Countersign upstreams are called.
  runtime::ClientTls peer_tls;
};

// Makes the queue, adds IssuanceService to `server`, its metrics, and the answers to ACME's
// challenges to `router`. The server owns all of it; what `parts` points to must outlive it.
// InvalidArgument for flags that make no sense.
absl::Status AddIssuance(const IssuanceFlags& flags, IssuanceParts parts, runtime::Server* server,
                         http::Router* router);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_SETUP_H_
