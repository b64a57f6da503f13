// Public protocols passed through as bytes: C2SP tlog-tiles and tlog-witness, OCSP, CRLs.
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

// Adds POST /ocsp and GET /ocsp/… (RFC 6960 appendix A.1), GET /crl/… and GET /issuer/… of the ocsp
// service at `ocsp_url`. The target of an OCSP request goes on byte for byte: base64 has '/', '//'
// and '+', and clients differ in what they encode.
absl::Status AddOcspRoutes(const std::string& ocsp_url, http::Client* client,
                           absl::Duration timeout, http::Router* router);

// Adds GET /.well-known/acme-challenge/{token} (RFC 8555 section 8.3) of the sign service at
// `sign_url`.
absl::Status AddAcmeRoutes(const std::string& sign_url, http::Client* client,
                           absl::Duration timeout, http::Router* router);

// Adds POST /witness/{witness}/add-checkpoint and GET /witness/{witness}/{hash}/checkpoint, where
// {witness} is a name or its number, counted from 1.
absl::Status AddWitnessRoutes(const std::vector<NamedUrl>& witnesses, http::Client* client,
                              absl::Duration timeout, http::Router* router);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_SERVICES_GATEWAY_RAW_PROXY_H_
