#include "services/sign/certificates/issuance_setup.h"

#include <memory>
#include <utility>

#include "libs/acme/https_transport.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/crypto/random.h"
#include "libs/runtime/main.h"
#include "libs/runtime/metrics.h"
#include "services/sign/certificates/acme_challenges.h"
#include "services/sign/certificates/acme_upstream.h"
#include "services/sign/certificates/countersign_upstream.h"
#include "services/sign/certificates/issuance_service.h"
#include "services/sign/certificates/local_upstream.h"
#include "services/sign/certificates/tracked_inventory.h"

namespace countersign::sign {
namespace {

constexpr int kMaxTries = 3;
constexpr int kAcmeThreads = 32;
constexpr absl::Duration kWatchPoll = absl::Seconds(1);
// Ten answers a second.
constexpr absl::Duration kRenewalWatchLeast = absl::Milliseconds(100);

}  // namespace

void AddIssuanceFlags(runtime::Main* main, IssuanceFlags* flags) {
  main->AddInt("--issuance-workers", &flags->workers,
               "queued issuances that are carried out at the same time");
  main->AddInt("--issuance-queue", &flags->capacity, "queued issuances that may wait");
  main->AddDuration("--issuance-lease", &flags->lease,
                    "after how long another process takes over what a dead one was at");
}

absl::Status AddIssuance(const IssuanceFlags& flags, IssuanceParts parts, runtime::Server* server,
                         http::Router* router) {
  if (flags.workers < 1 || flags.workers > 1000) {
    return absl::InvalidArgumentError("--issuance-workers must be 1 to 1000");
  }
  if (flags.capacity < 1) return absl::InvalidArgumentError("--issuance-queue must be at least 1");
  if (flags.lease < absl::Seconds(3)) {
    return absl::InvalidArgumentError("--issuance-lease must be at least 3s");
  }
  auto* store =
      server->Own(std::make_unique<IssuanceStore>(parts.database, flags.capacity, kMaxTries));
  auto* renewal_store = server->Own(std::make_unique<RenewalStore>(parts.database, kMaxTries));
  auto* issuance_watches = server->Own(std::make_unique<Watches<v1::Issuance>>(
      [store](const ResourceId& name) { return store->Get(name); }, absl::ZeroDuration(),
      kWatchPoll));
  auto* renewal_watches = server->Own(std::make_unique<Watches<v1::Renewal>>(
      [renewal_store](const ResourceId& name) { return renewal_store->Get(name); },
      kRenewalWatchLeast, kWatchPoll));
  auto* challenges =
      server->Own(std::make_unique<AcmeChallenges>(parts.database, server->executor()));
  RETURN_IF_ERROR(challenges->AddTo(router));

  // Goes after the queue, which waits for what its threads do.
  auto* acme_threads = server->Own(std::make_unique<base::ThreadPool>(kAcmeThreads));
  auto* upstreams = server->Own(std::make_unique<Upstreams>(Upstreams::Options{
      .database = parts.database,
      .kek = std::move(parts.kek),
      .local = std::make_shared<LocalUpstream>(parts.issuing, server->executor()),
      .make_countersign = [tls = parts.peer_tls](const v1::CountersignUpstream& settings)
          -> absl::StatusOr<std::shared_ptr<Upstream>> {
        ASSIGN_OR_RETURN(auto channel, runtime::MakeChannel(settings.address(), tls));
        return std::make_shared<CountersignUpstream>(std::move(channel), settings.authority());
      },
      .make_acme = [challenges, acme_threads](
                       const v1::AcmeUpstream& settings,
                       AcmeAccountSecrets secrets) -> absl::StatusOr<std::shared_ptr<Upstream>> {
        return std::make_shared<AcmeUpstream>(AcmeUpstream::Options{
            .client = {.transport = std::make_shared<acme::HttpsTransport>(
                           acme::HttpsTransport::Options{.ca_pem = settings.ca_pem()}),
                       .directory_url = settings.directory_url(),
                       .key = std::move(secrets.key),
                       .contact = settings.contact(),
                       .eab_key_id = settings.eab_key_id(),
                       .eab_key = std::move(secrets.eab_key)},
            .challenges = challenges,
            .threads = acme_threads});
      }}));

  // Each needs the other: a queue to be woken, starts to be completed.
  auto queue = std::make_shared<IssuanceQueue*>(nullptr);
  const std::string claim = crypto::RandomUuid();
  auto* renewals = server->Own(std::make_unique<Renewals>(Renewals::Options{
      .store = renewal_store,
      .claim = claim,
      .lease = flags.lease,
      .started = [queue](const ResourceId& name,
                         int64_t concurrency) { (*queue)->Started(name, concurrency); },
      .wake = [queue] { (*queue)->Wake(); }}));
  *queue = server->Own(std::make_unique<IssuanceQueue>(IssuanceQueue::Options{
      .issuances = store,
      .renewals = renewal_store,
      .find_upstream = [upstreams](const ResourceId& name) { return upstreams->Find(name); },
      .track = TrackInInventory(parts.certificates),
      .on_issuance_change =
          [issuance_watches](const ResourceId& name) { issuance_watches->Notify(name); },
      .on_renewal_change =
          [renewal_watches](const ResourceId& name) { renewal_watches->Notify(name); },
      .resume_start = [renewals](const ResourceId& name) { return renewals->ResumeStart(name); },
      .claim = claim,
      .workers = static_cast<int>(flags.workers),
      .lease = flags.lease,
      // An embedded database is one process's.
      .alone = parts.database->engine() == storage::Engine::kSqlite,
      .metrics = server->metrics()}));
  auto* service = server->Own(std::make_unique<IssuanceService>(
      IssuanceService::Options{.store = store,
                               .queue = *queue,
                               .renewals = renewals,
                               .upstreams = upstreams,
                               .issuance_watches = issuance_watches,
                               .renewal_watches = renewal_watches,
                               .executor = server->executor()}));
  server->AddService(service, "countersign.sign.v1.IssuanceService");
  server->OnDrain([issuance_watches, renewal_watches] {
    const absl::Status stops = absl::UnavailableError("the server stops; watch again");
    issuance_watches->End(stops);
    renewal_watches->End(stops);
  });
  return absl::OkStatus();
}

}  // namespace countersign::sign
