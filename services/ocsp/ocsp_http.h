// OCSP over HTTP (RFC 6960 appendix A, RFC 9919 sections 6 and 7), with CRLs and issuers'
// certificates beside it.
//
//   POST {path}             body: the request
//   GET {path}/{base64}     the request, percent-encoded or not; nothing of the path is normalised
//   GET /crl/…, /issuer/…   PublishedFiles
//
// Every OCSP response travels with status 200, errors too. What a certificate's authority has
// signed may be cached and revalidated; errors and what bears a nonce may not. Other methods are
// answered 405, other paths 404.
#ifndef COUNTERSIGN_SERVICES_OCSP_OCSP_HTTP_H_
#define COUNTERSIGN_SERVICES_OCSP_OCSP_HTTP_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "libs/http/fast_handler.h"
#include "libs/http/message.h"
#include "services/ocsp/live_signer.h"
#include "services/ocsp/ocsp_metrics.h"
#include "services/ocsp/published_files.h"
#include "services/ocsp/responder.h"

namespace countersign::ocsp {

// Thread-safe.
class OcspHttp {
 public:
  struct Options {
    const Responder* responder;
    LiveSigner* live;
    PublishedFiles* files;
    const OcspMetrics* metrics;
    // The responder's path, "/" or "/pki/ocsp". "/ocsp" is always another one.
    std::string path = "/";
  };

  // What `options` points to must outlive it.
  explicit OcspHttp(Options options);

  // An http::FastHandler: answers what needs no signature, without allocating or locking on a hit.
  bool AnswerFast(const http::FastRequest& request, http::FastResponse* response) const;
  // An http::Handler: answers everything.
  void Handle(http::Request request, http::Responder respond) const;

 private:
  // What follows the responder's path, without the slash between; nullopt for another path.
  std::optional<absl::string_view> BehindPath(absl::string_view target) const;
  // The DER of a GET's or POST's request, decoded into `*scratch` where it has to be; nullopt when
  // the path is not base64.
  std::optional<absl::string_view> RequestIn(absl::string_view method, absl::string_view behind,
                                             absl::string_view body, std::string* scratch) const;
  // The status and header fields of `response->body`.
  void Finish(const Answer& answer, const http::FastRequest& request,
              http::FastResponse* response) const;

  Options options_;
};

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_OCSP_HTTP_H_
