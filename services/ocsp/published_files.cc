#include "services/ocsp/published_files.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/http/problem.h"
#include "libs/pki/crl.h"

namespace countersign::ocsp {
namespace {

constexpr absl::Duration kCertificateMaxAge = absl::Hours(24);

struct Wanted {
  bool crl = false;
  std::string authority;
  int64_t shard = 0;
};

std::optional<Wanted> ParsePath(absl::string_view path) {
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/');
  Wanted wanted;
  if (parts.size() == 5 && parts[1] == "crl") {
    absl::string_view shard = parts[4];
    if (!absl::ConsumeSuffix(&shard, ".crl") || !absl::SimpleAtoi(shard, &wanted.shard)) {
      return std::nullopt;
    }
    wanted.crl = true;
    wanted.authority = absl::StrCat("tenants/", parts[2], "/authorities/", parts[3]);
    return wanted;
  }
  if (parts.size() == 4 && parts[1] == "issuer") {
    absl::string_view authority = parts[3];
    if (!absl::ConsumeSuffix(&authority, ".der")) return std::nullopt;
    wanted.authority = absl::StrCat("tenants/", parts[2], "/authorities/", authority);
    return wanted;
  }
  return std::nullopt;
}

std::string ETagOf(absl::string_view body) {
  return absl::StrCat("\"", base::HexEncode(base::AsBytes(crypto::Sha256(body))), "\"");
}

}  // namespace

PublishedFiles::PublishedFiles(const Options& options)
    : options_(options), cache_({.capacity = options.cache_bytes, .shards = 1}) {}

bool PublishedFiles::Serves(absl::string_view path) {
  return absl::StartsWith(path, "/crl/") || absl::StartsWith(path, "/issuer/");
}

absl::StatusOr<PublishedFiles::FilePtr> PublishedFiles::ReadCrl(const std::string& key,
                                                                int64_t authority_id,
                                                                int64_t shard) {
  auto file = std::make_shared<File>();
  // Before the CRL: one that is published meanwhile is read again.
  file->version = options_.source->crl_version();
  ASSIGN_OR_RETURN(std::string der, options_.source->ReadCrl(authority_id, shard));
  ASSIGN_OR_RETURN(const pki::Crl crl, pki::ParseCrl(der));
  file->etag = ETagOf(der);
  file->this_update = crl.this_update;
  file->next_update = crl.next_update;
  const uint64_t size = der.size();
  file->body = std::make_shared<const std::string>(std::move(der));
  cache_.Put(key, file, size);
  return file;
}

void PublishedFiles::RespondWithCrl(const http::Request& request, const http::Responder& respond,
                                    const File& file, int64_t max_age) {
  http::Response response;
  response.headers.Set("Content-Type", "application/pkix-crl");
  response.headers.Set("ETag", file.etag);
  response.headers.Set("Last-Modified", http::FormatHttpDate(file.this_update));
  response.headers.Set("Expires", http::FormatHttpDate(file.next_update));
  const int64_t left = absl::ToInt64Seconds(file.next_update - options_.clock->Now());
  http::SetMaxAge(absl::Seconds(std::clamp<int64_t>(left, 0, max_age)), &response);
  if (http::MatchesETag(request, file.etag)) {
    response.status = 304;
  } else {
    response.body = file.body;
  }
  respond(std::move(response));
}

void PublishedFiles::Handle(http::Request request, http::Responder respond) {
  const std::optional<Wanted> wanted = ParsePath(request.path());
  const std::shared_ptr<const Directory> directory = options_.responses->directory();
  const Authority* const authority =
      wanted.has_value() ? directory->FindByName(wanted->authority) : nullptr;
  if (authority == nullptr) {
    if (!options_.responses->loaded()) {
      return respond(http::ProblemResponse(503, "nothing has been read from the database yet"));
    }
    return respond(http::ProblemResponse(404, "no authority has published this"));
  }
  if (!wanted->crl) {
    http::Response response = http::MakeResponse(200, "application/pkix-cert", "");
    const std::string etag = ETagOf(authority->certificate);
    response.headers.Set("ETag", etag);
    http::SetMaxAge(kCertificateMaxAge, &response);
    if (http::MatchesETag(request, etag)) {
      response.status = 304;
    } else {
      response.body = std::make_shared<const std::string>(authority->certificate);
    }
    return respond(std::move(response));
  }

  const std::string key(request.path());
  const int64_t max_age = authority->max_age;
  const std::optional<FilePtr> kept = cache_.Get(key);
  if (kept.has_value() && (*kept)->version == options_.source->crl_version()) {
    return RespondWithCrl(request, respond, **kept, max_age);
  }
  options_.executor->Schedule([this, request = std::move(request), respond = std::move(respond),
                               key, kept, id = authority->id, shard = wanted->shard, max_age] {
    absl::StatusOr<FilePtr> file = ReadCrl(key, id, shard);
    // An older one is right until its end, and better than none.
    if (!file.ok() && !absl::IsNotFound(file.status()) && kept.has_value() &&
        (*kept)->next_update > options_.clock->Now()) {
      file = *kept;
    }
    if (file.ok()) return RespondWithCrl(request, respond, **file, max_age);
    if (absl::IsNotFound(file.status())) {
      return respond(http::ProblemResponse(404, "the authority has no such CRL"));
    }
    respond(http::ProblemResponse(503, "the CRL cannot be read now"));
  });
}

}  // namespace countersign::ocsp
