#include "services/ledger/metrics.h"

namespace countersign::ledger {

void ExportMetrics(const Log& log, runtime::Metrics* metrics) {
  const Ledger& ledger = *log.ledger;
  const std::string& name = log.identity.name;
  metrics->AddGaugeFunction(
      "countersign_ledger_integrated_entries", "Size of the signed tree.",
      [&ledger] { return static_cast<double>(ledger.signed_head().head.size); }, {{"log", name}});
  metrics->AddGaugeFunction(
      "countersign_ledger_published_entries", "Size of the published, cosigned tree.",
      [&ledger] { return static_cast<double>(ledger.published_head().head.size); },
      {{"log", name}});
  metrics->AddGaugeFunction(
      "countersign_ledger_queued_entries", "Entries that wait to be sequenced.",
      [&ledger] { return static_cast<double>(ledger.queued_entries()); }, {{"log", name}});
  metrics->AddCounterFunction(
      "countersign_ledger_syncs_total", "How often the store waited for entries to be durable.",
      [&ledger] { return static_cast<double>(ledger.store().synchronisations()); },
      {{"log", name}});
  for (const Cosigner::WitnessState& witness : ledger.witnesses()) {
    metrics->AddGaugeFunction(
        "countersign_ledger_witness_cosigned_entries",
        "Size of the latest checkpoint that the witness is known to have cosigned.",
        [&ledger, witness = witness.name] {
          for (const Cosigner::WitnessState& state : ledger.witnesses()) {
            if (state.name == witness) return static_cast<double>(state.cosigned_size);
          }
          return 0.0;
        },
        {{"log", name}, {"witness", witness.name}});
  }
}

}  // namespace countersign::ledger
