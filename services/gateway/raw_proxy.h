// Public protocols passed through as bytes: C2SP tlog-tiles and tlog-witness.
#ifndef COUNTERSIGN_SERVICES_GATEWAY_RAW_PROXY_H_
#define COUNTERSIGN_SERVICES_GATEWAY_RAW_PROXY_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/http/client.h"
#include "libs/http/router.h"

namespace countersign::gateway {

struct NamedUrl {
  std::string name;
  std::string url;  // http://host:port[/prefix], without a slash at its end
};

// "NAME=URL". The name is 1 to 63 characters of a-z 0-9 - . _ and no number.
absl::StatusOr<NamedUrl> ParseNamedUrl(absl::string_view text);

// Adds GET /checkpoint and GET /tile/… of the ledger at `ledger_url`. Status, body and cache fields
// are the ledger's own. `client` outlives the router's handlers.
absl::Status AddLedgerRoutes(const std::string& ledger_url, http::Client* client,
                             absl::Duration timeout, http::Router* router);

// Adds POST /witness/{witness}/add-checkpoint and GET /witness/{witness}/{hash}/checkpoint, where
// {witness} is a name or its number, counted from 1.
absl::Status AddWitnessRoutes(const std::vector<NamedUrl>& witnesses, http::Client* client,
                              absl::Duration timeout, http::Router* router);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_SERVICES_GATEWAY_RAW_PROXY_H_
