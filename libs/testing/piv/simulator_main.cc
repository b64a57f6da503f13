// piv-simulator: cards in software in the readers of a pcscd of their own, for shell tests and for
// trying the suite without hardware. See --help.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/testing/piv/card.h"
#include "libs/testing/piv/virtual_reader.h"

namespace countersign::testing::piv {
namespace {

constexpr char kHelp[] =
    "Cards in software, in the readers of a pcscd of their own\n\n"
    "Prints PCSCLITE_CSOCK_NAME=…, the environment of programs that shall see the cards, and "
    "\"ready\".\nThen it takes commands from standard input, answers each with a line, and ends "
    "with "
    "it, at\n\"quit\" or by SIGTERM:\n"
    "  remove N            pull card N (from 0) out of its reader\n"
    "  insert N            put it back\n"
    "  fault N KIND [KEY=VALUE…]\n"
    "                      KIND: status, delay, remove-before, remove-after or touch-timeout;\n"
    "                      KEY: ins (hexadecimal), skip, times (-1: for ever), sw (hexadecimal), "
    "delay\n"
    "  clear N             forget the faults of card N\n"
    "  commands N [INS]    how many commands reached it\n"
    "  tries N             those left for PIN and PUK\n"
    "  restart             kill pcscd and start it anew\n";

struct Options {
  int cards = 1;
  uint32_t first_serial = 12345678;
  std::string firmware = "5.4.3";
  std::string state_dir;
  std::string operation_time = "0";
  std::string root_file;
};

absl::StatusOr<countersign::piv::Version> ParseVersion(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  uint32_t numbers[3] = {};
  bool ok = parts.size() == 3;
  for (size_t i = 0; ok && i < 3; ++i)
    ok = absl::SimpleAtoi(parts[i], &numbers[i]) && numbers[i] < 256;
  if (!ok) return absl::InvalidArgumentError("a firmware is three numbers, as 5.4.3");
  return countersign::piv::Version{static_cast<uint8_t>(numbers[0]),
                                   static_cast<uint8_t>(numbers[1]),
                                   static_cast<uint8_t>(numbers[2])};
}

absl::StatusOr<Fault> ParseFault(const std::vector<std::string>& words) {
  static const auto* const kinds =
      new std::map<absl::string_view, Fault::Kind>{{"status", Fault::Kind::kStatusWord},
                                                   {"delay", Fault::Kind::kDelay},
                                                   {"remove-before", Fault::Kind::kRemoveBefore},
                                                   {"remove-after", Fault::Kind::kRemoveAfter},
                                                   {"touch-timeout", Fault::Kind::kTouchTimeout}};
  const auto kind = words.size() < 3 ? kinds->end() : kinds->find(words[2]);
  if (kind == kinds->end()) return absl::InvalidArgumentError("no such fault");
  Fault fault;
  fault.kind = kind->second;
  for (size_t i = 3; i < words.size(); ++i) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(words[i], absl::MaxSplits('=', 1));
    const auto& [key, value] = pair;
    uint32_t number = 0;
    bool ok = true;
    if (key == "ins" || key == "sw") {
      ok = absl::SimpleHexAtoi(value, &number) && number <= (key == "ins" ? 0xFFu : 0xFFFFu);
      if (key == "ins") fault.instruction = static_cast<uint8_t>(number);
      if (key == "sw") fault.status_word = static_cast<uint16_t>(number);
    } else if (key == "skip") {
      ok = absl::SimpleAtoi(value, &fault.skip);
    } else if (key == "times") {
      ok = absl::SimpleAtoi(value, &fault.times);
    } else {
      ok = key == "delay" && absl::ParseDuration(value, &fault.delay);
    }
    if (!ok) return absl::InvalidArgumentError(absl::StrCat("not understood: ", words[i]));
  }
  return fault;
}

class Simulator {
 public:
  absl::Status Start(const Options& options);
  // The line that answers a command.
  absl::StatusOr<std::string> Do(const std::vector<std::string>& words);
  const std::string& socket_path() const { return daemon_->SocketPath(); }

 private:
  std::unique_ptr<PcscDaemon> daemon_;
  std::vector<std::unique_ptr<Card>> cards_;
  std::vector<std::unique_ptr<VirtualReader>> readers_;
};

absl::Status Simulator::Start(const Options& options) {
  ASSIGN_OR_RETURN(const countersign::piv::Version version, ParseVersion(options.firmware));
  absl::Duration operation_time;
  if (!absl::ParseDuration(options.operation_time, &operation_time)) {
    return absl::InvalidArgumentError("--operation-time is a time, as 100ms");
  }
  if (!options.root_file.empty()) {
    RETURN_IF_ERROR(base::WriteFileAtomically(options.root_file, Card::AttestationRoot()));
  }
  if (!options.state_dir.empty()) RETURN_IF_ERROR(base::EnsureDirectory(options.state_dir));
  ASSIGN_OR_RETURN(daemon_, PcscDaemon::Start(options.cards));
  for (int i = 0; i < options.cards; ++i) {
    CardOptions card;
    card.serial = options.first_serial + static_cast<uint32_t>(i);
    card.version = version;
    if (!options.state_dir.empty()) {
      card.state_file = absl::StrCat(options.state_dir, "/", card.serial, ".json");
    }
    ASSIGN_OR_RETURN(auto made, Card::Create(card));
    made->SetOperationTime(operation_time);
    cards_.push_back(std::move(made));
    readers_.push_back(std::make_unique<VirtualReader>(daemon_->port(i), cards_.back().get()));
    RETURN_IF_ERROR(readers_.back()->Insert());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Simulator::Do(const std::vector<std::string>& words) {
  const std::string& what = words[0];
  if (what == "restart") {
    RETURN_IF_ERROR(daemon_->Restart());
    return "ok";
  }
  size_t number = 0;
  if (words.size() < 2 || !absl::SimpleAtoi(words[1], &number) || number >= cards_.size()) {
    return absl::InvalidArgumentError("no such command or card; see --help");
  }
  Card& card = *cards_[number];
  if (what == "remove") {
    readers_[number]->Remove();
  } else if (what == "insert") {
    RETURN_IF_ERROR(readers_[number]->Insert());
  } else if (what == "fault") {
    ASSIGN_OR_RETURN(const Fault fault, ParseFault(words));
    card.AddFault(fault);
  } else if (what == "clear") {
    card.ClearFaults();
  } else if (what == "commands") {
    if (words.size() == 2) return absl::StrCat(card.commands());
    uint32_t instruction = 0;
    if (!absl::SimpleHexAtoi(words[2], &instruction) || instruction > 0xFF) {
      return absl::InvalidArgumentError("an instruction is two hexadecimal digits");
    }
    return absl::StrCat(card.commands(static_cast<uint8_t>(instruction)));
  } else if (what == "tries") {
    return absl::StrCat(card.pin_tries(), " ", card.puk_tries());
  } else {
    return absl::InvalidArgumentError("no such command; see --help");
  }
  return "ok";
}

// Reads lines until "quit", the end or a signal.
void Serve(Simulator* simulator, int signals) {
  std::string buffer;
  while (true) {
    pollfd files[] = {{STDIN_FILENO, POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(files, 2, -1) < 0) continue;
    if (files[1].revents != 0) return;
    char bytes[512];
    const ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (n <= 0) return;
    buffer.append(bytes, static_cast<size_t>(n));
    for (size_t end; (end = buffer.find('\n')) != std::string::npos; buffer.erase(0, end + 1)) {
      const std::vector<std::string> words =
          absl::StrSplit(absl::string_view(buffer).substr(0, end), ' ', absl::SkipEmpty());
      if (words.empty()) continue;
      if (words[0] == "quit") return;
      const auto answer = simulator->Do(words);
      std::cout << (answer.ok() ? *answer : absl::StrCat("error: ", answer.status().message()))
                << std::endl;
    }
  }
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app(kHelp);
  app.add_option("--cards", options.cards, "how many")->capture_default_str();
  app.add_option("--first-serial", options.first_serial, "of card 0; the others count on")
      ->capture_default_str();
  app.add_option("--firmware", options.firmware, "of all cards")->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "keeps the cards in SERIAL.json");
  app.add_option("--operation-time", options.operation_time, "how long a key takes")
      ->capture_default_str();
  app.add_option("--attestation-root", options.root_file,
                 "writes the root of the cards' attestations there, DER");
  CLI11_PARSE(app, argc, argv);

  // Blocked before there are threads, so that they inherit it.
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&ends, signal);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const int signals = signalfd(-1, &ends, SFD_CLOEXEC);

  Simulator simulator;
  if (const absl::Status started = simulator.Start(options); !started.ok()) {
    std::cerr << "piv-simulator: " << started.message() << std::endl;
    return 1;
  }
  std::cout << "PCSCLITE_CSOCK_NAME=" << simulator.socket_path() << "\nready" << std::endl;
  Serve(&simulator, signals);
  return 0;
}

}  // namespace
}  // namespace countersign::testing::piv

int main(int argc, char** argv) { return countersign::testing::piv::Main(argc, argv); }
