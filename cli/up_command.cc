#include <memory>

#include "CLI/CLI.hpp"
#include "absl/time/time.h"
#include "cli/commands.h"
#include "cli/up.h"

namespace countersign::cli {

void AddUpCommand(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("up", "Start the whole suite on this machine; Ctrl-C stops it");
  const auto options = std::make_shared<UpOptions>();
  command->add_option("--witnesses", options->witnesses, "How many witnesses to run")
      ->check(CLI::Range(0, 16))
      ->capture_default_str();
  command->add_option("--bin-dir", options->bin_dir, "Folder of the services' binaries");
  command->add_option("--host", options->host, "Address to listen on")->capture_default_str();
  command->add_option("--origin", options->origin,
                      "Name of the log in its checkpoints (first start only)");
  command->add_flag("--any-port", options->any_port, "Take free ports instead of the usual ones");
  command->add_option("--gateway-port", options->gateway_port, "Port of the HTTP gateway")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_flag("--yubikey", options->yubikey,
                    "Run the YubiKey agent too, over the PC/SC daemon's cards");
  command->add_option("--ready-fd", options->ready_fd,
                      "File descriptor to write \"ready\" to once all are healthy");
  command->add_option("--ready-file", options->ready_file,
                      "File to write endpoints.json to once all are healthy");
  const auto start_timeout =
      std::make_shared<double>(absl::ToDoubleSeconds(options->start_timeout));
  command
      ->add_option("--start-timeout", *start_timeout,
                   "Seconds that each service may take to become healthy")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->callback([&context, options, start_timeout] {
    context.action = [&context, options, start_timeout] {
      options->data = context.data;
      options->json = context.json;
      options->start_timeout = absl::Seconds(*start_timeout);
      return RunUp(*options);
    };
  });
}

}  // namespace countersign::cli
