// Decides what is answered to an OCSP request (RFC 6960, RFC 9919, RFC 9654). Knows no transport.
//
//   the request                                       is answered
//   not an OCSPRequest, or above kMaxRequestBytes     malformedRequest
//   with a critical extension that is not understood  unauthorized (RFC 6960 section 4.4: not to be
//                                                     honoured; its syntax is right all the same)
//   of an issuer that is not ours, by either hash     unauthorized
//   of several issuers                                unauthorized: a delegate speaks for one
//   of ours, one CertID by SHA-1 or SHA-256           what was signed before
//   the same with a nonce, where those are answered   signed now, with the nonce
//   several CertIDs, or by SHA-384 or SHA-512         signed now, each once
//   never issued                                      unauthorized, or a signed `unknown` where the
//                                                     authority wants that; beside others that were
//                                                     issued always the latter
//   what cannot be said for certain now               tryLater: nothing read yet, a serial number
//   that
//                                                     is not here while the database is not heard,
//                                                     no signer, a queue that is full
#ifndef COUNTERSIGN_SERVICES_OCSP_RESPONDER_H_
#define COUNTERSIGN_SERVICES_OCSP_RESPONDER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/pki/ocsp_record.h"
#include "libs/pki/ocsp_request.h"
#include "libs/pki/ocsp_responder.h"
#include "services/ocsp/responses.h"

namespace countersign::ocsp {

// What is known about an answer, for caches and counters. Times are seconds since 1970.
struct Answer {
  enum class Kind {
    kPresigned,
    kLive,
    kError,         // an OcspError
    kNeedsSigning,  // no answer yet: AnswerLive
  };
  Kind kind = Kind::kError;
  pki::OcspError error = pki::OcspError::kInternalError;
  // Of a kPresigned or kLive answer:
  int64_t this_update = 0;
  int64_t next_update = 0;
  // How long caches may keep it, in seconds; never beyond next_update.
  int64_t max_age = 0;
  // It bears its request's nonce, so that it is of use to nobody else.
  bool nonce = false;
};

// Thread-safe.
class Responder {
 public:
  static constexpr size_t kMaxRequestBytes = 16 * 1024;

  // `responses` and `clock` must outlive it.
  explicit Responder(const Responses* responses, const base::Clock* clock = base::Clock::System())
      : responses_(responses), clock_(clock) {}

  // Appends the OCSPResponse to `*out`, unless it needs signing. Takes no lock; a signed answer
  // allocates nothing when `*out` has room.
  Answer TryAnswer(absl::string_view request, std::string* out) const;

  // Appends the answer, signing it here when needed.
  Answer AnswerLive(absl::string_view request, std::string* out) const;

  // Appends an error.
  static Answer Fail(pki::OcspError error, std::string* out);

  // What is said of a serial number (a magnitude without leading zeros) of an authority.
  struct Known {
    bool revoked = false;
    int64_t revocation_time = 0;
    uint8_t reason = 0;
    int64_t this_update = 0;
    int64_t next_update = 0;
  };
  std::optional<Known> Look(const Authority& authority, absl::string_view serial) const;

  absl::Time Now() const { return clock_->Now(); }

 private:
  // What the request asks, or the error that it is answered with.
  std::optional<pki::OcspError> Parse(absl::string_view request, pki::OcspRequest* parsed) const;

  const Responses* const responses_;
  const base::Clock* const clock_;
};

// The times of what is signed at `now`, of an authority whose state was read at `sync_time`, by
// `signer`: thisUpdate is a whole minute at which the status was known, or the moment of the
// revocation when that is later (`revocation_time`, 0 for none); nextUpdate is not later than the
// signer's end (RFC 6960 section 2.4).
struct Validity {
  int64_t this_update = 0;
  int64_t next_update = 0;
};
Validity ValidityAt(absl::Time now, absl::Time sync_time, int64_t revocation_time, int64_t lifetime,
                    const Signer& signer);

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_RESPONDER_H_
