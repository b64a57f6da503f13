#include "services/yubikey-agent/callers_setup.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "services/yubikey-agent/callers_file.h"

namespace countersign::yubikey {
namespace {

constexpr char kAdmin[] = "admin";

absl::StatusOr<std::vector<Caller>> ReadCallers(const std::string& path) {
  if (!base::FileExists(path)) return std::vector<Caller>();
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path));
  return ParseCallers(text);
}

const Caller* FindCaller(const std::vector<Caller>& callers, const std::string& name) {
  for (const Caller& caller : callers) {
    if (caller.name == name) return &caller;
  }
  return nullptr;
}

}  // namespace

absl::Status InitCallers(const std::string& data, const std::string& callers_file) {
  RETURN_IF_ERROR(base::EnsureDirectory(data, 0700));
  ASSIGN_OR_RETURN(const std::vector<Caller> callers, ReadCallers(callers_file));
  if (FindCaller(callers, kAdmin) != nullptr) return absl::OkStatus();
  NewApiKey made = MakeApiKey();
  // The key before its hash: what comes between leaves a key that opens nothing.
  RETURN_IF_ERROR(base::WriteFileDurably(
      data + "/admin.key", absl::StrCat(made.key.Expose(crypto::SecretAccess::Grant()), "\n"),
      0600));
  Scope scope;
  scope.operations = AllOperations();
  scope.names = {"*"};
  Caller admin;
  admin.name = kAdmin;
  admin.api_key_hash = std::move(made.hash);
  admin.scope = std::make_shared<const Scope>(std::move(scope));
  return AddCaller(callers_file, admin);
}

absl::Status RegisterCaller(const std::string& callers_file, const NewCaller& wanted) {
  if (wanted.card_serial < 0 || wanted.card_serial > UINT32_MAX) {
    return absl::InvalidArgumentError("--caller-card is no serial number");
  }
  Scope scope;
  scope.names = wanted.names.empty() ? std::vector<std::string>{"*"} : wanted.names;
  std::sort(scope.names.begin(), scope.names.end());
  if (wanted.operations.empty()) scope.operations = AllOperations();
  for (const std::string& name : wanted.operations) {
    ASSIGN_OR_RETURN(const Operation operation, ParseOperation(name));
    scope.operations |= 1u << static_cast<int>(operation);
  }
  Caller caller;
  caller.name = wanted.name;
  caller.card_serial = static_cast<uint32_t>(wanted.card_serial);
  caller.scope = std::make_shared<const Scope>(std::move(scope));
  crypto::SecretBytes api_key;
  if (!wanted.public_key_file.empty()) {
    ASSIGN_OR_RETURN(const std::string pem, base::ReadFile(wanted.public_key_file));
    ASSIGN_OR_RETURN(caller.key, crypto::PublicKey::FromPem(pem));
  } else if (caller.card_serial == 0) {
    NewApiKey made = MakeApiKey();
    api_key = std::move(made.key);
    caller.api_key_hash = std::move(made.hash);
  }
  ASSIGN_OR_RETURN(const std::vector<Caller> callers, ReadCallers(callers_file));
  const Caller* const there = FindCaller(callers, caller.name);
  if (there != nullptr && there->SameProofs(caller) && there->scope->Includes(*caller.scope) &&
      caller.scope->Includes(*there->scope)) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(AddCaller(callers_file, caller));
  if (!api_key.empty()) {
    const absl::string_view key = api_key.Expose(crypto::SecretAccess::Grant());
    std::fwrite(key.data(), 1, key.size(), stdout);
    std::fputc('\n', stdout);
  }
  return absl::OkStatus();
}

}  // namespace countersign::yubikey
