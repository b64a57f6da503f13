#include "libs/runtime/flags.h"

#include <CLI/CLI.hpp>
#include <cstdio>

namespace countersign::runtime {

struct FlagSet::App {
  explicit App(const std::string& description, const std::string& name) : cli(description, name) {}
  CLI::App cli;
};

FlagSet::FlagSet(const std::string& name, const std::string& description,
                 const std::string& version)
    : app_(std::make_unique<App>(description, name)) {
  app_->cli.set_version_flag("--version", name + " " + version);
  app_->cli.get_formatter()->column_width(36);
}

FlagSet::~FlagSet() = default;

void* FlagSet::AddString(const std::string& name, std::string* value, const std::string& help) {
  return app_->cli.add_option(name, *value, help)->capture_default_str();
}

void* FlagSet::AddInt(const std::string& name, int64_t* value, const std::string& help) {
  return app_->cli.add_option(name, *value, help)->capture_default_str();
}

void* FlagSet::AddBool(const std::string& name, bool* value, const std::string& help) {
  return app_->cli.add_flag(name, *value, help)->default_str(*value ? "true" : "false");
}

void* FlagSet::AddDuration(const std::string& name, absl::Duration* value,
                           const std::string& help) {
  return app_->cli
      .add_option_function<std::string>(
          name,
          [name, value](const std::string& text) {
            if (!absl::ParseDuration(text, value) || *value < absl::ZeroDuration()) {
              throw CLI::ValidationError(name,
                                         "'" + text + "' is no duration such as 90s or 1h30m");
            }
          },
          help)
      ->type_name("DURATION")
      ->default_str(absl::FormatDuration(*value));
}

void* FlagSet::AddStringList(const std::string& name, std::vector<std::string>* value,
                             const std::string& help) {
  // One value a flag, so that what follows is not swallowed.
  return app_->cli.add_option(name, *value, help)->expected(1)->take_all();
}

void FlagSet::Require(void* option) { static_cast<CLI::Option*>(option)->required(); }

void FlagSet::OneOf(void* option, const std::vector<std::string>& values) {
  static_cast<CLI::Option*>(option)->check(CLI::IsMember(values));
}

std::optional<int> FlagSet::Parse(int argc, char** argv) {
  try {
    app_->cli.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::Success& asked) {
    return app_->cli.exit(asked);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s (see --help)\n", app_->cli.get_name().c_str(), error.what());
    return 2;
  }
}

}  // namespace countersign::runtime
