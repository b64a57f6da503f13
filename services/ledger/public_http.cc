#include "services/ledger/public_http.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/http/gzip.h"
#include "libs/http/problem.h"
#include "libs/merkle/tile.h"

namespace countersign::ledger {
namespace {

constexpr absl::string_view kBinary = "application/octet-stream";

// What is sent of a resource: its bytes, or those compressed.
enum class Coding { kIdentity, kGzip };

// Told from the bytes before any coding, so that nothing is compressed to find that it is known.
std::string ETagOf(absl::string_view bytes, Coding coding) {
  return absl::StrCat("\"", base::HexEncode(base::AsBytes(crypto::Sha256(bytes)).substr(0, 16)),
                      coding == Coding::kGzip ? "-gzip" : "", "\"");
}

http::Response Serve(const http::Request& request, SharedBytes body, absl::string_view content_type,
                     bool immutable, Coding coding = Coding::kIdentity) {
  http::Response response;
  std::string etag = ETagOf(*body, coding);
  const bool known = http::MatchesETag(request, etag);
  if (!known && coding == Coding::kGzip) {
    absl::StatusOr<std::string> compressed = http::Gzip(*body);
    if (compressed.ok()) {
      body = std::make_shared<const std::string>(*std::move(compressed));
      response.headers.Add("Content-Encoding", "gzip");
    } else {
      etag = ETagOf(*body, Coding::kIdentity);
    }
  }
  response.headers.Add("Content-Type", content_type);
  response.headers.Add("ETag", etag);
  response.headers.Add("Access-Control-Allow-Origin", "*");
  if (immutable) {
    http::SetImmutable(&response);
  } else {
    http::SetMaxAge(absl::Seconds(1), &response);
  }
  if (known) {
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
  // Hashes do not compress.
  if (!resource.entries) return Serve(request, *bytes, kBinary, /*immutable=*/true);
  // Who asks for the headers alone is told those of the bytes as they are, which cost nothing.
  const Coding coding =
      http::AcceptsGzip(request) && !request.head ? Coding::kGzip : Coding::kIdentity;
  http::Response response = Serve(request, *bytes, kBinary, /*immutable=*/true, coding);
  response.headers.Add("Vary", "Accept-Encoding");
  return response;
}

// Which log a path is of; removes its name from the path. Without a name it is the main log.
absl::StatusOr<const Log*> LogOf(const LogRegistry& logs, absl::string_view* path) {
  absl::ConsumePrefix(path, "/");
  if (!absl::StartsWith(*path, "tenants/")) return &logs.main_log();
  size_t end = 0;
  for (int slashes = 0; slashes < 4 && end != absl::string_view::npos; ++slashes) {
    end = path->find('/', end == 0 ? 0 : end + 1);
  }
  if (end == absl::string_view::npos)
    return absl::NotFoundError("a log serves /checkpoint and /tile/…");
  ASSIGN_OR_RETURN(const Log* log, logs.Find(path->substr(0, end)));
  path->remove_prefix(end + 1);
  return log;
}

}  // namespace

http::Handler PublicHandler(const LogRegistry* logs, base::ThreadPool* executor) {
  return [logs, executor](http::Request request, http::Responder respond) {
    if (request.method != "GET") {
      http::Response refusal = http::ProblemResponse(405, "only GET and HEAD are served here");
      refusal.headers.Add("Allow", "GET, HEAD");
      return respond(std::move(refusal));
    }
    absl::string_view path = request.path();
    const absl::StatusOr<const Log*> log = LogOf(*logs, &path);
    if (absl::IsInvalidArgument(log.status())) {
      return respond(http::ProblemResponse(absl::NotFoundError(log.status().message())));
    }
    if (!log.ok()) return respond(http::ProblemResponse(log.status()));
    const Ledger* ledger = (*log)->ledger.get();
    if (path == "checkpoint") {
      const SignedTreeHead tree = ledger->published_head();
      if (tree.checkpoint == nullptr) {
        return respond(http::ProblemResponse(
            absl::UnavailableError("the log has published no checkpoint yet")));
      }
      return respond(
          Serve(request, tree.checkpoint, "text/plain; charset=utf-8", /*immutable=*/false));
    }
    const absl::StatusOr<merkle::TileResource> resource = merkle::ParseTilePath(path);
    if (!resource.ok()) {
      return respond(http::ProblemResponse(
          absl::NotFoundError("a log serves /checkpoint, /tile/… and /tile/entries/…")));
    }
    executor->Schedule(
        [ledger, resource = *resource, request = std::move(request), respond = std::move(respond)] {
          // The server has given up on those that waited too long; so do we.
          if (absl::Now() >= request.deadline) {
            return respond(http::ProblemResponse(
                absl::DeadlineExceededError("too many requests wait; try again later")));
          }
          respond(ServeTile(*ledger, request, resource));
        });
  };
}

}  // namespace countersign::ledger
