// The logs' public face over HTTP: checkpoint, tiles and entry bundles (C2SP tlog-tiles).
#ifndef COUNTERSIGN_SERVICES_LEDGER_PUBLIC_HTTP_H_
#define COUNTERSIGN_SERVICES_LEDGER_PUBLIC_HTTP_H_

#include "libs/base/thread_pool.h"
#include "libs/http/message.h"
#include "services/ledger/log_registry.h"

namespace countersign::ledger {

// GET /checkpoint (cached for a second), GET /tile/<L>/<N>[.p/<W>] and GET
// /tile/entries/<N>[.p/<W>] (immutable), with ETag and CORS, of the main log; and the same of every
// log below its name, /tenants/{tenant}/logs/{log}/checkpoint. A partial tile is served in any
// width up to what is integrated, whether or not a checkpoint of that size was published. Bundles
// are compressed for clients that take gzip, but not for HEAD. 404 beyond the log and for every
// other path, 405 for other methods, 503 before the first checkpoint, 504 for what waited beyond
// its deadline. Tiles are read on `executor`; both outlive the handler.
http::Handler PublicHandler(const LogRegistry* logs, base::ThreadPool* executor);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_PUBLIC_HTTP_H_
