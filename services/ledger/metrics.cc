#include "services/ledger/metrics.h"

namespace countersign::ledger {

void ExportMetrics(const Ledger& ledger, runtime::Metrics* metrics) {
  metrics->AddGaugeFunction(
      "countersign_ledger_integrated_entries", "Size of the signed tree.",
      [&ledger] { return static_cast<double>(ledger.signed_head().head.size); });
  metrics->AddGaugeFunction(
      "countersign_ledger_published_entries", "Size of the published, cosigned tree.",
      [&ledger] { return static_cast<double>(ledger.published_head().head.size); });
  metrics->AddGaugeFunction("countersign_ledger_queued_entries",
                            "Entries that wait to be sequenced.",
                            [&ledger] { return static_cast<double>(ledger.queued_entries()); });
  for (const Cosigner::WitnessState& witness : ledger.witnesses()) {
    metrics->AddGaugeFunction(
        "countersign_ledger_witness_cosigned_entries",
        "Size of the latest checkpoint that the witness is known to have cosigned.",
        [&ledger, name = witness.name] {
          for (const Cosigner::WitnessState& state : ledger.witnesses()) {
            if (state.name == name) return static_cast<double>(state.cosigned_size);
          }
          return 0.0;
        },
        {{"witness", witness.name}});
  }
}

}  // namespace countersign::ledger
