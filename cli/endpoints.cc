#include "cli/endpoints.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

using nlohmann::json;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void Take(const json& object, const char* name, std::string* address) {
  const auto member = object.find(name);
  if (member != object.end() && member->is_string()) *address = member->get<std::string>();
}

}  // namespace

std::string DefaultDataFolder() {
  if (std::string data = Environment("COUNTERSIGN_DATA"); !data.empty()) return data;
  if (std::string data = Environment("XDG_DATA_HOME"); !data.empty()) return data + "/countersign";
  return Environment("HOME") + "/.local/share/countersign";
}

absl::StatusOr<Endpoints> ParseEndpoints(absl::string_view text) {
  const json root = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return absl::InvalidArgumentError("not a JSON object");
  Endpoints endpoints;
  Take(root, "sign", &endpoints.sign);
  Take(root, "verify", &endpoints.verify);
  Take(root, "ledger", &endpoints.ledger);
  Take(root, "ocsp", &endpoints.ocsp);
  Take(root, "yubikey_agent", &endpoints.yubikey_agent);
  if (const auto witnesses = root.find("witnesses");
      witnesses != root.end() && witnesses->is_array()) {
    endpoints.witnesses.clear();
    for (const json& witness : *witnesses) {
      if (!witness.is_object()) return absl::InvalidArgumentError("a witness is not an object");
      Take(witness, "grpc", &endpoints.witnesses.emplace_back());
    }
  }
  return endpoints;
}

absl::StatusOr<Endpoints> LoadEndpoints(const std::string& data) {
  const std::string path = data + "/endpoints.json";
  absl::StatusOr<std::string> text = base::ReadFile(path);
  if (absl::IsNotFound(text.status())) return Endpoints();
  RETURN_IF_ERROR(text.status());
  absl::StatusOr<Endpoints> endpoints = ParseEndpoints(*text);
  if (!endpoints.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", endpoints.status().message(),
                                                   "; `countersign up` writes it anew"));
  }
  return endpoints;
}

absl::Status ApplyEndpoint(absl::string_view setting, int* witnesses_given, Endpoints* endpoints) {
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(setting, absl::MaxSplits('=', 1));
  const auto& [service, address] = parts;
  if (address.find(':') == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("--endpoint ", setting,
                                                   ": write SERVICE=HOST:PORT, for example "
                                                   "sign=127.0.0.1:7101"));
  }
  if (service == "sign") {
    endpoints->sign = address;
  } else if (service == "verify") {
    endpoints->verify = address;
  } else if (service == "ledger") {
    endpoints->ledger = address;
  } else if (service == "ocsp") {
    endpoints->ocsp = address;
  } else if (service == "yubikey-agent") {
    endpoints->yubikey_agent = address;
  } else if (service == "witness") {
    if ((*witnesses_given)++ == 0) endpoints->witnesses.clear();
    endpoints->witnesses.push_back(address);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--endpoint ", setting, ": there is no service \"", service,
                     "\"; known: sign, verify, ledger, witness, ocsp, yubikey-agent"));
  }
  return absl::OkStatus();
}

}  // namespace countersign::cli
