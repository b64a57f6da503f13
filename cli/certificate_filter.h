// Which certificates a command is about: the options that `cert find`, `update`, `renew` share.
#ifndef COUNTERSIGN_CLI_CERTIFICATE_FILTER_H_
#define COUNTERSIGN_CLI_CERTIFICATE_FILTER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/context.h"
#include "countersign/sign/v1/certificate_service.pb.h"

namespace CLI {
class App;
}

namespace countersign::cli {

struct FilterOptions {
  std::optional<absl::Duration> expires_within;
  bool expired = false;
  std::string owner;
  std::string environment;
  std::string host;
  std::vector<std::string> statuses;
  std::string authority;
  std::string fingerprint;
  std::string key_fingerprint;
  std::string serial;
};

// `options` must outlive the parser and the command.
void AddFilterOptions(CLI::App* command, FilterOptions* options);

// An empty filter when no option was given. InvalidArgument for an unknown status.
absl::StatusOr<sign::v1::CertificateFilter> MakeFilter(const Context& context,
                                                       const FilterOptions& options,
                                                       absl::Time now);

// The same; InvalidArgument when no option was given.
absl::StatusOr<sign::v1::CertificateFilter> MakeNarrowFilter(const Context& context,
                                                             const FilterOptions& options,
                                                             absl::Time now);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_CERTIFICATE_FILTER_H_
