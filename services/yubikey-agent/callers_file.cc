#include "services/yubikey-agent/callers_file.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/random.h"
#include "nlohmann/json.hpp"

namespace countersign::yubikey {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kMaxFileBytes = 64 << 20;
constexpr size_t kMaxNameBytes = 256;
constexpr int kMaxDepth = 8;

struct NamedOperation {
  Operation operation;
  absl::string_view name;
};
constexpr std::array<NamedOperation, 12> kOperations = {{
    {Operation::kSign, "sign"},
    {Operation::kDecrypt, "decrypt"},
    {Operation::kAgree, "agree"},
    {Operation::kGenerate, "generate"},
    {Operation::kImport, "import"},
    {Operation::kAttest, "attest"},
    {Operation::kWriteCertificate, "write-certificate"},
    {Operation::kUnlock, "unlock"},
    {Operation::kManage, "manage"},
    {Operation::kCreateSubKey, "create-sub-key"},
    {Operation::kUseSubKey, "use-sub-key"},
    {Operation::kAdminister, "administer"},
}};

uint32_t Bit(Operation operation) { return 1u << static_cast<int>(operation); }

// One JSON text without a member twice in one object.
absl::StatusOr<json> ParseJson(absl::string_view text) {
  if (text.size() > kMaxFileBytes) return absl::InvalidArgumentError("the file is too long");
  std::vector<std::set<std::string>> members;
  std::string problem;
  const json value = json::parse(
      text.begin(), text.end(),
      [&](int depth, json::parse_event_t event, json& parsed) {
        if (depth > kMaxDepth) problem = "the JSON is too deep";
        if (event == json::parse_event_t::object_start) members.emplace_back();
        if (event == json::parse_event_t::object_end) members.pop_back();
        if (event == json::parse_event_t::key &&
            !members.back().insert(parsed.get<std::string>()).second) {
          problem = absl::StrCat("the member \"", parsed.get<std::string>(), "\" is there twice");
        }
        return true;
      },
      /*allow_exceptions=*/false);
  if (value.is_discarded()) return absl::InvalidArgumentError("it is not JSON");
  if (!problem.empty()) return absl::InvalidArgumentError(problem);
  return value;
}

absl::Status Wrong(absl::string_view caller, absl::string_view member, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("caller \"", caller, "\": \"", member, "\" ", what));
}

// A list of texts without one twice.
absl::StatusOr<std::vector<std::string>> Texts(const json& value, absl::string_view caller,
                                               absl::string_view member) {
  if (!value.is_array()) return Wrong(caller, member, "must be a list of texts");
  std::vector<std::string> texts;
  for (const json& item : value) {
    if (!item.is_string()) return Wrong(caller, member, "must be a list of texts");
    texts.push_back(item.get<std::string>());
  }
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return texts;
}

absl::StatusOr<uint32_t> ParseOperations(const json& value, absl::string_view caller) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, Texts(value, caller, "operations"));
  uint32_t operations = 0;
  for (const std::string& name : names) {
    if (name == "*") {
      operations |= AllOperations();
      continue;
    }
    const absl::StatusOr<Operation> operation = ParseOperation(name);
    if (!operation.ok()) return Wrong(caller, "operations", operation.status().message());
    operations |= Bit(*operation);
  }
  return operations;
}

absl::Status ParseMember(const std::string& member, const json& value, Caller* caller,
                         Scope* scope) {
  if (member == "name") return absl::OkStatus();
  if (member == "public_key") {
    if (!value.is_string()) return Wrong(caller->name, member, "must be a PEM text");
    absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromPem(value.get<std::string>());
    if (!key.ok()) return Wrong(caller->name, member, key.status().message());
    if (key->type() == crypto::KeyType::kX25519) {
      return Wrong(caller->name, member, "is of X25519, which signs nothing");
    }
    if (key->type() == crypto::KeyType::kRsa && !key->DefaultAlgorithm().ok()) {
      return Wrong(caller->name, member, "is an RSA key of another size than 2048, 3072 and 4096");
    }
    caller->key = *std::move(key);
  } else if (member == "api_key_sha256") {
    const auto hash = base::HexDecode(value.is_string() ? value.get<std::string>() : "-");
    if (!hash.ok() || hash->size() != 32) {
      return Wrong(caller->name, member, "must be 64 hexadecimal digits");
    }
    caller->api_key_hash = *hash;
  } else if (member == "card_serial") {
    if (!value.is_number_unsigned() || value.get<uint64_t>() == 0 ||
        value.get<uint64_t>() > UINT32_MAX) {
      return Wrong(caller->name, member, "must be a number from 1 to 4294967295");
    }
    caller->card_serial = value.get<uint32_t>();
  } else if (member == "operations") {
    ASSIGN_OR_RETURN(scope->operations, ParseOperations(value, caller->name));
  } else if (member == "names") {
    ASSIGN_OR_RETURN(scope->names, Texts(value, caller->name, member));
    for (const std::string& name : scope->names) {
      if (!IsScopeName(name)) return Wrong(caller->name, member, "has a name of no known form");
    }
  } else if (member == "max_lifetime_seconds") {
    if (!value.is_number_unsigned() || value.get<uint64_t>() == 0 ||
        value.get<uint64_t>() > 86'400) {
      return Wrong(caller->name, member, "must be a number from 1 to 86400");
    }
    caller->max_lifetime = absl::Seconds(value.get<int64_t>());
  } else {
    return Wrong(caller->name, member, "is not known");
  }
  return absl::OkStatus();
}

absl::StatusOr<Caller> ParseCaller(const json& value) {
  if (!value.is_object() || !value.contains("name") || !value["name"].is_string() ||
      !IsCallerName(value["name"].get<std::string>())) {
    return absl::InvalidArgumentError("a caller is not an object with a valid \"name\"");
  }
  Caller caller;
  caller.name = value["name"].get<std::string>();
  auto scope = std::make_shared<Scope>();
  for (const auto& [member, item] : value.items()) {
    RETURN_IF_ERROR(ParseMember(member, item, &caller, scope.get()));
  }
  if (!caller.key.has_value() && caller.api_key_hash.empty() && caller.card_serial == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("caller \"", caller.name,
                     "\" has no proof: neither public_key nor api_key_sha256 nor card_serial"));
  }
  if (scope->operations == 0) return Wrong(caller.name, "operations", "is missing or empty");
  if (scope->names.empty()) return Wrong(caller.name, "names", "is missing or empty");
  caller.scope = std::move(scope);
  return caller;
}

}  // namespace

bool Caller::SameProofs(const Caller& other) const {
  return name == other.name && key.has_value() == other.key.has_value() &&
         (!key.has_value() || *key == *other.key) && api_key_hash == other.api_key_hash &&
         card_serial == other.card_serial;
}

bool IsCallerName(absl::string_view name) {
  return !name.empty() && name.size() <= 63 && absl::ascii_isalnum(name[0]) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

bool IsScopeName(absl::string_view name) {
  if (name == "*") return true;
  const bool known = absl::StartsWith(name, "cards/") || absl::StartsWith(name, "keys/") ||
                     absl::StartsWith(name, "subKeys/") || absl::StartsWith(name, "tenants/");
  return known && name.size() <= kMaxNameBytes && name.back() != '/' &&
         std::all_of(name.begin(), name.end(), [](char c) { return absl::ascii_isgraph(c); });
}

absl::string_view OperationName(Operation operation) {
  for (const NamedOperation& named : kOperations) {
    if (named.operation == operation) return named.name;
  }
  return "";
}

absl::StatusOr<Operation> ParseOperation(absl::string_view name) {
  for (const NamedOperation& named : kOperations) {
    if (named.name == name) return named.operation;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "has \"", name, "\", which is none of ",
      absl::StrJoin(kOperations, ", ", [](std::string* out, const NamedOperation& named) {
        absl::StrAppend(out, named.name);
      })));
}

uint32_t AllOperations() {
  uint32_t all = 0;
  for (const NamedOperation& named : kOperations) all |= Bit(named.operation);
  return all;
}

absl::StatusOr<std::vector<Caller>> ParseCallers(absl::string_view text) {
  ASSIGN_OR_RETURN(const json document, ParseJson(text));
  if (!document.is_object() || document.value("version", json()) != json(kVersion)) {
    return absl::InvalidArgumentError("it is not an object with \"version\": 1");
  }
  if (document.size() != 2 || !document.contains("callers") || !document["callers"].is_array()) {
    return absl::InvalidArgumentError(
        "it has other members than \"version\" and a list \"callers\"");
  }
  std::vector<Caller> callers;
  std::set<std::string> names;
  for (const json& item : document["callers"]) {
    ASSIGN_OR_RETURN(Caller caller, ParseCaller(item));
    if (!names.insert(caller.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("caller \"", caller.name, "\" is there twice"));
    }
    callers.push_back(std::move(caller));
  }
  return callers;
}

std::string FormatCallers(const std::vector<Caller>& callers) {
  json list = json::array();
  for (const Caller& caller : callers) {
    json item = {{"name", caller.name},
                 {"names", caller.scope->names},
                 {"max_lifetime_seconds", absl::ToInt64Seconds(caller.max_lifetime)}};
    if (caller.key.has_value()) item["public_key"] = caller.key->ToPem();
    if (!caller.api_key_hash.empty()) {
      item["api_key_sha256"] = base::HexEncode(caller.api_key_hash);
    }
    if (caller.card_serial != 0) item["card_serial"] = caller.card_serial;
    json operations = json::array();
    if (caller.scope->operations == AllOperations()) {
      operations.push_back("*");
    } else {
      for (const NamedOperation& named : kOperations) {
        if (caller.scope->Has(named.operation)) operations.push_back(std::string(named.name));
      }
    }
    item["operations"] = std::move(operations);
    list.push_back(std::move(item));
  }
  return json({{"version", kVersion}, {"callers", std::move(list)}}).dump(2) + "\n";
}

absl::Status AddCaller(const std::string& path, const Caller& caller) {
  std::vector<Caller> callers;
  absl::StatusOr<std::string> text = base::ReadFile(path);
  if (text.ok()) {
    ASSIGN_OR_RETURN(callers, ParseCallers(*text));
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  for (const Caller& there : callers) {
    if (there.name == caller.name) {
      return absl::AlreadyExistsError(absl::StrCat("there is a caller \"", caller.name, "\""));
    }
  }
  callers.push_back(caller);
  const std::string changed = FormatCallers(callers);
  RETURN_IF_ERROR(ParseCallers(changed).status());
  return base::WriteFileDurably(path, changed, 0600);
}

NewApiKey MakeApiKey() {
  std::string random = crypto::RandomBytes(32);
  std::string text = absl::WebSafeBase64Escape(random);
  NewApiKey made{crypto::SecretBytes(text), std::string(base::AsBytes(crypto::Sha256(text)))};
  crypto::Wipe(random.data(), random.size());
  crypto::Wipe(text.data(), text.size());
  return made;
}

}  // namespace countersign::yubikey
