#include "libs/acme/client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/acme/jws.h"
#include "libs/acme/problem.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace countersign::acme {
namespace {

using nlohmann::json;

// Of one request, with badNonce.
constexpr int kMaxAttempts = 10;
constexpr size_t kMaxNonces = 64;

struct Directory {
  std::string new_nonce;
  std::string new_account;
  std::string new_order;
  std::string renewal_info;  // may be empty
};

std::string StringOf(const json& object, const char* name) {
  if (!object.is_object()) return "";
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

absl::StatusOr<json> ParseObject(const http::Response& response) {
  const absl::string_view text = response.body_view();
  json object = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return absl::UnavailableError("the ACME server answered no JSON object");
  return object;
}

absl::StatusOr<Progress> ParseProgress(const std::string& status) {
  if (status == "pending") return Progress::kPending;
  if (status == "ready") return Progress::kReady;
  if (status == "processing") return Progress::kProcessing;
  if (status == "valid") return Progress::kValid;
  // An authorisation may also have ended without having failed.
  if (status == "invalid" || status == "deactivated" || status == "expired" ||
      status == "revoked") {
    return Progress::kInvalid;
  }
  return absl::UnavailableError(
      absl::StrCat("the ACME server answered a status that is not known: ", status));
}

absl::Status ErrorOf(const json& object) {
  if (!object.contains("error")) return absl::OkStatus();
  absl::Status error = ProblemStatus(object["error"].dump(), 0);
  return error;
}

}  // namespace

struct Client::Impl {
  explicit Impl(Options given) : options(std::move(given)) {}

  absl::StatusOr<http::Response> Send(std::string method, const std::string& url,
                                      std::string body = "");
  absl::StatusOr<Directory> GetDirectory();
  absl::StatusOr<std::string> TakeNonce();
  void KeepNonce(const http::Response& response);
  // The URL of the account.
  absl::StatusOr<std::string> Account();
  // A signed request; an empty payload reads (POST-as-GET). With no key id by the key itself.
  absl::StatusOr<http::Response> Post(const std::string& url, const std::string& key_id,
                                      absl::string_view payload);
  absl::StatusOr<http::Response> PostAsAccount(const std::string& url, absl::string_view payload);
  absl::StatusOr<Order> ToOrder(std::string url, const http::Response& response);

  const Options options;
  base::Mutex mutex;
  std::optional<Directory> directory ABSL_GUARDED_BY(mutex);
  std::string account ABSL_GUARDED_BY(mutex);
  std::vector<std::string> nonces ABSL_GUARDED_BY(mutex);
};

absl::StatusOr<http::Response> Client::Impl::Send(std::string method, const std::string& url,
                                                  std::string body) {
  http::ClientRequest request;
  request.method = std::move(method);
  request.url = url;
  request.timeout = options.timeout;
  if (!body.empty()) request.headers.Add("Content-Type", "application/jose+json");
  request.body = std::move(body);
  ASSIGN_OR_RETURN(http::Response response, options.transport->Send(request));
  KeepNonce(response);
  return response;
}

void Client::Impl::KeepNonce(const http::Response& response) {
  const absl::string_view nonce = response.headers.Get("Replay-Nonce");
  if (nonce.empty()) return;
  base::MutexLock lock(&mutex);
  // The newest are the likeliest to be taken still.
  if (nonces.size() >= kMaxNonces) nonces.erase(nonces.begin());
  nonces.emplace_back(nonce);
}

absl::StatusOr<Directory> Client::Impl::GetDirectory() {
  {
    base::MutexLock lock(&mutex);
    if (directory.has_value()) return *directory;
  }
  ASSIGN_OR_RETURN(const http::Response response, Send("GET", options.directory_url));
  if (response.status != 200) return ResponseStatus(response, options.clock->Now());
  ASSIGN_OR_RETURN(const json object, ParseObject(response));
  Directory found = {StringOf(object, "newNonce"), StringOf(object, "newAccount"),
                     StringOf(object, "newOrder"), StringOf(object, "renewalInfo")};
  if (found.new_nonce.empty() || found.new_account.empty() || found.new_order.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(options.directory_url, " is not the directory of an ACME server"));
  }
  base::MutexLock lock(&mutex);
  directory = found;
  return found;
}

absl::StatusOr<std::string> Client::Impl::TakeNonce() {
  ASSIGN_OR_RETURN(const Directory urls, GetDirectory());
  for (int attempt = 0; attempt < 2; ++attempt) {
    {
      base::MutexLock lock(&mutex);
      if (!nonces.empty()) {
        std::string nonce = std::move(nonces.back());
        nonces.pop_back();
        return nonce;
      }
    }
    ASSIGN_OR_RETURN(const http::Response response, Send("HEAD", urls.new_nonce));
    if (response.status / 100 != 2) return ResponseStatus(response, options.clock->Now());
  }
  return absl::UnavailableError("the ACME server gave no nonce");
}

absl::StatusOr<http::Response> Client::Impl::Post(const std::string& url, const std::string& key_id,
                                                  absl::string_view payload) {
  for (int attempt = 1;; ++attempt) {
    ASSIGN_OR_RETURN(const std::string nonce, TakeNonce());
    ASSIGN_OR_RETURN(std::string body, SignEs256(options.key, key_id, nonce, url, payload));
    ASSIGN_OR_RETURN(http::Response response, Send("POST", url, std::move(body)));
    if (response.status / 100 == 2) return response;
    if (!IsBadNonce(response) || attempt == kMaxAttempts) {
      return ResponseStatus(response, options.clock->Now());
    }
  }
}

absl::StatusOr<std::string> Client::Impl::Account() {
  {
    base::MutexLock lock(&mutex);
    if (!account.empty()) return account;
  }
  ASSIGN_OR_RETURN(const Directory urls, GetDirectory());
  json payload = {{"termsOfServiceAgreed", true}};
  if (!options.contact.empty()) payload["contact"] = json::array({options.contact});
  if (!options.eab_key_id.empty()) {
    ASSIGN_OR_RETURN(const std::string binding,
                     BindExternalAccount(options.key.public_key(), options.eab_key_id,
                                         options.eab_key, urls.new_account));
    payload["externalAccountBinding"] = json::parse(binding);
  }
  ASSIGN_OR_RETURN(const http::Response response, Post(urls.new_account, "", payload.dump()));
  const std::string url(response.headers.Get("Location"));
  if (url.empty()) return absl::UnavailableError("the ACME server named no account");
  base::MutexLock lock(&mutex);
  account = url;
  return url;
}

absl::StatusOr<http::Response> Client::Impl::PostAsAccount(const std::string& url,
                                                           absl::string_view payload) {
  ASSIGN_OR_RETURN(const std::string key_id, Account());
  return Post(url, key_id, payload);
}

absl::StatusOr<Order> Client::Impl::ToOrder(std::string url, const http::Response& response) {
  ASSIGN_OR_RETURN(const json object, ParseObject(response));
  Order order;
  order.url = std::move(url);
  if (order.url.empty()) return absl::UnavailableError("the ACME server named no order");
  ASSIGN_OR_RETURN(order.status, ParseProgress(StringOf(object, "status")));
  if (object.contains("authorizations") && object["authorizations"].is_array()) {
    for (const json& authorization : object["authorizations"]) {
      if (authorization.is_string()) {
        order.authorizations.push_back(authorization.get<std::string>());
      }
    }
  }
  order.finalize_url = StringOf(object, "finalize");
  order.certificate_url = StringOf(object, "certificate");
  order.error = ErrorOf(object);
  order.retry_after = RetryAfter(response, options.clock->Now());
  return order;
}

Client::Client(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Client::~Client() = default;

absl::StatusOr<Order> Client::NewOrder(const std::vector<Identifier>& identifiers) {
  ASSIGN_OR_RETURN(const Directory urls, impl_->GetDirectory());
  json list = json::array();
  for (const Identifier& identifier : identifiers) {
    list.push_back({{"type", identifier.type == Identifier::Type::kDns ? "dns" : "ip"},
                    {"value", identifier.value}});
  }
  ASSIGN_OR_RETURN(const http::Response response,
                   impl_->PostAsAccount(urls.new_order, json{{"identifiers", list}}.dump()));
  return impl_->ToOrder(std::string(response.headers.Get("Location")), response);
}

absl::StatusOr<Order> Client::GetOrder(const std::string& url) {
  ASSIGN_OR_RETURN(const http::Response response, impl_->PostAsAccount(url, ""));
  return impl_->ToOrder(url, response);
}

absl::StatusOr<Authorization> Client::GetAuthorization(const std::string& url) {
  ASSIGN_OR_RETURN(const http::Response response, impl_->PostAsAccount(url, ""));
  ASSIGN_OR_RETURN(const json object, ParseObject(response));
  Authorization authorization;
  ASSIGN_OR_RETURN(authorization.status, ParseProgress(StringOf(object, "status")));
  if (object.contains("identifier")) {
    authorization.identifier = StringOf(object["identifier"], "value");
  }
  authorization.retry_after = RetryAfter(response, impl_->options.clock->Now());
  if (!object.contains("challenges") || !object["challenges"].is_array()) return authorization;
  for (const json& challenge : object["challenges"]) {
    if (!challenge.is_object()) continue;
    if (authorization.error.ok()) authorization.error = ErrorOf(challenge);
    if (StringOf(challenge, "type") != "http-01") continue;
    authorization.challenge_url = StringOf(challenge, "url");
    authorization.token = StringOf(challenge, "token");
    authorization.started = StringOf(challenge, "status") != "pending";
  }
  return authorization;
}

absl::Status Client::StartChallenge(const std::string& url) {
  return impl_->PostAsAccount(url, "{}").status();
}

absl::StatusOr<Order> Client::Finalize(const Order& order, absl::string_view csr_der) {
  ASSIGN_OR_RETURN(
      const http::Response response,
      impl_->PostAsAccount(order.finalize_url, json{{"csr", Base64Url(csr_der)}}.dump()));
  return impl_->ToOrder(order.url, response);
}

absl::StatusOr<std::string> Client::Download(const std::string& url) {
  ASSIGN_OR_RETURN(const http::Response response, impl_->PostAsAccount(url, ""));
  return std::string(response.body_view());
}

absl::StatusOr<std::string> Client::KeyAuthorization(absl::string_view token) const {
  ASSIGN_OR_RETURN(const std::string thumbprint, JwkThumbprint(impl_->options.key.public_key()));
  return absl::StrCat(token, ".", thumbprint);
}

absl::StatusOr<std::optional<RenewalWindow>> Client::GetRenewalWindow(
    absl::string_view authority_key_id, absl::string_view serial) {
  ASSIGN_OR_RETURN(const Directory urls, impl_->GetDirectory());
  if (urls.renewal_info.empty() || authority_key_id.empty()) return std::nullopt;
  const std::string url =
      absl::StrCat(urls.renewal_info, absl::EndsWith(urls.renewal_info, "/") ? "" : "/",
                   Base64Url(authority_key_id), ".", Base64Url(serial));
  ASSIGN_OR_RETURN(const http::Response response, impl_->Send("GET", url));
  if (response.status != 200) return ResponseStatus(response, impl_->options.clock->Now());
  ASSIGN_OR_RETURN(const json object, ParseObject(response));
  RenewalWindow window;
  std::string unused;
  if (!object.contains("suggestedWindow") ||
      !absl::ParseTime(absl::RFC3339_full, StringOf(object["suggestedWindow"], "start"),
                       &window.start, &unused) ||
      !absl::ParseTime(absl::RFC3339_full, StringOf(object["suggestedWindow"], "end"), &window.end,
                       &unused) ||
      window.end < window.start) {
    return absl::UnavailableError("the ACME server's renewal information has no window");
  }
  return window;
}

}  // namespace countersign::acme
