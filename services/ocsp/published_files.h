// CRLs and authorities' certificates over HTTP: what the URLs in certificates point to (RFC 5280
// sections 4.2.1.13 and 4.2.2.1).
#ifndef COUNTERSIGN_SERVICES_OCSP_PUBLISHED_FILES_H_
#define COUNTERSIGN_SERVICES_OCSP_PUBLISHED_FILES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/clock.h"
#include "libs/base/thread_pool.h"
#include "libs/cache/lru_cache.h"
#include "libs/http/message.h"
#include "services/ocsp/change_source.h"
#include "services/ocsp/responses.h"

namespace countersign::ocsp {

// Thread-safe.
class PublishedFiles {
 public:
  struct Options {
    const Responses* responses;
    ChangeSource* source;
    // Reads the database.
    base::ThreadPool* executor;
    const base::Clock* clock = base::Clock::System();
    // CRLs kept in memory.
    uint64_t cache_bytes = 256 * 1024 * 1024;
  };

  // What `options` points to must outlive it.
  explicit PublishedFiles(const Options& options);

  // Whether the path is one of
  //   /crl/{tenant}/{authority}/{shard}.crl    the newest CRL of a shard, application/pkix-crl
  //   /issuer/{tenant}/{authority}.der         the authority's certificate, application/pkix-cert
  static bool Serves(absl::string_view path);

  // Answers a GET or HEAD of such a path: 200, 304, 404, or 503 while the CRL cannot be read. CRLs
  // are kept until a newer one is published; the database is then asked once.
  void Handle(http::Request request, http::Responder respond);

 private:
  struct File {
    std::string etag;
    std::shared_ptr<const std::string> body;
    int64_t version = 0;
    absl::Time this_update;
    absl::Time next_update;
  };
  using FilePtr = std::shared_ptr<const File>;

  absl::StatusOr<FilePtr> ReadCrl(const std::string& key, int64_t authority_id, int64_t shard);
  void RespondWithCrl(const http::Request& request, const http::Responder& respond,
                      const File& file, int64_t max_age);

  const Options options_;
  cache::LruCache<std::string, FilePtr> cache_;
};

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_PUBLISHED_FILES_H_
