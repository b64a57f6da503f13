#include "services/yubikey-agent/sub_key_cards.h"

#include <memory>
#include <utility>

#include "libs/base/status_macros.h"
#include "libs/piv/applet.h"
#include "services/yubikey-agent/card_pool.h"

namespace countersign::yubikey {
namespace {

absl::StatusOr<std::string> CertificateIn(const CardPool& pool, const KeyPlace& place) {
  ASSIGN_OR_RETURN(const CardInfo card, pool.Card(place.serial));
  for (const SlotInfo& slot : card.slots) {
    if (slot.slot == place.slot) return slot.certificate_der;
  }
  return std::string();
}

void Attest(CardPool* pool, const KeyPlace& place, absl::Time deadline,
            SubKeyIssuer::AttestDone done) {
  auto attestation = std::make_shared<std::vector<std::string>>();
  pool->Execute(
      place.serial, "attest", CardPool::Needs(), /*changes_card=*/false, deadline,
      [attestation, slot = place.slot](piv::Applet& applet) -> absl::Status {
        ASSIGN_OR_RETURN(std::string key, applet.Attest(slot));
        ASSIGN_OR_RETURN(std::string card, applet.ReadCertificate(piv::kAttestation));
        *attestation = {std::move(key), std::move(card)};
        return absl::OkStatus();
      },
      [attestation, done = std::move(done)](const absl::Status& status) {
        if (!status.ok()) return done(status);
        done(std::move(*attestation));
      });
}

}  // namespace

SubKeyIssuer::Options IssuerOverPool(CardPool* pool, SubKeyAuthority* authority) {
  return {.card_keys = pool,
          .certificate = [pool](const KeyPlace& place) { return CertificateIn(*pool, place); },
          .attest =
              [pool](const KeyPlace& place, absl::Time deadline, SubKeyIssuer::AttestDone done) {
                Attest(pool, place, deadline, std::move(done));
              },
          .authority = authority};
}

}  // namespace countersign::yubikey
