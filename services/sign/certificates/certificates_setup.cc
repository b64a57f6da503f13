#include "services/sign/certificates/certificates_setup.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/status_macros.h"
#include "libs/base/ticker.h"
#include "libs/crypto/aead.h"
#include "libs/pki/weak_keys.h"
#include "libs/runtime/main.h"
#include "libs/runtime/metrics.h"
#include "services/sign/certificates/authorities.h"
#include "services/sign/certificates/authority_service.h"
#include "services/sign/certificates/certificate_metrics.h"
#include "services/sign/certificates/certificate_service.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/certificates/crl_publisher.h"
#include "services/sign/certificates/grpc_ocsp_notifier.h"
#include "services/sign/certificates/issuer.h"
#include "services/sign/certificates/revocation.h"
#include "services/sign/key_store.h"

namespace countersign::sign {
namespace {

// How often it is looked for CRLs and OCSP signers that are due.
constexpr absl::Duration kUpkeepInterval = absl::Seconds(10);

absl::StatusOr<OcspNotifier*> AddNotifier(const CertificateFlags& flags,
                                          const runtime::ClientTls& tls, runtime::Server* server) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (const std::string& address : flags.ocsp) {
    ASSIGN_OR_RETURN(auto channel, runtime::MakeChannel(address, tls));
    channels.push_back(std::move(channel));
  }
  return server->Own(std::make_unique<GrpcOcspNotifier>(channels));
}

}  // namespace

void AddCertificateFlags(runtime::Main* main, CertificateFlags* flags) {
  main->AddString("--ocsp-kek", &flags->ocsp_kek,
                  "file of the key-encryption key of the OCSP signers, which the ocsp service has "
                  "too; made when missing (default: DATA/ocsp-kek)");
  main->AddStringList("--ocsp", &flags->ocsp,
                      "address of an OCSP process, to be told of changes at once; repeatable");
  main->AddBool("--allow-key-export", &flags->allow_key_export,
                "give out private keys of authorities on request");
  main->AddStringList("--weak-keys", &flags->weak_keys,
                      "file of keys that must not be certified; repeatable");
}

absl::StatusOr<Certificates> AddCertificates(const CertificateFlags& flags,
                                             const CertificateParts& parts,
                                             runtime::Server* server) {
  storage::Database* const database = parts.keys->database();
  auto* metrics = server->Own(std::make_unique<CertificateMetrics>(server->metrics()));
  auto* weak_keys = server->Own(std::make_unique<pki::WeakKeys>());
  for (const std::string& path : flags.weak_keys) {
    RETURN_IF_ERROR(weak_keys->AddBlocklist(path));
  }
  ASSIGN_OR_RETURN(OcspNotifier* const notifier, AddNotifier(flags, parts.peer_tls, server));
  const auto on_change = [notifier](int64_t change_number) { notifier->Notify(change_number); };
  auto* store = server->Own(std::make_unique<CertificateStore>(
      CertificateStore::Options{.database = database, .on_change = on_change, .metrics = metrics}));
  ASSIGN_OR_RETURN(
      crypto::Kek ocsp_kek,
      crypto::Kek::LoadOrCreate(flags.ocsp_kek.empty() ? absl::StrCat(parts.data, "/ocsp-kek")
                                                       : flags.ocsp_kek));
  auto* authorities = server->Own(
      std::make_unique<Authorities>(Authorities::Options{.keys = parts.keys,
                                                         .key_ring = parts.key_ring,
                                                         .certificates = store,
                                                         .ocsp_kek = std::move(ocsp_kek),
                                                         .allow_key_export = flags.allow_key_export,
                                                         .weak_keys = weak_keys,
                                                         .on_change = on_change,
                                                         .metrics = metrics}));
  RETURN_IF_ERROR(authorities->CheckOcspKek());
  auto* crls =
      server->Own(std::make_unique<CrlPublisher>(CrlPublisher::Options{.database = database,
                                                                       .authorities = authorities,
                                                                       .certificates = store,
                                                                       .metrics = metrics}));
  auto* revocation = server->Own(
      std::make_unique<Revocation>(Revocation::Options{.keys = parts.keys,
                                                       .certificates = store,
                                                       .authorities = authorities,
                                                       .notifier = notifier,
                                                       .crls = crls,
                                                       .executor = server->executor()}));
  auto* issuer =
      server->Own(std::make_unique<Issuer>(Issuer::Options{.authorities = authorities,
                                                           .certificates = store,
                                                           .weak_keys = weak_keys,
                                                           .signing = parts.signing,
                                                           .executor = server->executor()}));
  auto* certificate_service = server->Own(std::make_unique<CertificateService>(
      CertificateService::Options{.issuer = issuer,
                                  .certificates = store,
                                  .authorities = authorities,
                                  .revocation = revocation,
                                  .executor = server->executor(),
                                  .metrics = metrics}));
  server->AddService(certificate_service, "countersign.sign.v1.CertificateService");
  auto* authority_service = server->Own(
      std::make_unique<AuthorityService>(AuthorityService::Options{.authorities = authorities,
                                                                   .crls = crls,
                                                                   .executor = server->executor(),
                                                                   .metrics = metrics}));
  server->AddService(authority_service, "countersign.sign.v1.AuthorityService");
  // Signers first: what is signed after that lasts. Each logs what it could not do.
  server->Own(std::make_unique<base::Ticker>(kUpkeepInterval, [authorities, crls] {
    authorities->RotateExpiringOcspSigners().IgnoreError();
    crls->PublishDue().IgnoreError();
  }));
  return Certificates{store, issuer, metrics};
}

}  // namespace countersign::sign
