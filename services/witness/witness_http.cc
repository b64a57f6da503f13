#include "services/witness/witness_http.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/note/add_checkpoint.h"

namespace countersign::witness {
namespace {

constexpr absl::string_view kText = "text/plain; charset=utf-8";
constexpr size_t kHashDigits = 64;

http::Response Text(int status, absl::string_view message) {
  return http::MakeResponse(status, kText, absl::StrCat(message, "\n"));
}

int StatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kFailedPrecondition:
      return 422;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

http::Response Failure(const absl::Status& status) {
  http::Response response = Text(StatusOf(status.code()), PublicStatus(status).message());
  if (response.status == 429 || response.status == 503) response.headers.Add("Retry-After", "1");
  return response;
}

http::Response AddCheckpoint(Witness* witness, absl::string_view body) {
  const absl::StatusOr<note::AddCheckpointRequest> request = note::ParseAddCheckpoint(body);
  if (!request.ok()) return Failure(request.status());
  absl::StatusOr<AddCheckpointResult> result = witness->AddCheckpoint(*request);
  if (!result.ok()) return Failure(result.status());
  if (result->conflict_size.has_value()) {
    return http::MakeResponse(409, note::kTlogSizeContentType,
                              absl::StrCat(*result->conflict_size, "\n"));
  }
  return http::MakeResponse(200, kText, std::move(result->cosignatures));
}

http::Response GetCheckpoint(Witness* witness, absl::string_view origin_hash) {
  absl::StatusOr<std::string> checkpoint = witness->LatestCheckpointByHash(origin_hash);
  if (!checkpoint.ok()) return Failure(checkpoint.status());
  http::Response response = http::MakeResponse(200, kText, *std::move(checkpoint));
  http::SetMaxAge(absl::Seconds(5), &response);
  return response;
}

// The origin hash of "/<hash>/checkpoint"; empty for another path.
absl::string_view OriginHashOf(absl::string_view path) {
  if (!absl::ConsumePrefix(&path, "/") || !absl::ConsumeSuffix(&path, "/checkpoint") ||
      path.size() != kHashDigits) {
    return {};
  }
  const bool hex = std::all_of(path.begin(), path.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  return hex ? path : absl::string_view();
}

http::Response WithCors(http::Response response) {
  response.headers.Set("Access-Control-Allow-Origin", "*");
  if (!response.headers.Has("Cache-Control")) http::SetNoStore(&response);
  return response;
}

}  // namespace

http::Handler WitnessHandler(Witness* witness, base::ThreadPool* executor, int max_waiting) {
  return [witness, executor, admission = Admission(max_waiting)](http::Request request,
                                                                 http::Responder respond) {
    const bool add = request.path() == "/add-checkpoint";
    const bool read = !OriginHashOf(request.path()).empty();
    const absl::string_view methods = add ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
    if (!add && !read) {
      return respond(WithCors(
          Text(404, "a witness serves /add-checkpoint and /<SHA-256 of the origin>/checkpoint")));
    }
    if (request.method == "OPTIONS") {
      http::Response response;
      response.status = 204;
      response.headers.Add("Allow", methods);
      response.headers.Add("Access-Control-Allow-Methods", methods);
      response.headers.Add("Access-Control-Allow-Headers", "Content-Type");
      response.headers.Add("Access-Control-Max-Age", "86400");
      return respond(WithCors(std::move(response)));
    }
    if (request.method != (add ? "POST" : "GET")) {
      http::Response response = Text(405, absl::StrCat("only ", methods, " are served here"));
      response.headers.Add("Allow", methods);
      return respond(WithCors(std::move(response)));
    }
    if (request.body.size() > kMaxBodyBytes) {
      return respond(
          WithCors(Text(413, absl::StrCat("a request has at most ", kMaxBodyBytes, " bytes"))));
    }
    std::shared_ptr<void> place = admission.Enter();
    if (place == nullptr) return respond(WithCors(Failure(witness->TurnAway())));
    executor->Schedule([witness, add, place = std::move(place), request = std::move(request),
                        respond = std::move(respond)]() mutable {
      http::Response response =
          WithCors(add ? AddCheckpoint(witness, request.body)
                       : GetCheckpoint(witness, OriginHashOf(request.path())));
      // Before the answer: whoever has that may ask again.
      place.reset();
      respond(std::move(response));
    });
  };
}

}  // namespace countersign::witness
