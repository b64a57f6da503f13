// The witness's public face over HTTP (C2SP tlog-witness).
#ifndef COUNTERSIGN_SERVICES_WITNESS_WITNESS_HTTP_H_
#define COUNTERSIGN_SERVICES_WITNESS_WITNESS_HTTP_H_

#include <cstddef>

#include "libs/base/thread_pool.h"
#include "libs/http/message.h"
#include "services/witness/front_end.h"
#include "services/witness/witness.h"

namespace countersign::witness {

// Larger requests are answered 413. Room for the most signature lines that anyone needs.
inline constexpr size_t kMaxBodyBytes = 256 * 1024;

// POST /add-checkpoint, and GET /<hex SHA-256 of the origin>/checkpoint, which may be cached for a
// few seconds. OPTIONS is answered 204, everything with CORS headers for any origin. Errors are
// text: 400, 403, 404, 409 (text/x.tlog.size), 413, 422, 429 as tlog-witness says, 405 for other
// methods, 503 when the database failed. Work is done on `executor`; it and `witness` outlive the
// handler. Of requests that need it, `max_waiting` may be unanswered at once; further ones are
// answered 429 and not queued.
http::Handler WitnessHandler(Witness* witness, base::ThreadPool* executor,
                             int max_waiting = kMaxWaiting);

}  // namespace countersign::witness

#endif  // COUNTERSIGN_SERVICES_WITNESS_WITNESS_HTTP_H_
