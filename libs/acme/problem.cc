#include "libs/acme/problem.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/runtime/error_details.h"
#include "nlohmann/json.hpp"

namespace countersign::acme {
namespace {

constexpr absl::Duration kLongestWait = absl::Hours(24);

std::string StringOf(const nlohmann::json& json, const char* name) {
  if (!json.is_object()) return "";
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string TypeOf(const nlohmann::json& json) {
  const std::string type = StringOf(json, "type");
  return std::string(absl::StripPrefix(type, "urn:ietf:params:acme:error:"));
}

// badCSR -> ACME_BAD_CSR
std::string ReasonOfType(absl::string_view type) {
  std::string reason = "ACME";
  bool lower = true;
  for (const char c : type) {
    if (!absl::ascii_isalnum(c)) return "ACME_ERROR";
    if (absl::ascii_isupper(c) && lower) reason += '_';
    if (reason == "ACME") reason += '_';
    lower = !absl::ascii_isupper(c);
    reason += absl::ascii_toupper(c);
  }
  return reason;
}

absl::StatusCode CodeOf(absl::string_view type, int http_status) {
  if (type == "rateLimited" || http_status == 429) return absl::StatusCode::kResourceExhausted;
  if (type == "serverInternal" || http_status >= 500) return absl::StatusCode::kUnavailable;
  if (type == "badNonce") return absl::StatusCode::kUnavailable;
  if (type == "orderNotReady") return absl::StatusCode::kAborted;
  for (const absl::string_view invalid :
       {"badCSR", "badPublicKey", "malformed", "rejectedIdentifier", "unsupportedIdentifier",
        "invalidContact", "unsupportedContact", "badSignatureAlgorithm"}) {
    if (type == invalid) {
      return http_status == 404 ? absl::StatusCode::kNotFound : absl::StatusCode::kInvalidArgument;
    }
  }
  if (http_status == 404) return absl::StatusCode::kNotFound;
  return absl::StatusCode::kFailedPrecondition;
}

}  // namespace

absl::Status ProblemStatus(absl::string_view text, int http_status) {
  const nlohmann::json json =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  const std::string type = TypeOf(json);
  std::string message = StringOf(json, "detail");
  if (json.is_object() && json.contains("subproblems") && json["subproblems"].is_array()) {
    for (const nlohmann::json& part : json["subproblems"]) {
      const std::string name = part.is_object() && part.contains("identifier")
                                   ? StringOf(part["identifier"], "value")
                                   : "";
      absl::StrAppend(&message, message.empty() ? "" : "; ", name, name.empty() ? "" : ": ",
                      StringOf(part, "detail"));
    }
  }
  if (message.empty() && type.empty()) {
    message = absl::StrCat("HTTP status ", http_status);
  }
  return runtime::AttachReason(
      absl::Status(CodeOf(type, http_status),
                   absl::StrCat("the ACME server says: ", message,
                                type.empty() ? "" : absl::StrCat(" (", type, ")"))),
      type.empty() ? "ACME_ERROR" : ReasonOfType(type));
}

absl::Status ResponseStatus(const http::Response& response, absl::Time now) {
  const absl::Status status = ProblemStatus(response.body_view(), response.status);
  const absl::Duration wait = RetryAfter(response, now);
  return wait > absl::ZeroDuration() ? runtime::AttachRetryAfter(status, wait) : status;
}

absl::Duration RetryAfter(const http::Response& response, absl::Time now) {
  const absl::string_view text = response.headers.Get("Retry-After");
  int64_t seconds = 0;
  absl::Time time;
  absl::Duration wait;
  if (absl::SimpleAtoi(text, &seconds)) {
    wait = absl::Seconds(seconds);
  } else if (std::string unused;
             absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", std::string(text), &time, &unused)) {
    wait = time - now;
  }
  return std::clamp(wait, absl::ZeroDuration(), kLongestWait);
}

bool IsBadNonce(const http::Response& response) {
  if (response.status != 400) return false;
  const absl::string_view text = response.body_view();
  return TypeOf(nlohmann::json::parse(text.begin(), text.end(), nullptr, false)) == "badNonce";
}

}  // namespace countersign::acme
