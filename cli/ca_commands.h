// What the commands of `ca` share, and those that stand in a file of their own.
#ifndef COUNTERSIGN_CLI_CA_COMMANDS_H_
#define COUNTERSIGN_CLI_CA_COMMANDS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "cli/context.h"
#include "countersign/sign/v1/certificates.pb.h"

namespace CLI {
class App;
}

namespace countersign::cli {

// import, export, cross-sign, crl: those that read and write files.
void AddCaFileCommands(CLI::App& group, Context& context);

// A headline, and the authority's fields.
void ShowAuthority(absl::string_view headline, const sign::v1::Authority& authority,
                   Output* output);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_CA_COMMANDS_H_
