#include "services/gateway/raw_proxy.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/http/problem.h"
#include "libs/http/url.h"
#include "services/gateway/problems.h"
#include "services/gateway/rpc_handler.h"

namespace countersign::gateway {
namespace {

// What a request is passed on with. Everything else is the hop's own or none of the backend's
// business.
constexpr const char* kForwarded[] = {"Accept",        "Accept-Encoding",   "Content-Type",
                                      "If-None-Match", "If-Modified-Since", "Traceparent",
                                      "Tracestate",    kRequestIdField};

// RFC 9110 section 7.6.1; and the id, which the gateway sets itself.
bool StaysBehind(absl::string_view name) {
  for (absl::string_view own :
       {"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "TE", "Trailer",
        "Transfer-Encoding", "Upgrade", "Content-Length", "Date", "Server", kRequestIdField}) {
    if (absl::EqualsIgnoreCase(name, own)) return true;
  }
  return false;
}

// Why there is no answer to pass on.
http::Response BackendProblem(const absl::Status& status, const std::string& request_id) {
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnavailable:
      return ToProblem(status, request_id);
    case absl::StatusCode::kCancelled:
      return ToProblem(absl::UnavailableError("the gateway is stopping"), request_id);
    default: {
      http::Problem problem;
      problem.status = 502;
      problem.detail = std::string(status.message());
      problem.request_id = request_id;
      return http::ProblemResponse(problem);
    }
  }
}

void Forward(http::Request request, const std::string& url, bool idempotent, http::Client* client,
             absl::Duration timeout, http::Responder respond) {
  http::ClientRequest onward;
  onward.method = request.method;
  onward.url = url;
  for (const char* name : kForwarded) {
    if (request.headers.Has(name)) onward.headers.Add(name, request.headers.Get(name));
  }
  onward.body = std::move(request.body);
  onward.timeout = std::min(timeout, request.deadline - absl::Now());
  onward.idempotent = idempotent;
  client->Send(std::move(onward), [respond = std::move(respond),
                                   request_id = std::string(request.headers.Get(kRequestIdField))](
                                      absl::StatusOr<http::Response> answer) {
    if (!answer.ok()) return respond(BackendProblem(answer.status(), request_id));
    http::Response response;
    response.status = answer->status;
    response.body = answer->body;
    for (const auto& [name, value] : answer->headers) {
      if (!StaysBehind(name)) response.headers.Add(name, value);
    }
    respond(std::move(response));
  });
}

// Tile paths hold digits, slashes, 'x', ".p" and "entries" (tlog-tiles), names of logs hyphens too:
// nothing that could lead elsewhere at the ledger.
bool IsLogPath(absl::string_view path) {
  return !absl::StrContains(path, "..") && std::all_of(path.begin(), path.end(), [](char c) {
    return absl::ascii_isdigit(c) || absl::ascii_islower(c) || c == '/' || c == '.' || c == '-';
  });
}

// Names of tenants, authorities and files, and base64url tokens.
bool IsPlainPath(absl::string_view path) {
  return !absl::StrContains(path, "..") && std::all_of(path.begin(), path.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '/' || c == '.' || c == '-' || c == '_';
  });
}

void NotFound(const http::Request& request, const http::Responder& respond) {
  respond(ToProblem(absl::NotFoundError(absl::StrCat("there is nothing at ", request.path())),
                    request.headers.Get(kRequestIdField)));
}

absl::Status AddFileRoute(absl::string_view pattern, const std::string& base, http::Client* client,
                          absl::Duration timeout, http::Router* router) {
  return router->Add(
      "GET", pattern, [base, client, timeout](http::Request request, http::Responder respond) {
        if (!IsPlainPath(request.path())) return NotFound(request, respond);
        const std::string url = absl::StrCat(base, request.path());
        Forward(std::move(request), url, /*idempotent=*/true, client, timeout, std::move(respond));
      });
}

absl::StatusOr<std::string> CheckBase(absl::string_view url) {
  absl::ConsumeSuffix(&url, "/");
  ASSIGN_OR_RETURN(const http::Url parsed, http::ParseHttpUrl(url));
  if (absl::StrContains(parsed.target, '?')) {
    return absl::InvalidArgumentError(absl::StrCat("'", url, "' must not have a query"));
  }
  return std::string(url);
}

}  // namespace

absl::StatusOr<NamedUrl> ParseNamedUrl(absl::string_view text) {
  const size_t equals = text.find('=');
  const absl::string_view name = text.substr(0, equals);
  const bool valid =
      equals != absl::string_view::npos && !name.empty() && name.size() <= 63 &&
      std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '.' || c == '_';
      });
  int number;
  if (!valid || absl::SimpleAtoi(name, &number) || name == "." || name == "..") {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is not NAME=URL (for example w1=http://127.0.0.1:7304)"));
  }
  ASSIGN_OR_RETURN(std::string url, CheckBase(text.substr(equals + 1)));
  return NamedUrl{std::string(name), std::move(url)};
}

absl::Status AddLedgerRoutes(const std::string& ledger_url, http::Client* client,
                             absl::Duration timeout, http::Router* router) {
  ASSIGN_OR_RETURN(const std::string base, CheckBase(ledger_url));
  const auto forward = [base, client, timeout](http::Request request, http::Responder respond) {
    if (!IsLogPath(request.path())) return NotFound(request, respond);
    const std::string url = absl::StrCat(base, request.path());
    Forward(std::move(request), url, /*idempotent=*/true, client, timeout, std::move(respond));
  };
  for (const absl::string_view log : {"", "/tenants/{tenant}/logs/{log}"}) {
    RETURN_IF_ERROR(router->Add("GET", absl::StrCat(log, "/checkpoint"), forward));
    RETURN_IF_ERROR(router->Add("GET", absl::StrCat(log, "/tile/{tile...}"), forward));
  }
  return absl::OkStatus();
}

absl::Status AddOcspRoutes(const std::string& ocsp_url, http::Client* client,
                           absl::Duration timeout, http::Router* router) {
  ASSIGN_OR_RETURN(const std::string base, CheckBase(ocsp_url));
  const auto forward = [base, client, timeout](http::Request request, http::Responder respond) {
    // No base64 has dots; whatever else is no request is the responder's to answer.
    if (absl::StrContains(request.target, "..")) return NotFound(request, respond);
    const std::string url = absl::StrCat(base, request.target);
    Forward(std::move(request), url, /*idempotent=*/true, client, timeout, std::move(respond));
  };
  for (const char* pattern : {"/ocsp", "/ocsp/", "/ocsp/{request...}"}) {
    RETURN_IF_ERROR(router->Add("POST", pattern, forward));
    RETURN_IF_ERROR(router->Add("GET", pattern, forward));
  }
  RETURN_IF_ERROR(AddFileRoute("/crl/{file...}", base, client, timeout, router));
  return AddFileRoute("/issuer/{file...}", base, client, timeout, router);
}

absl::Status AddAcmeRoutes(const std::string& sign_url, http::Client* client,
                           absl::Duration timeout, http::Router* router) {
  ASSIGN_OR_RETURN(const std::string base, CheckBase(sign_url));
  return AddFileRoute("/.well-known/acme-challenge/{token}", base, client, timeout, router);
}

absl::Status AddWitnessRoutes(const std::vector<NamedUrl>& witnesses, http::Client* client,
                              absl::Duration timeout, http::Router* router) {
  std::map<std::string, std::string> urls;
  for (size_t i = 0; i < witnesses.size(); ++i) {
    if (!urls.emplace(witnesses[i].name, witnesses[i].url).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two witnesses are named '", witnesses[i].name, "'"));
    }
    urls.emplace(absl::StrCat(i + 1), witnesses[i].url);
  }
  const auto shared = std::make_shared<const std::map<std::string, std::string>>(std::move(urls));
  const auto forward = [shared, client, timeout](http::Request request, http::Responder respond) {
    const auto witness = shared->find(std::string(request.Param("witness")));
    if (witness == shared->end()) {
      return respond(
          ToProblem(absl::NotFoundError("no witness of this name or number is behind this gateway"),
                    request.headers.Get(kRequestIdField)));
    }
    const absl::string_view hash = request.Param("hash");
    const std::string url =
        hash.empty() ? absl::StrCat(witness->second, "/add-checkpoint")
                     : absl::StrCat(witness->second, "/", http::PercentEncode(hash), "/checkpoint");
    // A witness answers the same checkpoint with a cosignature as often as it is asked.
    Forward(std::move(request), url, /*idempotent=*/true, client, timeout, std::move(respond));
  };
  RETURN_IF_ERROR(router->Add("POST", "/witness/{witness}/add-checkpoint", forward));
  return router->Add("GET", "/witness/{witness}/{hash}/checkpoint", forward);
}

}  // namespace countersign::gateway
