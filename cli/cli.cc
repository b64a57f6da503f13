#include "cli/cli.h"

#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "libs/runtime/main.h"

namespace countersign::cli {
namespace {

void AddGlobalOptions(CLI::App& app, Context& context) {
  app.add_flag("--json", context.json, "Write JSON for programs instead of text for people");
  app.add_option("--data", context.data, "Folder of endpoints.json and trust.json")
      ->envname("COUNTERSIGN_DATA")
      ->default_str(context.data);
  app.add_option("--tenant", context.tenant, "Tenant of short resource names")
      ->envname("COUNTERSIGN_TENANT")
      ->capture_default_str();
  app.add_option("--endpoint", context.endpoint_settings,
                 "Where a service is: sign=HOST:PORT, ledger=…, verify=…, witness=…, ocsp=…, "
                 "yubikey-agent=… (repeatable)")
      ->type_name("SERVICE=HOST:PORT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--tls-ca", context.tls.ca_file, "CA certificates (PEM) of the services");
  app.add_option("--tls-cert", context.tls.cert_file, "Client certificate (PEM) for mutual TLS");
  app.add_option("--tls-key", context.tls.key_file, "Its private key (PEM)");
  app.add_option("--timeout", context.timeout_seconds, "Seconds that one call may take")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

void AddVersionCommand(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("version", "Show the version");
  command->callback([&context] {
    context.action = [&context] {
      if (context.json) {
        context.output.out() << "{\"version\": \"" << runtime::Version() << "\"}\n";
      } else {
        context.output.Line(absl::StrCat("countersign ", runtime::Version()));
      }
      return kExitOk;
    };
  });
}

}  // namespace

int RunCli(const std::vector<std::string>& arguments, Output output) {
  Context context(output);
  context.data = DefaultDataFolder();
  CLI::App app(
      "Sign files, log the signatures, have them witnessed, and verify all of it offline; issue "
      "certificates and answer for them.",
      "countersign");
  app.require_subcommand(1);
  app.fallthrough();
  AddGlobalOptions(app, context);
  AddUpCommand(app, context);
  AddKeysCommands(app, context);
  AddSignCommand(app, context);
  AddVerifyCommand(app, context);
  AddLedgerCommands(app, context);
  AddLogsCommands(app, context);
  AddWitnessCommands(app, context);
  AddCaCommands(app, context);
  AddCertCommands(app, context);
  AddOcspCommands(app, context);
  AddQueueCommands(app, context);
  AddUpstreamCommands(app, context);
  AddTrustCommands(app, context);
  AddYubikeyCommands(app, context);
  AddBundleCommands(app, context);
  AddCompletionCommand(app, context);
  AddVersionCommand(app, context);
  try {
    // CLI11 takes the words from the back.
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error, output.out(), output.err());
    return context.Fail(
        absl::InvalidArgumentError(absl::StrCat(error.what(), "; see `countersign --help`")));
  }
  return context.action();
}

}  // namespace countersign::cli
