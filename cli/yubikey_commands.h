// The commands of `yubikey`, by file.
#ifndef COUNTERSIGN_CLI_YUBIKEY_COMMANDS_H_
#define COUNTERSIGN_CLI_YUBIKEY_COMMANDS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/context.h"
#include "cli/yubikey_session.h"

namespace CLI {
class App;
}

namespace countersign::cli {

using SharedAgentOptions = std::shared_ptr<const AgentOptions>;

// generate, import, attest, verify-attestation, cert.
void AddYubikeySlotCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent);
void AddYubikeyAttestCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent);
void AddYubikeyCertCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent);
// pin, puk, management-key, reset.
void AddYubikeyPinCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent);
// keys, sign, decrypt.
void AddYubikeyKeyCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent);
// subkey.
void AddYubikeySubKeyCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent);

// What a command answers with bytes: writes `data` to `path` when one is given, and prints
// `response` as JSON when that is wanted; else `data` goes to standard output as it is.
// InvalidArgument for bytes that are no text and a terminal.
absl::Status WriteResult(Context& context, const google::protobuf::Message& response,
                         absl::string_view data, const std::string& path, uint32_t mode);
// The same check ahead of the work.
absl::Status CheckResultPath(const Context& context, const std::string& path);

// Says on standard error that a card waits to be touched, when one of the key's slots asks for it.
// What cannot be found out is not said.
void TellAboutTouch(Context& context, const AgentOptions& options, const std::string& key);

// Sets a request's management key from --management-key-file; leaves it when none is named.
absl::Status ReadManagementKey(const std::string& file, std::string* field);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_YUBIKEY_COMMANDS_H_
