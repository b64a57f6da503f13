// The log's public face over HTTP: checkpoint, tiles and entry bundles (C2SP tlog-tiles).
#ifndef COUNTERSIGN_SERVICES_LEDGER_PUBLIC_HTTP_H_
#define COUNTERSIGN_SERVICES_LEDGER_PUBLIC_HTTP_H_

#include "libs/base/thread_pool.h"
#include "libs/http/message.h"
#include "services/ledger/ledger.h"

namespace countersign::ledger {

// GET /checkpoint (cached for a second), GET /tile/<L>/<N>[.p/<W>] and GET
// /tile/entries/<N>[.p/<W>] (immutable), with ETag and CORS. A partial tile is served in any width
// up to what is integrated, whether or not a checkpoint of that size was published. 404 beyond the
// log and for every other path, 405 for other methods, 503 before the first checkpoint. Tiles are
// read on `executor`; both outlive the handler.
http::Handler PublicHandler(const Ledger* ledger, base::ThreadPool* executor);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_PUBLIC_HTTP_H_
