// How an authority answers for its certificates: the options that `ca create`, `import` and
// `update` share.
#ifndef COUNTERSIGN_CLI_AUTHORITY_SETTINGS_H_
#define COUNTERSIGN_CLI_AUTHORITY_SETTINGS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/context.h"
#include "countersign/sign/v1/certificates.pb.h"

namespace CLI {
class App;
}

namespace countersign::cli {

// What was not given stays absent.
struct SettingsOptions {
  std::optional<std::string> public_url;
  std::optional<std::vector<std::string>> ocsp_urls;
  std::optional<std::vector<std::string>> issuer_urls;
  std::optional<std::string> crl_url;
  std::optional<int> crl_shards;
  std::optional<absl::Duration> crl_lifetime;
  std::optional<absl::Duration> ocsp_lifetime;
  std::optional<absl::Duration> ocsp_max_age;
  std::optional<bool> ocsp_nonces;
  std::optional<bool> ocsp_signed_unknown;
  std::optional<std::vector<std::string>> permitted;
  std::optional<std::vector<std::string>> excluded;
  std::optional<std::string> log;
};

// `options` must outlive the parser and the command.
void AddSettingsOptions(CLI::App* command, SettingsOptions* options);

// Whether any was given.
bool AnyGiven(const SettingsOptions& options);

// Puts what was given into `*settings` of the authority called `name` (its resource name).
// --public-url is the address under which gateway or services are seen from outside: it gives the
// three kinds of URL that are not given themselves.
void ApplySettings(const Context& context, const SettingsOptions& options, absl::string_view name,
                   sign::v1::AuthoritySettings* settings);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_AUTHORITY_SETTINGS_H_
