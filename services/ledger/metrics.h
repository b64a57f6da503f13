// What a ledger shows at /metrics.
#ifndef COUNTERSIGN_SERVICES_LEDGER_METRICS_H_
#define COUNTERSIGN_SERVICES_LEDGER_METRICS_H_

#include "libs/runtime/metrics.h"
#include "services/ledger/log_registry.h"

namespace countersign::ledger {

// Registers what `log` shows, labelled with its name; it must live as long as `metrics` is read.
void ExportMetrics(const Log& log, runtime::Metrics* metrics);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_METRICS_H_
