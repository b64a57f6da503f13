// Certificates with all that they need, wired together.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATES_SETUP_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATES_SETUP_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/runtime/channel.h"

namespace countersign::runtime {
class Main;
class Server;
}  // namespace countersign::runtime

namespace countersign::sign {

class CertificateMetrics;
class CertificateStore;
class Issuing;
class KeyRing;
class KeyStore;
class Signing;

// What flags say.
struct CertificateFlags {
  std::string ocsp_kek;
  std::vector<std::string> ocsp;
  bool allow_key_export = false;
  std::vector<std::string> weak_keys;
};

// --ocsp-kek, --ocsp, --allow-key-export, --weak-keys.
void AddCertificateFlags(runtime::Main* main, CertificateFlags* flags);

struct CertificateParts {
  KeyStore* keys;
  KeyRing* key_ring;
  Signing* signing;
  // Where the OCSP KEK is when no flag says otherwise.
  std::string data;
  // How OCSP responders are called.
  runtime::ClientTls peer_tls;
};

// What others build upon; the server's.
struct Certificates {
  CertificateStore* store;
  Issuing* issuing;
  CertificateMetrics* metrics;
};

// Makes inventory, authorities, issuance, revocation and CRLs, adds CertificateService and
// AuthorityService to `server`, and the thread that signs CRLs and rotates OCSP signers. The server
// owns all of it; what `parts` points to must outlive it. Errors as Kek::LoadOrCreate,
// Authorities::CheckOcspKek and WeakKeys::AddBlocklist.
absl::StatusOr<Certificates> AddCertificates(const CertificateFlags& flags,
                                             const CertificateParts& parts,
                                             runtime::Server* server);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATES_SETUP_H_
