// Where the services are: what `countersign up` wrote, changed by --endpoint flags.
#ifndef COUNTERSIGN_CLI_ENDPOINTS_H_
#define COUNTERSIGN_CLI_ENDPOINTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::cli {

// Addresses are "host:port".
struct Endpoints {
  std::string sign = "127.0.0.1:7101";
  std::string verify = "127.0.0.1:7102";
  std::string ledger = "127.0.0.1:7103";
  std::string ocsp = "127.0.0.1:7107";
  std::string yubikey_agent = "127.0.0.1:7120";
  std::vector<std::string> witnesses = {"127.0.0.1:7104", "127.0.0.1:7105", "127.0.0.1:7106"};
};

// $COUNTERSIGN_DATA, else $XDG_DATA_HOME/countersign, else ~/.local/share/countersign.
std::string DefaultDataFolder();

// The contents of an endpoints.json (up.h); what it does not name keeps its default.
// InvalidArgument when it is not one.
absl::StatusOr<Endpoints> ParseEndpoints(absl::string_view json);

// DATA/endpoints.json, or the defaults when there is none.
absl::StatusOr<Endpoints> LoadEndpoints(const std::string& data);

// Applies "sign=host:port". A first "witness=" replaces the list, further ones add to it, so
// `witnesses_given` counts them. InvalidArgument for another service or without an address.
absl::Status ApplyEndpoint(absl::string_view setting, int* witnesses_given, Endpoints* endpoints);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_ENDPOINTS_H_
