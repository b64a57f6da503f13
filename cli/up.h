// `countersign up`: the whole suite on one machine, as child processes on loopback ports.
//
// Data folder: sign/, ledger/, witness-N/, yubikey-agent/ (the services' own data), trust/policy
// (C2SP tlog-policy made of the vkeys they publish), log/ (their output), run/ (port files) and
// endpoints.json:
//   {"pid":1,"sign":"127.0.0.1:7101","verify":…,"ledger":…,"ocsp":…,
//    "ledger_http":"127.0.0.1:7303","ocsp_http":…,"sign_http":…,
//    "witnesses":[{"name":…,"grpc":…,"http":…,"vkey":…}],"gateway":"127.0.0.1:8080",
//    "yubikey_agent":… (with --yubikey),
//    "admin":{"sign":…},"pids":{"sign":…},"log_vkey":…,"policy":"/path/of/trust/policy"}
// which is there from the moment all are healthy until the supervisor stops; it is written anew
// when a service has been started again.
#ifndef COUNTERSIGN_CLI_UP_H_
#define COUNTERSIGN_CLI_UP_H_

#include <string>

#include "absl/time/time.h"

namespace countersign::cli {

struct UpOptions {
  std::string data;     // "" = $XDG_DATA_HOME/countersign, else ~/.local/share/countersign
  int witnesses = 3;    // 0..16
  std::string bin_dir;  // holds the services' binaries; "" = beside or below this executable
  std::string host = "127.0.0.1";
  std::string origin = "";  // the log's name in checkpoints; "" = one made at the first start
  bool any_port = false;    // free ports instead of the usual ones (7101…, 8080)
  int gateway_port = 8080;
  bool yubikey = false;    // the YubiKey agent too; the machine's pcscd has to run
  int ready_fd = -1;       // "ready\n" is written to it, and it is closed, once all are healthy
  std::string ready_file;  // endpoints.json is written here too, once all are healthy
  bool json = false;       // endpoints as JSON on standard output instead of a table
  absl::Duration start_timeout = absl::Seconds(60);  // for each service to become healthy
};

// Runs until SIGINT or SIGTERM, then stops all in reverse order. Returns the exit code: 0 stopped
// as asked, 1 a service could not be started or the folder is in use, 2 a bad option. Must be
// called on the main thread, before other threads exist.
int RunUp(const UpOptions& options);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_UP_H_
