// What a ledger shows at /metrics.
#ifndef COUNTERSIGN_SERVICES_LEDGER_METRICS_H_
#define COUNTERSIGN_SERVICES_LEDGER_METRICS_H_

#include "libs/runtime/metrics.h"
#include "services/ledger/ledger.h"

namespace countersign::ledger {

// Registers the gauges of `ledger`, which must live as long as `metrics` is read.
void ExportMetrics(const Ledger& ledger, runtime::Metrics* metrics);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_METRICS_H_
