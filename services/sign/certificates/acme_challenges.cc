#include "services/sign/certificates/acme_challenges.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/http/router.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Rows;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

// Withdrawn long before, unless the process died.
constexpr absl::Duration kLifetime = absl::Hours(1);
constexpr size_t kMaxTokenLength = 256;

bool ValidToken(absl::string_view token) {
  return !token.empty() && token.size() <= kMaxTokenLength &&
         std::all_of(token.begin(), token.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
}

http::Response NotFound() {
  return http::MakeResponse(404, "text/plain; charset=utf-8", "no such challenge\n");
}

}  // namespace

absl::Status AcmeChallenges::Publish(const std::string& token,
                                     const std::string& key_authorization) {
  if (!ValidToken(token)) {
    return absl::FailedPreconditionError("the ACME server's token is not base64url");
  }
  const int64_t now = absl::ToUnixMicros(clock_->Now());
  return database_->InTransaction([&](Transaction& transaction) -> absl::Status {
    RETURN_IF_ERROR(
        transaction.Run("DELETE FROM acme_challenges WHERE expire_time < $1", {now}).status());
    return transaction
        .Run(
            "INSERT INTO acme_challenges (token, key_authorization, expire_time)"
            " VALUES ($1, $2, $3) ON CONFLICT (token) DO UPDATE"
            " SET key_authorization = $2, expire_time = $3",
            {Value::Text(token), Value::Text(key_authorization),
             now + absl::ToInt64Microseconds(kLifetime)})
        .status();
  });
}

void AcmeChallenges::Withdraw(const std::string& token) {
  const absl::Status status =
      database_->Run("DELETE FROM acme_challenges WHERE token = $1", {Value::Text(token)}).status();
  if (!status.ok()) {
    base::Log(base::Severity::kWarning, "a challenge's answer could not be withdrawn",
              {{"error", std::string(status.message())}});
  }
}

http::Response AcmeChallenges::Answer(const std::string& token) {
  const auto rows = database_->Query(
      "SELECT key_authorization FROM acme_challenges WHERE token = $1 AND expire_time >= $2",
      {Value::Text(token), absl::ToUnixMicros(clock_->Now())});
  if (!rows.ok()) {
    return http::MakeResponse(503, "text/plain; charset=utf-8", "try again\n");
  }
  if (rows->empty()) return NotFound();
  http::Response response = http::MakeResponse(200, "application/octet-stream", (*rows)[0].Text(0));
  http::SetNoStore(&response);
  return response;
}

absl::Status AcmeChallenges::AddTo(http::Router* router) {
  return router->Add(
      "GET", "/.well-known/acme-challenge/{token}",
      [this](http::Request request, http::Responder respond) {
        std::string token(request.Param("token"));
        if (!ValidToken(token)) return respond(NotFound());
        executor_->Schedule([this, token = std::move(token), respond = std::move(respond)] {
          respond(Answer(token));
        });
      });
}

}  // namespace countersign::sign
