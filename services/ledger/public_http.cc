#include "services/ledger/public_http.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/http/problem.h"
#include "libs/merkle/tile.h"

namespace countersign::ledger {
namespace {

http::Response Serve(const http::Request& request, SharedBytes body, absl::string_view content_type,
                     bool immutable) {
  http::Response response;
  const std::string etag =
      absl::StrCat("\"", base::HexEncode(base::AsBytes(crypto::Sha256(*body)).substr(0, 16)), "\"");
  response.headers.Add("Content-Type", content_type);
  response.headers.Add("ETag", etag);
  response.headers.Add("Access-Control-Allow-Origin", "*");
  if (immutable) {
    http::SetImmutable(&response);
  } else {
    http::SetMaxAge(absl::Seconds(1), &response);
  }
  if (http::MatchesETag(request, etag)) {
    response.status = 304;
  } else {
    response.body = std::move(body);
  }
  return response;
}

http::Response ServeTile(const Ledger& ledger, const http::Request& request,
                         const merkle::TileResource& resource) {
  const absl::StatusOr<SharedBytes> bytes =
      resource.entries ? ledger.store().ReadEntryBundle(resource.tile.index, resource.tile.width)
                       : ledger.store().ReadTile(resource.tile);
  if (!bytes.ok()) return http::ProblemResponse(bytes.status());
  return Serve(request, *bytes, "application/octet-stream", /*immutable=*/true);
}

}  // namespace

http::Handler PublicHandler(const Ledger* ledger, base::ThreadPool* executor) {
  return [ledger, executor](http::Request request, http::Responder respond) {
    if (request.method != "GET") {
      http::Response refusal = http::ProblemResponse(405, "only GET and HEAD are served here");
      refusal.headers.Add("Allow", "GET, HEAD");
      return respond(std::move(refusal));
    }
    if (request.path() == "/checkpoint") {
      const SignedTreeHead tree = ledger->published_head();
      if (tree.checkpoint == nullptr) {
        return respond(http::ProblemResponse(
            absl::UnavailableError("the log has published no checkpoint yet")));
      }
      return respond(
          Serve(request, tree.checkpoint, "text/plain; charset=utf-8", /*immutable=*/false));
    }
    const absl::StatusOr<merkle::TileResource> resource =
        merkle::ParseTilePath(absl::StripPrefix(request.path(), "/"));
    if (!resource.ok()) {
      return respond(http::ProblemResponse(
          absl::NotFoundError("a log serves /checkpoint, /tile/… and /tile/entries/…")));
    }
    executor->Schedule(
        [ledger, resource = *resource, request = std::move(request), respond = std::move(respond)] {
          respond(ServeTile(*ledger, request, resource));
        });
  };
}

}  // namespace countersign::ledger
