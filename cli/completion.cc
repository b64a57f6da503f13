#include "cli/completion.h"

#include <memory>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/commands.h"

namespace countersign::cli {
namespace {

void Walk(const CLI::App& app, const std::string& path,
          const std::map<std::string, std::string>& inherited, CompletionTable* table) {
  std::map<std::string, std::string> options = inherited;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      options["--" + name] = option->get_description();
    }
  }
  std::map<std::string, std::string>& words = (*table)[path];
  words = options;
  options.erase("--help");
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    words[command->get_name()] = command->get_description();
    Walk(*command, path + " " + command->get_name(), options, table);
  }
}

// In single quotes, for every one of the shells.
std::string Quote(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", ""}, {"\\", ""}}), "'");
}

// One line of "[path]='words'" for each command.
std::string WordTable(const CompletionTable& table) {
  std::string out;
  for (const auto& [path, words] : table) {
    std::string line;
    for (const auto& [word, help] : words) absl::StrAppend(&line, line.empty() ? "" : " ", word);
    absl::StrAppend(&out, "    [", Quote(path), "]=", Quote(line), "\n");
  }
  return out;
}

std::string Bash(const CompletionTable& table) {
  return absl::StrCat(R"(# bash completion of countersign: source <(countersign completion bash)
_countersign() {
  local -A words_of=(
)",
                      WordTable(table), R"(  )
  local path=countersign word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    [[ -n ${words_of["$path $word"]+set} ]] && path="$path $word"
  done
  word=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=($(compgen -W "${words_of[$path]}" -- "$word"))
  [[ $word == -* ]] || COMPREPLY+=($(compgen -f -- "$word"))
}
complete -o filenames -F _countersign countersign
)");
}

std::string Zsh(const CompletionTable& table) {
  // zsh wants the keys of an associative array as words of their own.
  std::string pairs;
  for (const auto& [path, words] : table) {
    std::string line;
    for (const auto& [word, help] : words) absl::StrAppend(&line, line.empty() ? "" : " ", word);
    absl::StrAppend(&pairs, "    ", Quote(path), " ", Quote(line), "\n");
  }
  return absl::StrCat(R"(#compdef countersign
# zsh completion of countersign: source <(countersign completion zsh)
_countersign() {
  local -A words_of
  words_of=(
)",
                      pairs, R"(  )
  local path_so_far=countersign word
  for word in ${words[2,CURRENT-1]}; do
    (( ${+words_of[$path_so_far $word]} )) && path_so_far="$path_so_far $word"
  done
  compadd -- ${=words_of[$path_so_far]}
  [[ $words[CURRENT] == -* ]] || _files
}
if [[ $funcstack[1] == _countersign ]]; then _countersign "$@"; else compdef _countersign countersign; fi
)");
}

std::string Fish(const CompletionTable& table) {
  std::string out = R"(# fish completion of countersign: countersign completion fish | source
function __countersign_at
    set -l path countersign
    for word in (commandline -opc)[2..]
        contains -- "$path $word" $__countersign_paths; and set path "$path $word"
    end
    test "$path" = "$argv"
end
set -g __countersign_paths)";
  for (const auto& [path, words] : table) absl::StrAppend(&out, " ", Quote(path));
  out += "\n";
  for (const auto& [path, words] : table) {
    for (const auto& [word, help] : words) {
      const bool option = word.rfind("--", 0) == 0;
      absl::StrAppend(&out, "complete -c countersign -n \"__countersign_at ", path, "\" ",
                      option ? "-l " : "-a ", option ? word.substr(2) : word, " -d ", Quote(help),
                      "\n");
    }
  }
  return out;
}

}  // namespace

CompletionTable BuildCompletionTable(const CLI::App& app) {
  CompletionTable table;
  Walk(app, app.get_name(), {}, &table);
  return table;
}

absl::StatusOr<std::string> CompletionScript(absl::string_view shell,
                                             const CompletionTable& table) {
  if (shell == "bash") return Bash(table);
  if (shell == "zsh") return Zsh(table);
  if (shell == "fish") return Fish(table);
  return absl::InvalidArgumentError(
      absl::StrCat("no completion for the shell \"", shell, "\"; known: bash, zsh, fish"));
}

void AddCompletionCommand(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("completion", "Print a shell's completion script");
  const auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, &context, shell] {
    context.action = [&app, &context, shell] {
      const auto script = CompletionScript(*shell, BuildCompletionTable(app));
      if (!script.ok()) return context.Fail(script.status());
      context.output.out() << *script;
      return kExitOk;
    };
  });
}

}  // namespace countersign::cli
