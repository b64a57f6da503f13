// The command line's ways to register callers: --init and --add-caller.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALLERS_SETUP_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALLERS_SETUP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace countersign::yubikey {

// Makes the folder and, unless it is there, a caller "admin" who may do everything, with the API
// key in DATA/admin.key (mode 0600). Does nothing to what is there.
absl::Status InitCallers(const std::string& data, const std::string& callers_file);

// A caller as the flags describe it.
struct NewCaller {
  std::string name;
  std::string public_key_file;  // PEM; empty: an API key is made
  int64_t card_serial = 0;
  std::vector<std::string> operations;  // empty: all
  std::vector<std::string> names;       // empty: "*"
};

// Adds it to the file, and writes its new API key, if it has one, to standard output. The same
// caller again is OK; AlreadyExists when there is another of that name.
absl::Status RegisterCaller(const std::string& callers_file, const NewCaller& caller);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALLERS_SETUP_H_
